//! Compiled labs, kept between runs where labs cannot reach: `$XDG_CACHE_HOME/knetsim/labs`, else
//! `~/.cache/knetsim/labs`.
//!
//! Invariant: the folder is this user's and nobody else can write to it, for what lies in it is run
//! as it is. A file appears whole or not at all.

use std::fs::{DirBuilder, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context, bail};

use crate::{home, lab_file};

/// How many labs are kept; the one that was used the longest ago goes first.
const KEPT: usize = 64;

/// The place of one lab's compiled code.
pub(crate) struct Entry {
    folder: PathBuf,
    name: String,
}

impl Entry {
    /// The place for code under a key of [`knetsim_lab::cache_key`].
    pub(crate) fn named(key: &str) -> anyhow::Result<Entry> {
        Ok(Entry { folder: folder()?, name: key.to_owned() })
    }

    /// The compiled code, where it was kept, as a file in memory.
    pub(crate) fn open(&self) -> Option<File> {
        let file = File::open(self.folder.join(&self.name)).ok()?;
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        // Only the order of deletion depends on it.
        let _ = file.set_modified(SystemTime::now());
        let mut code = Vec::new();
        (&file).read_to_end(&mut code).ok()?;
        lab_file::in_memory(&code).ok()
    }

    /// Keeps compiled code, from the beginning of `code`.
    pub(crate) fn keep(&self, mut code: File) -> anyhow::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.folder).context("making a file in the cache")?;
        code.seek(SeekFrom::Start(0))?;
        std::io::copy(&mut code, &mut file).context("writing to the cache")?;
        file.as_file().sync_all().context("writing to the cache")?;
        file.persist(self.folder.join(&self.name)).context("naming a file of the cache")?;
        self.forget_old()
    }

    fn forget_old(&self) -> anyhow::Result<()> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.folder)? {
            let entry = entry?;
            files.push((entry.metadata()?.modified()?, entry.path()));
        }
        files.sort();
        let old = files.len().saturating_sub(KEPT);
        files.iter().take(old).try_for_each(|(_, path)| std::fs::remove_file(path)).context("cleaning the cache")
    }
}

fn folder() -> anyhow::Result<PathBuf> {
    let folder = home::folder("XDG_CACHE_HOME", ".cache")?.join("labs");
    let doing = || format!("the cache {}", folder.display());
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).with_context(doing)?;
    let metadata = folder.symlink_metadata().with_context(doing)?;
    let mine = metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw();
    if !mine || metadata.permissions().mode() & 0o077 != 0 {
        bail!("{}: it must be a folder of yours that nobody else can enter (chmod 700)", doing());
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[test]
    fn what_is_kept_is_found_again_and_the_oldest_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let entry = |name: String| Entry { folder: folder.path().to_owned(), name };
        for number in 0..=KEPT {
            let mut code = tempfile::tempfile().unwrap();
            write!(code, "code {number}").unwrap();
            entry(format!("{number}")).keep(code).unwrap();
        }
        assert!(entry("0".to_owned()).open().is_none());
        let mut text = String::new();
        entry(format!("{KEPT}")).open().unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, format!("code {KEPT}"));
    }
}
