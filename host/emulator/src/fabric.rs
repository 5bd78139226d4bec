//! The underlay: bridge `t0`, one switch per cluster below it, a port per node.
//!
//! All of it lies in the node side's base namespace. Equals
//! `ip link add C0s0 type bridge`, `ip link add t0-C0s0 master t0 type veth peer name C0s0-t0` and
//! `ip link add C0w1 master C0s0 type veth peer name eth0 netns <C0w1>`.

use knetsim_kernel::KernelError;
use knetsim_kernel::netlink::{Bridge, Netlink, Request, Veth};
use knetsim_kernel::netns::NetNs;
use knetsim_model::names::TOP_SWITCH;
use knetsim_model::{ClusterName, NodeName};

use crate::node_network::Given;

/// The interface of every node and container that leads out of it.
pub(crate) const ETH0: &str = "eth0";
/// Its index there: a new namespace has nothing but `lo`, which is 1.
pub(crate) const ETH0_INDEX: u32 = 2;

/// The bridges and their namespace.
pub(crate) struct Fabric {
    pub(crate) namespace: NetNs,
    pub(crate) netlink: Netlink,
}

impl Fabric {
    /// Makes `t0` in an empty namespace.
    pub(crate) fn start(namespace: NetNs) -> Result<Self, KernelError> {
        // Nobody speaks IPv6 here, and its multicast on a bridge of a thousand ports costs seconds.
        namespace.write_sysctls(&[("net/ipv6/conf/default/disable_ipv6", "1")])?;
        let netlink = namespace.netlink()?;
        netlink.add_bridge(&Bridge { name: TOP_SWITCH, up: true, ..Bridge::default() })?;
        Ok(Fabric { namespace, netlink })
    }

    /// Makes a cluster's switch and ties it to `t0`. When it fails, [`Fabric::remove_switch`] takes away what it left.
    pub(crate) async fn add_switch(&self, cluster: &ClusterName) -> Result<(), KernelError> {
        let (top, (upper, lower)) = (self.index(TOP_SWITCH)?, uplink(cluster));
        let switch = self.netlink.add_bridge(&Bridge { name: &cluster.switch(), up: true, ..Bridge::default() })?;
        let veth = Veth { name: &upper, peer_name: &lower, master: Some(top), up: true, ..Veth::default() };
        let ends = self.netlink.add_veth(&veth)?;
        let inside = [Request::set_master(ends.peer_index, Some(switch)), Request::set_up(ends.peer_index, true)];
        self.netlink.apply(inside)?;
        self.netlink.wait_running(ends.index).await?;
        self.netlink.wait_running(ends.peer_index).await
    }

    /// Removes a cluster's switch. Can be repeated.
    pub(crate) fn remove_switch(&self, cluster: &ClusterName) -> Result<(), KernelError> {
        for name in [uplink(cluster).0, cluster.switch()] {
            if let Some(link) = self.netlink.link(&name)? {
                self.netlink.delete_link(link.index)?;
            }
        }
        Ok(())
    }

    /// Plugs a node in: a veth pair, its port named after the node, `eth0` born inside, address and routes.
    pub(crate) async fn join(
        &self,
        node: &NodeName,
        given: &Given,
        namespace: &NetNs,
        netlink: &Netlink,
    ) -> Result<(), KernelError> {
        let switch = node.cluster().map_or(TOP_SWITCH.to_owned(), |cluster| cluster.switch());
        let veth = Veth {
            name: node.as_str(),
            master: Some(self.index(&switch)?),
            up: true,
            peer_name: ETH0,
            peer_index: Some(ETH0_INDEX),
            peer_namespace: Some(namespace),
            ..Veth::default()
        };
        let port = self.netlink.add_veth(&veth)?.index;
        netlink.apply(given.requests())?;
        // What a node sends before its port forwards is lost, and ARP tries again only after a second.
        self.netlink.wait_running(port).await
    }

    /// Unplugs a node, so that its name is free at once: its namespace goes later. Can be repeated.
    pub(crate) fn leave(&self, node: &str) -> Result<(), KernelError> {
        match self.netlink.link(node)? {
            Some(port) => self.netlink.delete_link(port.index),
            None => Ok(()),
        }
    }

    fn index(&self, name: &str) -> Result<u32, KernelError> {
        let link = self.netlink.link(name)?;
        link.map(|link| link.index)
            .ok_or_else(|| KernelError::answer(format!("look up link {name}"), "there is no such link"))
    }
}

/// The names of the two ends that tie a switch to `t0`: t0's port, and the switch's.
fn uplink(cluster: &ClusterName) -> (String, String) {
    let switch = cluster.switch();
    (format!("{TOP_SWITCH}-{switch}"), format!("{switch}-{TOP_SWITCH}"))
}
