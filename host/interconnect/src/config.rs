//! A router's configuration, in skrouterd's own format: a JSON array of sections.

use std::net::Ipv4Addr;

use knetsim_model::interconnect::{ListenerSpec, ROUTER_PORT};
use knetsim_model::{ClusterName, ConnectorName, LinkName, ListenerName, NodeName};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

/// Where a router's configuration lies on its worker.
pub const CONFIGURATION: &str = "/etc/skupper-router/skrouterd.json";
/// Where certificates lie, each profile's in a folder of its own.
pub(crate) const CERTIFICATES: &str = "/etc/skupper-router/certs";
/// The profile of the certificate that a router shows those who connect to it.
pub(crate) const SERVER: &str = "site-server";
/// What the section is called at which other routers connect.
pub(crate) const DOOR: &str = "interior-listener";

/// What a site's router shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The site, by which the router is called.
    pub site: ClusterName,
    /// The routers that it connects to.
    pub links: Vec<WantedLink>,
    /// Where clients connect to.
    pub listeners: Vec<(ListenerName, ListenerSpec)>,
    /// Where services are.
    pub connectors: Vec<WantedConnector>,
}

/// A router to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedLink {
    /// The link's name.
    pub name: LinkName,
    /// The worker that it runs on, which its certificate is for.
    pub host: NodeName,
    /// That worker's address.
    pub address: Ipv4Addr,
    /// What crossing the link costs.
    pub cost: u32,
}

/// Servers of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedConnector {
    /// The connector's name.
    pub name: ConnectorName,
    /// What it has in common with its listeners.
    pub routing_key: String,
    /// The servers' port.
    pub port: u16,
    /// Where they are.
    pub servers: Vec<Ipv4Addr>,
}

// No two sections may have one name, of whatever kind they are.

/// What the section of a link is called.
pub(crate) fn link_section(name: &LinkName) -> String {
    format!("link-{name}")
}

/// What the profile of a link is called, by which it is let in at its other end.
pub(crate) fn link_profile(name: &LinkName) -> String {
    format!("tls-{name}")
}

/// What the section of a listener is called.
pub(crate) fn listener_section(name: &ListenerName) -> String {
    format!("listener-{name}")
}

/// What the section of one of a connector's servers is called.
pub(crate) fn server_section(name: &ConnectorName, server: Ipv4Addr) -> String {
    format!("connector-{name}@{server}")
}

/// The folder of a profile's files.
pub(crate) fn profile_folder(profile: &str) -> String {
    format!("{CERTIFICATES}/{profile}")
}

/// A section; its attributes are written in the order that they have here.
struct Section {
    kind: &'static str,
    attributes: Vec<(&'static str, Value)>,
}

impl Section {
    fn new<const N: usize>(kind: &'static str, attributes: [(&'static str, Value); N]) -> Section {
        Section { kind, attributes: attributes.into() }
    }

    /// One of a connection between routers, which has the same at both ends, and `last`.
    fn between_routers(mut self, profile: &str, last: (&'static str, Value)) -> Section {
        self.attributes.extend([
            ("maxFrameSize", json!(16384)),
            ("maxSessionFrames", json!(640)),
            ("sslProfile", json!(profile)),
            ("saslMechanisms", json!("EXTERNAL")),
            last,
        ]);
        self
    }

    fn profile(name: &str) -> Section {
        let file = |file: &str| json!(format!("{}/{file}", profile_folder(name)));
        let files =
            [("caCertFile", file("ca.crt")), ("certFile", file("tls.crt")), ("privateKeyFile", file("tls.key"))];
        let mut section = Section::new("sslProfile", [("name", json!(name))]);
        section.attributes.extend(files);
        section
    }
}

impl Serialize for Section {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Attributes<'a>(&'a [(&'static str, Value)]);
        impl Serialize for Attributes<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
            }
        }
        (self.kind, Attributes(&self.attributes)).serialize(serializer)
    }
}

/// The file's text; `generation` is what it says of itself.
pub fn write(wanted: &Wanted, generation: u64) -> String {
    let port = |port: u16| ("port", json!(port.to_string()));
    let router = [
        ("id", json!(wanted.site)),
        ("mode", json!("interior")),
        ("helloMaxAgeSeconds", json!("3")),
        ("metadata", json!(generation.to_string())),
    ];
    let role = ("role", json!("inter-router"));
    let door = [("name", json!(DOOR)), role.clone(), ("host", json!(Ipv4Addr::UNSPECIFIED)), port(ROUTER_PORT)];
    let door = Section::new("listener", door).between_routers(SERVER, ("authenticatePeer", json!(true)));
    let mut sections = vec![Section::new("router", router), Section::profile(SERVER), door];
    for link in &wanted.links {
        let (name, profile) = (link_section(&link.name), link_profile(&link.name));
        let host = ("host", json!(link.host));
        let connector = [("name", json!(name)), role.clone(), host, port(ROUTER_PORT), ("cost", json!(link.cost))];
        let connector = Section::new("connector", connector).between_routers(&profile, ("verifyHostname", json!(true)));
        sections.extend([Section::profile(&profile), connector]);
    }
    let tcp = |kind, name: &str, place: (Ipv4Addr, u16), routing_key: &str| {
        let address = ("address", json!(routing_key));
        let attributes =
            [("name", json!(name)), ("host", json!(place.0)), port(place.1), address, ("siteId", json!(wanted.site))];
        Section::new(kind, attributes)
    };
    sections.extend(wanted.listeners.iter().map(|(name, spec)| {
        let host = spec.host.unwrap_or(Ipv4Addr::UNSPECIFIED);
        tcp("tcpListener", &listener_section(name), (host, spec.port), &spec.routing_key)
    }));
    for connector in &wanted.connectors {
        sections.extend(connector.servers.iter().map(|server| {
            let name = server_section(&connector.name, *server);
            tcp("tcpConnector", &name, (*server, connector.port), &connector.routing_key)
        }));
    }
    // An array of arrays always becomes text.
    serde_json::to_string_pretty(&sections).unwrap_or_default() + "\n"
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_router_reads_what_is_written() {
        let listener = ListenerSpec { routing_key: "backend:8080".to_owned(), host: None, port: 1028 };
        let wanted = Wanted {
            site: "C1".parse().unwrap(),
            links: vec![WantedLink {
                name: "c0".parse().unwrap(),
                host: "C0w1".parse().unwrap(),
                address: Ipv4Addr::new(10, 0, 0, 3),
                cost: 7,
            }],
            listeners: vec![("backend".parse().unwrap(), listener)],
            connectors: vec![WantedConnector {
                name: "web".parse().unwrap(),
                routing_key: "web".to_owned(),
                port: 80,
                servers: vec!["11.10.0.2".parse().unwrap(), "11.10.0.3".parse().unwrap()],
            }],
        };
        let read = knetsim_router::Config::parse(&write(&wanted, 3), true).unwrap();
        assert_eq!((read.id.as_str(), read.metadata.as_deref()), ("C1", Some("3")));
        let [door] = read.listeners.as_slice() else { panic!("{read:?}") };
        assert!(door.authenticate_peer && door.peering.port == 55671);
        let [link] = read.connectors.as_slice() else { panic!("{read:?}") };
        assert_eq!((link.peering.name.as_str(), link.peering.host.as_str(), link.peering.cost), ("link-c0", "C0w1", 7));
        let files = link.peering.tls.as_ref().and_then(|tls| tls.key.clone()).unwrap();
        assert_eq!(files.to_str(), Some("/etc/skupper-router/certs/tls-c0/tls.key"));
        let [tap] = read.tcp_listeners.as_slice() else { panic!("{read:?}") };
        assert_eq!((tap.host.as_str(), tap.port, tap.address.as_str()), ("0.0.0.0", 1028, "backend:8080"));
        let names: Vec<_> = read.tcp_connectors.iter().map(|connector| connector.name.as_str()).collect();
        assert_eq!(names, ["connector-web@11.10.0.2", "connector-web@11.10.0.3"]);
    }
}
