//! Announcements of rtnetlink as changes.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::net::IpAddr;

use knetsim_model::observe::{Change, FdbEntry, Link, Neighbour, Route};
use netlink_packet_core::{NLM_F_REPLACE, NetlinkBuffer, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::neighbour::NeighbourMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::libc;

use super::change;
use crate::error::KernelError;
use crate::netlink::{Names, observe};
use crate::netns::NetNs;

/// The groups listened to, a bit each (bind(2) of netlink(7)).
pub(super) const GROUPS: u32 = bit(libc::RTNLGRP_LINK)
    | bit(libc::RTNLGRP_NEIGH)
    | bit(libc::RTNLGRP_IPV4_IFADDR)
    | bit(libc::RTNLGRP_IPV4_ROUTE)
    | bit(libc::RTNLGRP_IPV6_IFADDR)
    | bit(libc::RTNLGRP_IPV6_ROUTE);

const fn bit(group: u32) -> u32 {
    1 << (group - 1)
}

/// `RT_TABLE_LOCAL`: what follows from addresses alone.
const LOCAL: u32 = 255;

/// What was announced so far, as far as it is needed to name things and to tell new from changed.
#[derive(Debug, Default)]
pub(super) struct Seen {
    names: Names,
    /// Devices by index, as they were told.
    links: HashMap<u32, String>,
    /// Permanent neighbours by device and address.
    neighbours: HashSet<(String, IpAddr)>,
}

impl Seen {
    /// What there is now.
    pub(super) fn read(namespace: &NetNs) -> Result<Self, KernelError> {
        let netlink = namespace.netlink()?;
        let (links, neighbours) = (netlink.links()?, netlink.neighbours()?);
        let permanent = |entry: Neighbour| (entry.state == "permanent").then_some((entry.interface, entry.address));
        Ok(Seen {
            names: links.iter().map(|link| (link.index, link.name.clone())).collect(),
            links: links.iter().map(|link| (link.index, link_text(link))).collect(),
            neighbours: neighbours.into_iter().filter_map(permanent).collect(),
        })
    }

    /// What an announcement says that changed, if that is worth telling.
    pub(super) fn change(&mut self, message: NetlinkBuffer<&[u8]>) -> Vec<Change> {
        match message.message_type() {
            libc::RTM_NEWLINK => return self.link(message.payload()).into_iter().collect(),
            libc::RTM_DELLINK => return self.link_gone(message.payload()).into_iter().collect(),
            _ => {}
        }
        let replaced = message.flags() & NLM_F_REPLACE != 0;
        let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(message.into_inner()) else {
            return Vec::new();
        };
        let NetlinkPayload::InnerMessage(message) = message.payload else { return Vec::new() };
        match message {
            RouteNetlinkMessage::NewAddress(address) => self.address("new", &address).into_iter().collect(),
            RouteNetlinkMessage::DelAddress(address) => self.address("gone", &address).into_iter().collect(),
            RouteNetlinkMessage::NewRoute(route) => {
                self.routes(if replaced { "changed" } else { "new" }, observe::route(&route, &self.names))
            }
            RouteNetlinkMessage::DelRoute(route) => self.routes("gone", observe::route(&route, &self.names)),
            RouteNetlinkMessage::NewNeighbour(entry) => self.neighbour("new", &entry).into_iter().collect(),
            RouteNetlinkMessage::DelNeighbour(entry) => self.neighbour("gone", &entry).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn link(&mut self, announced: &[u8]) -> Option<Change> {
        let link = observe::link(announced, &self.names)?;
        let text = link_text(&link);
        self.names.insert(link.index, link.name);
        match self.links.insert(link.index, text.clone()) {
            None => Some(change("link", "new", text)),
            Some(before) if before != text => Some(change("link", "changed", text)),
            Some(_) => None,
        }
    }

    fn link_gone(&mut self, announced: &[u8]) -> Option<Change> {
        let Link { index, .. } = observe::link(announced, &self.names)?;
        self.links.remove(&index);
        self.names.remove(&index).map(|name| change("link", "gone", name))
    }

    fn address(&self, verb: &str, message: &AddressMessage) -> Option<Change> {
        let tentative = |attribute: &AddressAttribute| matches!(attribute, AddressAttribute::Flags(flags) if flags.contains(AddressFlags::Tentative));
        // It is announced again when it was found to be nobody else's.
        if verb == "new" && message.attributes.iter().any(tentative) {
            return None;
        }
        let address = observe::address(message, &self.names)?;
        let text = format!("{}/{} dev {}", address.address, address.prefix, address.interface);
        Some(change("address", verb, text))
    }

    fn routes(&self, verb: &str, routes: Vec<Route>) -> Vec<Change> {
        let told = routes.iter().filter(|route| route.table != LOCAL);
        told.map(|route| change("route", verb, route_text(route))).collect()
    }

    fn neighbour(&mut self, verb: &str, message: &NeighbourMessage) -> Option<Change> {
        let permanent = observe::is_permanent(message);
        if message.header.family == AddressFamily::Bridge {
            let entry = observe::fdb(message, &self.names)?;
            // A bridge's own entries follow from its ports and its traffic.
            return (permanent && entry.master.is_none()).then(|| change("fdb", verb, fdb_text(&entry)));
        }
        let entry = observe::neighbour(message, &self.names)?;
        let key = (entry.interface.clone(), entry.address);
        if verb == "new" && permanent {
            let verb = if self.neighbours.insert(key) { "new" } else { "changed" };
            return Some(change("neighbour", verb, neighbour_text(&entry)));
        }
        // Deleting a permanent entry announces first that it failed, then that it is gone.
        self.neighbours.remove(&key).then(|| change("neighbour", "gone", format!("{} dev {}", key.1, key.0)))
    }
}

/// `eth0 up mtu 1450 address 02:00:00:00:00:01 master cni0`
fn link_text(link: &Link) -> String {
    let mut text = format!("{} {} mtu {}", link.name, if link.up { "up" } else { "down" }, link.mtu);
    append(&mut text, "address", Some(&link.mac).filter(|mac| !mac.is_empty()));
    append(&mut text, "master", link.master.as_ref());
    text
}

/// `11.10.0.0/20 via 11.10.0.0 dev flannel.100 onlink`
fn route_text(route: &Route) -> String {
    let mut text = match route.kind.as_str() {
        "unicast" => route.destination.clone(),
        kind => format!("{kind} {}", route.destination),
    };
    append(&mut text, "via", route.gateway);
    append(&mut text, "dev", route.interface.as_ref());
    append(&mut text, "src", route.source);
    append(&mut text, "metric", Some(route.metric).filter(|metric| *metric != 0));
    append(&mut text, "table", Some(route.table).filter(|table| *table != 254));
    if route.onlink {
        text.push_str(" onlink");
    }
    text
}

/// `11.10.16.0 dev flannel.100 lladdr 02:00:00:00:00:04`
fn neighbour_text(entry: &Neighbour) -> String {
    let mut text = format!("{} dev {}", entry.address, entry.interface);
    append(&mut text, "lladdr", entry.mac.as_ref());
    text
}

/// `02:00:00:00:00:04 dev flannel.100 dst 10.0.0.4`
fn fdb_text(entry: &FdbEntry) -> String {
    let mut text = format!("{} dev {}", entry.mac, entry.interface);
    append(&mut text, "dst", entry.destination);
    text
}

fn append(text: &mut String, word: &str, value: Option<impl std::fmt::Display>) {
    if let Some(value) = value {
        // Writing to a string can't fail.
        let _ = write!(text, " {word} {value}");
    }
}
