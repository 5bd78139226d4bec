//! CHECK: that what ADD answered is still there.

use ipnet::IpNet;
use knetsim_kernel::NetNs;
use knetsim_kernel::netlink::Netlink;
use knetsim_model::observe;

use super::config::Config;
use crate::config;
use crate::error::Error;
use crate::plugins::Call;
use crate::result::{AddResult, Interface, Route};

pub(super) fn check(call: Call<'_>, config: &Config) -> Result<Option<AddResult>, Error> {
    let missing = || Error::Config("CHECK needs `prevResult`, the result of ADD".to_owned());
    let expected = config::previous(call.config)?.ok_or_else(missing)?;
    let inside = call.attachment.namespace()?;
    let netlink = &call.host.netlink;

    let bridge = find(netlink, interface(&expected, &config.bridge, "")?)?;
    if bridge.kind != "bridge" {
        return Err(Error::Failed(format!("{} is not a bridge", bridge.name)));
    }
    let seen = look_inside(inside, &call.attachment.ifname)?;
    let own = interface(&expected, &call.attachment.ifname, &call.attachment.netns_path)?;
    let container = seen.link(own)?;
    if !container.up {
        return Err(Error::Failed(format!("interface {} is down in the container", container.name)));
    }

    let pair =
        expected.interfaces.iter().find(|interface| interface.sandbox.is_empty() && interface.name != bridge.name);
    let pair = pair.ok_or_else(|| Error::Config("`prevResult` has no device of the pair on the node".to_owned()))?;
    let port = find(netlink, pair)?;
    if port.link_index != Some(container.index) || container.link_index != Some(port.index) {
        return Err(Error::Failed(format!("{} and {} are not the ends of one pair", port.name, container.name)));
    }
    if port.master.as_ref() != Some(&bridge.name) {
        return Err(Error::Failed(format!("{} is not a port of {}", port.name, bridge.name)));
    }
    seen.compare(&expected)?;
    Ok(None)
}

/// The interface of that name and namespace in the result of ADD.
fn interface<'a>(expected: &'a AddResult, name: &str, sandbox: &str) -> Result<&'a Interface, Error> {
    let found = expected.interfaces.iter().find(|interface| interface.name == name && interface.sandbox == sandbox);
    found.ok_or_else(|| Error::Config(format!("`prevResult` has no interface {name} in {sandbox:?}")))
}

fn find(netlink: &Netlink, expected: &Interface) -> Result<observe::Link, Error> {
    same(netlink.link(&expected.name)?, expected)
}

fn same(found: Option<observe::Link>, expected: &Interface) -> Result<observe::Link, Error> {
    let link = found.ok_or_else(|| Error::Failed(format!("interface {} is missing", expected.name)))?;
    if !expected.mac.is_empty() && link.mac != expected.mac {
        return Err(Error::Failed(format!("interface {} has address {}, not {}", link.name, link.mac, expected.mac)));
    }
    Ok(link)
}

/// What the container has.
struct Inside {
    link: Option<observe::Link>,
    addresses: Vec<IpNet>,
    routes: Vec<observe::Route>,
}

fn look_inside(inside: &NetNs, ifname: &str) -> Result<Inside, Error> {
    let netlink = inside.netlink()?;
    let link = netlink.link(ifname)?;
    let addresses = match &link {
        Some(link) => netlink.addresses_of(link.index)?,
        None => Vec::new(),
    };
    Ok(Inside { link, addresses, routes: netlink.routes()? })
}

impl Inside {
    fn link(&self, expected: &Interface) -> Result<observe::Link, Error> {
        same(self.link.clone(), expected)
    }

    fn compare(&self, expected: &AddResult) -> Result<(), Error> {
        let absent = |ip: &&crate::result::Ip| !self.addresses.contains(&ip.address);
        if let Some(ip) = expected.ips.iter().find(absent) {
            return Err(Error::Failed(format!("address {} is missing in the container", ip.address)));
        }
        match expected.routes.iter().find(|route| !self.has_route(route)) {
            Some(route) => Err(Error::Failed(format!("route to {} is missing in the container", route.dst))),
            None => Ok(()),
        }
    }

    fn has_route(&self, expected: &Route) -> bool {
        let destination = match expected.dst.prefix_len() {
            0 => "default".to_owned(),
            _ => expected.dst.trunc().to_string(),
        };
        self.routes
            .iter()
            .any(|route| route.destination == destination && (expected.gw.is_none() || route.gateway == expected.gw))
    }
}
