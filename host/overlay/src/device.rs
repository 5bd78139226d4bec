//! The VXLAN device of one worker, and what leads through it to each peer.
//!
//! As commands, for a device and then, in flannel's order, for each peer:
//!
//! ```text
//! ip link add flannel.100 type vxlan id 100 local 10.0.0.3 dev eth0 dstport 8472 nolearning
//! ip address add 11.10.0.0/32 dev flannel.100
//! ip neighbour replace 11.20.0.0 lladdr 56:30:.. dev flannel.100 nud permanent
//! bridge fdb replace 56:30:.. dev flannel.100 dst 10.0.0.4 self permanent
//! ip route replace 11.20.0.0/20 via 11.20.0.0 dev flannel.100 onlink
//! ```
//!
//! With DirectRouting, for a peer on the same link: `ip route replace 11.20.0.0/20 via 10.0.0.4 dev eth0`.
//! After flannel's `pkg/backend/vxlan`. Invariant: the device keeps its hardware address as long as its
//! lease lasts, also when it is made anew: the peers send there.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use knetsim_kernel::KernelError;
use knetsim_kernel::netlink::{Mac, Netlink, Request, RouteSpec, VxlanSpec};
use knetsim_model::flannel::{FlannelConfig, Lease, OVERHEAD};
use knetsim_model::observe::Link;

/// The interface that carries the tunnel.
pub(crate) const UNDERLAY: &str = "eth0";
/// The kernel's own port for VXLAN, where flannel's configuration gives none.
const DEFAULT_PORT: u16 = 8472;

/// The device as it should be.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) index: u32,
    pub(crate) mac: Mac,
    /// Largest packet inside the tunnel, in bytes.
    pub(crate) mtu: u32,
    pub(crate) vni: u32,
    pub(crate) port: u16,
    pub(crate) local: Ipv4Addr,
    pub(crate) learning: bool,
    /// The index of the interface that carries the tunnel.
    pub(crate) underlay: u32,
    /// Where peers are reached without the tunnel; empty without DirectRouting.
    pub(crate) direct: Vec<Ipv4Net>,
}

/// Another node, and where its packets go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) subnet: Ipv4Net,
    pub(crate) public_ip: Ipv4Addr,
    pub(crate) mac: Mac,
}

/// One of the entries that lead to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The hardware address of a peer's device, by the first address of its subnet.
    Neighbour(Ipv4Addr, Mac),
    /// The node that the device with that hardware address is on.
    Forward(Mac, Ipv4Addr),
    /// Through the tunnel to a subnet.
    Route(Ipv4Net),
    /// To a subnet by a node on the same link.
    DirectRoute(Ipv4Net, Ipv4Addr),
}

impl Peer {
    /// What a lease says of another node; none where its tunnel is another than `vni`.
    pub(crate) fn of(lease: &Lease, vni: u32) -> Option<Self> {
        let data = lease.value.vxlan().filter(|data| data.vni == vni)?;
        Some(Peer { subnet: lease.subnet, public_ip: lease.value.public_ip, mac: data.vtep_mac.parse().ok()? })
    }
}

impl Entry {
    /// Where a route or a neighbour entry leads, as the kernel announces it; none for other entries.
    pub(crate) fn destination(&self) -> Option<String> {
        match self {
            Entry::Route(subnet) | Entry::DirectRoute(subnet, _) => Some(subnet.to_string()),
            Entry::Neighbour(address, _) => Some(address.to_string()),
            Entry::Forward(..) => None,
        }
    }

    /// Whether making this one takes the place of the other.
    pub(crate) fn replaces(&self, other: &Entry) -> bool {
        match (self, other) {
            (Entry::Neighbour(one, _), Entry::Neighbour(other, _)) => one == other,
            (Entry::Route(one) | Entry::DirectRoute(one, _), Entry::Route(other)) => one == other,
            (one, other) => one == other,
        }
    }
}

impl Device {
    /// Makes the device, or takes the one that is there where it fits. It bears `mac`, where that is given.
    pub(crate) fn ensure(
        netlink: &Netlink,
        config: &FlannelConfig,
        local: Ipv4Addr,
        mac: Option<Mac>,
    ) -> Result<Self, KernelError> {
        let backend = &config.backend;
        let name = format!("flannel.{}", backend.vni);
        let underlay = netlink.link(UNDERLAY)?;
        let underlay = underlay.ok_or_else(|| KernelError::answer(format!("make {name}"), "there is no eth0"))?;
        let on_link = netlink.addresses()?.into_iter().filter(|there| there.interface == UNDERLAY);
        let mut device = Device {
            index: 0,
            mac: mac.unwrap_or(Mac([0; 6])),
            // The kernel makes it no larger than what the underlay carries.
            mtu: backend.mtu.map_or(underlay.mtu, |mtu| mtu.min(underlay.mtu)).saturating_sub(OVERHEAD),
            vni: backend.vni,
            port: if backend.port == 0 { DEFAULT_PORT } else { backend.port },
            local,
            learning: backend.learning,
            underlay: underlay.index,
            direct: on_link.filter(|_| backend.direct_routing).filter_map(network).collect(),
            name,
        };
        let there = match netlink.link(&device.name)? {
            Some(link) if device.misfit(&link).is_none() => link,
            other => device.replace(netlink, other, mac)?,
        };
        device.index = there.index;
        if mac.is_none() {
            let unreadable = |error| KernelError::answer(format!("make {}", device.name), error);
            device.mac = there.mac.parse().map_err(unreadable)?;
        }
        Ok(device)
    }

    fn replace(&self, netlink: &Netlink, old: Option<Link>, mac: Option<Mac>) -> Result<Link, KernelError> {
        if let Some(old) = old {
            netlink.delete_link(old.index)?;
        }
        let spec = VxlanSpec {
            name: &self.name,
            index: None,
            vni: self.vni,
            local: self.local.into(),
            device: self.underlay,
            port: self.port,
            learning: self.learning,
            mac,
            mtu: Some(self.mtu),
        };
        netlink.add_vxlan(&spec)?;
        let gone = || KernelError::answer(format!("make {}", self.name), "it was gone at once");
        netlink.link(&self.name)?.ok_or_else(gone)
    }

    /// What of a device can't be changed and is not as it should be, in words.
    pub(crate) fn misfit(&self, link: &Link) -> Option<String> {
        let Some(vxlan) = &link.vxlan else { return Some(format!("is a {} device, no vxlan", link.kind)) };
        let local = vxlan.local.map_or_else(|| "none".to_owned(), |local| local.to_string());
        let different = |what: &str, is: &dyn ToString, should: &dyn ToString| {
            let (is, should) = (is.to_string(), should.to_string());
            (is != should).then(|| format!("has {what} {is} instead of {should}"))
        };
        different("VNI", &vxlan.vni, &self.vni)
            .or_else(|| different("port", &vxlan.port, &self.port))
            .or_else(|| different("local address", &local, &self.local))
            .or_else(|| different("learning", &vxlan.learning, &self.learning))
            .or_else(|| different("underlay link", &link.link_index.unwrap_or_default(), &self.underlay))
    }

    /// Gives the device its address, the first of its subnet, and no other of the pod network; and sets it up.
    pub(crate) fn set_address(&self, netlink: &Netlink, subnet: Ipv4Net) -> Result<(), KernelError> {
        let wanted = IpAddr::from(subnet.network());
        let all = netlink.addresses()?.into_iter();
        let others =
            all.filter(|there| there.interface == self.name && there.address.is_ipv4() && there.address != wanted);
        let remove =
            others.map(|there| Request::delete_address(self.index, IpNet::new_assert(there.address, there.prefix)));
        netlink.apply(remove.chain(self.address(subnet)))
    }

    pub(crate) fn address(&self, subnet: Ipv4Net) -> [Request; 2] {
        let address = IpNet::from(IpAddr::from(subnet.network()));
        [Request::add_address(self.index, address), Request::set_up(self.index, true)]
    }

    /// What leads to a peer, in flannel's order.
    pub(crate) fn entries(&self, peer: &Peer) -> Vec<Entry> {
        if self.direct.iter().any(|network| network.contains(&peer.public_ip)) {
            return vec![Entry::DirectRoute(peer.subnet, peer.public_ip)];
        }
        vec![
            Entry::Neighbour(peer.subnet.network(), peer.mac),
            Entry::Forward(peer.mac, peer.public_ip),
            // The kernel would ask for the gateway's hardware address if it did not know it yet.
            Entry::Route(peer.subnet),
        ]
    }

    /// What makes an entry, or makes it right.
    pub(crate) fn add(&self, entry: &Entry) -> Request {
        match *entry {
            Entry::Neighbour(address, mac) => Request::replace_neighbour(self.index, address.into(), mac),
            Entry::Forward(mac, node) => Request::replace_fdb(self.index, mac, node.into()),
            Entry::Route(subnet) => Request::replace_route(&self.route(subnet)),
            Entry::DirectRoute(subnet, node) => Request::replace_route(&self.direct_route(subnet, node)),
        }
    }

    /// What takes an entry away.
    pub(crate) fn remove(&self, entry: &Entry) -> Request {
        match *entry {
            Entry::Neighbour(address, _) => Request::delete_neighbour(self.index, address.into()),
            Entry::Forward(mac, node) => Request::delete_fdb(self.index, mac, node.into()),
            Entry::Route(subnet) => Request::delete_route(&self.route(subnet)),
            Entry::DirectRoute(subnet, node) => Request::delete_route(&self.direct_route(subnet, node)),
        }
    }

    fn route(&self, subnet: Ipv4Net) -> RouteSpec {
        let gateway = Some(subnet.network().into());
        RouteSpec { gateway, device: Some(self.index), onlink: true, ..RouteSpec::to(subnet) }
    }

    fn direct_route(&self, subnet: Ipv4Net, node: Ipv4Addr) -> RouteSpec {
        RouteSpec { gateway: Some(node.into()), device: Some(self.underlay), ..RouteSpec::to(subnet) }
    }
}

fn network(there: knetsim_model::observe::Address) -> Option<Ipv4Net> {
    let IpAddr::V4(address) = there.address else { return None };
    Ipv4Net::new(address, there.prefix).ok().map(|network| network.trunc())
}
