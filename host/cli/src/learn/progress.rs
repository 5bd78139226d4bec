//! How far a learner is, as the text of `progress.json` has it. [`store`](super::store) reads and writes the file.
//!
//! Progress belongs to a chapter by where it came from ([`Origin`]) and its name: whatever a stranger's chapter calls
//! itself, it is another one than that which comes with knetsim.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use knetsim_lab::package;
use serde::{Deserialize, Serialize};

/// The version of the file's format.
const VERSION: u32 = 2;
/// The chapters that came with knetsim when progress was kept by name alone (version 1).
const FIRST: [&str; 5] = ["c1", "c2", "c3", "c4", "c5"];

/// All that is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct All {
    version: u32,
    /// By origin, then by name.
    chapters: BTreeMap<Origin, BTreeMap<String, Progress>>,
}

/// The same in version 1: by name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct First {
    #[serde(rename = "version")]
    _version: u32,
    chapters: BTreeMap<String, Progress>,
}

/// Where a chapter came from.
///
/// | form | chapters |
/// |---|---|
/// | `knetsim` | those that come with knetsim |
/// | `file:PATH` | that of a file, by its absolute path without links: it may be built anew as often as its author likes |
/// | `sha256:DIGEST` | that of a pipe, or of a file whose path is no text: by its bytes |
/// | `unknown` | those of which version 1 of the file kept the name alone; nothing is read from there |
///
/// Others can come beside these: each form begins with its own word.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Origin(String);

impl Origin {
    /// It comes with knetsim.
    pub(crate) fn shipped() -> Origin {
        Origin("knetsim".to_owned())
    }

    /// It was read from a file.
    pub(crate) fn file(path: &Path, bytes: &[u8]) -> Origin {
        let path = path.canonicalize().ok().filter(|path| path.is_file());
        match path.as_deref().and_then(Path::to_str) {
            Some(path) => Origin(format!("file:{path}")),
            None => Origin(format!("sha256:{}", package::digest(bytes))),
        }
    }

    fn unknown() -> Origin {
        Origin("unknown".to_owned())
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

/// Which chapter it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) origin: Origin,
    /// The name in the chapter's manifest.
    pub(crate) name: String,
}

impl All {
    /// How far a chapter is; at its beginning where nothing is known of it.
    pub(crate) fn of(&self, key: &Key) -> Progress {
        self.chapters.get(&key.origin).and_then(|chapters| chapters.get(&key.name)).cloned().unwrap_or_default()
    }

    /// The chapters of other origins than knetsim itself that a learner has begun.
    pub(crate) fn others(&self) -> impl Iterator<Item = (&Origin, &String, &Progress)> {
        let known = |origin: &Origin| *origin != Origin::shipped() && *origin != Origin::unknown();
        let others = self.chapters.iter().filter(move |(origin, _)| known(origin));
        others.flat_map(|(origin, chapters)| chapters.iter().map(move |(name, progress)| (origin, name, progress)))
    }

    /// Takes over what of a chapter has become different from `before` to `now`; all of it where nothing is known.
    pub(super) fn follow(&mut self, key: &Key, before: &Progress, now: &Progress) {
        self.version = VERSION;
        let chapters = self.chapters.entry(key.origin.clone()).or_default();
        match chapters.get_mut(&key.name) {
            Some(known) => known.follow(before, now),
            None => drop(chapters.insert(key.name.clone(), now.clone())),
        }
    }

    /// Reads the file's text, of this version or an earlier one.
    pub(super) fn parse(bytes: &[u8]) -> anyhow::Result<All> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = serde_json::from_slice(bytes).context("it is damaged")?;
        match version {
            1 => {
                let First { chapters, .. } = serde_json::from_slice(bytes).context("it is damaged")?;
                let (first, others) = chapters.into_iter().partition(|(name, _)| FIRST.contains(&name.as_str()));
                let chapters = [(Origin::shipped(), first), (Origin::unknown(), others)];
                Ok(All { version: VERSION, chapters: chapters.into() })
            }
            VERSION => serde_json::from_slice(bytes).context("it is damaged, or of a later knetsim"),
            _ => bail!("it is of a later knetsim"),
        }
    }
}

/// How far one chapter is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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

impl Progress {
    /// How many tasks are solved.
    pub(crate) fn solved(&self) -> usize {
        self.tasks.values().filter(|outcome| **outcome == Outcome::Solved).count()
    }

    /// Takes over what has become different from `before` to `now`; what somebody else changed meanwhile stays.
    fn follow(&mut self, before: &Progress, now: &Progress) {
        if now.section != before.section {
            self.section = now.section;
        }
        if now.state != before.state {
            self.state.clone_from(&now.state);
        }
        follow(&mut self.tasks, &before.tasks, &now.tasks);
        follow(&mut self.hints, &before.hints, &now.hints);
    }
}

fn follow<V: Copy + PartialEq>(
    kept: &mut BTreeMap<String, V>,
    before: &BTreeMap<String, V>,
    now: &BTreeMap<String, V>,
) {
    kept.retain(|name, _| now.contains_key(name) || !before.contains_key(name));
    let changed = now.iter().filter(|(name, value)| before.get(*name) != Some(*value));
    kept.extend(changed.map(|(name, value)| (name.clone(), *value)));
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

    #[test]
    fn a_file_is_known_by_its_path_and_a_pipe_by_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("a.wasm");
        std::fs::write(&path, "one").unwrap();
        std::os::unix::fs::symlink("a.wasm", folder.path().join("link.wasm")).unwrap();
        let origin = format!("file:{}", path.display());
        assert_eq!(Origin::file(&path, b"one").0, origin);
        assert_eq!(
            Origin::file(&folder.path().join("link.wasm"), b"two").0,
            origin,
            "built anew it is the same chapter"
        );
        let digest = Origin::file(Path::new("/dev/null"), b"one").0;
        assert!(digest.starts_with("sha256:7692c3ad3540bb80"), "{digest}");
    }
}
