//! What a container consists of, and what stays when only a part of it is taken away.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use knetsim_sdk::records::Link;
use knetsim_sdk::{Command, Lab, Place, Result, Verdict};

use crate::{address, look, network, same_network};

/// Where host-local keeps the addresses of a worker's containers, a file for each.
fn reservations(worker: &str) -> String {
    format!("/var/lib/cni/networks/{worker}")
}

/// Whether the namespace `name` is a container of that worker: it has an `eth0` that is up, with an address of
/// the worker's subnet that host-local has given out, and a cable into `cni0`.
///
/// # Errors
/// There is no such worker, or it changes meanwhile.
pub fn is_container(worker: &str, name: &str) -> Result<Verdict> {
    let node = look(worker)?;
    if !node.namespaces()?.iter().any(|namespace| namespace.name == name) {
        return Ok(Verdict::missing(format!("{worker} has no network namespace `{name}`")));
    }
    let place = format!("{worker}/{name}");
    let links = look(&place)?.links()?;
    let Some(eth0) = links.iter().find(|link| link.name == "eth0") else {
        let others: Vec<_> = links.iter().map(|link| link.name.as_str()).collect();
        let others = others.join(", ");
        return Ok(Verdict::missing(format!(
            "`{name}` on {worker} is a bare network namespace: it has {others} and no eth0, so nothing plugs it in"
        )));
    };
    let cable = node.links()?.iter().any(|port| is_cable(port, eth0));
    Ok(Verdict::passed()
        .require(eth0.up, format!("eth0 of `{name}` is down"))
        .require(cable, format!("the other end of `{name}`'s eth0 isn't plugged into cni0 of {worker}"))
        .and(has_right_address(worker, name, address(&place, "eth0")?)?))
}

/// Whether a device of the worker is the other end of a container's device, and plugged into `cni0`.
fn is_cable(port: &Link, inside: &Link) -> bool {
    port.kind == "veth"
        && port.master.as_deref() == Some("cni0")
        && Some(port.index) == inside.link_index
        && port.link_index == Some(inside.index)
}

fn has_right_address(worker: &str, name: &str, has: Option<(Ipv4Addr, u8)>) -> Result<Verdict> {
    let Some((has, _)) = has else { return Ok(Verdict::missing(format!("eth0 of `{name}` has no IPv4 address"))) };
    let Some(bridge) = address(worker, "cni0")? else {
        return Ok(Verdict::missing(format!("cni0 of {worker} has no address, so its containers have no gateway")));
    };
    let subnet = network(bridge);
    if !same_network(bridge, has) {
        let what = format!("eth0 of `{name}` has {has}, which is not of {worker}'s subnet, {subnet}");
        return Ok(Verdict::missing(what));
    }
    let folder = reservations(worker);
    let given_out = look(worker)?.list_folder(&folder)?.contains(&has.to_string());
    let what = format!("`{name}` has {has}, but {folder} has no file for it: another container may get it too");
    Ok(Verdict::passed().require(given_out, what))
}

/// Whether nothing is left on a worker of containers that are not there any more: no cable into `cni0` whose other
/// end is in no namespace with a name, no address that host-local keeps and nobody has.
///
/// # Errors
/// There is no such worker, or it changes meanwhile.
pub fn nothing_left(worker: &str) -> Result<Verdict> {
    let node = look(worker)?;
    let mut inside = Vec::new();
    let mut addresses = Vec::new();
    for namespace in node.namespaces()? {
        let place = format!("{worker}/{}", namespace.name);
        inside.extend(look(&place)?.links()?);
        addresses.extend(address(&place, "eth0")?.map(|(address, _)| address.to_string()));
    }
    let mut verdict = Verdict::passed();
    for port in node.links()?.iter().filter(|link| link.kind == "veth" && link.master.as_deref() == Some("cni0")) {
        let used = inside.iter().any(|link| is_cable(port, link));
        verdict = verdict.require(used, format!("{} is still plugged into cni0 of {worker}, for nobody", port.name));
    }
    let folder = reservations(worker);
    for file in node.list_folder(&folder)?.iter().filter(|file| file.parse::<Ipv4Addr>().is_ok()) {
        let used = addresses.contains(file);
        verdict = verdict.require(used, format!("{folder}/{file} still keeps that address: nobody has told CNI"));
    }
    Ok(verdict)
}

/// Takes away what has that name on a worker, whoever made it, by `knetsim create` or by hand; nothing where there
/// is none.
///
/// # Errors
/// A grant is missing (`containers` and `exec-node`), or there is no such worker.
pub fn take_away(lab: &Lab, worker: &str, name: &str) -> Result<()> {
    if let Ok(container) = lab.container(format!("{worker}.{name}")) {
        container.delete()?;
        // The kernel takes the cable away a moment after the namespace.
        let begin = Instant::now();
        while nothing_left(worker)? != Verdict::passed() && begin.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(5));
        }
        return Ok(());
    }
    let node = lab.place(worker);
    let path = format!("/var/run/netns/{name}");
    let unplug = Command::new(["cnitool", "del", worker, &path]).with_namespaces();
    let unplug = unplug.env("CNI_PATH", "/opt/cni/bin").env("NETCONFPATH", format!("/tmp/knetsim/{worker}"));
    // Both fail where there is nothing of it, and that is as well.
    node.run(unplug)?;
    node.run(Command::new(["ip", "netns", "del", name]).with_namespaces())?;
    Ok(())
}
