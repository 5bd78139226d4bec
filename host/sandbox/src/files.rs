//! Files in a node's folder, where commands on the node may have planted anything: a pipe that nobody writes to,
//! a link that leads elsewhere, a file of a gigabyte.
//!
//! Invariant: nothing here waits for another process, follows a link out of the folder, or reads without bound.

use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt as _};

/// Opens a plain file.
///
/// # Errors
/// As the system call has it; `InvalidInput` where it is no plain file.
pub fn open(folder: &Dir, path: impl AsRef<Path>, options: &mut OpenOptions) -> io::Result<File> {
    let path = path.as_ref();
    let file = folder.open_with(path, options.custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY))?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is not a plain file", path.display())))
}

/// Reads a plain file, at most `most` bytes of it.
///
/// # Errors
/// As [`open`].
pub fn read(folder: &Dir, path: impl AsRef<Path>, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(folder, path, OpenOptions::new().read(true))?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the last `most` bytes of a plain file.
///
/// # Errors
/// As [`open`].
pub fn read_end(folder: &Dir, path: impl AsRef<Path>, most: u64) -> io::Result<Vec<u8>> {
    let mut file = open(folder, path, OpenOptions::new().read(true))?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a plain file in place, so that who has bound it elsewhere (`/etc/hosts`) sees it; made where it is missing.
///
/// # Errors
/// As [`open`].
pub fn write(folder: &Dir, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    open(folder, path, OpenOptions::new().write(true).create(true).truncate(true))?.write_all(bytes.as_ref())
}

/// Opens a log to append to.
///
/// # Errors
/// As [`open`].
pub fn append(folder: &Dir, path: impl AsRef<Path>) -> io::Result<File> {
    open(folder, path, OpenOptions::new().append(true).create(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cap_std::ambient_authority;
    use nix::sys::stat::Mode;

    #[test]
    fn what_is_planted_does_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        nix::unistd::mkfifo(&folder.path().join("pipe"), Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
        std::os::unix::fs::symlink("plain", folder.path().join("inner")).unwrap();
        write(&dir, "plain", "0123456789").unwrap();
        assert_eq!(read(&dir, "inner", 4).unwrap(), b"0123");
        assert_eq!(read_end(&dir, "plain", 3).unwrap(), b"789");
        append(&dir, "plain").unwrap().write_all(b"!").unwrap();
        assert_eq!(read(&dir, "plain", 100).unwrap(), b"0123456789!");
        for name in ["pipe", "link", ".", "none", "../plain"] {
            assert!(read(&dir, name, 4).is_err(), "{name}");
        }
        for name in ["pipe", "link", "."] {
            assert!(write(&dir, name, "x").is_err(), "{name}");
        }
    }
}
