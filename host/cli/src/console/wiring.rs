//! `net`, `links` and `link A B up`: what is joined to what, as the kernel says it: nodes to switches, and containers
//! to the bridges of their workers.

use std::fmt::Write;

use knetsim_model::inventory::Inventory;
use knetsim_model::names::TOP_SWITCH;
use knetsim_model::{Failure, NodeName, Target};
use serde::Deserialize;

use super::runs;
use crate::control::client::Client;

/// An interface, as `ip -j link` prints it.
#[derive(Debug, Deserialize)]
struct Port {
    #[serde(default)]
    ifindex: u32,
    ifname: String,
    #[serde(default)]
    master: Option<String>,
    /// The number of its other end, where that is in another namespace.
    #[serde(default)]
    link_index: Option<u32>,
    flags: Vec<String>,
}

impl Port {
    fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|it| it == flag)
    }
}

/// A link: who is below and by which interface, the switch above and its port.
#[derive(Debug, PartialEq, Eq)]
struct Link {
    below: (String, String),
    switch: String,
    port: String,
    /// How the ends stand, the lower one first.
    states: [&'static str; 2],
}

/// The links of the ports that have one.
fn links(ports: &[Port], nodes: &[String]) -> Vec<Link> {
    let link = |port: &Port| {
        let (name, switch) = (port.ifname.clone(), port.master.clone()?);
        let below = match name.strip_prefix(&format!("{TOP_SWITCH}-")) {
            Some(lower) => (lower.to_owned(), format!("{lower}-{TOP_SWITCH}")),
            None if nodes.contains(&name) => (name.clone(), "eth0".to_owned()),
            None => return None,
        };
        let states = match (port.has("UP"), port.has("LOWER_UP")) {
            (true, true) => ["UP", "UP"],
            (true, false) => ["DOWN", "UP"],
            // The kernel tells of the other end only while this one is up.
            (false, _) => ["?", "DOWN"],
        };
        Some(Link { below, switch, port: name, states })
    };
    let mut links: Vec<_> = ports.iter().filter_map(link).collect();
    links.sort_by(|one, other| one.below.cmp(&other.below));
    links
}

/// The link of a container's interface to a port of its worker.
fn container_link(name: String, worker: &NodeName, ports: &[Port], own: &Port) -> Option<Link> {
    let port = ports.iter().find(|port| Some(port.ifindex) == own.link_index)?;
    let switch = port.master.as_ref().map_or_else(|| worker.to_string(), |bridge| format!("{worker}.{bridge}"));
    let states = [own, port].map(|end| if end.has("UP") { "UP" } else { "DOWN" });
    Some(Link { below: (name, own.ifname.clone()), switch, port: port.ifname.clone(), states })
}

/// Asks the kernel.
async fn observed(client: &mut Client) -> anyhow::Result<Vec<Link>> {
    let inventory = client.inspect().await?;
    let nodes: Vec<_> = inventory.nodes.iter().map(|node| node.name.to_string()).collect();
    let mut links = links(&ports(client, Target::Base, &["ip", "-j", "link"]).await?, &nodes);
    for node in &inventory.nodes {
        let containers = || inventory.containers.iter().filter(|container| container.worker == node.name);
        if containers().next().is_none() {
            continue;
        }
        let theirs = ports(client, Target::Node(node.name.clone()), &["ip", "-j", "link"]).await?;
        for container in containers() {
            let name = format!("{}.{}", node.name, container.name);
            // Somebody may have taken its interface away.
            let Ok(own) = ports(client, name.parse()?, &["ip", "-j", "link", "show", "eth0"]).await else { continue };
            links.extend(own.iter().filter_map(|own| container_link(name.clone(), &node.name, &theirs, own)));
        }
    }
    Ok(links)
}

async fn ports(client: &mut Client, target: Target, command: &[&str]) -> anyhow::Result<Vec<Port>> {
    Ok(serde_json::from_str(&runs::ask(client, target, command).await?)?)
}

/// Each node with its switch, then each switch with its ports.
pub(super) async fn net(client: &mut Client) -> anyhow::Result<String> {
    let links = observed(client).await?;
    let mut text = String::new();
    for Link { below: (name, interface), switch, port, .. } in &links {
        let _ = writeln!(text, "{name} {interface}:{switch}:{port}");
    }
    let mut switches: Vec<_> = links.iter().map(|link| &link.switch).collect();
    switches.sort();
    switches.dedup();
    for switch in switches {
        let below = links.iter().filter(|link| link.switch == *switch);
        let ports: String = below.map(|link| format!(" {}:{}:{}", link.port, link.below.0, link.below.1)).collect();
        let _ = writeln!(text, "{switch}{ports}");
    }
    Ok(text)
}

/// Each link, and how its ends stand.
pub(super) async fn list(client: &mut Client) -> anyhow::Result<String> {
    let line = |link: Link| {
        let Link { below: (name, interface), switch, port, states: [lower, upper] } = link;
        format!("{name}:{interface} <-> {switch}:{port} ({lower} {upper})\n")
    };
    Ok(observed(client).await?.into_iter().map(line).collect())
}

/// The interface by which two of a node and its switch, a switch and `t0`, a container and its worker are joined.
pub(super) fn between(inventory: &Inventory, one: &str, other: &str) -> anyhow::Result<String> {
    let joined = |low: &str, high: &str| {
        let switch =
            |cluster| inventory.clusters.iter().find(|it| Some(&it.name) == cluster).map(|it| it.switch.as_str());
        let container = inventory.containers.iter().find(|it| {
            it.worker.as_str() == high
                && [it.worker.as_str(), it.cluster.as_str()]
                    .map(|at| format!("{at}.{}", it.name))
                    .contains(&low.to_owned())
        });
        let node = inventory.nodes.iter().find(|node| node.name.as_str() == low);
        let node = node.filter(|node| switch(node.cluster.as_ref()).unwrap_or(TOP_SWITCH) == high);
        let cluster = inventory.clusters.iter().find(|cluster| cluster.switch == low && high == TOP_SWITCH);
        match (container, node, cluster) {
            (Some(_), ..) | (_, Some(_), _) => Some(format!("{low}:eth0")),
            (.., Some(_)) => Some(format!("base:{low}-{TOP_SWITCH}")),
            _ => None,
        }
    };
    let found = joined(one, other).or_else(|| joined(other, one));
    let none =
        || Failure::not_found(format!("no one link joins {one} and {other}: `net` shows what is joined to what"));
    Ok(found.ok_or_else(none)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_from_the_ports_of_switches() {
        let ports = r#"[{"ifname": "lo", "flags": ["UP"]}, {"ifname": "t0", "flags": ["UP"]},
            {"ifname": "t0-C0s0", "master": "t0", "flags": ["UP", "LOWER_UP"]},
            {"ifname": "C0s0-t0", "master": "C0s0", "flags": ["UP", "LOWER_UP"]},
            {"ifname": "C0w1", "master": "C0s0", "flags": ["NO-CARRIER", "UP"]},
            {"ifname": "mine", "master": "C0s0", "flags": ["UP"]}]"#;
        let found = links(&serde_json::from_str::<Vec<Port>>(ports).unwrap(), &["C0w1".to_owned()]);
        let link = |name: &str, interface: &str, switch: &str, port: &str, states| Link {
            below: (name.to_owned(), interface.to_owned()),
            switch: switch.to_owned(),
            port: port.to_owned(),
            states,
        };
        assert_eq!(
            found,
            [
                link("C0s0", "C0s0-t0", "t0", "t0-C0s0", ["UP", "UP"]),
                link("C0w1", "eth0", "C0s0", "C0w1", ["DOWN", "UP"])
            ]
        );
    }
}
