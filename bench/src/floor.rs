//! The floor: what the kernel itself takes for the same namespaces, devices, addresses and routes, with nothing
//! forked, nothing looked up and messages batched. Runs in namespaces made for it, with one thread.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::sched::{CloneFlags, setns, unshare};

use crate::batch::{Batch, Netlink, Veth};
use crate::figures::{Figures, around, millis};

/// `lo` in a new namespace.
const LOOPBACK: u32 = 1;
/// The index chosen for `eth0` inside.
const ETH0: u32 = 100;
/// Chosen for ports of bridges: upwards from here.
const PORTS: u32 = 1000;

/// A new network namespace, which the thread is in then.
fn enter_new() -> Result<File> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    Ok(File::open("/proc/thread-self/ns/net")?)
}

/// The underlay: a bridge for each cluster, joined by one above them; a namespace for each of the two etcd nodes and
/// the workers of a cluster, with `eth0` in its bridge and an address.
pub(crate) fn underlay(clusters: u32, workers: u32) -> Result<Figures> {
    let base = enter_new()?;
    let start = Instant::now();
    let mut fabric = Netlink::open()?;
    let mut batch = Batch::default();
    batch.bridge(10, "t0");
    for cluster in 0..clusters {
        let switch = 11 + cluster;
        batch.bridge(switch, &format!("C{cluster}s0"));
        let (name, peer) = (format!("C{cluster}s0-t0"), format!("t0-C{cluster}s0"));
        let (index, peer_index) = (100 + 2 * cluster, 101 + 2 * cluster);
        batch.veth(&Veth { name: &name, index, bridge: switch, peer: &peer, peer_index, peer_namespace: None });
        batch.set_bridge(peer_index, 10);
    }
    fabric.send(batch)?;

    let nodes = workers + 2;
    let mut spaces = Vec::new();
    for number in 0..clusters * nodes {
        let port = format!("n{number}");
        spaces.push(member(&mut fabric, 11 + number / nodes, number, &port, None)?);
    }
    setns(&base, CloneFlags::CLONE_NEWNET)?;
    Ok(Figures::from([("ms".to_owned(), millis(start.elapsed()))]))
}

/// `count` containers on one bridge. Reports the median microseconds of one where there are 10, and where there are
/// `count`, and what each takes of the processor's time.
pub(crate) fn containers(count: u32) -> Result<Figures> {
    let base = enter_new()?;
    let mut bridge = Netlink::open()?;
    let mut batch = Batch::default();
    batch.bridge(10, "cni0");
    batch.address(10, Ipv4Addr::new(10, 0, 0, 1), 8);
    bridge.send(batch)?;

    let (mut spaces, mut times) = (Vec::new(), Vec::new());
    for number in 0..count {
        let start = Instant::now();
        spaces.push(member(&mut bridge, 10, number, &format!("veth{number}"), Some(Ipv4Addr::new(10, 0, 0, 1)))?);
        times.push(start.elapsed());
    }
    setns(&base, CloneFlags::CLONE_NEWNET)?;
    Ok(around(&times))
}

/// A namespace with `eth0` in a bridge, an address and maybe a default route.
fn member(outside: &mut Netlink, bridge: u32, number: u32, port: &str, gateway: Option<Ipv4Addr>) -> Result<File> {
    let space = enter_new()?;
    let mut inside = Netlink::open()?;
    let mut batch = Batch::default();
    let peer_namespace = Some(space.as_fd());
    let index = PORTS + number;
    batch.veth(&Veth { name: port, index, bridge, peer: "eth0", peer_index: ETH0, peer_namespace });
    outside.send(batch)?;

    let mut batch = Batch::default();
    batch.set_up(LOOPBACK);
    batch.set_up(ETH0);
    let [_, _, high, low] = (number + 2).to_be_bytes();
    batch.address(ETH0, Ipv4Addr::new(10, 0, high, low), 8);
    if let Some(gateway) = gateway {
        batch.default_route(ETH0, gateway);
    }
    inside.send(batch)?;
    Ok(space)
}

/// Waits until the kernel is done with what ran before: dead namespaces are cleaned up behind everybody's back, under
/// the lock that all the rest needs too. Done means that a device takes its usual time again, five times in a row.
pub(crate) fn settle() -> Result<Figures> {
    enter_new()?;
    let mut netlink = Netlink::open()?;
    let (start, mut quick) = (Instant::now(), 0);
    while quick < 5 {
        let (begin, mut create, mut delete) = (Instant::now(), Batch::default(), Batch::default());
        create.bridge(10, "b");
        netlink.send(create)?;
        quick = if begin.elapsed() < Duration::from_millis(2) { quick + 1 } else { 0 };
        delete.delete(10);
        netlink.send(delete)?;
        if start.elapsed() > Duration::from_secs(30) {
            bail!("the kernel has not come to rest for 30 s: what else runs on this machine?");
        }
    }
    Ok(Figures::from([("ms".to_owned(), millis(start.elapsed()))]))
}
