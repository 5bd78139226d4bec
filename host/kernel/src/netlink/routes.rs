//! Routes: `ip route`.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use knetsim_model::observe::Route;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteNextHop, RouteNextHopFlags,
    RouteProtocol, RouteScope, RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;

use super::links::{Names, name};
use super::{Netlink, Request};
use crate::error::KernelError;

/// A route, as `ip route replace` takes it: table `main`, protocol `boot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteSpec {
    /// Where to; `0.0.0.0/0` is the default route.
    pub destination: IpNet,
    /// What becomes of the packets.
    pub kind: RouteKind,
    /// The next hop.
    pub gateway: Option<IpAddr>,
    /// Index of the device.
    pub device: Option<u32>,
    /// The preferred source.
    pub source: Option<IpAddr>,
    /// Its metric: the lowest wins.
    pub metric: u32,
    /// The next hop counts as reachable without a route to it.
    pub onlink: bool,
}

/// What becomes of packets on a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RouteKind {
    /// Sent on.
    #[default]
    Unicast,
    /// Dropped without a word.
    Blackhole,
    /// Refused: network unreachable.
    Unreachable,
    /// Refused: administratively prohibited.
    Prohibit,
    /// As if this table had no route to there.
    Throw,
}

impl RouteSpec {
    /// A route to that network; the rest is set by field.
    pub fn to(destination: impl Into<IpNet>) -> Self {
        RouteSpec {
            destination: destination.into(),
            kind: RouteKind::Unicast,
            gateway: None,
            device: None,
            source: None,
            metric: 0,
            onlink: false,
        }
    }
}

impl Request {
    /// `ip route replace ...`: the route of that destination and metric is this one afterwards.
    pub fn replace_route(route: &RouteSpec) -> Self {
        let mut message = build(route);
        message.header.protocol = RouteProtocol::Boot;
        message.header.scope = match (route.kind, route.gateway) {
            (RouteKind::Unicast, None) => RouteScope::Link,
            _ => RouteScope::Universe,
        };
        let doing = format!("set route {route}");
        Request::new(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_REPLACE, doing)
    }

    /// `ip route delete ...`: the first route that has all that is set here.
    pub fn delete_route(route: &RouteSpec) -> Self {
        let mut message = build(route);
        // Of any scope.
        message.header.scope = RouteScope::NoWhere;
        let doing = format!("delete route {route}");
        Request::new(RouteNetlinkMessage::DelRoute(message), 0, doing).forgiving(&[Errno::ESRCH, Errno::ENODEV])
    }
}

impl fmt::Display for RouteSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.destination)?;
        self.gateway.map_or(Ok(()), |gateway| write!(f, " via {gateway}"))?;
        self.device.map_or(Ok(()), |device| write!(f, " on link {device}"))
    }
}

fn build(route: &RouteSpec) -> RouteMessage {
    let mut message = RouteMessage::default();
    let network = route.destination.network();
    message.header.address_family = if network.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.destination_prefix_length = route.destination.prefix_len();
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.kind = match route.kind {
        RouteKind::Unicast => RouteType::Unicast,
        RouteKind::Blackhole => RouteType::BlackHole,
        RouteKind::Unreachable => RouteType::Unreachable,
        RouteKind::Prohibit => RouteType::Prohibit,
        RouteKind::Throw => RouteType::Throw,
    };
    message.header.flags.set(RouteFlags::Onlink, route.onlink);
    let attributes = &mut message.attributes;
    if route.destination.prefix_len() > 0 {
        attributes.push(RouteAttribute::Destination(network.into()));
    }
    attributes.extend(route.gateway.map(|gateway| match (network, gateway) {
        (IpAddr::V4(_), IpAddr::V6(gateway)) => RouteAttribute::Via(RouteVia::Inet6(gateway)),
        _ => RouteAttribute::Gateway(gateway.into()),
    }));
    attributes.extend(route.device.map(RouteAttribute::Oif));
    attributes.extend(route.source.map(|source| RouteAttribute::PrefSource(source.into())));
    attributes.extend((route.metric > 0).then_some(RouteAttribute::Priority(route.metric)));
    message
}

/// The kernel's description of a route as observations: one for each next hop.
pub(crate) fn observe(message: &RouteMessage, names: &Names) -> Vec<Route> {
    let header = &message.header;
    let mut route = Route {
        destination: "default".to_owned(),
        table: header.table.into(),
        kind: kind(header.kind),
        protocol: header.protocol.to_string(),
        onlink: header.flags.contains(RouteFlags::Onlink),
        ..Route::default()
    };
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => {
                route.destination = ip(address).map_or_else(String::new, |ip| ip.to_string());
                route.destination += &format!("/{}", header.destination_prefix_length);
            }
            RouteAttribute::PrefSource(address) => route.source = ip(address),
            RouteAttribute::Priority(metric) => route.metric = *metric,
            RouteAttribute::Table(table) => route.table = *table,
            other => observe_hop(other, &mut route, names),
        }
    }
    let hops = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::MultiPath(hops) => Some(hops),
        _ => None,
    });
    let Some(hops) = hops else { return vec![route] };
    let hop = |hop: &RouteNextHop| {
        let mut route = route.clone();
        route.interface = Some(name(names, hop.interface_index));
        route.onlink = hop.flags.contains(RouteNextHopFlags::Onlink);
        hop.attributes.iter().for_each(|attribute| observe_hop(attribute, &mut route, names));
        route
    };
    hops.iter().map(hop).collect()
}

fn observe_hop(attribute: &RouteAttribute, route: &mut Route, names: &Names) {
    match attribute {
        RouteAttribute::Gateway(address) => route.gateway = ip(address),
        RouteAttribute::Via(RouteVia::Inet6(address)) => route.gateway = Some((*address).into()),
        RouteAttribute::Oif(index) => route.interface = Some(name(names, *index)),
        _ => {}
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

fn kind(kind: RouteType) -> String {
    format!("{kind:?}").to_lowercase()
}

impl Netlink {
    /// All routes of all tables, one for each next hop.
    pub fn routes(&self) -> Result<Vec<Route>, KernelError> {
        let names = self.names()?;
        let all = RouteNetlinkMessage::GetRoute(RouteMessage::default());
        let route = |message| match message {
            RouteNetlinkMessage::NewRoute(route) => observe(&route, &names),
            _ => Vec::new(),
        };
        Ok(self.dump(all, "list routes")?.into_iter().flat_map(route).collect())
    }

    /// [`Request::replace_route`].
    pub fn replace_route(&self, route: &RouteSpec) -> Result<(), KernelError> {
        self.apply([Request::replace_route(route)])
    }

    /// [`Request::delete_route`].
    pub fn delete_route(&self, route: &RouteSpec) -> Result<(), KernelError> {
        self.apply([Request::delete_route(route)])
    }
}
