//! Files of a node, opened so that whatever its root put in their place does no harm.
//!
//! Invariants: nothing outside the folder is reached (cap-std, openat2's RESOLVE_BENEATH), no open
//! waits (a pipe lies there), no read is longer than its limit.

use std::io::{self, ErrorKind, Read, Write};

use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;

/// Opening a pipe does not wait for its other end.
const NONBLOCK: i32 = OFlags::NONBLOCK.bits().cast_signed();

/// Opens a regular file for reading.
pub fn open(folder: &Dir, path: &str) -> io::Result<File> {
    regular(folder, path, OpenOptions::new().read(true))
}

/// The whole of a regular file of at most `longest` bytes.
pub fn read(folder: &Dir, path: &str, longest: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(folder, path)?.take(longest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > longest {
        return Err(io::Error::new(ErrorKind::FileTooLarge, format!("it is longer than {longest} bytes")));
    }
    Ok(bytes)
}

/// Writes a regular file in place, made where it was not there.
pub fn write(folder: &Dir, path: &str, bytes: &[u8]) -> io::Result<()> {
    regular(folder, path, OpenOptions::new().write(true).create(true).truncate(true))?.write_all(bytes)
}

/// Opens a regular file for appending, made where it was not there.
pub fn append(folder: &Dir, path: &str) -> io::Result<File> {
    regular(folder, path, OpenOptions::new().append(true).create(true))
}

fn regular(folder: &Dir, path: &str, options: &mut OpenOptions) -> io::Result<File> {
    let file = folder.open_with(path, options.custom_flags(NONBLOCK))?;
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
    }
}
