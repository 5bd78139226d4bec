//! A place of its own for a check to send from: a network namespace on the target's worker, joined to its bridge
//! as a container's is, so that what a learner's own places have counted and learned stays what they did.
//!
//! As a person would: `ip netns add P; ip link add probe.1 master cni0 type veth peer name eth0 netns P;
//! ip -n P address add 11.10.143.254/20 dev eth0; ip -n P route add default via 11.10.128.1`.
//! No CNI: that would reserve an address in the node's files. It goes when it is dropped.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};
use knetsim_kernel::KernelError;
use knetsim_kernel::netlink::{Mac, Request, RouteSpec, Veth};
use knetsim_kernel::netns::NetNs;
use knetsim_model::{Code, Failure, Target};

use crate::Emulator;
use crate::container::not_a_worker;
use crate::fabric::{ETH0, ETH0_INDEX};
use crate::state::{Node, Role};

/// What the ports of such namespaces are called, a number behind it. No node or container can have this name, and
/// the history passes over it: a check that sends would otherwise be a change that calls for a check.
pub(crate) const PORT: &str = "probe.";
/// The bridge that CNI joins containers to.
const BRIDGE: &str = "cni0";
/// The most there can be in a sandbox at a time.
const MOST: usize = 16;

/// Such a place.
pub struct Beside {
    target: Target,
    worker: Arc<Node>,
    port: u32,
    namespace: NetNs,
    _address: Reserved,
}

impl Emulator {
    /// Makes one on the worker that the target is, or is on.
    ///
    /// # Errors
    /// The target is neither a worker nor a container; its worker has no bridge, for no container was ever there;
    /// there are too many; the kernel refused.
    pub async fn beside(&self, target: &Target) -> Result<Beside, Failure> {
        let worker = match target {
            Target::Node(_) | Target::Container(_) => self.state().node_of(target)?,
            Target::Base | Target::Named(..) => None,
        };
        let worker = worker.ok_or_else(|| {
            Failure::invalid(format!("a check sends from beside a worker or a container, which {target} is not"))
        })?;
        let Role::Worker { agent, .. } = &worker.role else { return Err(not_a_worker(&worker.plan.name)) };
        let missing = |what| Failure::new(Code::Unavailable, format!("a place beside {target} to send from: {what}"));
        let subnet = agent.state().subnet.ok_or_else(|| missing("its worker has no lease yet"))?;
        let address = self.reserve(&worker, subnet)?;
        let failed = |error: &dyn std::error::Error| Failure::failed(format!("a place beside {target}"), error);

        let namespace = self.sandbox().create_netns().await.map_err(|error| failed(&error))?;
        let beside = join(target, worker, namespace, subnet, address).map_err(|error| failed(&error))?;
        let beside = beside.ok_or_else(|| missing("its worker has no cni0; the first container makes it"))?;
        let running = beside.worker.netlink.wait_running(beside.port).await;
        running.map(|()| beside).map_err(|error| failed(&error))
    }

    /// A free address of a worker's subnet, beginning at its end: `host-local` begins at the other one. It keeps a file
    /// for each that it has given out, to whoever asked; only the gateway's has none.
    fn reserve(&self, worker: &Node, subnet: Ipv4Net) -> Result<Reserved, Failure> {
        let given = format!("var/lib/cni/networks/{}", worker.plan.name);
        let is_given = |address: &Ipv4Addr| worker.place.files.exists(format!("{given}/{address}"));
        let mut state = self.state();
        if state.probing.len() == MOST {
            return Err(Failure::new(Code::Limit, format!("checks can hold {MOST} places to send from; drop one")));
        }
        let mut free = subnet.hosts().rev().take_while(|address| Some(*address) != gateway(subnet));
        let address = free.find(|address| !state.probing.contains(address) && !is_given(address)).ok_or_else(|| {
            Failure::new(Code::Limit, format!("a check sends from {subnet}, where no address is free any more"))
        })?;
        state.probing.insert(address);
        Ok(Reserved { emulator: self.clone(), address })
    }
}

/// Plugs the namespace into the worker's bridge; none where there is no bridge.
fn join(
    target: &Target,
    worker: Arc<Node>,
    namespace: NetNs,
    subnet: Ipv4Net,
    address: Reserved,
) -> Result<Option<Beside>, KernelError> {
    let Some(bridge) = worker.netlink.link(BRIDGE)? else { return Ok(None) };
    // IPv6 would tell every container of itself.
    namespace.write_sysctls(&[("net/ipv6/conf/default/disable_ipv6", "1")])?;
    let number = u32::from(subnet.broadcast()) - u32::from(address.address);
    let veth = Veth {
        name: &format!("{PORT}{number}"),
        master: Some(bridge.index),
        up: true,
        // A bridge may take the lowest hardware address of its ports for its own: not this one's.
        mac: Some(Mac([0xfe, 0xff, 0xff, 0xff, 0xff, number as u8])),
        mtu: Some(bridge.mtu),
        peer_name: ETH0,
        peer_namespace: Some(&namespace),
        ..Veth::default()
    };
    let ends = worker.netlink.add_veth(&veth)?;
    let own = IpNet::new_assert(address.address.into(), subnet.prefix_len());
    let beside = Beside { target: target.clone(), worker, port: ends.index, namespace, _address: address };
    let default = RouteSpec { gateway: gateway(subnet).map(Into::into), ..RouteSpec::to(Ipv4Net::default()) };
    beside.namespace.netlink()?.apply([
        Request::set_up(ETH0_INDEX, true),
        Request::add_address(ETH0_INDEX, own),
        Request::replace_route(&default),
    ])?;
    Ok(Some(beside))
}

/// The address of a worker's bridge.
fn gateway(subnet: Ipv4Net) -> Option<Ipv4Addr> {
    subnet.hosts().next()
}

impl Beside {
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    pub(crate) fn namespace(&self) -> &NetNs {
        &self.namespace
    }
}

impl fmt::Display for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "beside {}", self.target)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // Its worker may be gone, and the port with it.
        let _ = self.worker.netlink.delete_link(self.port);
    }
}

/// An address that nobody else sends from.
struct Reserved {
    emulator: Emulator,
    address: Ipv4Addr,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.emulator.state().probing.remove(&self.address);
    }
}
