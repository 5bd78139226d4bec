//! Devices: `ip link`.

use std::collections::HashMap;
use std::iter;
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use knetsim_model::observe::{Counters, Link, Vxlan};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, InfoVxlan, LinkAttribute, LinkExtentMask,
    LinkFlags, LinkInfo, LinkLayerType, LinkMessage, Stats64,
};
use nix::errno::Errno;

use super::mac::mac_text;
use super::{Mac, Netlink, Request, closed, confirm, inner, message};
use crate::error::KernelError;
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
    /// The peer's index, where the caller chooses it.
    pub peer_index: Option<u32>,
    /// Where the peer is born; else here.
    pub peer_namespace: Option<&'a NetNs>,
    /// The peer's hardware address; else a random one.
    pub peer_mac: Option<Mac>,
}

/// What the kernel chose for a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// This end's index.
    pub index: u32,
    /// The peer's index, in its namespace.
    pub peer_index: u32,
    /// This end's hardware address.
    pub mac: Mac,
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

impl Netlink {
    /// All devices, by index.
    pub async fn links(&self) -> Result<Vec<Link>, KernelError> {
        let messages = self.link_messages(&[]).await?;
        let names = names_in(&messages);
        Ok(messages.iter().map(|message| observe(message, &names)).collect())
    }

    /// The device of that name.
    pub async fn link(&self, name: &str) -> Result<Option<Link>, KernelError> {
        let Some(message) = self.link_message(with(LinkAttribute::IfName(name.to_owned())), name).await? else {
            return Ok(None);
        };
        let mut names = Names::new();
        if let Some(master) = master(&message) {
            let mut by_index = LinkMessage::default();
            by_index.header.index = master;
            let bridge = self.link_message(by_index, &format!("master of {name}")).await?;
            names.extend(bridge.as_ref().map(|bridge| (master, name_of(bridge))));
        }
        Ok(Some(observe(&message, &names)))
    }

    /// Whether a device passes packets: it is up, has a carrier, and the kernel has acted on both
    /// (IFF_RUNNING). A bridge forwards to a port only then.
    pub async fn is_running(&self, index: u32) -> Result<bool, KernelError> {
        let mut by_index = LinkMessage::default();
        by_index.header.index = index;
        let link = self.link_message(by_index, &index.to_string()).await?;
        Ok(link.is_some_and(|link| link.header.flags.contains(LinkFlags::Running)))
    }

    /// [`Request::add_veth`]; returns what the kernel chose.
    pub async fn add_veth(&self, veth: &Veth<'_>) -> Result<Ends, KernelError> {
        let link = self.add(Request::add_veth(veth), veth.name).await?;
        let mut ends = Ends { index: link.header.index, peer_index: 0, mac: Mac([0; 6]) };
        for attribute in &link.attributes {
            match attribute {
                LinkAttribute::Link(peer) => ends.peer_index = *peer,
                LinkAttribute::Address(octets) => ends.mac = octets.as_slice().try_into().map_or(ends.mac, Mac),
                _ => {}
            }
        }
        Ok(ends)
    }

    /// [`Request::add_bridge`]; returns its index.
    pub async fn add_bridge(&self, bridge: &Bridge<'_>) -> Result<u32, KernelError> {
        self.add_indexed(Request::add_bridge(bridge), bridge.name, bridge.index).await
    }

    /// [`Request::add_vxlan`]; returns its index.
    pub async fn add_vxlan(&self, vxlan: &VxlanSpec<'_>) -> Result<u32, KernelError> {
        self.add_indexed(Request::add_vxlan(vxlan), vxlan.name, vxlan.index).await
    }

    /// [`Request::set_up`].
    pub async fn set_up(&self, index: u32, up: bool) -> Result<(), KernelError> {
        self.apply_one(Request::set_up(index, up)).await
    }

    /// [`Request::set_mac`].
    pub async fn set_mac(&self, index: u32, mac: Mac) -> Result<(), KernelError> {
        self.apply_one(Request::set_mac(index, mac)).await
    }

    /// [`Request::set_mtu`].
    pub async fn set_mtu(&self, index: u32, mtu: u32) -> Result<(), KernelError> {
        self.apply_one(Request::set_mtu(index, mtu)).await
    }

    /// [`Request::delete_link`].
    pub async fn delete_link(&self, index: u32) -> Result<(), KernelError> {
        self.apply_one(Request::delete_link(index)).await
    }

    async fn add_indexed(&self, request: Request, name: &str, index: Option<u32>) -> Result<u32, KernelError> {
        match index {
            Some(index) => self.apply_one(request).await.map(|()| index),
            None => self.add(request, name).await.map(|link| link.header.index),
        }
    }

    /// Makes a device and asks what became of it, in one system call.
    async fn add(&self, request: Request, name: &str) -> Result<LinkMessage, KernelError> {
        let get = RouteNetlinkMessage::GetLink(with(LinkAttribute::IfName(name.to_owned())));
        let mut answers = self.exchange(vec![request.to_message(), message(&get, 0)]).await?;
        let found = answers.pop();
        confirm(&[request], &answers)?;
        match found.map(|found| inner(&format!("find link {name}"), found)).transpose()?.flatten() {
            Some(RouteNetlinkMessage::NewLink(link)) => Ok(link),
            _ => Err(closed()),
        }
    }

    async fn link_message(&self, which: LinkMessage, name: &str) -> Result<Option<LinkMessage>, KernelError> {
        let get = RouteNetlinkMessage::GetLink(which);
        let answer = self.exchange(vec![message(&get, 0)]).await?.pop().ok_or_else(closed)?;
        match inner(&format!("find link {name}"), answer) {
            Ok(Some(RouteNetlinkMessage::NewLink(link))) => Ok(Some(link)),
            Ok(_) => Ok(None),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn link_messages(&self, leave_out: &[LinkExtentMask]) -> Result<Vec<LinkMessage>, KernelError> {
        let mut all = LinkMessage::default();
        if !leave_out.is_empty() {
            all.attributes.push(LinkAttribute::ExtMask(leave_out.to_vec()));
        }
        let links = self.dump(RouteNetlinkMessage::GetLink(all), "list links").await?;
        let link = |message| if let RouteNetlinkMessage::NewLink(link) = message { Some(link) } else { None };
        Ok(links.into_iter().filter_map(link).collect())
    }

    /// The names of all devices.
    pub(super) async fn names(&self) -> Result<Names, KernelError> {
        Ok(names_in(&self.link_messages(&[LinkExtentMask::SkipStats]).await?))
    }
}

/// Names of devices by their indices.
pub(crate) type Names = HashMap<u32, String>;

fn names_in(messages: &[LinkMessage]) -> Names {
    messages.iter().map(|message| (message.header.index, name_of(message))).collect()
}

/// A device's name; `if7` where it went meanwhile, as `ip` prints it.
pub(crate) fn name(names: &Names, index: u32) -> String {
    names.get(&index).cloned().unwrap_or_else(|| format!("if{index}"))
}

fn name_of(message: &LinkMessage) -> String {
    let name = |attribute: &LinkAttribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.clone()),
        _ => None,
    };
    message.attributes.iter().find_map(name).unwrap_or_default()
}

fn master(message: &LinkMessage) -> Option<u32> {
    message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Controller(index) => Some(*index),
        _ => None,
    })
}

/// The kernel's description of a device as an observation.
pub(crate) fn observe(message: &LinkMessage, names: &Names) -> Link {
    let flags = message.header.flags;
    let mut link = Link {
        index: message.header.index,
        name: name_of(message),
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        master: master(message).map(|index| name(names, index)),
        ..Link::default()
    };
    if message.header.link_layer_type == LinkLayerType::Loopback {
        link.kind = "loopback".to_owned();
    }
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Address(octets) => link.mac = mac_text(octets),
            LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
            LinkAttribute::Link(index) => link.link_index = Some(*index),
            LinkAttribute::Stats64(stats) => link.counters = counters(stats),
            LinkAttribute::LinkInfo(info) => info.iter().for_each(|info| observe_kind(info, &mut link)),
            _ => {}
        }
    }
    link
}

fn observe_kind(info: &LinkInfo, link: &mut Link) {
    match info {
        LinkInfo::Kind(kind) => link.kind = kind.to_string(),
        LinkInfo::Data(InfoData::Vxlan(data)) => {
            let mut vxlan = Vxlan::default();
            for value in data {
                match value {
                    InfoVxlan::Id(vni) => vxlan.vni = *vni,
                    InfoVxlan::Port(port) => vxlan.port = *port,
                    InfoVxlan::Local(local) => vxlan.local = Some(IpAddr::V4(*local)),
                    InfoVxlan::Local6(local) => vxlan.local = Some(IpAddr::V6(*local)),
                    InfoVxlan::Learning(learning) => vxlan.learning = *learning,
                    InfoVxlan::Link(index) => link.link_index = Some(*index),
                    _ => {}
                }
            }
            link.vxlan = Some(vxlan);
        }
        _ => {}
    }
}

fn counters(stats: &Stats64) -> Counters {
    Counters {
        rx_packets: stats.rx_packets,
        rx_bytes: stats.rx_bytes,
        rx_dropped: stats.rx_dropped,
        tx_packets: stats.tx_packets,
        tx_bytes: stats.tx_bytes,
        tx_dropped: stats.tx_dropped,
    }
}
