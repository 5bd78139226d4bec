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
//! After flannel's `pkg/backend/vxlan`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use knetsim_kernel::KernelError;
use knetsim_kernel::netlink::{Mac, Netlink, Request, RouteSpec, VxlanSpec};
use knetsim_model::flannel::{FlannelConfig, Lease, VxlanData};
use knetsim_model::observe::Link;

/// The interface that carries the tunnel.
const UNDERLAY: &str = "eth0";
/// What VXLAN over IPv4 takes of each packet: outer Ethernet, IP, UDP and VXLAN headers.
const OVERHEAD: u32 = 50;
/// The kernel's own port for VXLAN, where flannel's configuration gives none.
const DEFAULT_PORT: u16 = 8472;

/// The device.
#[derive(Clone)]
pub(crate) struct Device {
    netlink: Netlink,
    pub(crate) name: String,
    pub(crate) mac: Mac,
    pub(crate) mtu: u32,
    index: u32,
    underlay: u32,
    direct_routing: bool,
}

/// Where a peer's packets go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) subnet: Ipv4Net,
    pub(crate) public_ip: Ipv4Addr,
    pub(crate) mac: Mac,
}

impl Peer {
    /// What a lease says of another node; none where it is of another backend.
    pub(crate) fn of(lease: &Lease, vni: u32) -> Option<Self> {
        let VxlanData { vni: theirs, vtep_mac } = lease.value.backend_data.as_ref()?;
        let mac = (lease.value.backend_type == "vxlan" && *theirs == vni).then(|| vtep_mac.parse().ok())??;
        Some(Peer { subnet: lease.subnet, public_ip: lease.value.public_ip, mac })
    }

    fn gateway(&self) -> IpAddr {
        self.subnet.network().into()
    }
}

impl Device {
    /// Makes the device, or takes the one that is there where it is as it should be. A new one gets `mac`.
    pub(crate) async fn ensure(
        netlink: &Netlink,
        config: &FlannelConfig,
        local: Ipv4Addr,
        mac: Mac,
    ) -> Result<Self, KernelError> {
        let name = format!("flannel.{}", config.backend.vni);
        let underlay = netlink.link(UNDERLAY).await?;
        let underlay = underlay.ok_or_else(|| KernelError::answer(format!("make {name}"), "there is no eth0"))?;
        let port = if config.backend.port == 0 { DEFAULT_PORT } else { config.backend.port };
        let mtu = underlay.mtu.saturating_sub(OVERHEAD);
        let spec = VxlanSpec {
            name: &name,
            index: None,
            vni: config.backend.vni,
            local: local.into(),
            device: underlay.index,
            port,
            learning: false,
            mac: Some(mac),
            mtu: Some(mtu),
        };
        let (index, mac) = match netlink.link(&name).await? {
            Some(there) if fits(&there, &spec) => (there.index, there.mac.parse().unwrap_or(mac)),
            Some(other) => {
                netlink.delete_link(other.index).await?;
                (netlink.add_vxlan(&spec).await?, mac)
            }
            None => (netlink.add_vxlan(&spec).await?, mac),
        };
        let netlink = netlink.clone();
        let direct_routing = config.backend.direct_routing;
        Ok(Device { netlink, name, mac, mtu, index, underlay: underlay.index, direct_routing })
    }

    /// Gives the device its address, the first of its subnet, and sets it up.
    pub(crate) async fn set_address(&self, subnet: Ipv4Net) -> Result<(), KernelError> {
        let wanted = IpAddr::from(subnet.network());
        let old = self.netlink.addresses().await?;
        let old = old.into_iter().filter(|there| there.interface == self.name && there.address.is_ipv4());
        let old = old.filter(|there| there.address != wanted);
        let remove =
            old.map(|there| Request::delete_address(self.index, IpNet::new_assert(there.address, there.prefix)));
        let add = [Request::add_address(self.index, IpNet::from(wanted)), Request::set_up(self.index, true)];
        self.netlink.apply(remove.chain(add)).await
    }

    /// Leads packets for a peer's subnet to it.
    pub(crate) async fn add(&self, peer: &Peer) -> Result<(), KernelError> {
        let route = Request::replace_route(&self.route(peer));
        if self.direct_routing {
            return self.netlink.apply([route]).await;
        }
        let neighbour = Request::replace_neighbour(self.index, peer.gateway(), peer.mac);
        let fdb = Request::replace_fdb(self.index, peer.mac, peer.public_ip.into());
        self.netlink.apply([neighbour, fdb, route]).await
    }

    /// Takes that away again.
    pub(crate) async fn remove(&self, peer: &Peer) -> Result<(), KernelError> {
        let route = Request::delete_route(&self.route(peer));
        let neighbour = Request::delete_neighbour(self.index, peer.gateway());
        let fdb = Request::delete_fdb(self.index, peer.mac, peer.public_ip.into());
        self.netlink.apply([route, fdb, neighbour]).await
    }

    fn route(&self, peer: &Peer) -> RouteSpec {
        match self.direct_routing {
            true => RouteSpec {
                gateway: Some(peer.public_ip.into()),
                device: Some(self.underlay),
                ..RouteSpec::to(peer.subnet)
            },
            false => RouteSpec {
                gateway: Some(peer.gateway()),
                device: Some(self.index),
                onlink: true,
                ..RouteSpec::to(peer.subnet)
            },
        }
    }

    /// Whether it is still the device that this is about.
    pub(crate) async fn is_there(&self) -> Result<bool, KernelError> {
        Ok(self.netlink.link(&self.name).await?.is_some_and(|link| link.index == self.index))
    }

    /// Removes the device and all that leads through it.
    pub(crate) async fn delete(self) -> Result<(), KernelError> {
        self.netlink.delete_link(self.index).await
    }

    /// What differs from what should be there: nothing, where all is well.
    pub(crate) async fn drift(
        &self,
        subnet: Ipv4Net,
        peers: &BTreeMap<Ipv4Net, Peer>,
    ) -> Result<Vec<Drift>, KernelError> {
        match self.netlink.link(&self.name).await? {
            Some(link) if link.index == self.index && link.up => {}
            Some(_) => return Ok(vec![Drift::new(format!("{} is down or another device", self.name), Mend::Device)]),
            None => return Ok(vec![Drift::new(format!("there is no {}", self.name), Mend::Device)]),
        }
        let mut drift = Vec::new();
        let addresses = self.netlink.addresses().await?;
        if !addresses.iter().any(|there| there.interface == self.name && there.address == subnet.network()) {
            drift.push(Drift::new(format!("{} has no address {}", self.name, subnet.network()), Mend::Device));
        }
        let routes = self.netlink.routes().await?;
        let neighbours = self.netlink.neighbours().await?;
        let fdb = self.netlink.fdb().await?;
        for peer in peers.values() {
            let wanted = self.route(peer);
            let routed = routes
                .iter()
                .any(|route| route.destination == peer.subnet.to_string() && route.gateway == wanted.gateway);
            let mac = peer.mac.to_string();
            let missing = [
                (!routed, format!("no route to {}", peer.subnet)),
                (
                    !self.direct_routing
                        && !neighbours.iter().any(|there| {
                            there.interface == self.name
                                && there.address == peer.gateway()
                                && there.mac.as_ref() == Some(&mac)
                        }),
                    format!("no neighbour entry for {}", peer.gateway()),
                ),
                (
                    !self.direct_routing
                        && !fdb.iter().any(|there| {
                            there.interface == self.name
                                && there.mac == mac
                                && there.destination == Some(peer.public_ip.into())
                        }),
                    format!("no forwarding entry for {mac} to {}", peer.public_ip),
                ),
            ];
            for (_, words) in missing.into_iter().filter(|(missing, _)| *missing) {
                drift.push(Drift::new(words, Mend::Add(peer.clone())));
            }
        }
        for route in
            routes.iter().filter(|route| route.interface.as_ref() == Some(&self.name) && route.gateway.is_some())
        {
            let Ok(subnet) = route.destination.parse::<Ipv4Net>() else { continue };
            if !peers.contains_key(&subnet) {
                drift.push(Drift::new(format!("a route to {subnet} that no lease explains"), Mend::Remove(subnet)));
            }
        }
        Ok(drift)
    }

    /// Takes away a route that no lease explains.
    pub(crate) async fn remove_route(&self, subnet: Ipv4Net) -> Result<(), KernelError> {
        self.netlink.delete_route(&RouteSpec { device: Some(self.index), ..RouteSpec::to(subnet) }).await
    }
}

/// One difference between what is and what should be.
pub(crate) struct Drift {
    /// It in words.
    pub(crate) words: String,
    /// What mends it.
    pub(crate) mend: Mend,
}

/// What mends a difference.
pub(crate) enum Mend {
    /// The device and its address are made again, and all that leads through it.
    Device,
    /// A peer is added again.
    Add(Peer),
    /// A route goes.
    Remove(Ipv4Net),
}

impl Drift {
    fn new(words: String, mend: Mend) -> Self {
        Drift { words, mend }
    }
}

/// Whether a device is as it should be, so that it can be kept with its hardware address.
fn fits(there: &Link, wanted: &VxlanSpec<'_>) -> bool {
    there.vxlan.as_ref().is_some_and(|vxlan| {
        vxlan.vni == wanted.vni
            && vxlan.port == wanted.port
            && vxlan.local == Some(wanted.local)
            && !vxlan.learning
            && there.link_index == Some(wanted.device)
    })
}
