//! What a node's own network is to be, and how the kernel's differs from it. Pure but for [`Observed::read`].

use std::net::IpAddr;

use ipnet::Ipv4Net;
use knetsim_kernel::KernelError;
use knetsim_kernel::netlink::{Netlink, Request, RouteKind, RouteSpec};
use knetsim_model::names::NodeKind;
use knetsim_model::observe::{Address, Link, MAIN_TABLE, Route};
use knetsim_model::{NodeName, underlay};

use crate::fabric::{ETH0, ETH0_INDEX};
use crate::plan::NodePlan;

/// What a node is given.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(super) address: Ipv4Net,
    pub(super) routes: Vec<GivenRoute>,
}

/// A route that a node is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GivenRoute {
    pub(super) to: Ipv4Net,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// By `eth0`, from the node's address: the kernel makes it with the address.
    Connected,
    /// By `eth0`.
    Eth0,
    /// To nowhere, as if there were no route.
    Throw,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Drift {
    NoInterface,
    Down,
    NoAddress,
    NoRoute(GivenRoute),
    /// Another route is in its place; where that one leads.
    OtherRoute(GivenRoute, String),
}

/// What is mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mend {
    Nothing,
    /// The routes that the kernel dropped when `eth0` was set down.
    Dropped,
    All,
}

/// What the kernel has.
pub(super) struct Observed {
    pub(super) link: Option<Link>,
    pub(super) addresses: Vec<Address>,
    pub(super) routes: Vec<Route>,
}

impl Given {
    /// What a node gets; a worker also knows its pods' network.
    pub(crate) fn of(node: &NodePlan, pod_network: Option<Ipv4Net>) -> Self {
        let address = Ipv4Net::new_assert(node.address, node.prefix);
        // Whatever is sent leaves by some device, and so meets the rules of the hook `output`; nobody answers there.
        let mut routes = vec![
            GivenRoute { to: address.trunc(), kind: Kind::Connected },
            GivenRoute { to: Ipv4Net::default(), kind: Kind::Eth0 },
        ];
        if node.name.kind() == NodeKind::Worker {
            routes.push(GivenRoute { to: underlay::SERVICES, kind: Kind::Eth0 });
        }
        let mut given = Given { address, routes };
        given.set_pod_network(pod_network);
        given
    }

    /// A packet for a pod that no node leads to would leave by the default route, or by that to the underlay.
    pub(super) fn set_pod_network(&mut self, pod_network: Option<Ipv4Net>) {
        self.routes.retain(|route| route.kind != Kind::Throw);
        self.routes.extend(pod_network.map(|to| GivenRoute { to, kind: Kind::Throw }));
    }

    /// The `throw` routes: one on a worker, none elsewhere.
    pub(super) fn throws(&self) -> Vec<GivenRoute> {
        self.routes.iter().copied().filter(|route| route.kind == Kind::Throw).collect()
    }

    /// What gives all of it to a new node.
    pub(crate) fn requests(&self) -> Vec<Request> {
        let mut requests = vec![Request::set_up(ETH0_INDEX, true), self.add_address(ETH0_INDEX)];
        let others = self.routes.iter().filter(|route| route.kind != Kind::Connected);
        requests.extend(others.map(|route| self.add(route, ETH0_INDEX)));
        requests
    }

    fn add_address(&self, device: u32) -> Request {
        Request::add_address(device, self.address.into())
    }

    /// `device` is the index of `eth0`.
    pub(super) fn add(&self, route: &GivenRoute, device: u32) -> Request {
        let to = RouteSpec::to(route.to);
        Request::replace_route(&match route.kind {
            Kind::Connected => RouteSpec { device: Some(device), source: Some(self.address.addr().into()), ..to },
            Kind::Eth0 => RouteSpec { device: Some(device), ..to },
            Kind::Throw => RouteSpec { kind: RouteKind::Throw, ..to },
        })
    }

    /// What differs. Where the interface or its address is missing, that alone is named: the rest follows from it.
    pub(super) fn compare(&self, observed: &Observed) -> Vec<Drift> {
        let Some(link) = &observed.link else { return vec![Drift::NoInterface] };
        if !link.up {
            return vec![Drift::Down];
        }
        let ours = |is: &Address| {
            is.interface == ETH0
                && is.address == IpAddr::V4(self.address.addr())
                && is.prefix == self.address.prefix_len()
        };
        if !observed.addresses.iter().any(ours) {
            return vec![Drift::NoAddress];
        }
        self.routes.iter().filter_map(|route| observed.differs(route)).collect()
    }

    /// What mends it; `device` is the index of `eth0`.
    pub(super) fn mend(&self, drift: &Drift, device: u32) -> Option<Request> {
        match drift {
            Drift::NoInterface | Drift::Down => None,
            Drift::NoAddress => Some(self.add_address(device)),
            Drift::NoRoute(route) | Drift::OtherRoute(route, _) => Some(self.add(route, device)),
        }
    }
}

impl Observed {
    /// Asks the kernel.
    pub(super) fn read(netlink: &Netlink) -> Result<Self, KernelError> {
        // The link last: where it is up, the routes were not dropped with it meanwhile.
        Ok(Observed { routes: netlink.routes()?, addresses: netlink.addresses()?, link: netlink.link(ETH0)? })
    }

    fn differs(&self, route: &GivenRoute) -> Option<Drift> {
        let destination = route.destination();
        let candidates = self.routes.iter().filter(|is| is.table == MAIN_TABLE && is.destination == destination);
        // The kernel takes the one with the lowest metric.
        let Some(first) = candidates.min_by_key(|is| is.metric) else { return Some(Drift::NoRoute(*route)) };
        let is = next_hop(first);
        if is == route.next_hop() { None } else { Some(Drift::OtherRoute(*route, is)) }
    }
}

impl GivenRoute {
    /// As `ip route` shows it.
    pub(super) fn destination(&self) -> String {
        if self.to.prefix_len() == 0 { "default".to_owned() } else { self.to.to_string() }
    }

    /// Where it leads, as `ip route` shows it.
    fn next_hop(&self) -> String {
        match self.kind {
            Kind::Connected | Kind::Eth0 => format!("dev {ETH0}"),
            Kind::Throw => "throw".to_owned(),
        }
    }
}

/// Where a route leads, as `ip route` shows it.
fn next_hop(route: &Route) -> String {
    let kind = Some(route.kind.clone()).filter(|kind| kind != "unicast");
    let gateway = route.gateway.map(|gateway| format!("via {gateway}"));
    let device = route.interface.as_ref().map(|interface| format!("dev {interface}"));
    [kind, gateway, device].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

impl Drift {
    /// `deleted`: the routes that somebody deleted.
    pub(super) fn is_mended_by(&self, mend: Mend, deleted: &[GivenRoute]) -> bool {
        match (self, mend) {
            (_, Mend::Nothing) | (Drift::NoInterface | Drift::Down, _) => false,
            (_, Mend::All) => true,
            // The kernel drops what leads by the interface, and nothing else.
            (Drift::NoRoute(route), Mend::Dropped) => route.kind != Kind::Throw && !deleted.contains(route),
            (Drift::NoAddress | Drift::OtherRoute(..), Mend::Dropped) => false,
        }
    }

    pub(super) fn words(&self, node: &NodeName, given: &Given) -> String {
        match self {
            Drift::NoInterface => format!("{node} has no interface {ETH0}"),
            Drift::Down => format!("{node}'s {ETH0} is down"),
            Drift::NoAddress => format!("{node}'s {ETH0} has no address {}", given.address),
            Drift::NoRoute(route) => {
                format!("{node} has no route to {} ({})", route.destination(), route.next_hop())
            }
            Drift::OtherRoute(route, is) => {
                format!("{node}'s route to {} is {is} instead of {}", route.destination(), route.next_hop())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use knetsim_model::Owner;

    use super::*;

    fn node(name: &str) -> NodePlan {
        NodePlan {
            name: name.parse().unwrap(),
            owner: Owner::User,
            number: 3,
            address: [10, 0, 0, 3].into(),
            prefix: 8,
        }
    }

    fn given() -> Given {
        Given::of(&node("C0w1"), Some("11.0.0.0/8".parse().unwrap()))
    }

    fn route(destination: &str, kind: &str, interface: Option<&str>) -> Route {
        Route {
            destination: destination.to_owned(),
            kind: kind.to_owned(),
            interface: interface.map(str::to_owned),
            table: MAIN_TABLE,
            ..Route::default()
        }
    }

    /// A worker that has all of it.
    fn whole() -> Observed {
        let link = Link { name: ETH0.to_owned(), up: true, ..Link::default() };
        let address = Address {
            interface: ETH0.to_owned(),
            address: [10, 0, 0, 3].into(),
            prefix: 8,
            scope: "global".to_owned(),
        };
        let eth0 = |to| route(to, "unicast", Some(ETH0));
        let throw = route("11.0.0.0/8", "throw", None);
        Observed {
            link: Some(link),
            addresses: vec![address],
            routes: vec![eth0("10.0.0.0/8"), eth0("default"), eth0("100.64.0.0/16"), throw],
        }
    }

    fn words(observed: &Observed) -> Vec<String> {
        let given = given();
        given.compare(observed).iter().map(|drift| drift.words(&"C0w1".parse().unwrap(), &given)).collect()
    }

    #[test]
    fn each_kind_of_node_gets_its_routes() {
        let routes = |name: &str, pods: Option<&str>| {
            let given = Given::of(&node(name), pods.map(|pods| pods.parse().unwrap()));
            given.routes.iter().map(|route| format!("{} {}", route.destination(), route.next_hop())).collect::<Vec<_>>()
        };
        let all = ["10.0.0.0/8 dev eth0", "default dev eth0", "100.64.0.0/16 dev eth0", "11.0.0.0/8 throw"];
        assert_eq!(routes("C0w1", Some("11.0.0.0/8")), all);
        assert_eq!(routes("C0e1", None), all[..2]);
        assert_eq!(routes("box", None), all[..2]);
    }

    #[test]
    fn what_is_whole_does_not_differ() {
        assert_eq!(words(&whole()), [""; 0]);
    }

    #[test]
    fn a_difference_is_named_and_what_follows_from_it_is_not() {
        let mut observed = whole();
        observed.routes.clear();
        assert_eq!(words(&observed).len(), 4);
        observed.addresses[0].prefix = 16;
        assert_eq!(words(&observed), ["C0w1's eth0 has no address 10.0.0.3/8"]);
        observed.link.as_mut().unwrap().up = false;
        assert_eq!(words(&observed), ["C0w1's eth0 is down"]);
        observed.link = None;
        assert_eq!(words(&observed), ["C0w1 has no interface eth0"]);
    }

    #[test]
    fn the_route_that_the_kernel_takes_counts() {
        let mut observed = whole();
        observed.routes[2] = Route { metric: 10, ..route("100.64.0.0/16", "unicast", Some(ETH0)) };
        // Another table has no part in it, a lower metric has.
        observed.routes.push(Route { table: 7, ..route("100.64.0.0/16", "blackhole", None) });
        assert_eq!(words(&observed), [""; 0]);
        let gateway = Some([10, 0, 0, 9].into());
        observed.routes.push(Route { gateway, ..route("100.64.0.0/16", "unicast", Some(ETH0)) });
        let instead = "C0w1's route to 100.64.0.0/16 is via 10.0.0.9 dev eth0 instead of dev eth0";
        assert_eq!(words(&observed), [instead]);
        observed.routes[3].kind = "unreachable".to_owned();
        assert_eq!(words(&observed), [instead, "C0w1's route to 11.0.0.0/8 is unreachable instead of throw"]);
    }

    #[test]
    fn with_the_interface_only_what_the_kernel_dropped_comes_back() {
        let given = given();
        let [_, default, services, throw] = given.routes[..] else { panic!("{given:?}") };
        let mended = |drift: &Drift, mend| drift.is_mended_by(mend, &[services]);
        assert!(mended(&Drift::NoRoute(default), Mend::Dropped));
        for drift in [
            Drift::NoRoute(services),
            Drift::NoRoute(throw),
            Drift::OtherRoute(default, "dev lo".to_owned()),
            Drift::NoAddress,
        ] {
            assert!(mended(&drift, Mend::All) && !mended(&drift, Mend::Dropped), "{drift:?}");
            assert!(!mended(&drift, Mend::Nothing), "{drift:?}");
        }
        for drift in [Drift::NoInterface, Drift::Down] {
            assert!(!mended(&drift, Mend::All) && given.mend(&drift, 2).is_none(), "{drift:?}");
        }
    }
}
