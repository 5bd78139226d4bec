//! rtnetlink as bare as it gets: messages laid end to end in one buffer, one `sendto` for all of them, and an
//! acknowledgement asked for with the last one only (the kernel reports errors of the others unasked).
//!
//! Of its own on purpose: what knetsim's kernel layer costs is measured against this.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

use anyhow::{Context, Result, bail};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// An rtnetlink socket of the namespace that the thread was in when it was made.
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

/// Messages to be sent together.
#[derive(Default)]
pub(crate) struct Batch(Vec<(RouteNetlinkMessage, u16)>);

/// A pair of virtual Ethernet devices, one queue each way; the peer is born where it will live.
pub(crate) struct Veth<'a> {
    pub(crate) name: &'a str,
    pub(crate) index: u32,
    pub(crate) bridge: u32,
    pub(crate) peer: &'a str,
    pub(crate) peer_index: u32,
    pub(crate) peer_namespace: Option<BorrowedFd<'a>>,
}

impl Netlink {
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Netlink { socket: Socket::new(NETLINK_ROUTE)?, sequence: 0 })
    }

    /// Sends a batch and waits until the kernel has done all of it.
    pub(crate) fn send(&mut self, batch: Batch) -> Result<()> {
        let mut bytes = Vec::new();
        let count = batch.0.len();
        for (at, (message, flags)) in batch.0.into_iter().enumerate() {
            self.sequence += 1;
            let mut header = NetlinkHeader::default();
            header.flags = NLM_F_REQUEST | flags | if at + 1 == count { NLM_F_ACK } else { 0 };
            header.sequence_number = self.sequence;
            let mut message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
            message.finalize();
            let start = bytes.len();
            bytes.resize(start + message.buffer_len(), 0);
            message.serialize(&mut bytes[start..]);
        }
        self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
        self.acknowledgement()
    }

    fn acknowledgement(&self) -> Result<()> {
        loop {
            let mut answer = Vec::with_capacity(8192);
            self.socket.recv(&mut answer, 0)?;
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).context("an answer")?;
            match message.payload {
                NetlinkPayload::Error(error) if error.code.is_some() => bail!(error.to_io()),
                NetlinkPayload::Error(_) if message.header.sequence_number == self.sequence => return Ok(()),
                _ => {}
            }
        }
    }
}

impl Batch {
    fn create(&mut self, message: RouteNetlinkMessage) {
        self.0.push((message, NLM_F_CREATE | NLM_F_EXCL));
    }

    pub(crate) fn bridge(&mut self, index: u32, name: &str) {
        let mut link = up(index);
        link.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
        ];
        self.create(RouteNetlinkMessage::NewLink(link));
    }

    pub(crate) fn veth(&mut self, veth: &Veth<'_>) {
        let mut peer = one_queue(veth.peer);
        peer.header.index = veth.peer_index;
        peer.attributes.extend(veth.peer_namespace.map(|namespace| LinkAttribute::NetNsFd(namespace.as_raw_fd())));
        let mut link = one_queue(veth.name);
        link.header = up(veth.index).header;
        link.attributes.push(LinkAttribute::Controller(veth.bridge));
        let data = InfoData::Veth(InfoVeth::Peer(peer));
        link.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth), LinkInfo::Data(data)]));
        self.create(RouteNetlinkMessage::NewLink(link));
    }

    pub(crate) fn set_up(&mut self, index: u32) {
        self.0.push((RouteNetlinkMessage::NewLink(up(index)), 0));
    }

    pub(crate) fn set_bridge(&mut self, index: u32, bridge: u32) {
        let mut link = up(index);
        link.attributes.push(LinkAttribute::Controller(bridge));
        self.0.push((RouteNetlinkMessage::NewLink(link), 0));
    }

    pub(crate) fn address(&mut self, index: u32, address: Ipv4Addr, prefix: u8) {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.index = index;
        message.header.prefix_len = prefix;
        message.attributes = vec![AddressAttribute::Local(address.into()), AddressAttribute::Address(address.into())];
        self.create(RouteNetlinkMessage::NewAddress(message));
    }

    pub(crate) fn default_route(&mut self, index: u32, gateway: Ipv4Addr) {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.table = RouteHeader::RT_TABLE_MAIN;
        message.header.protocol = RouteProtocol::Static;
        message.header.scope = RouteScope::Universe;
        message.header.kind = RouteType::Unicast;
        message.attributes = vec![RouteAttribute::Gateway(RouteAddress::Inet(gateway)), RouteAttribute::Oif(index)];
        self.create(RouteNetlinkMessage::NewRoute(message));
    }

    pub(crate) fn delete(&mut self, index: u32) {
        let mut link = LinkMessage::default();
        link.header.index = index;
        self.0.push((RouteNetlinkMessage::DelLink(link), 0));
    }
}

fn up(index: u32) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    link
}

fn one_queue(name: &str) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.attributes =
        vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::NumTxQueues(1), LinkAttribute::NumRxQueues(1)];
    link
}
