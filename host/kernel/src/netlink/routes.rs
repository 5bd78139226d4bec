//! Routes: `ip route`.

use std::net::IpAddr;

use ipnet::IpNet;
use knetsim_model::observe::Route;

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
        let _ = route;
        todo!()
    }

    /// `ip route delete ...`: the first route that has all that is set here.
    pub fn delete_route(route: &RouteSpec) -> Self {
        let _ = route;
        todo!()
    }
}

impl Netlink {
    /// All routes of all tables.
    pub async fn routes(&self) -> Result<Vec<Route>, KernelError> {
        todo!()
    }

    /// [`Request::replace_route`].
    pub async fn replace_route(&self, route: &RouteSpec) -> Result<(), KernelError> {
        self.apply_one(Request::replace_route(route)).await
    }

    /// [`Request::delete_route`].
    pub async fn delete_route(&self, route: &RouteSpec) -> Result<(), KernelError> {
        self.apply_one(Request::delete_route(route)).await
    }
}
