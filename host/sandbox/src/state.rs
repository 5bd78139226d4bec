//! A sandbox's folder on the host: `lock`, `control.sock` and `log`. The only trace that a killed
//! sandbox leaves; the next start with the same name removes it.
//!
//! Invariant: a sandbox is running exactly as long as somebody holds the lock on its `lock` file. The first
//! level inherits the open file that holds it, and the kernel lets go of it with the last process.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::error::{Result, SandboxError, step};

const LOCK: &str = "lock";
const SOCKET: &str = "control.sock";
const LOG: &str = "log";

/// The folder of one sandbox that runs.
#[derive(Debug)]
pub struct StateFolder {
    path: PathBuf,
    lock: File,
}

impl StateFolder {
    /// Where the user's sandboxes have their folders: `$KNETSIM_STATE_DIR` where it is set; `/run/knetsim` for root;
    /// else `$XDG_RUNTIME_DIR/knetsim`, else `~/.local/state/knetsim`, else `/tmp/knetsim-UID`. Made where it is missing, with mode 0700.
    ///
    /// # Errors
    /// The folder can't be made, or belongs to somebody else; or `$KNETSIM_STATE_DIR` is no absolute path.
    pub fn base() -> Result<PathBuf> {
        let user = nix::unistd::geteuid();
        let last = PathBuf::from(format!("/tmp/knetsim-{user}"));
        let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        if let Some(named) = std::env::var_os("KNETSIM_STATE_DIR") {
            let place = PathBuf::from(named);
            if !place.is_absolute() {
                let words = format!("KNETSIM_STATE_DIR is `{}`: it must be an absolute path", place.display());
                return Err(SandboxError::Invalid(words));
            }
            make_private_folder(&place, true)?;
            return Ok(place);
        }
        let places = if user.is_root() {
            vec![PathBuf::from("/run/knetsim"), last]
        } else {
            let runtime = variable("XDG_RUNTIME_DIR").filter(|path| is_ours(path));
            let home = variable("HOME").filter(|path| is_ours(path));
            [runtime.map(|path| path.join("knetsim")), home.map(|path| path.join(".local/state/knetsim")), Some(last)]
                .into_iter()
                .flatten()
                .collect()
        };
        let mut refused = None;
        for place in places {
            match make_private_folder(&place, true) {
                Ok(()) => return Ok(place),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or_else(|| SandboxError::Invalid("there is no place for state folders".into())))
    }

    /// The names of the sandboxes that are running, sorted.
    ///
    /// # Errors
    /// The folder can't be read.
    pub fn running(base: &Path) -> Result<Vec<String>> {
        let reading = || format!("reading {}", base.display());
        let mut names = Vec::new();
        for entry in base.read_dir().map_err(step(reading))? {
            let name = entry.map_err(step(reading))?.file_name().to_string_lossy().into_owned();
            if StateFolder::open(base, &name).is_ok() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// The folder of the running sandbox of that name.
    ///
    /// # Errors
    /// There is none, or it is not running.
    pub fn open(base: &Path, name: &str) -> Result<StateFolder> {
        check_name(name)?;
        let path = base.join(name);
        // Writable, because a lock that excludes others needs that.
        let lock = OpenOptions::new().read(true).write(true).open(path.join(LOCK));
        match lock {
            Ok(lock) if is_locked(&lock)? => Ok(StateFolder { path, lock }),
            Ok(_) => Err(SandboxError::NotRunning(name.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(SandboxError::NotRunning(name.into())),
            Err(error) => Err(step(|| format!("opening {}", path.join(LOCK).display()))(error)),
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Connects to the control socket.
    ///
    /// # Errors
    /// Nobody listens any more.
    pub fn connect(&self) -> Result<UnixStream> {
        let connecting = || format!("connecting to {}", self.path.join(SOCKET).display());
        let folder = File::open(&self.path).map_err(step(connecting))?;
        UnixStream::connect(short_path(&folder)).map_err(step(connecting))
    }

    /// Waits until the sandbox has ended, then removes the folder. Blocks.
    ///
    /// # Errors
    /// The folder can't be removed.
    pub fn wait_and_remove(self) -> Result<()> {
        fcntl(&self.lock, FcntlArg::F_OFD_SETLKW(&whole(libc::F_WRLCK)))
            .map_err(step(|| format!("waiting for the end of {}", self.path.display())))?;
        self.remove()
    }

    /// Takes the folder of that name for a new sandbox, and removes what another one left in it.
    pub(crate) fn take(base: &Path, name: &str) -> Result<StateFolder> {
        check_name(name)?;
        let path = base.join(name);
        loop {
            make_private_folder(&path, false)?;
            let file = path.join(LOCK);
            let locking = || format!("locking {}", file.display());
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            let lock = match options.open(&file) {
                // Somebody removed the folder that was just there.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    // The disk may be full. It goes unless somebody else has files in it.
                    let _ = std::fs::remove_dir(&path);
                    return Err(step(locking)(error));
                }
                Ok(lock) => lock,
            };
            match fcntl(&lock, FcntlArg::F_OFD_SETLK(&whole(libc::F_WRLCK))) {
                Ok(_) => {}
                Err(nix::Error::EAGAIN | nix::Error::EACCES) => return Err(SandboxError::Running(name.into())),
                Err(error) => return Err(step(locking)(error)),
            }
            // The lock is worth something only on the file that others will find.
            let held = lock.metadata().map_err(step(locking))?.ino();
            if file.metadata().is_ok_and(|found| found.ino() == held) {
                let folder = StateFolder { path, lock };
                folder.remove_file(SOCKET)?;
                return Ok(folder);
            }
        }
    }

    /// The same without holding the lock here, as [`StateFolder::open`] has it.
    pub(crate) fn without_lock(self) -> Result<StateFolder> {
        let opening = || format!("opening {}", self.path.join(LOCK).display());
        let lock = OpenOptions::new().read(true).write(true).open(self.path.join(LOCK)).map_err(step(opening))?;
        Ok(StateFolder { path: self.path, lock })
    }

    /// The control socket, listening.
    pub(crate) fn listen(&self) -> Result<UnixListener> {
        let listening = || format!("listening on {}", self.path.join(SOCKET).display());
        let folder = File::open(&self.path).map_err(step(listening))?;
        UnixListener::bind(short_path(&folder)).map_err(step(listening))
    }

    /// The log, empty.
    pub(crate) fn log(&self) -> Result<File> {
        let path = self.path.join(LOG);
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        let log = options.open(&path).and_then(|log| log.set_len(0).map(|()| log));
        log.map_err(step(|| format!("making {}", path.display())))
    }

    /// Removes the folder of a sandbox whose lock is held here.
    pub(crate) fn remove(self) -> Result<()> {
        // The lock goes last: as long as it can be found, it is held.
        for file in [SOCKET, LOG, LOCK] {
            self.remove_file(file)?;
        }
        match std::fs::remove_dir(&self.path) {
            // Somebody took it already for a new sandbox, or keeps files of his own there; or removed it, too.
            Err(error) if matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound) => Ok(()),
            done => done.map_err(step(|| format!("removing {}", self.path.display()))),
        }
    }

    fn remove_file(&self, name: &str) -> Result<()> {
        let path = self.path.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done.map_err(step(|| format!("removing {}", path.display()))),
        }
    }
}

/// A socket's path has 107 bytes at most; through a descriptor of its folder every path fits.
fn short_path(folder: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()))
}

fn check_name(name: &str) -> Result<()> {
    let ok = (1..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let words = "is not a sandbox's name: 1 to 32 letters, digits, `-` and `_`";
    ok.then_some(()).ok_or_else(|| SandboxError::Invalid(format!("`{}` {words}", name.escape_debug())))
}

fn is_ours(folder: &Path) -> bool {
    let us = nix::unistd::geteuid().as_raw();
    folder.symlink_metadata().is_ok_and(|found| found.is_dir() && found.uid() == us)
}

/// Makes a folder that only we can read, or makes sure that it is one.
fn make_private_folder(path: &Path, with_parents: bool) -> Result<()> {
    let made = DirBuilder::new().mode(0o700).recursive(with_parents).create(path);
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(step(|| format!("making the folder {}", path.display()))(error));
        }
        _ => {}
    }
    let open = path.symlink_metadata().map_or(0o777, |found| found.permissions().mode() & 0o077);
    if is_ours(path) && open == 0 {
        return Ok(());
    }
    Err(SandboxError::Invalid(format!("{} is not a folder of this user's with mode 0700; remove it", path.display())))
}

/// A lock on a whole file that belongs to the open file, not to a process.
fn whole(kind: i32) -> libc::flock {
    libc::flock { l_type: kind as i16, l_whence: libc::SEEK_SET as i16, l_start: 0, l_len: 0, l_pid: 0 }
}

fn is_locked(file: &File) -> Result<bool> {
    let mut query = whole(libc::F_WRLCK);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut query)).map_err(step(|| "asking for a lock"))?;
    Ok(i32::from(query.l_type) != libc::F_UNLCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn a_folder_is_taken_once_and_is_free_again_when_its_holder_is_gone() {
        let base = base();
        let held = StateFolder::take(base.path(), "a").unwrap();
        assert!(matches!(StateFolder::take(base.path(), "a"), Err(SandboxError::Running(_))));
        assert_eq!(StateFolder::running(base.path()).unwrap(), ["a"]);
        drop(held);
        assert!(StateFolder::running(base.path()).unwrap().is_empty());
        assert!(matches!(StateFolder::open(base.path(), "a"), Err(SandboxError::NotRunning(_))));
        StateFolder::take(base.path(), "a").unwrap().remove().unwrap();
        assert!(!base.path().join("a").exists());
    }

    #[test]
    fn what_a_killed_sandbox_left_is_removed() {
        let base = base();
        let held = StateFolder::take(base.path(), "a").unwrap();
        let listener = held.listen().unwrap();
        drop((held, listener));
        let held = StateFolder::take(base.path(), "a").unwrap();
        let _listener = held.listen().unwrap();
        StateFolder::open(base.path(), "a").unwrap().connect().unwrap();
    }

    #[test]
    fn a_long_path_is_no_hindrance() {
        let base = base();
        let deep = base.path().join("x".repeat(200));
        std::fs::create_dir(&deep).unwrap();
        let held = StateFolder::take(&deep, "a").unwrap();
        let _listener = held.listen().unwrap();
        StateFolder::open(&deep, "a").unwrap().connect().unwrap();
    }

    #[test]
    fn a_folder_that_others_can_enter_is_refused() {
        let base = base();
        std::fs::create_dir(base.path().join("a")).unwrap();
        std::fs::set_permissions(base.path().join("a"), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(StateFolder::take(base.path(), "a"), Err(SandboxError::Invalid(_))));
        for name in ["", "a/b", "..", &"a".repeat(33)] {
            assert!(matches!(StateFolder::take(base.path(), name), Err(SandboxError::Invalid(_))), "{name}");
        }
    }
}
