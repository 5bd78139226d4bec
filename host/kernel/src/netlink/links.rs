//! Devices that there are: `ip link show`; and making one and learning what became of it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use knetsim_model::observe::{Counters, Link, Vxlan};
use netlink_packet_core::NlasIterator;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    InfoData, InfoVxlan, LinkAttribute, LinkExtentMask, LinkFlags, LinkInfo, LinkLayerType, LinkMessage, Stats64,
};

use nix::libc;

use super::mac::mac_text;
use super::{Bridge, Mac, Netlink, Request, Veth, VxlanSpec, confirm, inner};
use crate::error::KernelError;

/// How long a device that was set up may take until it runs.
const RUNNING: Duration = Duration::from_millis(2500);

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

impl Netlink {
    /// All devices, by index.
    pub fn links(&self) -> Result<Vec<Link>, KernelError> {
        let messages = self.link_messages(&[])?;
        let names = names_in(&messages);
        Ok(messages.iter().map(|message| observe(message, &names)).collect())
    }

    /// The device of that name.
    pub fn link(&self, name: &str) -> Result<Option<Link>, KernelError> {
        let Some(message) = self.link_message(by_name(name), name)? else {
            return Ok(None);
        };
        let mut names = Names::new();
        if let Some(master) = master(&message) {
            let bridge = self.link_message(by_index(master), &format!("master of {name}"))?;
            names.extend(bridge.as_ref().map(|bridge| (master, name_of(bridge))));
        }
        Ok(Some(observe(&message, &names)))
    }

    /// Waits until a device passes packets: it is up, has a carrier, and the kernel has acted on both
    /// (IFF_RUNNING). A bridge forwards to a port only then. The kernel may take a second to do so by itself;
    /// since Linux 6.6 being asked makes it.
    ///
    /// # Errors
    /// It is not there, or not running after 2.5 seconds.
    pub async fn wait_running(&self, index: u32) -> Result<(), KernelError> {
        let doing = || format!("wait until device {index} runs");
        let wait = async {
            loop {
                match self.link_message(by_index(index), &index.to_string())? {
                    Some(link) if link.header.flags.contains(LinkFlags::Running) => return Ok(()),
                    Some(_) => tokio::time::sleep(Duration::from_micros(200)).await,
                    None => return Err(KernelError::answer(doing(), "there is no such device")),
                }
            }
        };
        let late = |_| KernelError::answer(doing(), format!("it has no carrier after {RUNNING:?}"));
        tokio::time::timeout(RUNNING, wait).await.map_err(late)?
    }

    /// [`Request::add_veth`]; returns what the kernel chose.
    pub fn add_veth(&self, veth: &Veth<'_>) -> Result<Ends, KernelError> {
        let link = self.add(Request::add_veth(veth), veth.name)?;
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
    pub fn add_bridge(&self, bridge: &Bridge<'_>) -> Result<u32, KernelError> {
        self.add_indexed(Request::add_bridge(bridge), bridge.name, bridge.index)
    }

    /// [`Request::add_vxlan`]; returns its index.
    pub fn add_vxlan(&self, vxlan: &VxlanSpec<'_>) -> Result<u32, KernelError> {
        self.add_indexed(Request::add_vxlan(vxlan), vxlan.name, vxlan.index)
    }

    /// [`Request::set_up`].
    pub fn set_up(&self, index: u32, up: bool) -> Result<(), KernelError> {
        self.apply([Request::set_up(index, up)])
    }

    /// [`Request::set_mac`].
    pub fn set_mac(&self, index: u32, mac: Mac) -> Result<(), KernelError> {
        self.apply([Request::set_mac(index, mac)])
    }

    /// [`Request::set_mtu`].
    pub fn set_mtu(&self, index: u32, mtu: u32) -> Result<(), KernelError> {
        self.apply([Request::set_mtu(index, mtu)])
    }

    /// [`Request::delete_link`].
    pub fn delete_link(&self, index: u32) -> Result<(), KernelError> {
        self.apply([Request::delete_link(index)])
    }

    fn add_indexed(&self, request: Request, name: &str, index: Option<u32>) -> Result<u32, KernelError> {
        match index {
            Some(index) => self.apply([request]).map(|()| index),
            None => self.add(request, name).map(|link| link.header.index),
        }
    }

    /// Makes a device and asks what became of it, in one send.
    fn add(&self, request: Request, name: &str) -> Result<LinkMessage, KernelError> {
        let get = RouteNetlinkMessage::GetLink(by_name(name));
        let mut answers = self.exchange(&[request.ask(), (&get, 0)])?;
        let found = answers.pop();
        confirm(&[request], &answers)?;
        match found.map(|(_, found)| inner(&format!("find link {name}"), found)).transpose()?.flatten() {
            Some(RouteNetlinkMessage::NewLink(link)) => Ok(link),
            _ => Err(no_answer()),
        }
    }

    fn link_message(&self, which: LinkMessage, name: &str) -> Result<Option<LinkMessage>, KernelError> {
        let get = RouteNetlinkMessage::GetLink(which);
        let (_, answer) = self.exchange(&[(&get, 0)])?.pop().ok_or_else(no_answer)?;
        match inner(&format!("find link {name}"), answer) {
            Ok(Some(RouteNetlinkMessage::NewLink(link))) => Ok(Some(link)),
            Ok(_) => Ok(None),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn link_messages(&self, leave_out: &[LinkExtentMask]) -> Result<Vec<LinkMessage>, KernelError> {
        let mut all = LinkMessage::default();
        if !leave_out.is_empty() {
            all.attributes.push(LinkAttribute::ExtMask(leave_out.to_vec()));
        }
        let links = self.dump(RouteNetlinkMessage::GetLink(all), "list links")?;
        let link = |message| if let RouteNetlinkMessage::NewLink(link) = message { Some(link) } else { None };
        Ok(links.into_iter().filter_map(link).collect())
    }

    /// The names of all devices.
    pub(super) fn names(&self) -> Result<Names, KernelError> {
        Ok(names_in(&self.link_messages(&[LinkExtentMask::SkipStats])?))
    }
}

fn by_name(name: &str) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.attributes.push(LinkAttribute::IfName(name.to_owned()));
    link
}

fn by_index(index: u32) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link
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

/// Of what the kernel announces of a device, what changes there: index, name, flags, MTU, hardware address and
/// bridge, without a look at the hundred other things. None where a bridge announces its port in its own terms.
pub(crate) fn observe_change(announced: &[u8], names: &Names) -> Option<Link> {
    // struct ifinfomsg (rtnetlink(7)): family, type, index, flags, which of them changed.
    let (header, attributes) = announced.split_at_checked(16)?;
    let number = |bytes: &[u8]| bytes.try_into().ok().map(u32::from_ne_bytes);
    if i32::from(header[0]) == libc::AF_BRIDGE {
        return None;
    }
    let up = LinkFlags::from_bits_retain(number(&header[8..12])?).contains(LinkFlags::Up);
    let mut link = Link { index: number(&header[4..8])?, up, ..Link::default() };
    for attribute in NlasIterator::new(attributes).map_while(Result::ok) {
        let value = attribute.value();
        match attribute.kind() {
            libc::IFLA_IFNAME => link.name = String::from_utf8_lossy(value).trim_end_matches('\0').to_owned(),
            libc::IFLA_ADDRESS => link.mac = mac_text(value),
            libc::IFLA_MTU => link.mtu = number(value)?,
            libc::IFLA_MASTER => link.master = Some(name(names, number(value)?)),
            _ => {}
        }
    }
    Some(link)
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

fn no_answer() -> KernelError {
    KernelError::answer("receive from rtnetlink", "no answer to the question")
}
