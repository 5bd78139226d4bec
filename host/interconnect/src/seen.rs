//! What a router says of itself: knetsim's own by its status file, skrouterd by its log and by what the kernel knows.

use std::collections::{BTreeMap, BTreeSet};

use knetsim_model::interconnect::{Condition, ROUTER_PORT};
use knetsim_model::observe::Socket;
use knetsim_model::{ConnectorName, LinkName, ListenerName};
use serde::Deserialize;

use crate::config::{self, DOOR, Wanted, WantedLink};

/// What a router says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whether it runs, and others can connect to it.
    pub state: Condition,
    /// The routers that it reaches, by their ids.
    pub reaches: BTreeSet<String>,
    links: BTreeMap<String, Condition>,
    listeners: BTreeMap<String, Condition>,
    /// The sections of servers that it has taken over.
    servers: BTreeSet<String>,
}

impl Seen {
    /// Of a router that does not run, or says nothing.
    pub(crate) fn nothing(why: impl Into<String>) -> Seen {
        let (links, listeners, servers) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Seen { state: Condition::Pending(why.into()), reaches: BTreeSet::new(), links, listeners, servers }
    }

    /// Whether a link is up.
    pub fn link(&self, name: &LinkName) -> Condition {
        self.part(self.links.get(&config::link_section(name)))
    }

    /// Whether a listener is open.
    pub fn listener(&self, name: &ListenerName) -> Condition {
        self.part(self.listeners.get(&config::listener_section(name)))
    }

    /// Whether the router knows that server of a connector.
    pub fn has_server(&self, name: &ConnectorName, server: std::net::Ipv4Addr) -> bool {
        self.servers.contains(&config::server_section(name, server))
    }

    fn part(&self, said: Option<&Condition>) -> Condition {
        match (&self.state, said) {
            (_, Some(said)) => said.clone(),
            (Condition::Pending(why), None) => Condition::Pending(why.clone()),
            (Condition::Ready, None) => Condition::Pending("the router hasn't taken it over yet".to_owned()),
        }
    }
}

/// The status file of knetsim's router, as far as it is needed here.
#[derive(Debug, Deserialize)]
pub(crate) struct Status {
    pub(crate) metadata: Option<String>,
    links: Vec<Link>,
    routers: Vec<Named>,
    listeners: Vec<Listener>,
    connectors: Vec<Connector>,
}

#[derive(Debug, Deserialize)]
struct Named {
    id: String,
}

#[derive(Debug, Deserialize)]
struct Link {
    name: String,
    state: LinkState,
    #[serde(default)]
    cause: Option<Cause>,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum LinkState {
    Listening,
    Up,
    Down,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Cause {
    Connecting,
    Unreachable,
    Certificate,
    Protocol,
    Local,
}

#[derive(Debug, Deserialize)]
struct Listener {
    name: String,
    open: bool,
    reason: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Connector {
    name: String,
}

impl From<Status> for Seen {
    fn from(status: Status) -> Seen {
        let mut links: BTreeMap<_, _> = status.links.into_iter().map(|link| (link.name.clone(), link.into())).collect();
        let listeners = status.listeners.into_iter().map(|listener| {
            let state = match listener.open {
                true => Condition::Ready,
                false => Condition::Pending(listener.reason.unwrap_or_default()),
            };
            (listener.name, state)
        });
        Seen {
            state: links.remove(DOOR).unwrap_or(Condition::Ready),
            reaches: status.routers.into_iter().map(|router| router.id).collect(),
            links,
            listeners: listeners.collect(),
            servers: status.connectors.into_iter().map(|connector| connector.name).collect(),
        }
    }
}

impl From<Link> for Condition {
    fn from(link: Link) -> Condition {
        let kind = match (link.state, link.cause) {
            (LinkState::Listening | LinkState::Up, _) => return Condition::Ready,
            (LinkState::Down, Some(Cause::Unreachable)) => "peer unreachable: ",
            (LinkState::Down, Some(Cause::Certificate)) => "certificate refused: ",
            (LinkState::Down, Some(Cause::Protocol)) => "no router answers: ",
            (LinkState::Down, Some(Cause::Connecting | Cause::Local) | None) => "",
        };
        Condition::Pending(format!("{kind}{}", link.reason.unwrap_or_default()))
    }
}

/// skrouterd has no status that a file could show. Its listeners are open while they can be used, which the kernel
/// knows; its log names the routers that it reaches whenever that changes, and says why a connection failed.
pub(crate) fn of_skrouterd(log: &str, sockets: &[Socket], wanted: &Wanted) -> Seen {
    let open = |port: u16| sockets.iter().any(|socket| socket.state == "listen" && socket.local.port() == port);
    let hops = log.lines().rev().find_map(|line| Some(line.split_once("Computed next hops: ")?.1));
    let hops = next_hops(hops.unwrap_or_default());
    let links = wanted.links.iter().map(|link| {
        // The worker's name is that of its cluster, by which the router there is called, with the worker's behind it.
        let peer = link.host.cluster().map(|cluster| cluster.to_string()).unwrap_or_default();
        let up = hops.get(&peer) == Some(&peer);
        let state = if up { Condition::Ready } else { failure(log, sockets, link) };
        (config::link_section(&link.name), state)
    });
    let listeners = wanted.listeners.iter().map(|(name, spec)| {
        let state = match open(spec.port) {
            true => Condition::Ready,
            false => Condition::Pending(format!("no connector of {:?} can be reached", spec.routing_key)),
        };
        (config::listener_section(name), state)
    });
    let (links, listeners) = (links.collect(), listeners.collect());
    let servers = wanted
        .connectors
        .iter()
        .flat_map(|connector| connector.servers.iter().map(|server| config::server_section(&connector.name, *server)));
    let state = match open(ROUTER_PORT) {
        true => Condition::Ready,
        false => Condition::Pending(format!("it doesn't listen on port {ROUTER_PORT} yet")),
    };
    Seen { state, reaches: hops.into_keys().collect(), links, listeners, servers: servers.collect() }
}

/// Why there is no link: nobody answers its connection, or what its log says of the last one. It says the same thing
/// once, however often it happens.
fn failure(log: &str, sockets: &[Socket], link: &WantedLink) -> Condition {
    let place = format!("{}:{ROUTER_PORT}", link.host);
    let remote = (link.address, ROUTER_PORT).into();
    let said = log.lines().rev().find_map(|line| Some(line.split_once(&format!("Connection to {place} failed"))?.1));
    let unanswered = sockets.iter().any(|socket| socket.state == "syn-sent" && socket.remote == remote);
    Condition::Pending(match said.map(|said| said.trim_start_matches(": ")) {
        _ if unanswered => format!("peer unreachable: no answer from {place}"),
        None => "connecting".to_owned(),
        Some("") => "peer unreachable".to_owned(),
        Some(said) if said.contains("SSL") || said.contains("certificate") => format!("certificate refused: {said}"),
        Some(said) => format!("peer unreachable: {said}"),
    })
}

/// Reads a dictionary of Python's: `{'C0': 'C0', 'C2': 'C0'}`.
fn next_hops(text: &str) -> BTreeMap<String, String> {
    let pairs = text.trim().trim_matches(['{', '}']).split(',').filter_map(|pair| pair.split_once(':'));
    let plain = |text: &str| text.trim().trim_matches('\'').to_owned();
    pairs.map(|(to, by)| (plain(to), plain(by))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use knetsim_model::interconnect::ListenerSpec;

    const PEER: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 0, 0, 3);

    fn wanted() -> Wanted {
        let listener = ListenerSpec { routing_key: "backend".to_owned(), host: None, port: 1028 };
        Wanted {
            site: "C1".parse().unwrap(),
            links: vec![WantedLink {
                name: "c0".parse().unwrap(),
                host: "C0w1".parse().unwrap(),
                address: PEER,
                cost: 1,
            }],
            listeners: vec![("backend".parse().unwrap(), listener)],
            connectors: Vec::new(),
        }
    }

    fn listening(port: u16) -> Socket {
        let local = (std::net::Ipv4Addr::UNSPECIFIED, port).into();
        Socket { protocol: "tcp".to_owned(), state: "listen".to_owned(), local, remote: local }
    }

    #[test]
    fn skrouterd_is_read_by_its_last_words() {
        let link = |log: &str| of_skrouterd(log, &[], &wanted()).link(&"c0".parse().unwrap()).to_string();
        let refused = "SERVER (info) [C2] Connection to C0w1:55671 failed: proton:io Connection refused - disconnected";
        let tls =
            "SERVER (info) [C3] Connection to C0w1:55671 failed: amqp:connection:framing-error SSL Failure: error";
        let up = "ROUTER_LS (info) Computed next hops: {'C2': 'C0', 'C0': 'C0'}";
        assert_eq!(link(""), "pending: connecting");
        assert!(link(refused).starts_with("pending: peer unreachable: proton:io Connection refused"));
        assert!(link(&format!("{refused}\n{tls}")).starts_with("pending: certificate refused: amqp"));
        assert_eq!(link(&format!("{tls}\n{up}")), "ready");
        assert_eq!(link(&format!("{up}\nROUTER_LS (info) Computed next hops: {{}}")), "pending: connecting");
        let seen = of_skrouterd(up, &[listening(55671)], &wanted());
        assert_eq!((seen.state, seen.reaches.len()), (Condition::Ready, 2));
    }

    #[test]
    fn skrouterds_connection_is_unanswered_when_the_kernel_says_so() {
        let socket = Socket { state: "syn-sent".to_owned(), remote: (PEER, 55671).into(), ..listening(40000) };
        let state = of_skrouterd("", &[socket], &wanted()).link(&"c0".parse().unwrap()).to_string();
        assert_eq!(state, "pending: peer unreachable: no answer from C0w1:55671");
    }

    #[test]
    fn skrouterds_listener_is_open_when_the_kernel_says_so() {
        let state = |sockets: &[Socket]| of_skrouterd("", sockets, &wanted()).listener(&"backend".parse().unwrap());
        assert_eq!(state(&[listening(1028)]), Condition::Ready);
        assert!(state(&[listening(1029)]).to_string().contains("no connector of \"backend\""));
    }
}
