//! How far a learner is, kept from run to run: `$XDG_DATA_HOME/knetsim/progress.json`, else
//! `~/.local/share/knetsim/progress.json`.
//!
//! Invariant: the file is whole at any time, and what this program doesn't know of (chapters and tasks of another
//! version) stays in it. Two programs that write at once don't undo each other's chapters.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

/// The version of the file's format.
const VERSION: u32 = 1;

/// All that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct All {
    version: u32,
    /// By name.
    chapters: BTreeMap<String, Progress>,
}

/// How far one chapter is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The section that was read last, from 0.
    #[serde(default)]
    pub(crate) section: usize,
    /// What came of the tasks, by name.
    #[serde(default)]
    pub(crate) tasks: BTreeMap<String, Outcome>,
    /// How many hints of a task were shown, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) hints: BTreeMap<String, usize>,
    /// What the chapter itself remembers.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "base64")]
    pub(crate) state: Vec<u8>,
}

/// What came of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// Its check passed.
    Solved,
    /// The learner left it out.
    Skipped,
}

/// Where a person's own data are kept.
pub(crate) fn folder() -> anyhow::Result<PathBuf> {
    let base = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let base = base.or_else(|| std::env::home_dir().map(|home| home.join(".local/share")));
    Ok(base.context("neither XDG_DATA_HOME nor HOME is set")?.join("knetsim"))
}

/// The file.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
}

impl Store {
    /// That of the person who runs this.
    pub(crate) fn open() -> anyhow::Result<Store> {
        Ok(Store { folder: folder()? })
    }

    /// Where it is.
    fn path(&self) -> PathBuf {
        self.folder.join("progress.json")
    }

    /// How far a chapter is; at its beginning where nothing is known of it.
    pub(crate) fn load(&self, chapter: &str) -> anyhow::Result<Progress> {
        Ok(self.read()?.chapters.remove(chapter).unwrap_or_default())
    }

    /// Keeps how far a chapter is.
    pub(crate) fn save(&self, chapter: &str, progress: &Progress) -> anyhow::Result<()> {
        let keeping = || format!("keeping progress in {}", self.path().display());
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).with_context(keeping)?;
        let folder = File::open(&self.folder).with_context(keeping)?;
        flock(&folder, FlockOperation::LockExclusive).with_context(keeping)?;
        let mut all = self.read()?;
        all.version = VERSION;
        all.chapters.insert(chapter.to_owned(), progress.clone());
        write(&self.folder, &self.path(), &serde_json::to_vec_pretty(&all)?).with_context(keeping)
    }

    fn read(&self) -> anyhow::Result<All> {
        let path = self.path();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(All::default()),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let all: All = serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is damaged: mend it or move it away", path.display()))?;
        if all.version > VERSION {
            bail!("{} is of a newer knetsim: use that one, or move the file away", path.display());
        }
        Ok(all)
    }
}

fn write(folder: &Path, path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Bytes as Base64 in JSON.
mod base64 {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(from: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(from)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store { folder: folder.path().join("data/knetsim") };
        (folder, store)
    }

    #[test]
    fn what_is_kept_is_found_again() {
        let (_folder, store) = store();
        assert_eq!(store.load("c1").unwrap(), Progress::default());
        let mut one = Progress { section: 2, state: vec![0, 255, 7], ..Progress::default() };
        one.tasks.insert("make".to_owned(), Outcome::Solved);
        store.save("c1", &one).unwrap();
        let two = Progress { section: 1, ..Progress::default() };
        store.save("c2", &two).unwrap();
        assert_eq!((store.load("c1").unwrap(), store.load("c2").unwrap()), (one, two));
        let left = std::fs::read_dir(&store.folder).unwrap().count();
        assert_eq!(left, 1, "a file of an unfinished write is left");
    }

    #[test]
    fn what_others_know_stays() {
        let (_folder, store) = store();
        std::fs::create_dir_all(&store.folder).unwrap();
        let file = r#"{"version":1,"chapters":{"other":{"tasks":{"a":"skipped"}}}}"#;
        std::fs::write(store.path(), file).unwrap();
        store.save("c1", &Progress::default()).unwrap();
        assert_eq!(store.load("other").unwrap().tasks["a"], Outcome::Skipped);
    }

    #[test]
    fn a_damaged_or_newer_file_is_not_written_over() {
        for (file, says) in [("{", "damaged"), (r#"{"version":9,"chapters":{}}"#, "newer")] {
            let (_folder, store) = store();
            std::fs::create_dir_all(&store.folder).unwrap();
            std::fs::write(store.path(), file).unwrap();
            let error = format!("{:#}", store.save("c1", &Progress::default()).unwrap_err());
            assert!(error.contains(says), "{error}");
            assert_eq!(std::fs::read_to_string(store.path()).unwrap(), file);
        }
    }
}
