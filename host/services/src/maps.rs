//! The other layout: entries of maps in place of chains, for services that ask for it. Not kube-proxy's.
//!
//! For each number of endpoints that such services have there is a map and a rule, which draws one of them:
//!
//! ```text
//! services: dnat to ip daddr . meta l4proto . th dport . numgen random mod 3 map @endpoints-3:... map @mapped-ports
//! endpoints-3: 100.64.0.1 . tcp . 80 . 0 : 11.10.0.2, 100.64.0.1 . tcp . 80 . 1 : 11.10.0.3, ...
//! mapped-ports: 100.64.0.1 . tcp . 80 : 8000
//! ```
//!
//! A change is a few entries less and a few more. The kernel follows verdict maps from chain to chain before it
//! accepts any change; maps of addresses it does not.

use std::collections::BTreeSet;

use knetsim_model::service::Layout;

use crate::layout::{Desired, KEY, MARK, Port, Service};
use crate::table::Table;

/// The address, protocol and port of each service of this layout.
const SERVICES: &str = "mapped-services";
/// The ports of their endpoints.
const PORTS: &str = "mapped-ports";
/// A client that was led to itself: its address twice, the virtual one, the protocol.
const HAIRPINS: &str = "mapped-hairpins";

/// Adds what is there for all services of this layout together.
pub(crate) fn extend(table: &mut Table, desired: &Desired) {
    let mapped = desired.services.values().filter(|service| service.layout == Layout::Maps);
    let counts: BTreeSet<usize> = mapped.map(|service| service.backends.len()).filter(|count| *count > 0).collect();
    if counts.is_empty() {
        return;
    }
    let mut set = |kind, name: &str, types: &str| table.set(kind, name, &[types, "comment \"knetsim: layout maps\""]);
    set("set", SERVICES, "type ipv4_addr . inet_proto . inet_service");
    set("map", PORTS, "type ipv4_addr . inet_proto . inet_service : inet_service");
    set("set", HAIRPINS, "type ipv4_addr . ipv4_addr . ipv4_addr . inet_proto");
    counts.iter().for_each(|count| set("map", &map(*count), &format!("typeof {} : ip daddr", key(*count))));
    let outside = format!("ip saddr != {} {KEY} @{SERVICES} jump {MARK}", desired.pod_network);
    let to = |count| format!("dnat to {} map @{}:{KEY} map @{PORTS}", key(count), map(count));
    let draw = counts.into_iter().map(to);
    let rules = std::iter::once(outside).chain(draw);
    let hairpin = "ip saddr . ip daddr . ct original ip daddr . meta l4proto";
    if let Some(chain) = table.chains.get_mut("services") {
        chain.rules.extend(rules);
    }
    if let Some(chain) = table.chains.get_mut("masquerading") {
        chain.rules.insert(0, format!("{hairpin} @{HAIRPINS} masquerade fully-random"));
    }
}

/// Adds a port of a service that has endpoints.
pub(crate) fn port(table: &mut Table, service: &Service, port: &Port) {
    let (vip, protocol, count) = (service.vip, port.protocol, service.backends.len());
    let asked = format!("{vip} . {protocol} . {}", port.number);
    table.element(SERVICES, asked.clone(), String::new());
    table.element(PORTS, asked.clone(), format!(" : {}", port.target()));
    for (number, backend) in service.backends.iter().enumerate() {
        table.element(&map(count), format!("{asked} . {number}"), format!(" : {backend}"));
        table.element(HAIRPINS, format!("{backend} . {backend} . {vip} . {protocol}"), String::new());
    }
}

/// What is looked up for a service of so many endpoints.
fn key(count: usize) -> String {
    format!("{KEY} . numgen random mod {count}")
}

fn map(count: usize) -> String {
    format!("endpoints-{count}")
}
