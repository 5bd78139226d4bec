//! Interfaces set up and down, `ip link set DEV up|down`, as a cable that is cut and mended.
//!
//! With an interface that is set down the kernel drops its routes, which no cut cable would do. A node sets its own
//! again ([`crate::node_network`]); nobody does so in a container, so that they are noted here and put back.
//!
//! Noted are IPv4 unicast routes of the table `main` with one next hop, but for those that the kernel makes itself.

use std::collections::BTreeMap;

use ipnet::{IpNet, Ipv4Net};
use knetsim_kernel::KernelError;
use knetsim_kernel::netlink::{Netlink, Request, RouteSpec};
use knetsim_kernel::netns::NetNs;
use knetsim_model::observe::{Link, MAIN_TABLE, Route};
use knetsim_model::{Failure, InterfaceRef, Target};

use crate::Emulator;
use crate::fabric::ETH0;

/// The routes that went with containers' interfaces which were set down, by namespace and index, until they are set
/// again.
#[derive(Default)]
pub(crate) struct DroppedRoutes(BTreeMap<(u64, u32), Vec<RouteSpec>>);

impl DroppedRoutes {
    /// The namespace is gone; its number may be another one's soon.
    pub(crate) fn forget(&mut self, namespace: &NetNs) {
        self.0.retain(|(of, _), _| *of != namespace.inode());
    }
}

impl Emulator {
    /// `ip link set DEV up|down`.
    pub(crate) fn set_link(&self, interface: &InterfaceRef, up: bool) -> Result<(), Failure> {
        let namespace = self.namespace(&interface.target)?;
        let failed = |error: KernelError| Failure::failed(format!("set link {interface}"), &error);
        let netlink = namespace.netlink().map_err(failed)?;
        let Some(link) = netlink.link(&interface.interface).map_err(failed)? else {
            return Err(Failure::not_found(format!("there is no interface {interface}")));
        };
        match &interface.target {
            Target::Node(name) => {
                netlink.set_up(link.index, up).map_err(failed)?;
                let mended = up && !link.up && interface.interface == ETH0;
                if mended { self.state().node(name)?.network.came_back().map_err(failed) } else { Ok(()) }
            }
            // What somebody made by hand is as the kernel leaves it.
            Target::Base | Target::Named(..) => netlink.set_up(link.index, up).map_err(failed),
            Target::Container(_) => match up {
                true => self.mend(&namespace, &netlink, &link).map_err(failed),
                false => self.cut(&namespace, &netlink, &link).map_err(failed),
            },
        }
    }

    fn cut(&self, namespace: &NetNs, netlink: &Netlink, link: &Link) -> Result<(), KernelError> {
        let routes = if link.up { netlink.routes()? } else { Vec::new() };
        netlink.set_up(link.index, false)?;
        let dropped = routes.iter().filter_map(|route| dropped_with(link, route));
        // Some may be left of a time when they could not be set again.
        let mut state = self.state();
        let noted = state.dropped_routes.0.entry((namespace.inode(), link.index)).or_default();
        for route in dropped {
            noted.retain(|old| !same_place(old, &route));
            noted.push(route);
        }
        Ok(())
    }

    fn mend(&self, namespace: &NetNs, netlink: &Netlink, link: &Link) -> Result<(), KernelError> {
        let of = (namespace.inode(), link.index);
        let mut noted = self.state().dropped_routes.0.get(&of).cloned().unwrap_or_default();
        netlink.set_up(link.index, true)?;
        if noted.is_empty() {
            return Ok(());
        }
        // Somebody may have made others in their places since.
        let routes: Vec<_> = netlink.routes()?.iter().filter(|is| is.table == MAIN_TABLE).filter_map(place).collect();
        noted.retain(|route| !routes.contains(&(route.destination, route.metric)));
        // A gateway may be reached by another of them.
        noted.sort_by_key(|route| route.gateway.is_some());
        netlink.apply(noted.iter().map(Request::replace_route))?;
        self.state().dropped_routes.0.remove(&of);
        Ok(())
    }
}

/// The destination of a route; none where it isn't of IPv4.
fn destination(route: &Route) -> Option<Ipv4Net> {
    match route.destination.as_str() {
        "default" => Some(Ipv4Net::default()),
        destination => destination.parse().ok(),
    }
}

/// What no two routes of a table have in common.
fn place(route: &Route) -> Option<(IpNet, u32)> {
    Some((destination(route)?.into(), route.metric))
}

fn same_place(one: &RouteSpec, other: &RouteSpec) -> bool {
    (one.destination, one.metric) == (other.destination, other.metric)
}

/// The route as it can be set again, where it goes with the interface and the kernel doesn't make it by itself.
fn dropped_with(link: &Link, route: &Route) -> Option<RouteSpec> {
    let goes = route.interface.as_ref() == Some(&link.name)
        && route.table == MAIN_TABLE
        && route.protocol != "kernel"
        && route.kind == "unicast"
        && route.gateway.is_none_or(|gateway| gateway.is_ipv4());
    let to = destination(route)?;
    goes.then(|| RouteSpec {
        gateway: route.gateway,
        device: Some(link.index),
        source: route.source,
        metric: route.metric,
        onlink: route.onlink,
        ..RouteSpec::to(to)
    })
}
