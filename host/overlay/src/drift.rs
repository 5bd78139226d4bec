//! What is, compared with what should be: the device of one worker and what leads to its peers.
//!
//! Pure: [`Seen`] is read from the kernel once, everything else follows from it. What somebody added
//! besides is none of the agent's business, but for [`strangers`] when it begins.
//!
//! As commands: `ip -d link show flannel.100`, `ip address`, `ip route`, `ip neighbour`, `bridge fdb`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use knetsim_kernel::KernelError;
use knetsim_kernel::netlink::{Netlink, Request};
use knetsim_model::NodeName;
use knetsim_model::observe::{Address, FdbEntry, Link, MAIN_TABLE, Neighbour, Route};

use crate::device::{Device, Entry, Peer, UNDERLAY};

/// What the kernel has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Whether the underlay's interface is up.
    pub(crate) underlay_up: bool,
    pub(crate) link: Option<Link>,
    pub(crate) addresses: Vec<Address>,
    pub(crate) routes: Vec<Route>,
    pub(crate) neighbours: Vec<Neighbour>,
    pub(crate) fdb: Vec<FdbEntry>,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Drift {
    /// There is no device.
    NoDevice,
    /// The device can only be replaced; why, in words.
    Misfit(String),
    /// Its hardware address is this one.
    Mac(String),
    /// Its largest packet has these bytes.
    Mtu(u32),
    /// It is down, so that nothing can lead through it.
    Down,
    /// It lacks its address.
    NoAddress,
    /// An entry for the node with that address is missing, or says something else.
    Entry { entry: Entry, node: Ipv4Addr, instead: Option<String> },
    /// An entry leads to where no lease does.
    Stranger(Entry),
}

/// What is mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mend {
    /// What the kernel dropped when an interface was set down.
    Dropped {
        /// The underlay's interface was: the routes by it.
        underlay: bool,
        /// The device was: the routes through it, and its neighbour entries.
        device: bool,
    },
    All,
}

impl Seen {
    /// Asks the kernel.
    pub(crate) fn read(netlink: &Netlink, device: &Device) -> Result<Self, KernelError> {
        // The links last: where they are up, nothing was dropped with them meanwhile.
        Ok(Seen {
            addresses: netlink.addresses()?,
            routes: netlink.routes()?,
            neighbours: netlink.neighbours()?,
            fdb: netlink.fdb()?,
            link: netlink.link(&device.name)?,
            underlay_up: netlink.link(UNDERLAY)?.is_some_and(|link| link.up),
        })
    }
}

/// What differs. While the device is not there or down that alone is said: the rest follows from it.
pub(crate) fn compare(device: &Device, subnet: Ipv4Net, peers: &BTreeMap<Ipv4Net, Peer>, seen: &Seen) -> Vec<Drift> {
    let Some(link) = &seen.link else { return vec![Drift::NoDevice] };
    if let Some(why) = device.misfit(link) {
        return vec![Drift::Misfit(why)];
    }
    let mut drift = Vec::new();
    if link.mac != device.mac.to_string() {
        drift.push(Drift::Mac(link.mac.clone()));
    }
    if link.mtu != device.mtu {
        drift.push(Drift::Mtu(link.mtu));
    }
    if !link.up {
        drift.push(Drift::Down);
        return drift;
    }
    let address = IpAddr::from(subnet.network());
    if !seen.addresses.iter().any(|there| there.interface == device.name && there.address == address) {
        drift.push(Drift::NoAddress);
    }
    for peer in peers.values() {
        for entry in device.entries(peer) {
            if let Err(instead) = seen.has(device, &entry) {
                drift.push(Drift::Entry { entry, node: peer.public_ip, instead });
            }
        }
    }
    drift
}

/// Entries that lead through the device to where no lease does: left by an agent that ended without notice.
pub(crate) fn strangers(device: &Device, peers: &BTreeMap<Ipv4Net, Peer>, seen: &Seen) -> Vec<Drift> {
    let routes = seen.routes.iter().filter(|route| route.interface.as_ref() == Some(&device.name) && route.onlink);
    let routes = routes.filter_map(|route| Some(Entry::Route(route.destination.parse().ok()?)));
    let neighbours = seen.neighbours.iter().filter(|there| there.interface == device.name && permanent(there));
    let neighbours = neighbours.filter_map(|there| match there.address {
        IpAddr::V4(address) => Some(Entry::Neighbour(address, there.mac.as_ref()?.parse().ok()?)),
        IpAddr::V6(_) => None,
    });
    let fdb = seen.fdb.iter().filter(|there| there.interface == device.name && there.permanent);
    let fdb = fdb.filter_map(|there| match there.destination? {
        IpAddr::V4(node) => Some(Entry::Forward(there.mac.parse().ok()?, node)),
        IpAddr::V6(_) => None,
    });
    let ours: Vec<_> = peers.values().flat_map(|peer| device.entries(peer)).collect();
    let all = routes.chain(neighbours).chain(fdb);
    all.filter(|entry| !ours.iter().any(|our| our.replaces(entry))).map(Drift::Stranger).collect()
}

fn permanent(there: &Neighbour) -> bool {
    there.state == "permanent"
}

impl Seen {
    /// Whether an entry is there; else what is there in its place.
    fn has(&self, device: &Device, entry: &Entry) -> Result<(), Option<String>> {
        match entry {
            Entry::Neighbour(address, mac) => {
                let here = |there: &&Neighbour| there.interface == device.name && there.address == IpAddr::V4(*address);
                let Some(there) = self.neighbours.iter().find(here) else { return Err(None) };
                let is = there.mac.clone().unwrap_or_else(|| there.state.clone());
                if permanent(there) && is == mac.to_string() { Ok(()) } else { Err(Some(is)) }
            }
            Entry::Forward(mac, node) => {
                let mac = mac.to_string();
                let here = self.fdb.iter().filter(|there| there.interface == device.name && there.mac == mac);
                let to: Vec<_> = here.filter_map(|there| there.destination).collect();
                if to.contains(&IpAddr::V4(*node)) { Ok(()) } else { Err(to.first().map(IpAddr::to_string)) }
            }
            Entry::Route(subnet) => self.routed(*subnet, subnet.network(), &device.name),
            Entry::DirectRoute(subnet, node) => self.routed(*subnet, *node, UNDERLAY),
        }
    }

    fn routed(&self, subnet: Ipv4Net, gateway: Ipv4Addr, interface: &str) -> Result<(), Option<String>> {
        let destination = subnet.to_string();
        let there: Vec<_> =
            self.routes.iter().filter(|route| route.table == MAIN_TABLE && route.destination == destination).collect();
        let right = |route: &&Route| {
            route.kind == "unicast"
                && route.gateway == Some(IpAddr::V4(gateway))
                && route.interface.as_deref() == Some(interface)
        };
        if there.iter().any(right) { Ok(()) } else { Err(there.first().map(|route| hop(route))) }
    }
}

/// Where a route leads, as `ip route` says it.
fn hop(route: &Route) -> String {
    let gateway = route.gateway.map(|gateway| format!("via {gateway}"));
    let interface = route.interface.as_ref().map(|interface| format!("dev {interface}"));
    let words = [Some(route.kind.clone()).filter(|kind| kind != "unicast"), gateway, interface];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

impl Drift {
    /// `deleted`: the entries that somebody deleted.
    pub(crate) fn is_mended_by(&self, mend: Mend, deleted: &[Entry]) -> bool {
        let Mend::Dropped { underlay, device } = mend else { return true };
        let Some(entry) = self.missing() else { return false };
        let dropped = match entry {
            Entry::DirectRoute(..) => underlay,
            Entry::Route(_) | Entry::Neighbour(..) => device,
            // The kernel keeps it.
            Entry::Forward(..) => false,
        };
        dropped && !deleted.contains(entry)
    }

    /// The entry that is missing; none where something else differs.
    pub(crate) fn missing(&self) -> Option<&Entry> {
        match self {
            Drift::Entry { entry, instead: None, .. } => Some(entry),
            _ => None,
        }
    }

    /// Whether it is a route by the underlay's interface: where that is down, the kernel takes none.
    pub(crate) fn is_direct(&self) -> bool {
        matches!(self, Drift::Entry { entry: Entry::DirectRoute(..), .. })
    }

    /// Whether no entry is compared, so that nothing says which of them are missing.
    pub(crate) fn hides_entries(&self) -> bool {
        matches!(self, Drift::NoDevice | Drift::Misfit(_) | Drift::Down)
    }

    /// Whether only another device mends it.
    pub(crate) fn needs_device(&self) -> bool {
        matches!(self, Drift::NoDevice | Drift::Misfit(_))
    }

    /// What mends it; nothing where that takes another device.
    pub(crate) fn mend(&self, device: &Device, subnet: Ipv4Net) -> Vec<Request> {
        match self {
            Drift::NoDevice | Drift::Misfit(_) => Vec::new(),
            Drift::Mac(_) => vec![Request::set_mac(device.index, device.mac)],
            Drift::Mtu(_) => vec![Request::set_mtu(device.index, device.mtu)],
            Drift::Down | Drift::NoAddress => device.address(subnet).into(),
            Drift::Entry { entry, .. } => vec![device.add(entry)],
            Drift::Stranger(entry) => vec![device.remove(entry)],
        }
    }

    /// It in words: `C0w1 has no neighbour entry for 11.20.0.0 (C0w2)`.
    pub(crate) fn words(
        &self,
        node: &NodeName,
        device: &Device,
        subnet: Ipv4Net,
        name: impl Fn(Ipv4Addr) -> Option<NodeName>,
    ) -> String {
        let Device { name: device, mac, mtu, .. } = device;
        match self {
            Drift::NoDevice => format!("{node} has no device {device}"),
            Drift::Misfit(why) => format!("{node}'s {device} {why}"),
            Drift::Mac(is) => format!("{node}'s {device} has the hardware address {is} instead of {mac}"),
            Drift::Mtu(is) => format!("{node}'s {device} has MTU {is} instead of {mtu}"),
            Drift::Down => format!("{node}'s {device} is down"),
            Drift::NoAddress => format!("{node}'s {device} has no address {}/32", subnet.network()),
            Drift::Entry { entry, node: peer, instead } => {
                let peer = name(*peer).map_or_else(|| peer.to_string(), |name| name.to_string());
                let what = entry.words();
                match instead {
                    None => format!("{node} has no {what} ({peer})"),
                    Some(is) => format!("{node}'s {what} ({peer}) is {is} instead of {}", entry.value(device)),
                }
            }
            Drift::Stranger(entry) => format!("{node} has a {} that no lease explains", entry.words()),
        }
    }
}

impl Entry {
    fn words(&self) -> String {
        match self {
            Entry::Neighbour(address, _) => format!("neighbour entry for {address}"),
            Entry::Forward(mac, _) => format!("forwarding entry for {mac}"),
            Entry::Route(subnet) | Entry::DirectRoute(subnet, _) => format!("route to {subnet}"),
        }
    }

    fn value(&self, device: &str) -> String {
        match self {
            Entry::Neighbour(_, mac) => mac.to_string(),
            Entry::Forward(_, node) => node.to_string(),
            Entry::Route(subnet) => format!("via {} dev {device}", subnet.network()),
            Entry::DirectRoute(_, node) => format!("via {node} dev {UNDERLAY}"),
        }
    }
}
