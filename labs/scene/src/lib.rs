//! What the chapters of the course begin with, and what more than one of them looks at.
//!
//! All that is said here about a container comes from the kernel and from CNI's files, so it holds for
//! those made by `knetsim create` and for those made by hand.

use std::net::Ipv4Addr;

use knetsim_sdk::records::{Address, Link};
use knetsim_sdk::{Lab, Observer, Place, Result};

mod container;
mod quiz;
mod requests;

pub use container::{is_container, nothing_left, take_away};
pub use quiz::{Choice, choose};
pub use requests::{Exchange, exchanges};

/// The workers of both clusters.
pub const WORKERS: [&str; 6] = ["C0w1", "C0w2", "C0w3", "C1w1", "C1w2", "C1w3"];

/// The slides' scene: clusters `C0` and `C1` of three workers, on worker n a container `cn`. What a learner
/// deletes by hand stays deleted.
///
/// # Errors
/// Something could not be made.
pub fn set_up(lab: &Lab) -> Result<()> {
    for cluster in ["C0", "C1"] {
        lab.create_cluster(cluster, 3)?;
    }
    for name in WORKERS {
        let worker = lab.worker(name)?;
        worker.set_repair(false)?;
        worker.create_container(&format!("c{}", &name[3..]))?;
    }
    Ok(())
}

/// The state of a place: a node, a container, `C0w1/c10`.
///
/// # Errors
/// There is no such place.
pub fn look(place: &str) -> Result<Observer> {
    Lab::new().place(place).observe()
}

/// The device of that name; an error where there is none, for those that always are.
///
/// # Errors
/// There is no such place or device.
pub fn device(place: &str, name: &str) -> Result<Link> {
    let missing = || knetsim_sdk::Error::new(format!("{place} has no interface {name}"));
    look(place)?.link(name)?.ok_or_else(missing)
}

/// The IPv4 address of a device with its prefix length.
///
/// # Errors
/// There is no such place.
pub fn address(place: &str, device: &str) -> Result<Option<(Ipv4Addr, u8)>> {
    let ours = |address: &Address| address.interface == device;
    let addresses = look(place)?.addresses()?;
    Ok(addresses.iter().filter(|address| ours(address)).find_map(|it| Some((it.address.parse().ok()?, it.prefix))))
}

/// The network that an address is in, as `11.10.0.0/20`.
pub fn network((address, prefix): (Ipv4Addr, u8)) -> String {
    format!("{}/{prefix}", Ipv4Addr::from_bits(address.to_bits() & mask(prefix)))
}

/// Whether `other` is in the same network.
pub fn same_network((address, prefix): (Ipv4Addr, u8), other: Ipv4Addr) -> bool {
    (address.to_bits() ^ other.to_bits()) & mask(prefix) == 0
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

/// Where that hardware address is: `cni0 of C0w1`. Looks at all nodes, containers and the switches.
///
/// # Errors
/// Something is gone meanwhile.
pub fn owner_of_mac(mac: &str) -> Result<Option<String>> {
    for place in places()? {
        let links = look(&place)?.links()?;
        if let Some(link) = links.iter().find(|link| link.mac.eq_ignore_ascii_case(mac)) {
            return Ok(Some(format!("{} of {place}", link.name)));
        }
    }
    Ok(None)
}

/// Whether the kernel announced since the chapter's begin that at `place` a `subject` whose description begins
/// with `what` has come (`new`) or gone (`gone`).
///
/// # Errors
/// The grant `observe` is missing.
pub fn has_been(place: &str, subject: &str, verb: &str, what: &str) -> Result<bool> {
    let entries = Lab::new().history(0)?.entries;
    Ok(entries.iter().any(|entry| {
        let change = &entry.change;
        entry.place == place && change.subject == subject && change.verb == verb && change.detail.starts_with(what)
    }))
}

/// Where that address is: `eth0 of C0w1`. Looks at all nodes and containers.
///
/// # Errors
/// Something is gone meanwhile.
pub fn owner_of_address(address: &str) -> Result<Option<String>> {
    for place in places()? {
        let addresses = look(&place)?.addresses()?;
        if let Some(found) = addresses.iter().find(|it| it.address == address && it.interface != "lo") {
            return Ok(Some(format!("{} of {place}", found.interface)));
        }
    }
    Ok(None)
}

fn places() -> Result<Vec<String>> {
    let lab = Lab::new();
    let nodes = lab.nodes()?.into_iter().map(|node| node.name);
    let containers = lab.containers()?.into_iter().map(|container| container.name);
    Ok(nodes.chain(containers).chain(["base".to_owned()]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_by_their_prefix() {
        let address = (Ipv4Addr::new(11, 10, 97, 3), 20);
        assert_eq!(network(address), "11.10.96.0/20");
        assert!(same_network(address, Ipv4Addr::new(11, 10, 111, 255)));
        assert!(!same_network(address, Ipv4Addr::new(11, 10, 112, 0)));
        assert_eq!(network((address.0, 0)), "0.0.0.0/0");
        assert_eq!(network((address.0, 32)), "11.10.97.3/32");
    }
}
