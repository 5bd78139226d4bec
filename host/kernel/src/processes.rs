//! Processes and the namespaces that they named, read from `/proc`: `ps`, `ip netns list`, `lsns`.
//!
//! Invariant: a path below a process's root is resolved inside that root (openat2), whatever links
//! its owner put there, and nothing is opened for reading before it is known to be a namespace.

use std::collections::HashMap;
use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use knetsim_model::observe::{NamedNamespace, Process};
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};
use procfs::ProcResult;
use rustix::fs::{CWD, Dir, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use crate::error::KernelError;
use crate::netns::NetNs;

/// Which processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Within {
    /// All.
    All,
    /// Those in the network namespace of that inode.
    Network(u64),
    /// Those in the mount namespace of that inode.
    Mount(u64),
}

/// The processes of the pid namespace `depth` levels below that of `/proc` (0: its own), by their
/// ids there, and of those below it. What ends meanwhile is left out. Blocks: a read or four of
/// `/proc` for each process of the machine.
pub fn list(within: Within, depth: usize) -> Result<Vec<Process>, KernelError> {
    let all = procfs::process::all_processes().map_err(|error| KernelError::answer("list processes", error))?;
    let all: Vec<Seen> = all.filter_map(|process| Seen::read(&process.ok()?, depth).ok()).collect();
    let inner: HashMap<i32, i32> = all.iter().filter_map(|seen| Some((seen.outer, seen.inner?))).collect();
    let processes = all.into_iter().filter(|seen| seen.is(within)).filter_map(|seen| {
        // The first process has its parent outside, as `ps` shows: none.
        let parent = inner.get(&seen.outer_parent).copied().unwrap_or_default();
        Some(Process { pid: seen.inner?, parent, command: seen.command, state: seen.state, memory: seen.memory })
    });
    Ok(processes.collect())
}

/// A process as the `/proc` at hand shows it.
struct Seen {
    outer: i32,
    outer_parent: i32,
    /// Its id in the pid namespace asked for.
    inner: Option<i32>,
    command: Vec<String>,
    state: String,
    memory: u64,
}

impl Seen {
    fn read(process: &procfs::process::Process, depth: usize) -> ProcResult<Self> {
        let stat = process.stat()?;
        // NSpid: its id in each pid namespace, from that of /proc inwards.
        let inner = process.status()?.nspid.and_then(|ids| ids.get(depth).copied());
        let mut command = process.cmdline()?;
        if command.is_empty() {
            command.push(stat.comm);
        }
        Ok(Seen {
            outer: process.pid(),
            outer_parent: stat.ppid,
            inner,
            command,
            state: state(stat.state),
            memory: stat.rss * procfs::page_size(),
        })
    }

    fn is(&self, within: Within) -> bool {
        let is_in = |kind: &str, inode: u64| {
            // A zombie is in none any more.
            fs::metadata(format!("/proc/{}/ns/{kind}", self.outer)).is_ok_and(|namespace| namespace.ino() == inode)
        };
        match within {
            Within::All => true,
            Within::Network(inode) => is_in("net", inode),
            Within::Mount(inode) => is_in("mnt", inode),
        }
    }
}

/// The state's letter, proc_pid_stat(5), as a word.
fn state(letter: char) -> String {
    let word = match letter {
        'R' => "running",
        'S' => "sleeping",
        'D' => "waiting",
        'Z' => "zombie",
        'T' => "stopped",
        't' => "traced",
        'X' | 'x' => "dead",
        'I' => "idle",
        other => return other.to_string(),
    };
    word.to_owned()
}

/// The root folder of a process, as its mount namespace has it: `/proc/PID/root`.
pub fn root_of(pid: i32) -> Result<OwnedFd, KernelError> {
    let path = format!("/proc/{pid}/root");
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, &path, flags, Mode::empty()).map_err(KernelError::doing(format!("open {path}")))
}

/// Where `ip netns add` binds namespaces, below the root.
const NAMES: &str = "run/netns";

/// The network namespaces that are bound in `/run/netns` below `root` (see [`root_of`]), by name;
/// `container` is left false.
pub fn named_namespaces(root: BorrowedFd<'_>) -> Result<Vec<NamedNamespace>, KernelError> {
    let doing = "list names of namespaces";
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = match openat2(root, NAMES, flags, Mode::empty(), inside()) {
        // The first name makes the folder.
        Err(Errno::NOENT) => return Ok(Vec::new()),
        other => other.map_err(KernelError::doing(doing))?,
    };
    let mut named = Vec::new();
    for entry in Dir::read_from(&folder).map_err(KernelError::doing(doing))? {
        let entry = entry.map_err(KernelError::doing(doing))?;
        let name = entry.file_name().to_string_lossy();
        // A name without its namespace, or one that went meanwhile, is none.
        if let Ok(namespace) = open_in(folder.as_fd(), &name) {
            named.push(NamedNamespace { name: name.into_owned(), inode: namespace.inode(), container: false });
        }
    }
    named.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(named)
}

/// The network namespace of that name in `/run/netns` below `root`, opened.
pub fn open_named_namespace(root: BorrowedFd<'_>, name: &str) -> Result<NetNs, KernelError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = openat2(root, NAMES, flags, Mode::empty(), inside());
    open_in(folder.map_err(KernelError::doing(format!("open network namespace {name}")))?.as_fd(), name)
}

fn open_in(folder: BorrowedFd<'_>, name: &str) -> Result<NetNs, KernelError> {
    let doing = format!("open network namespace {name}");
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = openat2(folder, name, flags, Mode::empty(), inside()).map_err(KernelError::doing(&doing))?;
    if fstatfs(&file).map_err(KernelError::doing(&doing))?.filesystem_type() != NSFS_MAGIC {
        return Err(KernelError::answer(doing, "that is no namespace"));
    }
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let file = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    NetNs::take(file.map_err(KernelError::doing(&doing))?, &doing)
}

fn inside() -> ResolveFlags {
    ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS
}
