//! Services and where clients connect to: which connector a connection goes to, and which ports are open.
//!
//! A port is open only while a connector of its address can be reached, here or at another router: a client is refused
//! rather than left waiting.

use std::time::Instant;

use mio::net::TcpListener;

use super::doors::{ACCEPTED, accept, listen};
use super::{Core, Kind};
use crate::arena::Id;
use crate::config::{Config, Distribution, TcpConnector, TcpListener as TapConfig};

/// Where clients of an address connect to.
pub(super) struct Tap {
    pub(super) config: TapConfig,
    pub(super) socket: Option<TcpListener>,
    pub(super) problem: Option<String>,
    /// Accepting failed: it is tried again with each tick.
    starved: bool,
}

/// A service of an address.
pub(super) struct Service {
    pub(super) config: TcpConnector,
    pub(super) load: Load,
}

/// How much a connector, or a router with connectors, has to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Load {
    /// Flows that are open.
    pub(super) open: usize,
    /// When it was last chosen, as a count of choices.
    last: u64,
}

/// Whom a new flow goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Service(Id),
    /// By a connection to another router, to one of the routers there that have this address.
    Router {
        address: String,
        connection: Id,
    },
}

impl Core {
    pub(super) fn apply_services(&mut self, config: &Config) {
        for id in self.taps.ids() {
            if self.taps.get(id).is_some_and(|tap| !config.tcp_listeners.contains(&tap.config)) {
                self.taps.remove(id);
                self.end_flows_of(id);
            }
        }
        for id in self.services.ids() {
            if self.services.get(id).is_some_and(|service| !config.tcp_connectors.contains(&service.config)) {
                self.services.remove(id);
                self.end_flows_of(id);
            }
        }
        for listener in &config.tcp_listeners {
            if !self.taps.iter().any(|(_, tap)| tap.config == *listener) {
                self.taps.insert(Tap { config: listener.clone(), socket: None, problem: None, starved: false });
            }
        }
        for connector in &config.tcp_connectors {
            if !self.services.iter().any(|(_, service)| service.config == *connector) {
                let service = Service { config: connector.clone(), load: Load::default() };
                // A name is looked up before the first client comes.
                let _ = self.resolver.look_up(&connector.host, connector.port, self.now);
                self.services.insert(service);
            }
        }
        self.announce(config);
        self.open_and_close_taps();
    }

    /// Tells the other routers for which addresses there are connectors here.
    fn announce(&mut self, config: &Config) {
        let now = self.now;
        let old = self.config.tcp_connectors.iter().map(|connector| connector.address.clone());
        let new = config.tcp_connectors.iter().map(|connector| connector.address.clone());
        for address in old.chain(new).collect::<std::collections::BTreeSet<_>>() {
            let served = config.tcp_connectors.iter().any(|connector| connector.address == address);
            self.routing.set_local(&address, served.then(|| distribution(config, &address)), now);
        }
    }

    /// The connector or router that the next flow to an address goes to. `origin`: the router where it came in, if not
    /// here. What isn't a stream of raw bytes is for routers only.
    pub(super) fn choose(&mut self, address: &str, origin: Option<&str>, raw: bool) -> Option<Choice> {
        let closest = distribution(&self.config, address) == Distribution::Closest;
        let services = self.services.iter().filter(|(_, service)| raw && service.config.address == address);
        let here = services.map(|(id, service)| (0, service.load, Choice::Service(id)));
        let there = self.routing.destinations(address, origin).into_iter().map(|destination| {
            let (address, connection) = (address.to_owned(), destination.connection);
            let load = self.loads.get(&(address.clone(), connection)).copied().unwrap_or_default();
            (destination.cost as usize, load, Choice::Router { address, connection })
        });
        // As skrouterd's `qdr_forward_balanced_CT`: flows that are open, and for routers what the way costs; of equals
        // those here, who cost nothing, come first.
        let weight = |cost: usize, load: Load| {
            if closest { (cost, 0, load.open, load.last) } else { (cost + load.open, cost.min(1), 0, load.last) }
        };
        let best = here.chain(there).min_by_key(|(cost, load, _)| weight(*cost, *load));
        let (_, _, choice) = best?;
        let last = self.count();
        if let Some(load) = self.load(&choice) {
            load.last = last;
        }
        Some(choice)
    }

    /// The load of whom was chosen.
    pub(super) fn load(&mut self, choice: &Choice) -> Option<&mut Load> {
        match choice {
            Choice::Service(id) => self.services.get_mut(*id).map(|service| &mut service.load),
            Choice::Router { address, connection } => {
                self.peers.get(*connection)?;
                Some(self.loads.entry((address.clone(), *connection)).or_default())
            }
        }
    }

    /// Forgets routers' loads that no flow is part of, where the routers no longer have the address: an address is the
    /// peer's words, and there may be any number of them.
    pub(super) fn forget_loads(&mut self) {
        let routing = &self.routing;
        let is_served = |address: &str, connection: Id| {
            routing.destinations(address, None).iter().any(|destination| destination.connection == connection)
        };
        self.loads.retain(|(address, connection), load| load.open > 0 || is_served(address, *connection));
    }

    fn has_connector(&self, address: &str) -> bool {
        self.services.iter().any(|(_, service)| service.config.address == address)
            || !self.routing.destinations(address, None).is_empty()
    }

    pub(super) fn open_and_close_taps(&mut self) {
        for id in self.taps.ids() {
            let Some(tap) = self.taps.get(id) else { continue };
            let (config, open) = (tap.config.clone(), tap.socket.is_some());
            let wanted = self.has_connector(&config.address);
            if open == wanted {
                continue;
            }
            let opened = wanted.then(|| listen(&self.registry, (&config.host, config.port), Kind::Tap, id));
            let Some(tap) = self.taps.get_mut(id) else { continue };
            match opened.transpose() {
                Ok(socket) => {
                    tracing::info!(
                        listener = config.name,
                        address = config.address,
                        open = wanted,
                        "port {}",
                        config.port
                    );
                    (tap.socket, tap.problem) = (socket, None);
                }
                Err(error) => {
                    let problem = format!("listen on {}:{}: {error}", config.host, config.port);
                    if tap.problem.as_ref() != Some(&problem) {
                        tracing::error!(listener = config.name, "{problem}");
                        tap.problem = Some(problem);
                    }
                }
            }
        }
    }

    /// Tries again to open the ports that couldn't be opened, and keeps names fresh.
    pub(super) fn tick_services(&mut self) {
        if self.taps.iter().any(|(_, tap)| tap.problem.is_some()) {
            self.open_and_close_taps();
        }
        for id in self.taps.ids() {
            if self.taps.get(id).is_some_and(|tap| tap.starved) {
                self.accept_clients(id);
            }
        }
        let now: Instant = self.now;
        let names: Vec<(String, u16)> =
            self.services.iter().map(|(_, service)| (service.config.host.clone(), service.config.port)).collect();
        for (host, port) in names {
            let _ = self.resolver.look_up(&host, port, now);
        }
    }

    pub(super) fn accept_clients(&mut self, id: Id) {
        // What is left after so many is taken in the next round.
        for _ in 0..ACCEPTED {
            let Some(tap) = self.taps.get_mut(id) else { return };
            let Some(socket) = &tap.socket else { return };
            let Some((socket, _)) = accept(socket, &mut tap.starved, &tap.config.name) else { return };
            let address = tap.config.address.clone();
            self.start_flow(id, socket, &address);
        }
        self.ready.push_back(super::Task::Accept(id));
    }
}

/// How flows to an address are spread.
fn distribution(config: &Config, address: &str) -> Distribution {
    let matching = config.addresses.iter().filter(|(prefix, _)| is_prefix(prefix, address));
    let longest = matching.max_by_key(|(prefix, _)| prefix.len());
    longest.map_or(config.default_distribution, |(_, distribution)| *distribution)
}

/// Whether an address begins with a prefix, up to its end or a separator of address parts.
fn is_prefix(prefix: &str, address: &str) -> bool {
    address.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '/']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::Router;
    use crate::routing::{Change, Control};

    #[test]
    fn loads_of_addresses_that_no_router_has_any_more_are_forgotten() {
        let config = Config::parse(r#"[["router", {"id": "a"}]]"#, true).unwrap();
        let mut core = Router::new(config).unwrap().core;
        let (now, connection) = (core.now, 7);
        let hello = Control::Hello { instance: 1, seen: vec!["a".to_owned()] };
        core.routing.receive(connection, 1, "b", hello, now);
        let say = |core: &mut Core, mobile_seq: i64, addresses: &[&str]| {
            let all = addresses.iter().map(|address| ((*address).to_owned(), 3)).collect();
            let addresses = Control::Addresses { mobile_seq, change: Change::All(all) };
            core.routing.receive(connection, 1, "b", addresses, now);
            core.settle();
        };
        say(&mut core, 1, &["idle", "in use", "going", "going but in use"]);
        for (address, open) in [("idle", 0), ("in use", 1), ("going", 0), ("going but in use", 1)] {
            core.loads.insert((address.to_owned(), connection), Load { open, last: 1 });
        }
        say(&mut core, 2, &["idle", "in use"]);
        let mut left: Vec<&str> = core.loads.keys().map(|(address, _)| address.as_str()).collect();
        left.sort_unstable();
        assert_eq!(left, ["going but in use", "idle", "in use"]);
    }

    #[test]
    fn the_longest_prefix_decides() {
        let text = r#"[["router", {"id": "a"}], ["address", {"prefix": "near", "distribution": "closest"}],
            ["address", {"prefix": "near.by", "distribution": "balanced"}]]"#;
        let config = Config::parse(text, true).unwrap();
        let cases = [
            ("near", Distribution::Closest),
            ("near.x", Distribution::Closest),
            ("near.by/x", Distribution::Balanced),
            ("nearer", Distribution::Balanced),
        ];
        for (address, expected) in cases {
            assert_eq!(distribution(&config, address), expected, "{address}");
        }
    }
}
