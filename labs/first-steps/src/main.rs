//! Two clusters of three workers, a container on every worker, and what crosses from node to node.

use knetsim_sdk::{Container, Lab, Place, Result, Tries};

const CLUSTERS: [&str; 2] = ["C0", "C1"];

fn main() -> Result<()> {
    let lab = Lab::new();

    println!("Two clusters of three workers:");
    for cluster in CLUSTERS {
        lab.create_cluster(cluster, 3)?;
    }
    for node in lab.nodes()? {
        println!("  {:6} {:8} {:10} {}", node.name, node.kind, node.address, node.subnet.unwrap_or_default());
    }

    println!("\nA container on every worker, with an address of its worker's subnet:");
    let containers = create_containers(&lab)?;
    for container in &containers {
        println!("  {container:8} {}", container.address()?);
    }

    println!("\nPings in the pod network, from the first container of each cluster:");
    for cluster in containers.chunks(3) {
        ping_from(&cluster[0], &cluster[1..])?;
    }

    println!("\nPings on the underlay, from the first worker:");
    ping_from(&lab.place("C0w1"), &["C0w2", "C0w3", "C1w1", "C0e1"])?;

    println!("\nHow C0w1 reaches the pods of the other workers:");
    show_overlay(&lab)?;

    println!("\nWhat C0w1.c1 itself sees, by `ip -brief address`:");
    for line in containers[0].run(["ip", "-brief", "address"])?.text()?.lines() {
        println!("  {line}");
    }
    Ok(())
}

fn create_containers(lab: &Lab) -> Result<Vec<Container>> {
    let mut containers = Vec::new();
    for cluster in CLUSTERS {
        for number in 1..=3 {
            containers.push(lab.create_container(format!("{cluster}w{number}.c{number}"))?);
        }
    }
    Ok(containers)
}

fn ping_from(from: &impl Place, others: &[impl std::fmt::Display]) -> Result<()> {
    let prober = from.probe()?;
    for to in others {
        let ping = prober.ping(to, Tries::times(3))?;
        let fastest = ping.fastest().unwrap_or_default();
        println!(
            "  {:8} -> {to:8} {:10} {} of {} answered, the fastest after {fastest:?}",
            from.target(),
            ping.address,
            ping.received,
            ping.sent
        );
    }
    Ok(())
}

/// A route leads to the overlay's device, a neighbour entry names the other device's hardware address, and a
/// forwarding entry says which node that is on.
fn show_overlay(lab: &Lab) -> Result<()> {
    let node = lab.place("C0w1").observe()?;
    let (neighbours, entries) = (node.neighbours()?, node.fdb()?);
    for route in node.routes()? {
        let (Some(device), Some(gateway)) = (route.interface, route.gateway) else { continue };
        let neighbour = neighbours.iter().find(|n| n.interface == device && n.address == gateway);
        let Some(mac) = neighbour.and_then(|neighbour| neighbour.mac.clone()) else { continue };
        let entry = entries.iter().find(|entry| entry.interface == device && entry.mac == mac);
        let Some(remote) = entry.and_then(|entry| entry.destination.clone()) else { continue };
        println!("  {} via {gateway} dev {device}, which is {mac}, on the node {remote}", route.destination);
    }
    Ok(())
}
