//! What is to be programmed: kube-proxy's chains, rules, sets and maps for services, as text.
//!
//! Pure. [`base`] is what is there for all services, [`part`] what one service adds:
//!
//! ```text
//! nat-prerouting, nat-output -> services: ip daddr . meta l4proto . th dport vmap @service-ips
//!   -> service-HASH-default/web/tcp/:                 numgen random mod 2 vmap { 0 : goto ..., 1 : goto ... }
//!     -> endpoint-HASH-default/web/tcp/__11.10.0.2/80:  meta l4proto tcp dnat to 11.10.0.2:80
//! ```
//!
//! Besides, and called so in their comments, a map and chains for virtual addresses that take every port
//! and ICMP, which Kubernetes does not have.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;
use knetsim_model::ServiceName;
use knetsim_model::service::{Layout, ServicePort};
use knetsim_model::underlay::SERVICES;

use crate::maps;
use crate::names::{NAMESPACE, endpoint_base, service_base};
use crate::table::Table;

/// Services by name.
pub(crate) type Services = BTreeMap<ServiceName, Arc<Service>>;

/// What all workers of a cluster shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// What comes from elsewhere is masqueraded, so that its answers come back this way.
    pub pod_network: Ipv4Net,
    /// The services by name; while there are none, there is no table.
    pub services: BTreeMap<ServiceName, Arc<Service>>,
}

/// A service with the addresses of its endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its virtual address.
    pub vip: Ipv4Addr,
    /// Its ports; none for every port and ICMP.
    pub ports: Vec<ServicePort>,
    /// Seconds for which a client keeps its endpoint.
    pub affinity: Option<u32>,
    /// Where its connections go.
    pub backends: Vec<Ipv4Addr>,
    /// How it is programmed.
    pub layout: Layout,
}

pub(crate) const KEY: &str = "ip daddr . meta l4proto . th dport";
const SERVICE_IPS: &str = "service-ips";
const CLUSTER_IPS: &str = "cluster-ips";
const NO_ENDPOINTS: &str = "no-endpoint-services";
/// Not kube-proxy's.
const ALL_PORTS: &str = "service-ips-all-ports";
const EXTENSION: &str = "comment \"knetsim: every port and ICMP\"";
pub(crate) const MARK: &str = "mark-for-masquerade";

/// What is there for all services together, on the node with that address.
pub(crate) fn base(node: Ipv4Addr, desired: &Desired) -> Table {
    let mut table = Table::default();
    hooks(&mut table);
    sets(&mut table);
    table.element("nodeport-ips", node.to_string(), String::new());
    let rules = |rules: &[&str]| rules.iter().map(|rule| (*rule).to_owned()).collect();
    let mut chain = |name, chain: &[&str]| table.chain(name, None, rules(chain));
    chain(
        "services",
        &[
            &format!("{KEY} vmap @{SERVICE_IPS}"),
            &format!("ip daddr vmap @{ALL_PORTS} {EXTENSION}"),
            "ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports",
        ],
    );
    chain("service-endpoints-check", &[&format!("{KEY} vmap @{NO_ENDPOINTS}")]);
    chain("nodeport-endpoints-check", &["ip daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports"]);
    chain("firewall-check", &[&format!("{KEY} vmap @firewall-ips")]);
    chain(
        "cluster-ips-check",
        &[
            &format!("ip daddr @{CLUSTER_IPS} reject comment \"Reject traffic to invalid ports of ClusterIPs\""),
            &format!("ip daddr {SERVICES} drop comment \"Drop traffic to unallocated ClusterIPs\""),
        ],
    );
    chain(MARK, &["meta mark set meta mark | 0x00004000"]);
    chain(
        "masquerading",
        &[
            "meta mark & 0x00004000 == 0x00000000 return",
            "meta mark set meta mark ^ 0x00004000",
            "masquerade fully-random",
        ],
    );
    let header = "comment \"helper for @no-endpoint-services / @no-endpoint-nodeports\"";
    table.chain("reject-chain", Some(header), rules(&["reject"]));
    maps::extend(&mut table, desired);
    table
}

/// The chains that the kernel calls, and where they lead.
fn hooks(table: &mut Table) {
    for (name, hook, rules) in [
        ("filter-prerouting", "type filter hook prerouting priority dstnat - 10", vec!["new firewall-check"]),
        (
            "filter-input",
            "type filter hook input priority -110",
            vec!["new nodeport-endpoints-check", "new service-endpoints-check"],
        ),
        (
            "filter-forward",
            "type filter hook forward priority -110",
            vec!["new service-endpoints-check", "new cluster-ips-check"],
        ),
        (
            "filter-output",
            "type filter hook output priority -110",
            vec!["new service-endpoints-check", "new firewall-check"],
        ),
        ("filter-output-post-dnat", "type filter hook output priority -90", vec!["new cluster-ips-check"]),
        ("nat-prerouting", "type nat hook prerouting priority dstnat", vec!["services"]),
        ("nat-output", "type nat hook output priority -100", vec!["services"]),
        ("nat-postrouting", "type nat hook postrouting priority srcnat", vec!["masquerading"]),
    ] {
        let jump = |to: &str| match to.strip_prefix("new ") {
            Some(to) => format!("ct state new jump {to}"),
            None => format!("jump {to}"),
        };
        let rules = rules.into_iter().map(jump).collect();
        table.chain(name, Some(&format!("{hook}; policy accept;")), rules);
    }
}

/// Sets and maps, those of things to come included: a real node has them too.
fn sets(table: &mut Table) {
    const BY_PORT: &str = "type ipv4_addr . inet_proto . inet_service : verdict";
    const BY_NODE_PORT: &str = "type inet_proto . inet_service : verdict";
    table.set("set", CLUSTER_IPS, &["type ipv4_addr", "comment \"Active ClusterIPs\""]);
    table.set("set", "nodeport-ips", &["type ipv4_addr", "comment \"IPs that accept NodePort traffic\""]);
    for (name, key, comment) in [
        (SERVICE_IPS, BY_PORT, "ClusterIP, ExternalIP and LoadBalancer IP traffic"),
        (NO_ENDPOINTS, BY_PORT, "vmap to drop or reject packets to services with no endpoints"),
        ("firewall-ips", BY_PORT, "destinations that are subject to LoadBalancerSourceRanges"),
        ("service-nodeports", BY_NODE_PORT, "NodePort traffic"),
        (
            "no-endpoint-nodeports",
            BY_NODE_PORT,
            "vmap to drop or reject packets to service nodeports with no endpoints",
        ),
    ] {
        table.set("map", name, &[key, &format!("comment \"{comment}\"")]);
    }
    table.set("map", ALL_PORTS, &["type ipv4_addr : verdict", EXTENSION]);
}

/// What a service adds.
pub(crate) fn part(name: &ServiceName, service: &Service, pod_network: Ipv4Net) -> Table {
    let mut table = Table::default();
    table.element(CLUSTER_IPS, service.vip.to_string(), String::new());
    for port in &service.ports {
        let port = Port::of(port, service.ports.len() > 1);
        let key = format!("{} . {} . {}", service.vip, port.protocol, port.number);
        if service.backends.is_empty() {
            let colon = if port.name.is_empty() { "" } else { ":" };
            let whole = format!("{NAMESPACE}/{name}{colon}{}", port.name);
            table.element(NO_ENDPOINTS, key, format!(" comment \"{whole}\" : goto reject-chain"));
        } else if service.layout == Layout::Maps {
            maps::port(&mut table, service, &port);
        } else {
            let chain = spread(&mut table, name, service, &port, pod_network);
            table.element(SERVICE_IPS, key, format!(" : goto {chain}"));
        }
    }
    // Without endpoints `cluster-ips-check` rejects what comes.
    if service.ports.is_empty() && !service.backends.is_empty() {
        let chain = spread(&mut table, name, service, &Port::every(), pod_network);
        table.element(ALL_PORTS, service.vip.to_string(), format!(" : goto {chain}"));
    }
    table
}

/// A port as rules and names say it.
pub(crate) struct Port {
    name: String,
    /// `tcp`, `udp`; `any` where every port is meant.
    pub(crate) protocol: &'static str,
    pub(crate) number: u16,
    /// None where every port is meant.
    target: Option<u16>,
}

impl Port {
    /// One of several needs a name: its number, where it has none.
    fn of(port: &ServicePort, several: bool) -> Self {
        let unnamed = || if several { format!("p{}", port.port) } else { String::new() };
        let name = port.name.as_ref().map_or_else(unnamed, ToString::to_string);
        Port { name, protocol: port.protocol.as_str(), number: port.port, target: Some(port.target()) }
    }

    /// The port of its endpoints.
    pub(crate) fn target(&self) -> u16 {
        self.target.unwrap_or(self.number)
    }

    fn every() -> Self {
        Port { name: String::new(), protocol: "any", number: 0, target: None }
    }
}

/// The chain that spreads a port's connections over the endpoints, and theirs. Gives its name.
fn spread(table: &mut Table, name: &ServiceName, service: &Service, port: &Port, pod_network: Ipv4Net) -> String {
    let chain = format!("service-{}", service_base(NAMESPACE, name, port.protocol, &port.name));
    let to = if port.target.is_some() { format!(" {} dport {}", port.protocol, port.number) } else { String::new() };
    let mut rules = vec![format!("ip daddr {}{to} ip saddr != {pod_network} jump {MARK}", service.vip)];
    let mut choices = Vec::new();
    for (number, backend) in service.backends.iter().enumerate() {
        let target = port.target.map_or_else(|| "any".to_owned(), |target| target.to_string());
        let base = endpoint_base(NAMESPACE, name, port.protocol, &port.name, *backend, &target);
        let (endpoint, affinity) = (format!("endpoint-{base}"), format!("affinity-{base}"));
        let mut inner = vec![format!("ip saddr {backend} jump {MARK}")];
        if let Some(seconds) = service.affinity {
            let timeout = format!("timeout {}", duration(seconds));
            table.set("set", &affinity, &["type ipv4_addr", "size 65535", "flags dynamic,timeout", &timeout]);
            rules.push(format!("ip saddr @{affinity} goto {endpoint}"));
            inner.push(format!("update @{affinity} {{ ip saddr }}"));
        }
        inner.push(match port.target {
            Some(target) => format!("meta l4proto {} dnat to {backend}:{target}", port.protocol),
            None => format!("dnat to {backend}"),
        });
        table.chain(&endpoint, port.comment(), inner);
        choices.push(format!("{number} : goto {endpoint}"));
    }
    rules.push(format!("numgen random mod {} vmap {{ {} }}", choices.len(), choices.join(", ")));
    table.chain(&chain, port.comment(), rules);
    chain
}

impl Port {
    fn comment(&self) -> Option<&'static str> {
        self.target.is_none().then_some(EXTENSION)
    }
}

/// Seconds as nft prints them: `3h`, `1m30s`.
fn duration(mut seconds: u32) -> String {
    let mut text = String::new();
    for (unit, length) in [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)] {
        if seconds >= length {
            text.push_str(&format!("{}{unit}", seconds / length));
            seconds %= length;
        }
    }
    text
}
