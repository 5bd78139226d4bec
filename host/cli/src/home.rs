//! Files of knetsim's in a person's home: progress, and the console's history.
//!
//! Invariant: a file is whole at any time, and one that can't be understood is put aside, never written over.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::{FlockOperation, OFlags, flock};

/// Where a person's own data are kept: `$XDG_DATA_HOME/knetsim`, else `~/.local/share/knetsim`.
pub(crate) fn data() -> anyhow::Result<PathBuf> {
    folder("XDG_DATA_HOME", ".local/share")
}

/// The folder `knetsim` in the one that a variable names, else in that of the person's home. Names that depend on where
/// the program was started count as none.
pub(crate) fn folder(variable: &str, of_home: &str) -> anyhow::Result<PathBuf> {
    let base = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::home_dir().filter(|path| path.is_absolute());
    let base = base.or_else(|| Some(home()?.join(of_home)));
    Ok(base.with_context(|| format!("neither {variable} nor HOME names a folder"))?.join("knetsim"))
}

/// Makes a folder that only this person can enter, and keeps other programs of theirs from changing it at the same
/// time until what is returned is dropped.
pub(crate) fn lock(folder: &Path) -> io::Result<File> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let locked = File::open(folder)?;
    flock(&locked, FlockOperation::LockExclusive)?;
    Ok(locked)
}

/// Opens a regular file to be read, and refuses anything else: opening a FIFO would wait for a writer.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")),
    }
}

/// Reads a file whole, as [`open`] opens it.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a file of a folder whole.
pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(folder.join(name))?;
    Ok(())
}

/// Gives a file another name, `progress.json.1` or the next one that is free, and says which. The folder is locked.
pub(crate) fn put_aside(path: &Path) -> io::Result<PathBuf> {
    for number in 1_u32.. {
        let aside = path.with_added_extension(number.to_string());
        match aside.symlink_metadata() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                std::fs::rename(path, &aside)?;
                return Ok(aside);
            }
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_aside_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("progress.json");
        for (number, text) in [(1, "one"), (2, "two")] {
            write(folder.path(), "progress.json", text.as_bytes()).unwrap();
            assert_eq!(put_aside(&path).unwrap(), folder.path().join(format!("progress.json.{number}")));
        }
        assert_eq!(std::fs::read_to_string(folder.path().join("progress.json.1")).unwrap(), "one");
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_regular_file_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("progress.json");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for path in [fifo.as_path(), folder.path()] {
            assert_eq!(read(path).unwrap_err().to_string(), "it is no regular file");
        }
    }

    #[test]
    fn where_no_name_can_be_looked_up_it_says_so() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["x".repeat(255), "a file/progress.json".to_owned()] {
            std::fs::write(folder.path().join("a file"), "").unwrap();
            assert_ne!(put_aside(&folder.path().join(name)).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        }
    }
}
