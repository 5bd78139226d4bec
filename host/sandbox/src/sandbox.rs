//! The supervisor's handle of the node side.

use cap_std::fs::Dir;
use knetsim_kernel::netns::NetNs;
use knetsim_model::{Event, NodeName};
use tokio::sync::broadcast;

use crate::error::Result;
use crate::node::{Node, NodeSpec};
use crate::spawn::{Child, Spawn};

/// The way to the node side. Cheap to clone; requests of all clones run beside each other.
#[derive(Clone, Debug)]
pub struct Sandbox {
    _private: (),
}

impl Sandbox {
    /// The node side's own network namespace: the fabric, where all bridges are.
    pub fn base(&self) -> &NetNs {
        todo!()
    }

    /// `/tmp/knetsim`, where the nodes' folders are.
    pub fn files(&self) -> &Dir {
        todo!()
    }

    /// Makes a node: namespaces, pause process, folder, mounts, loopback up.
    ///
    /// # Errors
    /// It exists, or a step failed; nothing is left then.
    pub async fn create_node(&self, _spec: NodeSpec) -> Result<Node> {
        todo!()
    }

    /// Ends everything on a node, and removes it and its folder. Can be repeated.
    ///
    /// # Errors
    /// Something could not be removed.
    pub async fn delete_node(&self, _name: &NodeName) -> Result<()> {
        todo!()
    }

    /// A new network namespace without a name, for a container. It lives as long as the descriptor, a process
    /// in it, or a name ([`Sandbox::attach`]).
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn create_netns(&self) -> Result<NetNs> {
        todo!()
    }

    /// Gives a namespace a name on a node: `/run/netns/<name>`, as `ip netns attach` does.
    ///
    /// # Errors
    /// The name is taken, or there is no such node.
    pub async fn attach(&self, _node: &NodeName, _name: &str, _netns: &NetNs) -> Result<()> {
        todo!()
    }

    /// Removes a namespace's name from a node, `ip netns delete`. Can be repeated.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn detach(&self, _node: &NodeName, _name: &str) -> Result<()> {
        todo!()
    }

    /// Starts a process.
    ///
    /// # Errors
    /// The program is not there or can't be run, or a limit was reached.
    pub async fn spawn(&self, _spawn: Spawn) -> Result<Child> {
        todo!()
    }

    /// Kills every process in a network namespace, pause processes excepted, and returns when none is left.
    ///
    /// # Errors
    /// Some are still there after five seconds.
    pub async fn kill_in(&self, _netns: &NetNs) -> Result<()> {
        todo!()
    }

    /// What happens on its own: processes ended for want of memory, the node side's end.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        todo!()
    }

    /// Returns when the node side has ended, which it never does by itself.
    pub async fn ended(&self) {
        todo!()
    }
}
