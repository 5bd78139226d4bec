//! loopback: `ip link set lo up` in the container (containernetworking/plugins `loopback`).

use std::net::IpAddr;

use ipnet::IpNet;
use knetsim_kernel::netlink::Netlink;

use super::{Call, Command};
use crate::config;
use crate::error::Error;
use crate::result::{AddResult, Interface, Ip};

const NAME: &str = "lo";

pub(super) fn run(call: Call<'_>) -> Result<Option<AddResult>, Error> {
    match call.command {
        Command::Add => add(call).map(Some),
        Command::Check => {
            let link = call.attachment.namespace()?.netlink()?.link(NAME)?;
            match link {
                Some(link) if link.up => Ok(None),
                _ => Err(Error::Failed("the loopback interface is down".to_owned())),
            }
        }
        Command::Del => {
            if let Some(inside) = &call.attachment.netns {
                set_up(&inside.netlink()?, false)?;
            }
            Ok(None)
        }
        Command::Gc | Command::Status => Ok(None),
    }
}

fn add(call: Call<'_>) -> Result<AddResult, Error> {
    let netlink = call.attachment.namespace()?.netlink()?;
    set_up(&netlink, true)?;
    let addresses = netlink.addresses()?;
    if let Some(previous) = config::previous(call.config)? {
        return Ok(previous);
    }
    let interface = Interface {
        name: NAME.to_owned(),
        mac: "00:00:00:00:00:00".to_owned(),
        sandbox: call.attachment.netns_path.clone(),
    };
    let first = |v4: bool| {
        let mut own = addresses.iter().filter(|address| address.interface == NAME && address.address.is_ipv4() == v4);
        own.next().and_then(|address| ip(address.address, address.prefix))
    };
    let ips = [first(true), first(false)].into_iter().flatten().collect();
    Ok(AddResult { interfaces: vec![interface], ips, ..AddResult::default() })
}

fn ip(address: IpAddr, prefix: u8) -> Option<Ip> {
    let address = IpNet::new(address, prefix).ok()?;
    Some(Ip { address, gateway: None, interface: Some(0) })
}

fn set_up(netlink: &Netlink, up: bool) -> Result<(), Error> {
    let link = netlink.link(NAME)?.ok_or_else(|| Error::Failed("there is no interface lo".to_owned()))?;
    Ok(netlink.set_up(link.index, up)?)
}
