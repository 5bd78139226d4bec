//! Devices that can be made and changed: `ip link add`, `set` and `delete`.

use std::iter;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, InfoVxlan, LinkAttribute, LinkFlags,
    LinkInfo, LinkMessage,
};
use nix::errno::Errno;

use super::{Mac, Request};
use crate::netns::NetNs;

/// A pair of virtual Ethernet devices with one queue each way, this end and its peer:
/// `ip link add NAME numtxqueues 1 numrxqueues 1 type veth peer name PEER netns NAMESPACE`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Veth<'a> {
    /// This end's name.
    pub name: &'a str,
    /// This end's index, where the caller chooses it.
    pub index: Option<u32>,
    /// The bridge that this end is a port of.
    pub master: Option<u32>,
    /// Whether this end is born up.
    pub up: bool,
    /// This end's hardware address; else a random one.
    pub mac: Option<Mac>,
    /// Largest packet in bytes, at both ends; else 1500.
    pub mtu: Option<u32>,
    /// The peer's name. It can't be born up: see [`Request::set_up`].
    pub peer_name: &'a str,
    /// The peer's index, where the caller chooses it: the kernel heeds it only where `index` is given too.
    pub peer_index: Option<u32>,
    /// Where the peer is born; else here.
    pub peer_namespace: Option<&'a NetNs>,
    /// The peer's hardware address; else a random one.
    pub peer_mac: Option<Mac>,
}

/// A bridge: `ip link add NAME type bridge`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bridge<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its index, where the caller chooses it.
    pub index: Option<u32>,
    /// Whether it is born up.
    pub up: bool,
    /// Its hardware address; else the lowest of its ports'.
    pub mac: Option<Mac>,
    /// Largest packet in bytes; else the smallest of its ports'.
    pub mtu: Option<u32>,
}

/// A VXLAN device, as flannel makes it:
/// `ip link add NAME type vxlan id VNI local LOCAL dev DEVICE dstport PORT nolearning`.
#[derive(Clone, Copy, Debug)]
pub struct VxlanSpec<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its index, where the caller chooses it.
    pub index: Option<u32>,
    /// VXLAN network identifier.
    pub vni: u32,
    /// The address that outer packets are sent from.
    pub local: IpAddr,
    /// Index of the device that outer packets leave by.
    pub device: u32,
    /// UDP port of the other ends.
    pub port: u16,
    /// Whether it learns addresses from packets.
    pub learning: bool,
    /// Its hardware address; else a random one.
    pub mac: Option<Mac>,
    /// Largest inner packet in bytes; else the device's less 50.
    pub mtu: Option<u32>,
}

impl Request {
    /// Makes a pair. An error where a device of that name or index is there.
    pub fn add_veth(veth: &Veth<'_>) -> Self {
        let mut peer = device(veth.peer_name, veth.peer_index, veth.peer_mac, veth.mtu);
        one_queue(&mut peer);
        peer.attributes
            .extend(veth.peer_namespace.map(|namespace| LinkAttribute::NetNsFd(namespace.as_fd().as_raw_fd())));

        let mut link = device(veth.name, veth.index, veth.mac, veth.mtu);
        one_queue(&mut link);
        link.attributes.extend(veth.master.map(LinkAttribute::Controller));
        set_flag(&mut link, veth.up);
        let request = add(link, veth.name, InfoKind::Veth, Some(InfoData::Veth(InfoVeth::Peer(peer))));
        Request { _namespace: veth.peer_namespace.cloned(), ..request }
    }

    /// Makes a bridge. An error where a device of that name or index is there.
    pub fn add_bridge(bridge: &Bridge<'_>) -> Self {
        let mut link = device(bridge.name, bridge.index, bridge.mac, bridge.mtu);
        set_flag(&mut link, bridge.up);
        add(link, bridge.name, InfoKind::Bridge, None)
    }

    /// Makes a VXLAN device. An error where a device of that name or index is there.
    pub fn add_vxlan(vxlan: &VxlanSpec<'_>) -> Self {
        let local = match vxlan.local {
            IpAddr::V4(local) => InfoVxlan::Local(local),
            IpAddr::V6(local) => InfoVxlan::Local6(local),
        };
        let data = vec![
            InfoVxlan::Id(vxlan.vni),
            local,
            InfoVxlan::Link(vxlan.device),
            InfoVxlan::Port(vxlan.port),
            InfoVxlan::Learning(vxlan.learning),
        ];
        let link = device(vxlan.name, vxlan.index, vxlan.mac, vxlan.mtu);
        add(link, vxlan.name, InfoKind::Vxlan, Some(InfoData::Vxlan(data)))
    }

    /// `ip link set DEV up`, or down.
    pub fn set_up(index: u32, up: bool) -> Self {
        let mut link = LinkMessage::default();
        set_flag(&mut link, up);
        link.header.change_mask = LinkFlags::Up;
        set(index, link, if up { "up" } else { "down" })
    }

    /// `ip link set DEV address MAC`.
    pub fn set_mac(index: u32, mac: Mac) -> Self {
        set(index, with(LinkAttribute::Address(mac.0.to_vec())), &format!("address {mac}"))
    }

    /// `ip link set DEV mtu BYTES`.
    pub fn set_mtu(index: u32, mtu: u32) -> Self {
        set(index, with(LinkAttribute::Mtu(mtu)), &format!("mtu {mtu}"))
    }

    /// `ip link set DEV master BRIDGE`, or nomaster.
    pub fn set_master(index: u32, master: Option<u32>) -> Self {
        let master = master.unwrap_or_default();
        set(index, with(LinkAttribute::Controller(master)), &format!("master {master}"))
    }

    /// `bridge link set dev DEV hairpin on`, or off: whether a bridge sends a port's frames back to it.
    pub fn set_hairpin(index: u32, on: bool) -> Self {
        let port = InfoPortData::BridgePort(vec![InfoBridgePort::HairpinMode(on)]);
        let info = vec![LinkInfo::PortKind(InfoPortKind::Bridge), LinkInfo::PortData(port)];
        set(index, with(LinkAttribute::LinkInfo(info)), if on { "hairpin on" } else { "hairpin off" })
    }

    /// `ip link delete DEV`; a pair goes whole.
    pub fn delete_link(index: u32) -> Self {
        let mut link = LinkMessage::default();
        link.header.index = index;
        Request::new(RouteNetlinkMessage::DelLink(link), 0, format!("delete link {index}")).forgiving(&[Errno::ENODEV])
    }
}

fn device(name: &str, index: Option<u32>, mac: Option<Mac>, mtu: Option<u32>) -> LinkMessage {
    let mut link = with(LinkAttribute::IfName(name.to_owned()));
    link.header.index = index.unwrap_or_default();
    link.attributes.extend(mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
    link.attributes.extend(mtu.map(LinkAttribute::Mtu));
    link
}

fn with(attribute: LinkAttribute) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.attributes.push(attribute);
    link
}

/// Without this the kernel makes a queue for each processor and then waits twice to be rid of them.
fn one_queue(link: &mut LinkMessage) {
    link.attributes.extend([LinkAttribute::NumTxQueues(1), LinkAttribute::NumRxQueues(1)]);
}

fn set_flag(link: &mut LinkMessage, up: bool) {
    if up {
        link.header.flags = LinkFlags::Up;
        link.header.change_mask = LinkFlags::Up;
    }
}

fn add(mut link: LinkMessage, name: &str, kind: InfoKind, data: Option<InfoData>) -> Request {
    let doing = format!("add {kind} {name}");
    let info = iter::once(LinkInfo::Kind(kind)).chain(data.map(LinkInfo::Data)).collect();
    link.attributes.push(LinkAttribute::LinkInfo(info));
    Request::new(RouteNetlinkMessage::NewLink(link), NLM_F_CREATE | NLM_F_EXCL, doing)
}

fn set(index: u32, mut link: LinkMessage, what: &str) -> Request {
    link.header.index = index;
    Request::new(RouteNetlinkMessage::NewLink(link), 0, format!("set link {index} {what}"))
}
