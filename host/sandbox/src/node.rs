//! A node as the supervisor holds it: `ip netns add`, with files, a host name and a process beside.

use std::os::fd::OwnedFd;

use cap_std::fs::Dir;
use knetsim_kernel::NetNs;
use knetsim_model::NodeName;

use crate::error::{Result, step};

/// How to make a node.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    /// Its name, host name and folder.
    pub name: NodeName,
    /// Whether its `/var/lib/etcd` lies on the file system kept for data, which a full `/tmp/knetsim` can't fill.
    pub etcd: bool,
}

/// A node: network, mount and UTS namespace, one pause process that holds them, and a folder.
#[derive(Debug)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Its first pause process, as `ps` on the node side shows it; [`crate::Sandbox::pause_of`] knows the one now.
    pub pid: i32,
    /// Its network namespace; loopback is up.
    pub netns: NetNs,
    /// Its folder `/tmp/knetsim/<name>`, with `run`, `var`, `etc` as the node sees them.
    /// Commands on the node may plant anything in it: never open a file by waiting for it.
    pub files: Dir,
    /// The root of its mount namespace: to open namespaces by name, `run/netns/<name>`.
    pub root: OwnedFd,
}

/// Folders that a node begins with.
const FOLDERS: &[&str] = &[
    "run",
    "run/lock",
    "run/netns",
    "var",
    "var/cache",
    "var/lib",
    "var/lib/cni",
    "var/lib/etcd",
    "var/log",
    "var/spool",
    "var/tmp",
    "etc",
    "etc/cni",
    "etc/cni/net.d",
    "etc/skupper-router",
];

/// Makes a node's folder anew.
pub(crate) fn make_folder(nodes: &Dir, name: &NodeName) -> Result<Dir> {
    let making = || format!("making the folder of node {name}");
    let make = || {
        nodes.create_dir(name.as_str())?;
        let folder = nodes.open_dir(name.as_str())?;
        for path in FOLDERS {
            folder.create_dir(path)?;
        }
        folder.symlink_contents("/run", "var/run")?;
        folder.symlink_contents("/run/lock", "var/lock")?;
        folder.write("etc/hostname", format!("{name}\n"))?;
        folder.write("etc/hosts", format!("127.0.0.1 localhost\n127.0.1.1 {name}\n"))?;
        Ok(folder)
    };
    make().map_err(step::<_, std::io::Error>(making))
}

/// Removes a folder with all that is in it. Can be repeated.
pub(crate) fn remove_folder(parent: &Dir, name: &NodeName) -> Result<()> {
    match parent.remove_dir_all(name.as_str()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => done.map_err(step(|| format!("removing the folder of node {name}"))),
    }
}
