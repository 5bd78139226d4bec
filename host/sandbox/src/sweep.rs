//! Finding and ending processes of the node side by where they are, not by what was started: `fuser -k`.
//!
//! Reads the node side's own proc, which its init handed out and nobody there can change. A process is held by its
//! folder in it, which is as good as a pidfd: it never comes to mean another process.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;
use rustix::process::{Signal, pidfd_send_signal};

use crate::error::{Result, step};

/// How long nothing may change while processes are ended. Commands stand back behind others, and to end takes time
/// of a processor: many of them on a busy machine may take longer in all.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at whether they have.
const LOOK: Duration = Duration::from_millis(1);

/// Namespaces by kind and inode. A process counts as in them where it is in any one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spaces([Option<(&'static str, u64)>; 3]);

impl Spaces {
    pub(crate) fn of_net(inode: u64) -> Spaces {
        Spaces([Some(("ns/net", inode)), None, None])
    }

    /// All of a node's.
    pub(crate) fn of(net: u64, mnt: &OwnedFd, uts: &OwnedFd) -> Result<Spaces> {
        let inode = |space| fstat(space).map(|found| found.st_ino).map_err(step(|| "looking at a namespace"));
        Ok(Spaces([Some(("ns/net", net)), Some(("ns/mnt", inode(mnt)?)), Some(("ns/uts", inode(uts)?))]))
    }

    fn hold(&self, process: BorrowedFd<'_>) -> bool {
        // A process that has ended is in none any more.
        let is_in = |(kind, inode): &(&str, u64)| {
            statat(process, *kind, AtFlags::empty()).is_ok_and(|found| found.st_ino == *inode)
        };
        self.0.iter().flatten().any(is_in)
    }
}

/// The node side's proc.
#[derive(Debug)]
pub(crate) struct Proc(OwnedFd);

impl AsFd for Proc {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Proc {
    pub(crate) fn new(folder: OwnedFd) -> Proc {
        Proc(folder)
    }

    /// Every process with its id, but for the init and those.
    pub(crate) fn processes(&self, but: &HashSet<i32>) -> Result<Vec<(i32, OwnedFd)>> {
        let listing = || "listing the node side's processes";
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(&self.0, ".", flags, Mode::empty()).map_err(step(listing))?;
        let mut found = Vec::new();
        for entry in Dir::new(folder).map_err(step(listing))? {
            let entry = entry.map_err(step(listing))?;
            let pid = entry.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok());
            let Some(pid) = pid.filter(|pid| *pid != 1 && !but.contains(pid)) else { continue };
            match openat(&self.0, entry.file_name(), flags, Mode::empty()) {
                Ok(process) => found.push((pid, process)),
                Err(Errno::NOENT | Errno::SRCH) => {}
                Err(error) => return Err(step(listing)(error)),
            }
        }
        Ok(found)
    }

    /// Ends every process in these namespaces, and returns when none is left. Blocks.
    ///
    /// First all are stopped, so that what starts others can't take the place of what was killed: until
    /// they are, the limit on processes holds, and each round finds fewer that still run.
    pub(crate) fn end_all(&self, spaces: &Spaces, but: impl Fn() -> HashSet<i32>) -> Result<()> {
        let ending = || "ending all processes in a namespace";
        let (mut fewest, mut since) = (usize::MAX, Instant::now());
        let mut stopped = HashSet::new();
        loop {
            let inside: Vec<_> =
                self.processes(&but())?.into_iter().filter(|(_, process)| spaces.hold(process.as_fd())).collect();
            let running: Vec<_> = inside.iter().filter(|(pid, _)| !stopped.contains(pid)).collect();
            if inside.is_empty() {
                return Ok(());
            }
            let left = inside.len() + running.len();
            if left < fewest {
                (fewest, since) = (left, Instant::now());
            } else if since.elapsed() > PATIENCE {
                return Err(step(ending)(io::Error::from(io::ErrorKind::TimedOut)));
            }
            if running.is_empty() {
                for (_, process) in &inside {
                    send(process, Signal::KILL)?;
                }
                // Nothing tells of the end of a process that is not a child.
                std::thread::sleep(LOOK);
            } else {
                for (pid, process) in running {
                    send(process, Signal::STOP)?;
                    stopped.insert(*pid);
                }
            }
        }
    }
}

/// A signal to a process; nothing where it has ended.
pub(crate) fn send(process: &OwnedFd, signal: Signal) -> Result<()> {
    match pidfd_send_signal(process, signal) {
        Err(Errno::SRCH) => Ok(()),
        done => done.map_err(step(|| format!("sending {signal:?} to a process of the node side"))),
    }
}
