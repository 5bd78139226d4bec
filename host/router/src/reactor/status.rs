//! How a router is doing, for people and for what supervises it.

use serde::Serialize;

use super::Core;

/// How a router is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Its id.
    pub id: String,
    /// Where other routers connect to, and whom this one connects to.
    pub links: Vec<LinkStatus>,
    /// The routers that can be reached.
    pub routers: Vec<RouterStatus>,
    /// Where clients connect to.
    pub listeners: Vec<ListenerStatus>,
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
        /// What is missing, or what to do about it.
        reason: String,
    },
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

impl Core {
    pub(super) fn status(&self) -> Status {
        let doors = self.doors.iter().map(|(_, door)| LinkStatus {
            name: door.config.peering.name.clone(),
            state: door.problem.clone().map_or(LinkState::Listening, |reason| LinkState::Down { reason }),
        });
        let dialers = self.dialers.iter().map(|(_, dialer)| {
            let router = dialer.peer.and_then(|peer| self.routing.neighbour_on(peer));
            let reason = || dialer.problem.clone().unwrap_or_else(|| "connecting".to_owned());
            let state = match router {
                Some(router) => LinkState::Up { router: router.to_owned() },
                None => LinkState::Down { reason: reason() },
            };
            LinkStatus { name: dialer.config.peering.name.clone(), state }
        });
        let routers =
            self.routing.reachable().map(|(id, cost, neighbour)| RouterStatus { id: id.to_owned(), cost, neighbour });
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
        Status {
            id: self.config.id.clone(),
            links: doors.chain(dialers).collect(),
            routers: routers.collect(),
            listeners: listeners.collect(),
            flows: self.flows.iter().count(),
        }
    }
}
