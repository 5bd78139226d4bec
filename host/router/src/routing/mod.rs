//! Who is in the network, how each router is reached and what services it has: skrouterd's HELLO, link state and
//! mobile address protocols, as one state that is fed messages and the time and says what to send.
//!
//! No input or output, no clock: [`Routing::receive`], [`Routing::tick`] and what happens to connections change the
//! state; what is to be sent piles up until [`Routing::take_outgoing`].
//!
//! Where skrouterd waits for its tick of a second, this acts at once: a link is usable a few milliseconds after its
//! connection is.

mod control;
mod path;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

pub(crate) use control::{Change, Control};
use path::{LinkStates, Route};

use crate::config::{Config, Distribution};

/// How many routers are kept track of, as in skrouterd. A peer that invents more is not believed.
const MAX_ROUTERS: usize = 256;

/// A connection between routers, by its number in the reactor.
pub(crate) type ConnectionId = usize;

/// Whom a control message is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// Every neighbour, or whoever may be one.
    Neighbours,
    /// Whoever is at the other end of a connection.
    Connection(ConnectionId),
    /// One router, however far.
    Router(String),
    /// All routers.
    All,
}

/// The intervals of the protocols.
#[derive(Clone, Copy, Debug)]
struct Timing {
    hello: Duration,
    hello_max_age: Duration,
    ra: Duration,
    ra_flux: Duration,
    ls_max_age: Duration,
}

/// A neighbour's link.
#[derive(Clone, Copy, Debug)]
struct Link {
    connection: ConnectionId,
    refreshed: Instant,
}

/// Another router.
#[derive(Debug)]
struct Node {
    /// When it started: another value means that it did again.
    instance: Option<i64>,
    link: Option<Link>,
    ls_seq: i64,
    peers: BTreeMap<String, u32>,
    ls_seen: Instant,
    route: Option<Route>,
    mobile_seq: i64,
    addresses: BTreeSet<String>,
    ask_links: bool,
    ask_addresses: bool,
    /// Ticks on which it is asked again: it may not have known the way back when it was asked first.
    ask_again: u32,
    /// Ticks for which nothing has spoken of it.
    forgotten: u32,
}

/// A router that has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) router: String,
    pub(crate) connection: ConnectionId,
    pub(crate) cost: u32,
}

/// The state of the protocols in one router.
pub(crate) struct Routing {
    me: String,
    instance: i64,
    timing: Timing,
    ls_seq: i64,
    peers: BTreeMap<String, u32>,
    mobile_seq: i64,
    local: BTreeMap<String, i32>,
    nodes: BTreeMap<String, Node>,
    heard: BTreeMap<String, Instant>,
    links_changed: bool,
    recompute: bool,
    changed_at: Instant,
    hello_at: Option<Instant>,
    ra_at: Option<Instant>,
    duplicate_reported: bool,
    outgoing: Vec<(To, Control)>,
    /// Counts up whenever who reaches what may have changed.
    epoch: u64,
}

impl Routing {
    /// `instance`: a number that is another each time the router starts; skrouterd takes the time in seconds.
    pub(crate) fn new(config: &Config, instance: i64, now: Instant) -> Self {
        Routing {
            me: config.id.clone(),
            instance,
            timing: Timing {
                hello: config.hello_interval,
                hello_max_age: config.hello_max_age,
                ra: config.ra_interval,
                ra_flux: config.ra_interval_flux,
                ls_max_age: config.remote_ls_max_age,
            },
            ls_seq: 0,
            peers: BTreeMap::new(),
            mobile_seq: 0,
            local: BTreeMap::new(),
            nodes: BTreeMap::new(),
            heard: BTreeMap::new(),
            links_changed: false,
            recompute: false,
            changed_at: now,
            hello_at: None,
            ra_at: None,
            duplicate_reported: false,
            outgoing: Vec::new(),
            epoch: 0,
        }
    }

    pub(crate) fn take_outgoing(&mut self) -> Vec<(To, Control)> {
        std::mem::take(&mut self.outgoing)
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// A control link to another router has come up: greet it.
    pub(crate) fn connected(&mut self, connection: ConnectionId) {
        let hello = self.hello();
        self.outgoing.push((To::Connection(connection), hello));
    }

    /// A connection is gone, and with it the neighbour on it.
    pub(crate) fn disconnected(&mut self, connection: ConnectionId, now: Instant) {
        let lost = |node: &Node| node.link.is_some_and(|link| link.connection == connection);
        let gone: Vec<String> = self.nodes.iter().filter(|(_, node)| lost(node)).map(|(id, _)| id.clone()).collect();
        for id in gone {
            self.drop_link(&id);
            self.heard.remove(&id);
        }
        self.settle(now);
    }

    fn drop_link(&mut self, id: &str) {
        if let Some(node) = self.nodes.get_mut(id) {
            node.link = None;
        }
        if self.peers.remove(id).is_some() {
            tracing::info!(router = id, "a neighbour is gone");
            self.links_changed = true;
        }
    }

    /// This router has (or no longer has) connectors for an address.
    pub(crate) fn set_local(&mut self, address: &str, distribution: Option<Distribution>, now: Instant) {
        let changed = match distribution {
            Some(Distribution::Closest) => self.local.insert(address.to_owned(), 2) != Some(2),
            Some(Distribution::Balanced) => self.local.insert(address.to_owned(), 3) != Some(3),
            None => self.local.remove(address).is_some(),
        };
        if !changed {
            return;
        }
        self.mobile_seq += 1;
        self.epoch += 1;
        let treatment = self.local.get(address).copied();
        let change = match treatment {
            Some(treatment) => Change::Diff { add: vec![(address.to_owned(), treatment)], del: Vec::new() },
            None => Change::Diff { add: Vec::new(), del: vec![address.to_owned()] },
        };
        self.outgoing.push((To::All, Control::Addresses { mobile_seq: self.mobile_seq, change }));
        self.advertise(now);
    }

    /// A message from another router, which came over `connection`, a hop of `cost`.
    pub(crate) fn receive(&mut self, connection: ConnectionId, cost: u32, from: &str, control: Control, now: Instant) {
        if from == self.me {
            self.heard_myself(&control);
            return;
        }
        if !self.nodes.contains_key(from) && !self.learn(from, now) {
            return;
        }
        match control {
            Control::Hello { instance, seen } => self.hello_received(connection, cost, from, (instance, &seen), now),
            Control::Advertise { instance, ls_seq, mobile_seq } => {
                self.restarted(from, instance);
                let Some(node) = self.nodes.get_mut(from) else { return };
                node.ls_seen = now;
                node.ask_links |= node.ls_seq < ls_seq;
                node.ask_addresses |= node.mobile_seq < mobile_seq;
            }
            Control::AskLinks => {
                let links = Control::Links { instance: self.instance, ls_seq: self.ls_seq, peers: self.peers.clone() };
                self.outgoing.push((To::Router(from.to_owned()), links));
            }
            Control::Links { instance, ls_seq, peers } => {
                self.restarted(from, instance);
                self.links_received(from, ls_seq, peers, now);
            }
            Control::AskAddresses { have } => {
                if have != self.mobile_seq {
                    let all = self.local.iter().map(|(address, treatment)| (address.clone(), *treatment)).collect();
                    let change = Change::All(all);
                    let update = Control::Addresses { mobile_seq: self.mobile_seq, change };
                    self.outgoing.push((To::Router(from.to_owned()), update));
                }
            }
            Control::Addresses { mobile_seq, change } => self.addresses_received(from, mobile_seq, change),
        }
        self.settle(now);
    }

    fn heard_myself(&mut self, control: &Control) {
        if let Control::Hello { instance, .. } = control
            && *instance != self.instance
            && !self.duplicate_reported
        {
            self.duplicate_reported = true;
            tracing::error!(id = self.me, "a neighbour has the same router id: one of the two must get another");
        }
    }

    fn learn(&mut self, id: &str, now: Instant) -> bool {
        if id.is_empty() || self.nodes.len() >= MAX_ROUTERS {
            return false;
        }
        let node = Node {
            instance: None,
            link: None,
            ls_seq: 0,
            peers: BTreeMap::new(),
            ls_seen: now,
            route: None,
            mobile_seq: 0,
            addresses: BTreeSet::new(),
            ask_links: true,
            ask_addresses: false,
            ask_again: 0,
            forgotten: 0,
        };
        self.nodes.insert(id.to_owned(), node);
        true
    }

    /// A router that started anew has forgotten what it said, and so is it here.
    fn restarted(&mut self, id: &str, instance: i64) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        if node.instance.replace(instance).is_some_and(|before| before != instance) {
            tracing::info!(router = id, "a router restarted");
            node.ls_seq = 0;
            node.peers.clear();
            node.mobile_seq = 0;
            node.addresses.clear();
            node.ask_links = true;
            node.ask_addresses = true;
            self.recompute = true;
        }
    }

    fn hello(&self) -> Control {
        Control::Hello { instance: self.instance, seen: self.heard.keys().cloned().collect() }
    }

    fn hello_received(
        &mut self,
        connection: ConnectionId,
        cost: u32,
        from: &str,
        (instance, seen): (i64, &[String]),
        now: Instant,
    ) {
        if self.heard.insert(from.to_owned(), now).is_none() {
            // Don't let it wait for the next round to learn that it is heard.
            let hello = self.hello();
            self.outgoing.push((To::Connection(connection), hello));
        }
        if !seen.contains(&self.me) {
            return;
        }
        self.restarted(from, instance);
        let max_age = self.timing.hello_max_age;
        let Some(node) = self.nodes.get_mut(from) else { return };
        match &mut node.link {
            Some(link) if link.connection == connection => link.refreshed = now,
            // A second connection to a neighbour is a spare until the first falls silent.
            Some(link) if now.duration_since(link.refreshed) < max_age => return,
            _ => {
                node.link = Some(Link { connection, refreshed: now });
                node.ask_links = true;
                node.ask_addresses = true;
                // The way there is another one, even where the cost isn't.
                self.recompute = true;
            }
        }
        if self.peers.insert(from.to_owned(), cost) != Some(cost) {
            tracing::info!(router = from, cost, "a neighbour is reachable");
            self.links_changed = true;
        }
    }

    fn links_received(&mut self, from: &str, ls_seq: i64, peers: BTreeMap<String, u32>, now: Instant) {
        let Some(node) = self.nodes.get_mut(from) else { return };
        if ls_seq <= node.ls_seq {
            return;
        }
        node.ls_seq = ls_seq;
        node.ls_seen = now;
        let named: Vec<String> = peers.keys().cloned().collect();
        node.peers = peers;
        self.recompute = true;
        for id in named {
            if id != self.me && !self.nodes.contains_key(&id) {
                self.learn(&id, now);
            }
        }
    }

    fn addresses_received(&mut self, from: &str, mobile_seq: i64, change: Change) {
        let Some(node) = self.nodes.get_mut(from) else { return };
        match change {
            Change::All(all) => node.addresses = all.into_iter().map(|(address, _)| address).collect(),
            // What came in between is missing: ask for all.
            Change::Diff { .. } if node.mobile_seq != mobile_seq - 1 => {
                node.ask_addresses = node.mobile_seq < mobile_seq;
                return;
            }
            Change::Diff { add, del } => {
                node.addresses.extend(add.into_iter().map(|(address, _)| address));
                node.addresses.retain(|address| !del.contains(address));
            }
        }
        tracing::debug!(router = from, addresses = ?node.addresses, "addresses");
        node.mobile_seq = mobile_seq;
        self.epoch += 1;
    }

    /// What is due at `now`: greetings, announcements, what has become too old.
    pub(crate) fn tick(&mut self, now: Instant) {
        let old = |seen: Instant, age: Duration| now.duration_since(seen) > age;
        self.heard.retain(|_, seen| !old(*seen, self.timing.hello_max_age));
        if self.hello_at.is_none_or(|at| now.duration_since(at) >= self.timing.hello) {
            self.hello_at = Some(now);
            let hello = self.hello();
            self.outgoing.push((To::Neighbours, hello));
        }
        let silent: Vec<String> = (self.nodes.iter())
            .filter(|(_, node)| node.link.is_some_and(|link| old(link.refreshed, self.timing.hello_max_age)))
            .map(|(id, _)| id.clone())
            .collect();
        silent.iter().for_each(|id| self.drop_link(id));
        for node in self.nodes.values_mut() {
            if node.ask_again > 0 {
                node.ask_again -= 1;
                node.ask_links = true;
                node.ask_addresses = true;
            }
            if old(node.ls_seen, self.timing.ls_max_age) && !node.peers.is_empty() {
                node.peers.clear();
                node.ls_seq = 0;
                self.recompute = true;
            }
        }
        self.forget();
        let flux = now.duration_since(self.changed_at) <= 2 * self.timing.ra_flux;
        let interval = if flux { self.timing.ra_flux } else { self.timing.ra };
        if self.ra_at.is_none_or(|at| now.duration_since(at) >= interval) {
            self.advertise(now);
        }
        self.settle(now);
    }

    /// Drops routers that are no neighbours, have said nothing and that no one speaks of.
    fn forget(&mut self) {
        let spoken_of: BTreeSet<String> = self.nodes.values().flat_map(|node| node.peers.keys().cloned()).collect();
        self.nodes.retain(|id, node| {
            let known = node.link.is_some() || !node.peers.is_empty() || spoken_of.contains(id);
            node.forgotten = if known { 0 } else { node.forgotten + 1 };
            node.forgotten <= 2
        });
    }

    fn advertise(&mut self, now: Instant) {
        self.ra_at = Some(now);
        let (instance, ls_seq, mobile_seq) = (self.instance, self.ls_seq, self.mobile_seq);
        self.outgoing.push((To::All, Control::Advertise { instance, ls_seq, mobile_seq }));
    }

    /// Draws the conclusions of what changed, and asks routers for what they have that isn't known here.
    fn settle(&mut self, now: Instant) {
        if self.links_changed || self.recompute {
            self.changed_at = now;
            self.epoch += 1;
            self.compute();
        }
        let links_changed = std::mem::take(&mut self.links_changed);
        self.recompute = false;
        for (id, node) in &mut self.nodes {
            if node.route.is_none() && node.link.is_none() {
                continue;
            }
            if std::mem::take(&mut node.ask_links) {
                self.outgoing.push((To::Router(id.clone()), Control::AskLinks));
            }
            if std::mem::take(&mut node.ask_addresses) {
                self.outgoing.push((To::Router(id.clone()), Control::AskAddresses { have: node.mobile_seq }));
            }
        }
        if links_changed {
            self.ls_seq += 1;
            self.advertise(now);
        }
    }

    fn compute(&mut self) {
        let mut states: LinkStates = self.nodes.iter().map(|(id, node)| (id.clone(), node.peers.clone())).collect();
        states.insert(self.me.clone(), self.peers.clone());
        let mut routes = path::routes(&self.me, &states);
        for (id, node) in &mut self.nodes {
            let route = routes.remove(id);
            if route.is_some() && node.route.is_none() {
                // While it couldn't be reached its announcements were missed.
                node.ask_links = true;
                node.ask_addresses = true;
                node.ask_again = 2;
            }
            if route.is_some() != node.route.is_some() {
                tracing::info!(router = id, reachable = route.is_some(), "routes changed");
            }
            node.route = route;
        }
    }

    /// The connection on which messages to a router leave.
    pub(crate) fn connection_to(&self, router: &str) -> Option<ConnectionId> {
        let node = self.nodes.get(router)?;
        let hop = match &node.route {
            Some(route) => self.nodes.get(&route.next_hop)?,
            None => node,
        };
        hop.link.map(|link| link.connection)
    }

    /// The connections on which a message of `origin` to all routers goes on from here; None: one of this router's.
    pub(crate) fn connections_to_all(&self, origin: Option<&str>) -> BTreeSet<ConnectionId> {
        let here = |route: &Route| origin.is_none_or(|origin| route.origins.contains(origin));
        let routes = self.nodes.values().filter_map(|node| node.route.as_ref()).filter(|route| here(route));
        routes.filter_map(|route| self.connection_to(&route.next_hop)).collect()
    }

    /// The other routers that have an address and may be sent what came in at `origin` (None: here), nearest first.
    pub(crate) fn destinations(&self, address: &str, origin: Option<&str>) -> Vec<Destination> {
        let mut all: Vec<Destination> = (self.nodes.iter())
            .filter(|(_, node)| node.addresses.contains(address))
            .filter_map(|(router, node)| {
                let route = node.route.as_ref()?;
                let allowed = origin.is_none_or(|origin| route.origins.contains(origin));
                let connection = self.connection_to(router).filter(|_| allowed)?;
                Some(Destination { router: router.clone(), connection, cost: route.cost })
            })
            .collect();
        all.sort_by(|a, b| (a.cost, &a.router).cmp(&(b.cost, &b.router)));
        all
    }

    /// The routers that can be reached, with what each costs and whether it is a neighbour.
    pub(crate) fn reachable(&self) -> impl Iterator<Item = (&str, u32, bool)> {
        self.nodes.iter().filter_map(|(id, node)| {
            let route = node.route.as_ref()?;
            Some((id.as_str(), route.cost, node.link.is_some()))
        })
    }

    /// The neighbour at the other end of a connection.
    pub(crate) fn neighbour_on(&self, connection: ConnectionId) -> Option<&str> {
        let on = |node: &Node| node.link.is_some_and(|link| link.connection == connection);
        self.nodes.iter().find(|(_, node)| on(node)).map(|(id, _)| id.as_str())
    }
}

#[cfg(test)]
mod tests;
