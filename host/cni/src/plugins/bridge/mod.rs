//! bridge: a veth pair between the container and a bridge on the node
//! (containernetworking/plugins `bridge`).
//!
//! As commands, for the course's configuration:
//!
//! ```text
//! ip link add cni0 address MAC mtu 1450 up type bridge;  ip address add 11.10.128.1/20 dev cni0
//! ip link add vethXXXXXXXX master cni0 mtu 1450 up type veth peer name eth0 netns CONTAINER
//! sysctl net.ipv6.conf.{cni0,vethXXXXXXXX}.accept_ra=0 net.ipv4.ip_forward=1
//! in the container:
//! sysctl net.ipv6.conf.eth0.accept_dad=0 net.ipv4.conf.eth0.arp_notify=1
//! ip link set eth0 up;  ip address add 11.10.128.2/20 dev eth0
//! ip route add 11.0.0.0/8 via 11.10.128.1;  ip route add default via 11.10.128.1
//! ```
//!
//! Invariant: an ADD that fails leaves neither pair nor address behind, nor a bridge that it made.

use super::{Call, Command};
use crate::error::Error;
use crate::result::AddResult;
use crate::version::Version;

mod check;
mod config;
mod device;
mod masquerade;

use config::Config;

pub(super) async fn run(call: Call<'_>) -> Result<Option<AddResult>, Error> {
    let config = Config::read(call.config, call.attachment, call.command)?;
    match call.command {
        Command::Add => add(call, &config).await.map(Some),
        Command::Del => del(call, &config).await,
        Command::Check => {
            ipam(call, &config).await?;
            check::check(call, &config)
        }
        Command::Gc => {
            let addresses = ipam(call, &config).await;
            masquerade::keep(call, &config).await.and(addresses)
        }
        Command::Status => ipam(call, &config).await,
    }
}

/// Passes the call on to the plugin that gives out addresses, where there is one.
async fn ipam(call: Call<'_>, config: &Config) -> Result<Option<AddResult>, Error> {
    match config.ipam() {
        Some(kind) => call.run(kind).await,
        None => Ok(None),
    }
}

async fn add(call: Call<'_>, config: &Config) -> Result<AddResult, Error> {
    if config.ipam().is_none() && crate::config::version(call.config)? < Version::V0_3_0 {
        let why = "CNI 0.2.0 and older have no result without an address: give the bridge an `ipam`";
        return Err(Error::Config(why.to_owned()));
    }
    // Addresses before devices: a full range is the likeliest failure, and then nothing was made.
    let mut result = match config.ipam() {
        Some(kind) => call.add(kind).await?,
        None => AddResult::default(),
    };
    let made = connect(call, config, &mut result).await;
    if made.is_err() {
        let undone = ipam(call.with_command(Command::Del), config).await;
        undone.inspect_err(|error| tracing::warn!("undo ADD of {}: {error}", call.attachment.container_id)).ok();
    }
    made.map(|()| result)
}

async fn connect(call: Call<'_>, config: &Config, result: &mut AddResult) -> Result<(), Error> {
    let inside = call.attachment.namespace()?;
    if config.ipam().is_some() && result.ips.is_empty() {
        return Err(Error::Failed("the plugin that gives out addresses gave none".to_owned()));
    }
    let gateways = config.complete(result)?;
    let bridge = device::ensure_bridge(call.host, config, &gateways)?;
    let plugged = device::plug(call, config, inside, &bridge, result).await;
    if plugged.is_err() {
        bridge.undo(call.host);
    }
    plugged
}

/// Undoes all that it can; the first error is the answer.
async fn del(call: Call<'_>, config: &Config) -> Result<Option<AddResult>, Error> {
    let link = match &call.attachment.netns {
        Some(inside) => device::unplug(inside, &call.attachment.ifname),
        None => Ok(()),
    };
    let addresses = ipam(call, config).await;
    let rules = if config.ip_masq { masquerade::remove(call, config).await } else { Ok(()) };
    link.and(addresses).and(rules).map(|()| None)
}
