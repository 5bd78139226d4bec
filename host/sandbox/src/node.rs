//! A node as the supervisor holds it: `ip netns add`, with files, a host name and a process beside.

use cap_std::fs::Dir;
use knetsim_kernel::netns::NetNs;
use knetsim_model::NodeName;

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
    /// Its pause process, as `ps` shows it on the node side.
    pub pid: i32,
    /// Its network namespace.
    pub netns: NetNs,
    /// Its folder `/tmp/knetsim/<name>`, with `run`, `var`, `etc` as the node sees them.
    /// Commands on the node may plant anything in it: never open a file by waiting for it.
    pub files: Dir,
    /// The root of its mount namespace: to open namespaces by name, `run/netns/<name>`.
    pub root: Dir,
}
