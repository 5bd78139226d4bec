//! Interfaces set up and down, `ip link set DEV up|down`, as a cable that is cut and mended.
//!
//! With an interface that is set down the kernel drops its routes, which no cut cable would do. A node sets its own
//! again ([`crate::node_network`]); nobody does so in a container, so that they are noted here and put back.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;
use knetsim_kernel::KernelError;
use knetsim_kernel::netlink::{Netlink, Request, RouteSpec};
use knetsim_kernel::netns::NetNs;
use knetsim_model::observe::{Link, Route};
use knetsim_model::{Failure, InterfaceRef, Target};

use crate::Emulator;
use crate::fabric::ETH0;

/// The routing table `main`.
const MAIN: u32 = 254;

/// The routes that went with containers' interfaces which were set down, by namespace and index.
#[derive(Default)]
pub(crate) struct Cut(BTreeMap<(u64, u32), Vec<RouteSpec>>);

impl Cut {
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
        if link.up {
            let routes = netlink.routes()?;
            let lost = routes.iter().filter_map(|route| lost_with(link, route)).collect();
            self.state().cut.0.insert((namespace.inode(), link.index), lost);
        }
        netlink.set_up(link.index, false)
    }

    fn mend(&self, namespace: &NetNs, netlink: &Netlink, link: &Link) -> Result<(), KernelError> {
        let noted = self.state().cut.0.remove(&(namespace.inode(), link.index));
        if link.up {
            // Somebody else has set it up, and may have made other routes since.
            return Ok(());
        }
        netlink.set_up(link.index, true)?;
        netlink.apply(noted.iter().flatten().map(Request::replace_route))
    }
}

/// The route as it can be set again, where it goes with the interface and the kernel makes it not by itself.
fn lost_with(link: &Link, route: &Route) -> Option<RouteSpec> {
    let goes = route.interface.as_ref() == Some(&link.name)
        && route.table == MAIN
        && route.protocol != "kernel"
        && route.kind == "unicast"
        && route.gateway.is_none_or(|gateway| gateway.is_ipv4());
    let to: Ipv4Net = match route.destination.as_str() {
        "default" => Ipv4Net::default(),
        destination => destination.parse().ok()?,
    };
    goes.then(|| RouteSpec {
        gateway: route.gateway,
        device: Some(link.index),
        source: route.source,
        metric: route.metric,
        onlink: route.onlink,
        ..RouteSpec::to(to)
    })
}
