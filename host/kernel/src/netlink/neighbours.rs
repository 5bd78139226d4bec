//! Neighbour entries and forwarding entries: `ip neighbour`, `bridge fdb`.

use std::net::IpAddr;

use knetsim_model::observe::{FdbEntry, Neighbour};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;

use super::links::{Names, name};
use super::mac::mac_text;
use super::{Mac, Netlink, Request};
use crate::error::KernelError;

const GONE: &[Errno] = &[Errno::ENOENT, Errno::ENODEV];

impl Request {
    /// `ip neighbour replace ADDRESS lladdr MAC dev DEV nud permanent`.
    pub fn replace_neighbour(index: u32, address: IpAddr, mac: Mac) -> Self {
        let mut entry = build(index, family(address), address);
        entry.header.state = NeighbourState::Permanent;
        entry.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
        let doing = format!("set neighbour {address} lladdr {mac} of link {index}");
        Request::new(RouteNetlinkMessage::NewNeighbour(entry), NLM_F_CREATE | NLM_F_REPLACE, doing)
    }

    /// `ip neighbour delete ADDRESS dev DEV`.
    pub fn delete_neighbour(index: u32, address: IpAddr) -> Self {
        let doing = format!("delete neighbour {address} of link {index}");
        let entry = build(index, family(address), address);
        Request::new(RouteNetlinkMessage::DelNeighbour(entry), 0, doing).forgiving(GONE)
    }

    /// `bridge fdb replace MAC dev DEV dst DESTINATION self permanent`: where a VXLAN device sends frames for it.
    pub fn replace_fdb(index: u32, mac: Mac, destination: IpAddr) -> Self {
        let doing = format!("set forwarding entry {mac} dst {destination} of link {index}");
        let mut entry = build_fdb(index, mac, destination);
        entry.header.state = NeighbourState::Permanent;
        Request::new(RouteNetlinkMessage::NewNeighbour(entry), NLM_F_CREATE | NLM_F_REPLACE, doing)
    }

    /// `bridge fdb delete MAC dev DEV dst DESTINATION self`.
    pub fn delete_fdb(index: u32, mac: Mac, destination: IpAddr) -> Self {
        let doing = format!("delete forwarding entry {mac} dst {destination} of link {index}");
        let entry = build_fdb(index, mac, destination);
        Request::new(RouteNetlinkMessage::DelNeighbour(entry), 0, doing).forgiving(GONE)
    }
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn build(index: u32, family: AddressFamily, address: IpAddr) -> NeighbourMessage {
    let mut entry = NeighbourMessage::default();
    entry.header.family = family;
    entry.header.ifindex = index;
    entry.attributes.push(NeighbourAttribute::Destination(address.into()));
    entry
}

fn build_fdb(index: u32, mac: Mac, destination: IpAddr) -> NeighbourMessage {
    let mut entry = build(index, AddressFamily::Bridge, destination);
    entry.header.flags = NeighbourFlags::Own;
    entry.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
    entry
}

/// A neighbour's or forwarding entry's address, hardware address and bridge.
fn parts(message: &NeighbourMessage) -> (Option<IpAddr>, Option<String>, Option<u32>) {
    let mut parts = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(address) => parts.0 = ip(address),
            NeighbourAttribute::LinkLayerAddress(octets) => parts.1 = Some(mac_text(octets)),
            NeighbourAttribute::Controller(index) => parts.2 = Some(*index),
            _ => {}
        }
    }
    parts
}

fn ip(address: &NeighbourAddress) -> Option<IpAddr> {
    match address {
        NeighbourAddress::Inet(address) => Some(IpAddr::V4(*address)),
        NeighbourAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        // A forwarding entry's: its family says bridge.
        NeighbourAddress::Other(octets) => match <[u8; 4]>::try_from(octets.as_slice()) {
            Ok(octets) => Some(octets.into()),
            Err(_) => <[u8; 16]>::try_from(octets.as_slice()).ok().map(IpAddr::from),
        },
        _ => None,
    }
}

/// The kernel's description of a neighbour as an observation.
pub(crate) fn observe(message: &NeighbourMessage, names: &Names) -> Option<Neighbour> {
    let (address, mac, _) = parts(message);
    let interface = name(names, message.header.ifindex);
    let state = if is_permanent(message) { NeighbourState::Permanent } else { message.header.state };
    Some(Neighbour { interface, address: address?, mac, state: state.to_string() })
}

/// Whether it never ages. `bridge` adds another bit to the state: it needs no ARP either.
pub(crate) fn is_permanent(message: &NeighbourMessage) -> bool {
    u16::from(message.header.state) & u16::from(NeighbourState::Permanent) != 0
}

/// The kernel's description of a forwarding entry as an observation.
pub(crate) fn observe_fdb(message: &NeighbourMessage, names: &Names) -> Option<FdbEntry> {
    let (destination, mac, master) = parts(message);
    Some(FdbEntry {
        interface: name(names, message.header.ifindex),
        mac: mac?,
        destination,
        master: master.map(|index| name(names, index)),
        permanent: is_permanent(message),
    })
}

impl Netlink {
    /// All neighbour entries, but those that need none (`noarp`), as `ip neighbour` shows them.
    pub fn neighbours(&self) -> Result<Vec<Neighbour>, KernelError> {
        let names = self.names()?;
        let shown =
            |entry: &NeighbourMessage| !matches!(entry.header.state, NeighbourState::Noarp | NeighbourState::None);
        let entries = self.entries(AddressFamily::Unspec, "list neighbours")?;
        Ok(entries.iter().filter(|entry| shown(entry)).filter_map(|entry| observe(entry, &names)).collect())
    }

    /// All forwarding entries of bridges and VXLAN devices.
    pub fn fdb(&self) -> Result<Vec<FdbEntry>, KernelError> {
        let names = self.names()?;
        let entries = self.entries(AddressFamily::Bridge, "list forwarding entries")?;
        Ok(entries.iter().filter_map(|entry| observe_fdb(entry, &names)).collect())
    }

    fn entries(&self, family: AddressFamily, doing: &str) -> Result<Vec<NeighbourMessage>, KernelError> {
        let mut all = NeighbourMessage::default();
        all.header.family = family;
        let entry = |message| match message {
            RouteNetlinkMessage::NewNeighbour(entry) => Some(entry),
            _ => None,
        };
        Ok(self.dump(RouteNetlinkMessage::GetNeighbour(all), doing)?.into_iter().filter_map(entry).collect())
    }

    /// [`Request::replace_neighbour`].
    pub fn replace_neighbour(&self, index: u32, address: IpAddr, mac: Mac) -> Result<(), KernelError> {
        self.apply([Request::replace_neighbour(index, address, mac)])
    }

    /// [`Request::delete_neighbour`].
    pub fn delete_neighbour(&self, index: u32, address: IpAddr) -> Result<(), KernelError> {
        self.apply([Request::delete_neighbour(index, address)])
    }

    /// [`Request::replace_fdb`].
    pub fn replace_fdb(&self, index: u32, mac: Mac, destination: IpAddr) -> Result<(), KernelError> {
        self.apply([Request::replace_fdb(index, mac, destination)])
    }

    /// [`Request::delete_fdb`].
    pub fn delete_fdb(&self, index: u32, mac: Mac, destination: IpAddr) -> Result<(), KernelError> {
        self.apply([Request::delete_fdb(index, mac, destination)])
    }
}
