//! Files of a node, opened so that whatever its root put in their place does no harm.
//!
//! Invariants: nothing outside the folder is reached (cap-std, openat2's RESOLVE_BENEATH), no open
//! waits (a pipe lies there), no read is longer than its limit.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;

/// Opening a pipe does not wait for its other end, and no terminal becomes ours.
const CAREFUL: i32 = OFlags::NONBLOCK.union(OFlags::NOCTTY).bits().cast_signed();

/// Opens a regular file for reading.
pub fn open(folder: &Dir, path: impl AsRef<Path>) -> io::Result<File> {
    regular(folder, path, OpenOptions::new().read(true))
}

/// The whole of a regular file of at most `longest` bytes.
pub fn read(folder: &Dir, path: impl AsRef<Path>, longest: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(folder, path)?.take(longest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > longest {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it is longer than {longest} bytes")));
    }
    Ok(bytes)
}

/// The last `most` bytes of a regular file.
pub fn read_end(folder: &Dir, path: impl AsRef<Path>, most: u64) -> io::Result<Vec<u8>> {
    let mut file = open(folder, path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes a regular file in place, so that who has bound it elsewhere sees it; made where it was not there.
pub fn write(folder: &Dir, path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    regular(folder, path, OpenOptions::new().write(true).create(true).truncate(true))?.write_all(bytes.as_ref())
}

/// Opens a regular file for appending, made where it was not there.
pub fn append(folder: &Dir, path: impl AsRef<Path>) -> io::Result<File> {
    regular(folder, path, OpenOptions::new().append(true).create(true))
}

fn regular(folder: &Dir, path: impl AsRef<Path>, options: &mut OpenOptions) -> io::Result<File> {
    let file = folder.open_with(path, options.custom_flags(CAREFUL))?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use cap_std::ambient_authority;

    #[test]
    fn what_is_no_file_of_the_folder_is_refused_at_once() {
        let outer = tempfile::tempdir().unwrap();
        std::fs::create_dir(outer.path().join("node")).unwrap();
        std::fs::write(outer.path().join("secret"), "x").unwrap();
        let folder = Dir::open_ambient_dir(outer.path().join("node"), ambient_authority()).unwrap();
        nix::unistd::mkfifo(&outer.path().join("node/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        folder.create_dir("folder").unwrap();
        std::os::unix::fs::symlink("../secret", outer.path().join("node/link")).unwrap();
        for name in ["pipe", "folder", "link", "../secret", "none"] {
            assert!(read(&folder, name, 10).is_err(), "{name}");
        }
        for name in ["pipe", "folder", "link", "../secret"] {
            assert!(write(&folder, name, b"y").is_err(), "{name}");
            assert!(append(&folder, name).is_err(), "{name}");
        }
        assert_eq!(std::fs::read(outer.path().join("secret")).unwrap(), b"x");
        write(&folder, "file", b"long enough").unwrap();
        assert!(read(&folder, "file", 10).is_err());
        assert_eq!(read(&folder, "file", 11).unwrap(), b"long enough");
        assert_eq!(read_end(&folder, "file", 6).unwrap(), b"enough");
    }
}
