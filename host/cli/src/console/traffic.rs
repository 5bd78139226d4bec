//! `pingall` and `iperf`: traffic, and what came of it.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use knetsim_model::inventory::Inventory;
use knetsim_model::{Failure, Target};

use super::line::Known;
use super::runs;
use crate::control::client::Client;
use crate::output;

/// How long iperf3's server may take to listen.
const LISTENS: Duration = Duration::from_secs(5);
/// How long iperf3 measures.
const SECONDS: &str = "3";

/// Who pings each other: the nodes, then the containers of each cluster.
fn groups(inventory: &Inventory) -> Vec<Vec<(String, Ipv4Addr)>> {
    let nodes = inventory.nodes.iter().map(|node| (node.name.to_string(), node.address)).collect();
    let containers = inventory.clusters.iter().map(|cluster| {
        let own = inventory.containers.iter().filter(|container| container.cluster == cluster.name);
        own.map(|it| (format!("{}.{}", it.worker, it.name), it.address)).collect()
    });
    std::iter::once(nodes).chain(containers).filter(|group: &Vec<_>| group.len() > 1).collect()
}

/// Sends one ping each way between all of a group. The status is 1 where one was lost.
pub(super) async fn pingall(client: &mut Client) -> anyhow::Result<u8> {
    let inventory = client.inspect().await?;
    let (mut sent, mut received) = (0, 0);
    for group in groups(&inventory) {
        for (from, _) in &group {
            let others: Vec<_> = group.iter().filter(|(name, _)| name != from).collect();
            let target: Target = from.parse()?;
            let pings = others.iter().map(|(_, address)| {
                let words = ["ping", "-n", "-q", "-c", "1", "-W", "1", &address.to_string()].map(str::to_owned);
                (target.clone(), words.to_vec())
            });
            let (statuses, _) = runs::run(client, pings).await?;
            let came =
                |(status, (name, _)): (&i32, &&(String, _))| if *status == 0 { name.clone() } else { "X".to_owned() };
            let line: Vec<_> = statuses.iter().zip(&others).map(came).collect();
            output::print(&format!("{from} -> {}", line.join(" ")))?;
            sent += statuses.len();
            received += statuses.iter().filter(|status| **status == 0).count();
        }
    }
    let lost = (sent - received) * 100 / sent.max(1);
    output::print(&format!("*** Results: {lost}% dropped ({received}/{sent} received)"))?;
    Ok(u8::from(received < sent))
}

fn address(inventory: &Inventory, name: &str) -> anyhow::Result<Ipv4Addr> {
    let known = Known::new(&[], inventory);
    let none = || Failure::not_found(format!("there is no node or container {name}: `nodes` lists them"));
    Ok(known.addresses.get(name).copied().ok_or_else(none)?)
}

/// Measures with iperf3 how much goes through over TCP.
pub(super) async fn iperf(client: &mut Client, pair: Option<(String, String)>) -> anyhow::Result<u8> {
    let inventory = client.inspect().await?;
    let (from, to) = match (pair, inventory.nodes.as_slice()) {
        (Some(pair), _) => pair,
        (None, [first, .., last]) => (first.name.to_string(), last.name.to_string()),
        (None, _) => return Err(Failure::not_found("there are no two nodes to measure between").into()),
    };
    address(&inventory, &from)?;
    let address = address(&inventory, &to)?.to_string();
    let (_, _output) = runs::start(client, [(to.parse()?, ["iperf3", "-s", "-1"].map(str::to_owned).to_vec())]).await?;
    let words = ["iperf3", "-J", "-t", SECONDS, "-c", &address].map(str::to_owned);
    let began = Instant::now();
    let measured = loop {
        let (_, said) = runs::run(client, [(from.parse()?, words.to_vec())]).await?;
        let report: serde_json::Value = serde_json::from_str(&said).with_context(|| format!("iperf3 says: {said}"))?;
        match report["error"].as_str() {
            None => break report,
            Some(why) if began.elapsed() > LISTENS || !why.contains("refused") => bail!("iperf3 on {from}: {why}"),
            Some(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let bits = |end: &str| measured["end"][end]["bits_per_second"].as_f64().unwrap_or_default() / 1e9;
    let (sent, received) = (bits("sum_sent"), bits("sum_received"));
    output::print(&format!(
        "*** Iperf: TCP from {from} to {to}: {sent:.2} Gbit/s sent, {received:.2} Gbit/s received"
    ))?;
    Ok(0)
}
