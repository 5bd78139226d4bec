//! How a router is doing, for people and for what supervises it.

use serde::Serialize;

use super::Core;
use super::doors::Dialer;

/// How a router is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Its id.
    pub id: String,
    /// What the configuration that it goes by says of itself.
    pub metadata: Option<String>,
    /// Where other routers connect to, and whom this one connects to.
    pub links: Vec<LinkStatus>,
    /// The routers that can be reached.
    pub routers: Vec<RouterStatus>,
    /// Where clients connect to.
    pub listeners: Vec<ListenerStatus>,
    /// The services.
    pub connectors: Vec<ConnectorStatus>,
    /// TCP flows that are open.
    pub flows: usize,
}

/// A listener for routers, or a connector to one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LinkStatus {
    /// The section's name in the configuration.
    pub name: String,
    /// How it is.
    #[serde(flatten)]
    pub state: LinkState,
}

/// How a link is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum LinkState {
    /// Routers can connect.
    Listening,
    /// The other router is a neighbour.
    Up {
        /// Its id.
        router: String,
    },
    /// There is no connection, or no neighbour on it.
    Down {
        /// What kind of reason there is.
        cause: Cause,
        /// What is missing, or what to do about it.
        reason: String,
    },
}

/// Why there is no link, as far as a program has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// There was no time yet.
    Connecting,
    /// Nobody answers there, or no more.
    Unreachable,
    /// One of the two does not accept the other's certificate, or has none.
    Certificate,
    /// What answers is no router that this one can work with.
    Protocol,
    /// This machine does not allow it: the port is taken, for example.
    Local,
}

/// Another router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RouterStatus {
    /// Its id.
    pub id: String,
    /// What the way there costs.
    pub cost: u32,
    /// Whether it is connected to this one.
    pub neighbour: bool,
    /// Why streams to it wait, where it is a neighbour of which too many readers take nothing.
    pub problem: Option<String>,
}

/// Where clients connect to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ListenerStatus {
    /// The section's name in the configuration.
    pub name: String,
    /// The address of the service.
    pub address: String,
    /// Whether the port is open.
    pub open: bool,
    /// Why it isn't.
    pub reason: Option<String>,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectorStatus {
    /// The section's name in the configuration.
    pub name: String,
    /// The address of the service.
    pub address: String,
    /// Flows to it that are open.
    pub flows: usize,
}

impl Core {
    pub(super) fn status(&self) -> Status {
        let doors = self.doors.iter().map(|(_, door)| LinkStatus {
            name: door.config.peering.name.clone(),
            state: match door.problem.clone() {
                Some(reason) => LinkState::Down { cause: Cause::Local, reason },
                None => LinkState::Listening,
            },
        });
        let dialers = self.dialers.iter().map(|(_, dialer)| {
            let state = match dialer.peer.and_then(|peer| self.routing.neighbour_on(peer)) {
                Some(router) => LinkState::Up { router: router.to_owned() },
                None => self.why_down(dialer),
            };
            LinkStatus { name: dialer.config.peering.name.clone(), state }
        });
        let problem_of = |router: &str| {
            let mut peers = self.peers.iter().filter(|(id, _)| self.routing.neighbour_on(*id) == Some(router));
            peers.find_map(|(_, peer)| peer.problem(self.now))
        };
        let routers = self.routing.reachable().map(|(id, cost, neighbour)| RouterStatus {
            id: id.to_owned(),
            cost,
            neighbour,
            problem: if neighbour { problem_of(id) } else { None },
        });
        let listeners = self.taps.iter().map(|(_, tap)| {
            let open = tap.socket.is_some();
            let none = || format!("no connector of {:?} can be reached", tap.config.address);
            ListenerStatus {
                name: tap.config.name.clone(),
                address: tap.config.address.clone(),
                open,
                reason: (!open).then(|| tap.problem.clone().unwrap_or_else(none)),
            }
        });
        let connectors = self.services.iter().map(|(_, service)| ConnectorStatus {
            name: service.config.name.clone(),
            address: service.config.address.clone(),
            flows: service.load.open,
        });
        Status {
            id: self.config.id.clone(),
            metadata: self.config.metadata.clone(),
            links: doors.chain(dialers).collect(),
            routers: routers.collect(),
            listeners: listeners.collect(),
            connectors: connectors.collect(),
            flows: self.flows.iter().count(),
        }
    }

    fn why_down(&self, dialer: &Dialer) -> LinkState {
        let silent = || {
            dialer.peer.filter(|peer| self.peers.get(*peer).is_some_and(|peer| peer.opened))?;
            Some((Cause::Unreachable, "the connection is there, but no greeting comes over it".to_owned()))
        };
        let begun = || (Cause::Connecting, "connecting".to_owned());
        let (cause, reason) = dialer.problem.clone().or_else(silent).unwrap_or_else(begun);
        LinkState::Down { cause, reason }
    }
}
