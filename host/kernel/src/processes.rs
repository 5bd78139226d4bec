//! Processes and what they hold, read from `/proc`: `ps`, `ip netns list`, `lsns`.

use std::os::fd::{BorrowedFd, OwnedFd};

use knetsim_model::observe::{NamedNamespace, Process};

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
/// ids there. Processes of levels above are not among them; what ends meanwhile is left out.
pub fn list(within: Within, depth: usize) -> Result<Vec<Process>, KernelError> {
    let _ = (within, depth);
    todo!()
}

/// The root folder of a process, as its mount namespace has it: `/proc/PID/root`.
pub fn root_of(pid: i32) -> Result<OwnedFd, KernelError> {
    let _ = pid;
    todo!()
}

/// The network namespaces that are bound in `run/netns` below `root` (see [`root_of`]); `container`
/// is left false. No link that somebody put there leads out of `root`.
pub fn named_namespaces(root: BorrowedFd<'_>) -> Result<Vec<NamedNamespace>, KernelError> {
    let _ = root;
    todo!()
}

/// One of [`named_namespaces`], opened.
pub fn open_named_namespace(root: BorrowedFd<'_>, name: &str) -> Result<NetNs, KernelError> {
    let _ = (root, name);
    todo!()
}
