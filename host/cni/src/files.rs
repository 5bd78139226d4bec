//! The files of a node, below its root-like folder: the one place that opens them.
//!
//! Whoever is root on the node may have put anything there. Invariant: nothing outside the folder is
//! reached, no open waits (a pipe), and no read is longer than [`LONGEST`].

use std::io::{self, ErrorKind, Read, Write};

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
pub(crate) struct Files(Dir);

impl Files {
    pub(crate) fn new(root: Dir) -> Self {
        Files(root)
    }

    /// The whole file; none where it is not there.
    pub(crate) fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(NO_WAIT);
        let read = || {
            let file = self.0.open_with(relative(path), &options)?;
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
        match self.0.open_with(relative(path), &options) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let folder = relative(path).rsplit_once('/').map_or(".", |(folder, _)| folder);
                let mut builder = DirBuilder::new();
                self.0.create_dir_with(folder, builder.recursive(true).mode(modes.folder))?;
                self.0.open_with(relative(path), &options)
            }
            opened => opened,
        }
    }

    /// Removes a file. False where it was not there.
    pub(crate) fn remove(&self, path: &str) -> Result<bool, Error> {
        absent(self.0.remove_file(relative(path)))
            .map(|done| done.is_some())
            .map_err(Error::io(format!("remove {path}")))
    }

    /// The names in a folder, in order; none where it is not there.
    pub(crate) fn list(&self, folder: &str) -> Result<Vec<String>, Error> {
        let list = || {
            let names = self.0.read_dir(relative(folder))?.map(|entry| Ok(entry?.file_name().into_string().ok()));
            names.filter_map(Result::transpose).collect::<io::Result<Vec<String>>>()
        };
        let mut names = absent(list()).map_err(Error::io(format!("list {folder}")))?.unwrap_or_default();
        names.sort_unstable();
        Ok(names)
    }

    /// When a folder last got or lost a file, in nanoseconds since 1970.
    pub(crate) fn changed(&self, folder: &str) -> Result<i128, Error> {
        use cap_std::fs::MetadataExt;
        let metadata = self.0.metadata(relative(folder)).map_err(Error::io(format!("look at {folder}")))?;
        Ok(i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()))
    }
}

fn relative(path: &str) -> &str {
    match path.trim_start_matches('/') {
        "" => ".",
        relative => relative,
    }
}

fn absent<T>(done: io::Result<T>) -> io::Result<Option<T>> {
    match done {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
