//! A log file that never grows without bound: rotated by size, as kubelet rotates a container's.
//!
//! Invariants: as those of [`files`]; whatever a node's root puts in the place of the file or of an older one, all of
//! them together hold what [`MOST`] and [`FILES`] say, give or take one addition.

use std::io::{self, ErrorKind, Write};

use cap_std::fs::{Dir, File, MetadataExt as _};

use crate::files;

/// A file is begun anew when it has that many bytes: kubelet's `containerLogMaxSize`, 10Mi.
pub const MOST: u64 = 10 << 20;
/// How many files there are at most, the current one included: kubelet's `containerLogMaxFiles`, 5.
pub const FILES: usize = 5;
/// A file has at least that many bytes before it is rotated, however little room is left.
const LEAST: u64 = 64 << 10;
/// A file takes at most that part of what is free: so many logs together don't fill the file system either.
const PART: u64 = 16;

/// A log that is written by adding to it: `NAME.log`, and before it, the newest first, `NAME.log.1` to `NAME.log.4`.
///
/// It is opened when something is added, and again where somebody has deleted it.
#[derive(Debug)]
pub struct LogFile {
    folder: Dir,
    path: String,
    file: Option<File>,
}

impl LogFile {
    /// The log at that path of a folder.
    pub fn new(folder: Dir, path: String) -> Self {
        LogFile { folder, path, file: None }
    }

    /// Opens it, so that what is in its place is known before there is something to add.
    ///
    /// # Errors
    /// It can't be made, or something else is there.
    pub fn open(&mut self) -> io::Result<()> {
        self.current().map(drop)
    }

    /// Closes it until something is added.
    pub fn close(&mut self) {
        self.file = None;
    }

    /// Adds bytes; where they don't fit any more, in a new file, from the first line that begins in them.
    ///
    /// # Errors
    /// It can't be written, as on a full disk, or something else is in its place; the bytes are lost then.
    pub fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = self.current()?;
        let length = file.metadata()?.len();
        if length == 0 || length + bytes.len() as u64 <= LEAST || length + bytes.len() as u64 <= most(file)? {
            return file.write_all(bytes);
        }
        let line_end = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        // On a full disk a new file takes the place of the oldest one.
        let ended = file.write_all(&bytes[..line_end]);
        self.rotate()?;
        self.current()?.write_all(&bytes[line_end..]).and(ended)
    }

    /// The last `longest` bytes, also where they are in two files.
    ///
    /// # Errors
    /// There is none, or something else is in its place.
    pub fn end(&self, longest: u64) -> io::Result<Vec<u8>> {
        let end = files::read_end(&self.folder, &self.path, longest)?;
        let before = longest - end.len() as u64;
        let mut bytes = files::read_end(&self.folder, older(&self.path, 1), before).unwrap_or_default();
        bytes.extend(end);
        Ok(bytes)
    }

    /// Deletes it and the older ones, or what lies in their place. Can be repeated.
    ///
    /// # Errors
    /// The first that can't be deleted; the others are.
    pub fn remove(&mut self) -> io::Result<()> {
        self.file = None;
        let paths = (1..FILES).map(|number| older(&self.path, number)).chain([self.path.clone()]);
        paths.map(|path| remove(&self.folder, &path)).fold(Ok(()), Result::and)
    }

    fn current(&mut self) -> io::Result<&mut File> {
        let there = self.file.as_ref().is_some_and(|file| file.metadata().is_ok_and(|found| found.nlink() > 0));
        if !there {
            self.file = Some(files::append(&self.folder, &self.path)?);
        }
        self.file.as_mut().ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// Each file becomes the next older one; the oldest goes.
    fn rotate(&mut self) -> io::Result<()> {
        let full = self.current()?.metadata()?.ino();
        let rename = |from: &str, to: &str| match self.folder.rename(from, &self.folder, to) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            done => done,
        };
        for number in (1..FILES - 1).rev() {
            // What can't be moved is in nobody's way but its own.
            let _ = rename(&older(&self.path, number), &older(&self.path, number + 1));
        }
        if rename(&self.path, &older(&self.path, 1)).is_ok() {
            self.file = None;
        }
        // Still the same file where somebody has put a folder in the older one's place, or a second name of this very
        // file, which rename(2) leaves alone: then nothing older is kept.
        let file = self.current()?;
        match file.metadata()?.ino() == full {
            true => file.set_len(0),
            false => Ok(()),
        }
    }
}

/// A log's files, opened for reading.
#[derive(Debug, Default)]
pub struct Parts {
    /// The oldest first.
    pub files: Vec<File>,
    /// The paths of those that are there and can't be opened, and why. The current one's is the log's own path.
    pub refused: Vec<(String, io::Error)>,
}

impl Parts {
    /// Opens what is there of the log at that path of a folder.
    pub fn open(folder: &Dir, path: &str) -> Parts {
        Parts::by(path, |path| files::open(folder, path))
    }

    /// The current file first: one that is rotated meanwhile is met again as an older one, and counts once. The other
    /// way round it would be missed.
    fn by(path: &str, mut open: impl FnMut(&str) -> io::Result<File>) -> Parts {
        let (mut parts, mut met) = (Parts::default(), Vec::new());
        for path in [path.to_owned()].into_iter().chain((1..FILES).map(|number| older(path, number))) {
            let opened = open(&path).and_then(|file| file.metadata().map(|found| ((found.dev(), found.ino()), file)));
            match opened {
                Ok((id, file)) if !met.contains(&id) => {
                    met.push(id);
                    parts.files.push(file);
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => parts.refused.push((path, error)),
            }
        }
        parts.files.reverse();
        parts
    }
}

fn older(path: &str, number: usize) -> String {
    format!("{path}.{number}")
}

/// How many bytes a file may have now.
fn most(file: &File) -> io::Result<u64> {
    let found = rustix::fs::fstatvfs(file)?;
    Ok((found.f_bavail * found.f_frsize / PART).clamp(LEAST, MOST))
}

fn remove(folder: &Dir, path: &str) -> io::Result<()> {
    let removed = match folder.symlink_metadata(path) {
        Ok(found) if found.is_dir() => folder.remove_dir_all(path),
        Ok(_) => folder.remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use cap_std::ambient_authority;

    fn log() -> (tempfile::TempDir, Dir, LogFile) {
        let outer = tempfile::tempdir().unwrap();
        let folder = Dir::open_ambient_dir(outer.path(), ambient_authority()).unwrap();
        let log = LogFile::new(folder.try_clone().unwrap(), "a.log".into());
        (outer, folder, log)
    }

    fn sizes(folder: &Dir) -> Vec<(String, u64)> {
        let mut found: Vec<_> = folder
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()))
            .collect();
        found.sort();
        found
    }

    #[test]
    fn it_is_rotated_at_line_ends_and_the_oldest_goes() {
        let (_outer, folder, mut log) = log();
        let piece = b"0123456789abcde\n".repeat(4096);
        for _ in 0..(FILES as u64 + 2) * (MOST / piece.len() as u64) {
            log.add(&piece).unwrap();
        }
        log.add(b"last").unwrap();
        let sizes = sizes(&folder);
        let names: Vec<_> = sizes.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a.log", "a.log.1", "a.log.2", "a.log.3", "a.log.4"]);
        assert!(sizes.iter().all(|(_, size)| *size <= MOST + piece.len() as u64), "{sizes:?}");
        assert!(sizes[1..].iter().all(|(_, size)| size % 16 == 0), "{sizes:?}");
        assert_eq!(log.end(8).unwrap(), b"cde\nlast");
        assert_eq!(log.end(1 << 20).unwrap().len(), 1 << 20, "also from the older one");
        log.remove().unwrap();
        log.remove().unwrap();
        assert_eq!(folder.entries().unwrap().count(), 0);
    }

    #[test]
    fn what_is_rotated_while_the_files_are_opened_is_among_them_once() {
        for before in 0..FILES {
            let (_outer, folder, mut log) = log();
            for text in ["1", "2", "3"] {
                log.add(text.as_bytes()).unwrap();
                log.rotate().unwrap();
            }
            log.add(b"4").unwrap();
            let mut number = 0;
            let parts = Parts::by("a.log", |path| {
                if number == before {
                    log.rotate().unwrap();
                    log.add(b"5").unwrap();
                }
                number += 1;
                files::open(&folder, path)
            });
            let texts: Vec<_> = parts.files.into_iter().map(|file| io::read_to_string(file).unwrap()).collect();
            assert_eq!(texts, ["1", "2", "3", "4", "5"][..if before == 0 { 5 } else { 4 }], "before {before}");
        }
        let (_outer, folder, mut log) = log();
        assert!(Parts::open(&folder, "a.log").files.is_empty());
        folder.create_dir("a.log.2").unwrap();
        log.add(b"5").unwrap();
        let parts = Parts::open(&folder, "a.log");
        assert_eq!((parts.files.len(), parts.refused[0].0.as_str()), (1, "a.log.2"));
    }

    #[test]
    fn what_lies_in_its_place_does_no_harm() {
        let (outer, folder, mut log) = log();
        let piece = vec![b'x'; LEAST as usize];
        // A folder where the older one would be: nothing is kept, and the limit holds.
        folder.create_dir_all("a.log.1/full").unwrap();
        folder.create_dir_all("a.log.2/full").unwrap();
        for _ in 0..2 * MOST / LEAST {
            log.add(&piece).unwrap();
        }
        assert!(folder.metadata("a.log").unwrap().len() <= MOST);
        // More names of the log itself.
        for path in (1..FILES).map(|number| older("a.log", number)) {
            remove(&folder, &path).unwrap();
            folder.hard_link("a.log", &folder, &path).unwrap();
        }
        for _ in 0..2 * MOST / LEAST {
            log.add(&piece).unwrap();
        }
        assert!(folder.metadata("a.log").unwrap().len() <= MOST, "the file has other names");
        log.remove().unwrap();
        log.add(b"x").unwrap();
        // A pipe, a folder, a link to another place: refused, and not waited for.
        folder.remove_file("a.log").unwrap();
        nix::unistd::mkfifo(&outer.path().join("a.log"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(log.add(b"x").is_err());
        folder.remove_file("a.log").unwrap();
        folder.create_dir("a.log").unwrap();
        assert!(log.add(b"x").is_err());
        log.remove().unwrap();
        std::os::unix::fs::symlink("/dev/null", outer.path().join("a.log")).unwrap();
        assert!(log.add(b"x").is_err());
        log.remove().unwrap();
        assert_eq!(folder.entries().unwrap().count(), 0);
        // Deleted by hand: what comes now is in a new one.
        log.add(b"one").unwrap();
        folder.remove_file("a.log").unwrap();
        log.add(b"two").unwrap();
        assert_eq!(folder.read("a.log").unwrap(), b"two");
    }
}
