//! A router's configuration, in skrouterd's own format: a JSON array of sections.

use std::net::Ipv4Addr;

use knetsim_model::interconnect::{ListenerSpec, ROUTER_PORT};
use knetsim_model::{ClusterName, ConnectorName, LinkName, ListenerName, NodeName};
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

/// What the sections of a link are called: its connector and its profile.
pub(crate) fn link_section(name: &LinkName) -> String {
    format!("link-{name}")
}

/// What the section of one server is called, as Skupper does.
pub(crate) fn server_section(name: &ConnectorName, server: Ipv4Addr) -> String {
    format!("{name}@{server}")
}

/// The folder of a profile's files.
pub(crate) fn profile_folder(profile: &str) -> String {
    format!("{CERTIFICATES}/{profile}")
}

/// The file's text; `generation` is what it says of itself.
pub fn write(wanted: &Wanted, generation: u64) -> String {
    let site = wanted.site.as_str();
    let router = json!({
        "id": site, "mode": "interior", "helloMaxAgeSeconds": "3", "metadata": generation.to_string(),
    });
    let mut door = json!({ "name": DOOR, "role": "inter-router", "host": "0.0.0.0", "port": ROUTER_PORT.to_string() });
    between_routers(&mut door, SERVER);
    door["authenticatePeer"] = json!(true);
    let mut sections = vec![json!(["router", router]), profile(SERVER), json!(["listener", door])];
    for link in &wanted.links {
        let name = link_section(&link.name);
        let mut connector = json!({
            "name": name, "role": "inter-router", "host": link.host.as_str(), "port": ROUTER_PORT.to_string(),
            "cost": link.cost,
        });
        between_routers(&mut connector, &name);
        connector["verifyHostname"] = json!(true);
        sections.extend([profile(&name), json!(["connector", connector])]);
    }
    sections.extend(wanted.listeners.iter().map(|(name, spec)| {
        let host = spec.host.unwrap_or(Ipv4Addr::UNSPECIFIED).to_string();
        let (port, address) = (spec.port.to_string(), &spec.routing_key);
        json!(["tcpListener", { "name": name.as_str(), "host": host, "port": port, "address": address, "siteId": site }])
    }));
    for connector in &wanted.connectors {
        sections.extend(connector.servers.iter().map(|server| {
            let (name, port) = (server_section(&connector.name, *server), connector.port.to_string());
            let (host, address) = (server.to_string(), &connector.routing_key);
            json!(["tcpConnector", { "name": name, "host": host, "port": port, "address": address, "siteId": site }])
        }));
    }
    // An array of arrays always becomes text.
    serde_json::to_string_pretty(&sections).unwrap_or_default() + "\n"
}

/// What a listener and a connector between routers have both.
fn between_routers(section: &mut Value, profile: &str) {
    section["maxFrameSize"] = json!(16384);
    section["maxSessionFrames"] = json!(640);
    section["sslProfile"] = json!(profile);
    section["saslMechanisms"] = json!("EXTERNAL");
}

fn profile(name: &str) -> Value {
    let file = |file: &str| format!("{}/{file}", profile_folder(name));
    json!(["sslProfile", {
        "name": name, "caCertFile": file("ca.crt"), "certFile": file("tls.crt"), "privateKeyFile": file("tls.key"),
    }])
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
            links: vec![WantedLink { name: "c0".parse().unwrap(), host: "C0w1".parse().unwrap(), cost: 7 }],
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
        assert_eq!(files.to_str(), Some("/etc/skupper-router/certs/link-c0/tls.key"));
        let [tap] = read.tcp_listeners.as_slice() else { panic!("{read:?}") };
        assert_eq!((tap.host.as_str(), tap.port, tap.address.as_str()), ("0.0.0.0", 1028, "backend:8080"));
        let names: Vec<_> = read.tcp_connectors.iter().map(|connector| connector.name.as_str()).collect();
        assert_eq!(names, ["web@11.10.0.2", "web@11.10.0.3"]);
    }
}
