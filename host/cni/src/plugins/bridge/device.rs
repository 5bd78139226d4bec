//! The devices of an attachment, in few requests: bridge, pair, addresses, routes, sysctls.

use ipnet::IpNet;
use knetsim_kernel::netlink::{Bridge, Ends, Mac, Netlink, Request, RouteSpec, Veth};
use knetsim_kernel::{KernelError, NetNs, Visitor, sysctl};
use knetsim_model::observe::Link;

use super::config::Config;
use super::masquerade;
use crate::error::Error;
use crate::plugins::{Call, Host};
use crate::result::{AddResult, Interface, Route};

/// How often a name is drawn for the node's end before giving up.
const DRAWS: usize = 10;

/// The bridge of a network.
pub(super) struct OwnBridge {
    index: u32,
    name: String,
    mac: String,
    /// Whether this call made it.
    made: bool,
}

/// Makes the bridge and gives it its addresses, where that has not been done.
pub(super) fn ensure_bridge(host: &Host, config: &Config, gateways: &[IpNet]) -> Result<OwnBridge, Error> {
    let name = &config.bridge;
    let mut made = false;
    let found = match host.netlink.link(name)? {
        None => {
            made = make_bridge(host, config)?;
            host.netlink.link(name)?
        }
        found => found,
    };
    let link = found.ok_or_else(|| Error::Failed(format!("bridge {name} vanished")))?;
    let ensured = ensure_gateways(host, config, &link, gateways);
    let bridge = OwnBridge { index: link.index, name: link.name, mac: link.mac, made };
    if ensured.is_err() {
        bridge.undo(host);
    }
    ensured.map(|()| bridge)
}

impl OwnBridge {
    /// Takes the bridge away again if this call made it.
    pub(super) fn undo(&self, host: &Host) {
        if self.made {
            delete(host, &self.name, self.index);
        }
    }
}

/// For undoing: the failure that led here is the one to tell.
fn delete(host: &Host, name: &str, index: u32) {
    if let Err(error) = host.netlink.delete_link(index) {
        tracing::warn!("undo ADD: {name}: {error}");
    }
}

/// False where somebody else made it meanwhile.
fn make_bridge(host: &Host, config: &Config) -> Result<bool, Error> {
    let bridge = Bridge { name: &config.bridge, up: true, mtu: config.mtu(), ..Bridge::default() };
    match host.netlink.add_bridge(&bridge) {
        Err(error) if error.is_exists() => Ok(false),
        made => Ok(made.map(|_| true)?),
    }
}

fn ensure_gateways(host: &Host, config: &Config, link: &Link, gateways: &[IpNet]) -> Result<(), Error> {
    if link.kind != "bridge" {
        return Err(Error::Failed(format!("`{}` exists already but is not a bridge", link.name)));
    }
    if !link.up {
        host.netlink.set_up(link.index, true)?;
    }
    let present = if gateways.is_empty() { Vec::new() } else { host.netlink.addresses_of(link.index)? };
    for gateway in gateways.iter().filter(|gateway| !present.contains(gateway)) {
        add_gateway(&host.netlink, config, link, *gateway, &present)?;
    }
    Ok(())
}

fn add_gateway(
    netlink: &Netlink,
    config: &Config,
    link: &Link,
    gateway: IpNet,
    present: &[IpNet],
) -> Result<(), Error> {
    let mut requests = Vec::new();
    for other in present.iter().filter(|other| clash(**other, gateway)) {
        if !config.force_address {
            return Err(Error::Failed(format!("`{}` has address {other} already, not {gateway}", link.name)));
        }
        requests.push(Request::delete_address(link.index, *other));
    }
    requests.push(Request::add_address(link.index, gateway));
    // Its hardware address, set by somebody, stays: else it changes with each port that comes or goes.
    let mac = link.mac.parse().map_err(|why| Error::Failed(format!("{}: {why}", link.name)))?;
    requests.push(Request::set_mac(link.index, mac));
    Ok(netlink.apply(requests)?)
}

/// Whether a bridge can't have both addresses: any two of IPv4, overlapping subnets of IPv6.
fn clash(one: IpNet, other: IpNet) -> bool {
    match (one, other) {
        (IpNet::V4(_), IpNet::V4(_)) => true,
        (IpNet::V6(one), IpNet::V6(other)) => one.contains(&other.addr()) || other.contains(&one.addr()),
        _ => false,
    }
}

/// Makes the pair and sets up both ends; takes the pair away again when that fails.
pub(super) async fn plug(
    call: Call<'_>,
    config: &Config,
    inside: &NetNs,
    bridge: &OwnBridge,
    result: &mut AddResult,
) -> Result<(), Error> {
    let netlink = &call.host.netlink;
    let pair = add_pair(call, config, inside, bridge)?;
    let ifname = &call.attachment.ifname;
    let set_up = async || {
        set_up_ends(call, config, inside, bridge, &pair, result)?;
        if config.hairpin_mode {
            netlink.apply([Request::set_hairpin(pair.ends.index, true)])?;
        }
        if config.ip_masq {
            masquerade::add(call, config, result).await?;
        }
        wait_for_port(netlink, &pair, bridge).await?;
        if config.is_gateway {
            return Ok(bridge.mac.clone());
        }
        // The hardware address of a bridge that is no gateway is its ports' lowest.
        let found = netlink.link(&bridge.name)?;
        Ok(found.ok_or_else(|| Error::Failed(format!("bridge {} vanished", bridge.name)))?.mac)
    };
    match set_up().await {
        Ok(bridge_mac) => {
            let on_node = |name: &str, mac| Interface { name: name.to_owned(), mac, sandbox: String::new() };
            let sandbox = call.attachment.netns_path.clone();
            result.interfaces = vec![
                on_node(&bridge.name, bridge_mac),
                on_node(&pair.name, pair.ends.mac.to_string()),
                Interface { sandbox, ..on_node(ifname, pair.peer_mac.to_string()) },
            ];
            Ok(())
        }
        Err(error) => {
            delete(call.host, &pair.name, pair.ends.index);
            Err(error)
        }
    }
}

struct Pair {
    name: String,
    ends: Ends,
    peer_mac: Mac,
}

/// The pair: the node's end is a port of the bridge from its birth, the container's is born in the container.
fn add_pair(call: Call<'_>, config: &Config, inside: &NetNs, bridge: &OwnBridge) -> Result<Pair, Error> {
    let ifname = &call.attachment.ifname;
    let mut failure = None;
    for _ in 0..DRAWS {
        let name = format!("veth{:08x}", fastrand::u32(..));
        let peer_mac = config.mac.unwrap_or_else(random_mac);
        let veth = Veth {
            name: &name,
            master: Some(bridge.index),
            up: true,
            mtu: config.mtu(),
            peer_name: ifname,
            peer_namespace: Some(inside),
            peer_mac: Some(peer_mac),
            ..Veth::default()
        };
        match call.host.netlink.add_veth(&veth) {
            Ok(ends) => return Ok(Pair { name, ends, peer_mac }),
            Err(error) if error.is_exists() => failure = Some(error),
            Err(error) => return Err(error.into()),
        }
        // Which of the two names is taken?
        if inside.netlink()?.link(ifname)?.is_some() {
            return Err(Error::Failed(format!("the container has an interface `{ifname}` already")));
        }
    }
    Err(failure.map_or_else(|| Error::Failed("no name for the pair".to_owned()), Error::from))
}

/// One thread visits both ends: sysctls on the node, then those of the container, its address and routes.
fn set_up_ends(
    call: Call<'_>,
    config: &Config,
    inside: &NetNs,
    bridge: &OwnBridge,
    pair: &Pair,
    result: &AddResult,
) -> Result<(), Error> {
    let accept_ra = |name: &str| format!("net/ipv6/conf/{name}/accept_ra");
    let devices = [Some(accept_ra(&pair.name)), bridge.made.then(|| accept_ra(&bridge.name))];
    let has = |v4: bool| config.is_gateway && result.ips.iter().any(|ip| ip.address.addr().is_ipv4() == v4);
    let forward = [has(true).then_some("net/ipv4/ip_forward"), has(false).then_some("net/ipv6/conf/all/forwarding")];
    let [dad, notify] = ["ipv6/conf", "ipv4/conf"].map(|conf| format!("net/{conf}/{}", call.attachment.ifname));
    let (dad, notify) = (dad + "/accept_dad", notify + "/arp_notify");
    let requests = requests_inside(pair.ends.peer_index, result)?;
    let visit = |visitor: &Visitor| {
        visitor.enter(&call.host.netns)?;
        devices.iter().flatten().for_each(|key| or_without(sysctl::write(&[(key, "0")])));
        sysctl::write(&forward.into_iter().flatten().map(|key| (key, "1")).collect::<Vec<_>>())?;
        visitor.enter(inside)?;
        if !result.ips.is_empty() {
            or_without(sysctl::write(&[(&dad, "0"), (&notify, "1")]));
        }
        let inside = Netlink::here()?;
        inside.apply(requests)?;
        // Being asked, the kernel acts on the carrier: the interface is up, with its link-local address.
        inside.link(&call.attachment.ifname).map(drop)
    };
    Ok(Visitor::run(visit)??)
}

/// The container's end up, with its addresses and routes.
fn requests_inside(index: u32, result: &AddResult) -> Result<Vec<Request>, Error> {
    let mut requests = vec![Request::set_up(index, true)];
    requests.extend(result.ips.iter().map(|ip| Request::add_address(index, ip.address)));
    for route in &result.routes {
        requests.push(Request::replace_route(&route_spec(route, result, index)?));
    }
    Ok(requests)
}

/// Sysctls that a kernel without IPv6 does not have are no reason to fail.
fn or_without(written: Result<(), KernelError>) {
    if let Err(error) = written {
        tracing::debug!("{error}");
    }
}

/// The route as the kernel takes it. One without a next hop goes by the gateway of its family.
fn route_spec(route: &Route, result: &AddResult, device: u32) -> Result<RouteSpec, Error> {
    let unsupported =
        [("mtu", route.mtu), ("advmss", route.advmss), ("table", route.table), ("scope", route.scope.map(u32::from))];
    // Go can't tell these from absent where they are 0.
    let is_given =
        |(key, value): &(&str, Option<u32>)| value.is_some_and(|value| value > 0 || !["mtu", "advmss"].contains(key));
    if let Some((key, Some(value))) = unsupported.into_iter().find(is_given) {
        let why = "routes have dst, gw and priority";
        return Err(Error::Unsupported { key, value: value.to_string(), why });
    }
    let gateway = route.gw.or_else(|| result.gateway(route.dst.addr()));
    let metric = route.priority.unwrap_or_default();
    Ok(RouteSpec { gateway, device: Some(device), metric, ..RouteSpec::to(route.dst) })
}

/// Waits until packets pass: before the kernel has acted on the carriers, those to and from the container
/// are lost. The bridge's own carrier comes with its first port.
async fn wait_for_port(netlink: &Netlink, pair: &Pair, bridge: &OwnBridge) -> Result<(), Error> {
    netlink.wait_running(pair.ends.index).await?;
    netlink.wait_running(bridge.index).await?;
    Ok(())
}

/// `ip link delete IFNAME` in the container. It may be gone already.
pub(super) fn unplug(inside: &NetNs, ifname: &str) -> Result<(), Error> {
    let netlink = inside.netlink()?;
    match netlink.link(ifname)? {
        Some(link) => Ok(netlink.delete_link(link.index)?),
        None => Ok(()),
    }
}

/// A hardware address of nobody's: locally administered, of one device.
fn random_mac() -> Mac {
    let mut octets = [0; 6];
    fastrand::fill(&mut octets);
    octets[0] = octets[0] & 0xfc | 0x02;
    Mac(octets)
}
