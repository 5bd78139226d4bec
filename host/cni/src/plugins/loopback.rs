//! loopback: `ip link set lo up` in the container (containernetworking/plugins `loopback`).

use std::net::IpAddr;

use ipnet::IpNet;
use knetsim_kernel::netlink::Netlink;

use super::{Call, Command};
use crate::config;
use crate::error::Error;
use crate::result::{AddResult, Interface, Ip};

const NAME: &str = "lo";

pub(super) async fn run(call: Call<'_>) -> Result<Option<AddResult>, Error> {
    match call.command {
        Command::Add => add(call).await.map(Some),
        Command::Check => {
            let link = call.attachment.namespace()?.with_netlink(async |netlink| netlink.link(NAME).await).await??;
            match link {
                Some(link) if link.up => Ok(None),
                _ => Err(Error::Failed("the loopback interface is down".to_owned())),
            }
        }
        Command::Del => {
            if let Some(inside) = &call.attachment.netns {
                inside.with_netlink(async |netlink| set_up(&netlink, false).await).await??;
            }
            Ok(None)
        }
        Command::Gc | Command::Status => Ok(None),
    }
}

async fn add(call: Call<'_>) -> Result<AddResult, Error> {
    let work = async |netlink: Netlink| -> Result<_, Error> {
        set_up(&netlink, true).await?;
        Ok(netlink.addresses().await?)
    };
    let addresses = call.attachment.namespace()?.with_netlink(work).await??;
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

async fn set_up(netlink: &Netlink, up: bool) -> Result<(), Error> {
    let link = netlink.link(NAME).await?.ok_or_else(|| Error::Failed("there is no interface lo".to_owned()))?;
    Ok(netlink.set_up(link.index, up).await?)
}
