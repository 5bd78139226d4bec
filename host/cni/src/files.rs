//! The files of a node, below its root-like folder: the one place that opens them.
//!
//! Whoever is root on the node may have put anything there. Invariant: nothing outside the folder is
//! reached, no open waits (a pipe), and no read is longer than [`LONGEST`].

use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, DirBuilder, DirBuilderExt, File, OpenOptions, OpenOptionsExt};

use crate::error::Error;

/// The longest file that is read, in bytes.
const LONGEST: u64 = 4 << 20;
/// `O_NONBLOCK`, asm-generic/fcntl.h: opening a pipe does not wait for its other end.
const NO_WAIT: i32 = 0o4000;

/// The modes of a file and of the folders around it, where they are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Modes {
    pub(crate) folder: u32,
    pub(crate) file: u32,
}

/// A folder and what is below it. Paths may be written as absolute ones.
#[derive(Debug)]
pub(crate) struct Files {
    root: Dir,
    /// The folder is `/` as this process sees it.
    whole: bool,
}

impl Files {
    pub(crate) fn new(root: Dir) -> Self {
        Files { root, whole: false }
    }

    /// All files, for a program that a user started.
    pub(crate) fn whole() -> Result<Self, Error> {
        let root = Dir::open_ambient_dir("/", ambient_authority()).map_err(Error::io("open /"))?;
        Ok(Files { root, whole: true })
    }

    /// The path below the root. An absolute link (`/var/run`) leads out of any root, of `/` itself too:
    /// there it is followed first.
    fn place(&self, path: &str) -> PathBuf {
        let below = Path::new(path.trim_start_matches('/'));
        let below = if below == Path::new("") { Path::new(".") } else { below };
        if !self.whole {
            return below.to_owned();
        }
        let path = Path::new("/").join(below);
        let there = |above: &Path| Some((above.canonicalize().ok()?, path.strip_prefix(above).ok()?.to_owned()));
        let plain = match path.ancestors().find_map(there) {
            Some((plain, rest)) if rest != Path::new("") => plain.join(rest),
            Some((plain, _)) => plain,
            None => path.clone(),
        };
        plain.strip_prefix("/").map_or(plain.clone(), Path::to_owned)
    }

    /// The whole file; none where it is not there.
    pub(crate) fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(NO_WAIT);
        let read = || {
            let file = self.root.open_with(self.place(path), &options)?;
            let metadata = file.metadata()?;
            if !metadata.is_file() {
                return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
            }
            let mut bytes = Vec::with_capacity(metadata.len().min(LONGEST) as usize + 1);
            let length = file.take(LONGEST + 1).read_to_end(&mut bytes)?;
            if length as u64 > LONGEST { Err(ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
        };
        absent(read()).map_err(Error::io(format!("read {path}")))
    }

    /// Writes the whole file.
    pub(crate) fn write(&self, path: &str, bytes: &[u8], modes: Modes) -> Result<(), Error> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).custom_flags(NO_WAIT);
        let written = self.open(path, options, modes).and_then(|mut file| file.write_all(bytes));
        written.map_err(Error::io(format!("write {path}")))
    }

    /// Makes a file that must not be there yet. False where it is.
    pub(crate) fn create_new(&self, path: &str, bytes: &[u8], modes: Modes) -> Result<bool, Error> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        let mut file = match self.open(path, options, modes) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
            opened => opened.map_err(Error::io(format!("create {path}")))?,
        };
        file.write_all(bytes).map_err(|error| {
            // A full disk: an empty file would hold the name for ever.
            let _ = self.remove(path);
            Error::io(format!("write {path}"))(error)
        })?;
        Ok(true)
    }

    /// Opens a file to lock it.
    pub(crate) fn open_lock(&self, path: &str, modes: Modes) -> Result<File, Error> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).custom_flags(NO_WAIT);
        self.open(path, options, modes).map_err(Error::io(format!("open {path}")))
    }

    fn open(&self, path: &str, mut options: OpenOptions, modes: Modes) -> io::Result<File> {
        options.mode(modes.file);
        match self.root.open_with(self.place(path), &options) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
                let mut builder = DirBuilder::new();
                self.root.create_dir_with(self.place(folder), builder.recursive(true).mode(modes.folder))?;
                self.root.open_with(self.place(path), &options)
            }
            opened => opened,
        }
    }

    /// Removes a file. False where it was not there.
    pub(crate) fn remove(&self, path: &str) -> Result<bool, Error> {
        absent(self.root.remove_file(self.place(path)))
            .map(|done| done.is_some())
            .map_err(Error::io(format!("remove {path}")))
    }

    /// The names in a folder, in order; none where it is not there.
    pub(crate) fn list(&self, folder: &str) -> Result<Vec<String>, Error> {
        let list = || {
            let names = self.root.read_dir(self.place(folder))?.map(|entry| Ok(entry?.file_name().into_string().ok()));
            names.filter_map(Result::transpose).collect::<io::Result<Vec<String>>>()
        };
        let mut names = absent(list()).map_err(Error::io(format!("list {folder}")))?.unwrap_or_default();
        names.sort_unstable();
        Ok(names)
    }

    /// When a folder last got or lost a file, in nanoseconds since 1970.
    pub(crate) fn changed(&self, folder: &str) -> Result<i128, Error> {
        use cap_std::fs::MetadataExt;
        let metadata = self.root.metadata(self.place(folder)).map_err(Error::io(format!("look at {folder}")))?;
        Ok(i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()))
    }
}

fn absent<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_inside_a_root_only_and_everywhere_in_all_files() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(outside.path().join("file"), "outside").unwrap();
        symlink(outside.path(), root.path().join("absolute")).unwrap();
        std::fs::write(root.path().join("file"), "inside").unwrap();
        symlink("file", root.path().join("beside")).unwrap();
        let modes = Modes { folder: 0o700, file: 0o600 };

        let files = Files::new(Dir::open_ambient_dir(root.path(), ambient_authority()).unwrap());
        assert_eq!(files.read("/beside").unwrap().unwrap(), b"inside");
        assert!(files.read("absolute/file").is_err() && files.list("absolute").is_err());
        assert!(files.write("absolute/new/file", b"x", modes).is_err() && files.remove("absolute/file").is_err());
        assert!(files.read("../file").is_err());

        let path = |name: &str| root.path().join(name).display().to_string();
        let files = Files::whole().unwrap();
        assert_eq!(files.read(&path("absolute/file")).unwrap().unwrap(), b"outside");
        files.write(&path("absolute/new/file"), b"x", modes).unwrap();
        assert_eq!(files.list(&path("absolute")).unwrap(), ["file", "new"]);
        assert!(
            files.remove(&path("absolute/new/file")).unwrap() && !files.remove(&path("absolute/new/file")).unwrap()
        );
        assert_eq!(files.read(&path("absent")).unwrap(), None);
    }
}
