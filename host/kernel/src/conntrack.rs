//! Tracked connections: those that shall not go on as they began are forgotten (linux/netfilter/nfnetlink_conntrack.h).
//!
//! As a command: `conntrack -D -p udp --orig-dst 100.64.10.1 --orig-port-dst 53 --reply-src 11.10.0.2`.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

use netlink_packet_core::{NetlinkBuffer, NlasIterator};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

use crate::error::KernelError;
use crate::netns::NetNs;

/// TCP's number, as `/etc/protocols` has it.
pub const TCP: u8 = 6;
/// UDP's number.
pub const UDP: u8 = 17;
/// SCTP's number.
pub const SCTP: u8 = 132;

/// A tracked connection over IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The protocol's number: [`UDP`], [`TCP`], 1 for ICMP.
    pub protocol: u8,
    /// Where its first packet was sent to.
    pub to: Ipv4Addr,
    /// At which port; none where the protocol has no ports.
    pub to_port: Option<u16>,
    /// Who answers it: another one where the destination was translated.
    pub answered_by: Ipv4Addr,
    /// From which port.
    pub answering_port: Option<u16>,
}

/// Forgets the connections over IPv4 that `stale` chooses: the next packet of each begins a new one. Gives how many.
pub async fn forget(namespace: &NetNs, stale: impl Fn(&Flow) -> bool + Send + 'static) -> Result<usize, KernelError> {
    let doing = format!("forget tracked connections of {namespace}");
    let forgotten = namespace.run_async(move || forget_here(&stale)).await?;
    forgotten.map_err(KernelError::doing(doing))
}

/// `NFNL_SUBSYS_CTNETLINK`, the upper half of a message's type; below it `IPCTNL_MSG_CT_NEW` and so on.
const SUBSYSTEM: u16 = 1 << 8;
const NEW: u16 = SUBSYSTEM;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;
/// linux/netlink.h.
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const DUMP: u16 = 0x300;
/// `sizeof(struct nfgenmsg)`: family, version, resource.
const HEADER: usize = 4;
/// `CTA_TUPLE_ORIG`, `CTA_TUPLE_REPLY`.
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
/// What the kernel puts into one datagram of a dump at most.
const LARGEST: usize = 64 << 10;

fn forget_here(stale: &impl Fn(&Flow) -> bool) -> rustix::io::Result<usize> {
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(NETFILTER))?;
    ask(&socket, GET, REQUEST | DUMP, &[])?;
    let mut chosen = Vec::new();
    while !answered(&socket, |message| {
        let tuple = (message.message_type() == NEW).then(|| stale_tuple(message.payload(), stale)).flatten();
        chosen.extend(tuple);
    })? {}
    let mut forgotten = 0;
    for tuple in chosen {
        let length = u16::try_from(4 + tuple.len()).unwrap_or(u16::MAX);
        // NLA_F_NESTED
        let attribute = [&length.to_ne_bytes()[..], &(ORIGINAL | 0x8000).to_ne_bytes(), &tuple].concat();
        ask(&socket, DELETE, REQUEST | ACK, &attribute)?;
        match answered(&socket, |_| {}) {
            Ok(_) => forgotten += 1,
            // It ended by itself meanwhile.
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(forgotten)
}

fn ask(socket: &OwnedFd, kind: u16, flags: u16, attributes: &[u8]) -> rustix::io::Result<()> {
    let length = u32::try_from(16 + HEADER + attributes.len()).unwrap_or(u32::MAX);
    let mut message = Vec::with_capacity(length as usize);
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    // Sequence and port: one question at a time, and the kernel knows the socket.
    message.extend([0; 8]);
    message.extend([2, 0, 0, 0]); // AF_INET
    message.extend(attributes);
    sendto(socket, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).map(drop)
}

/// Reads a datagram; whether it was the last of an answer.
fn answered(socket: &OwnedFd, mut each: impl FnMut(&NetlinkBuffer<&[u8]>)) -> rustix::io::Result<bool> {
    let mut bytes = Vec::with_capacity(LARGEST);
    recv(socket, spare_capacity(&mut bytes), RecvFlags::empty())?;
    let mut rest = &bytes[..];
    while let Ok(message) = NetlinkBuffer::new_checked(rest) {
        let length = message.length() as usize;
        let message = NetlinkBuffer::new(&rest[..length]);
        match message.message_type() {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => {
                let code = message.payload().first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
                return if code == 0 { Ok(true) } else { Err(Errno::from_raw_os_error(-code)) };
            }
            _ => each(&message),
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// The original tuple of a connection, as the kernel wrote it, where it is stale.
fn stale_tuple(payload: &[u8], stale: impl Fn(&Flow) -> bool) -> Option<Vec<u8>> {
    let attributes = payload.get(HEADER..)?;
    let (original, reply) = (attribute(attributes, ORIGINAL)?, attribute(attributes, REPLY)?);
    // CTA_TUPLE_IP with CTA_IP_V4_SRC and CTA_IP_V4_DST, CTA_TUPLE_PROTO with CTA_PROTO_NUM, CTA_PROTO_SRC_PORT and
    // CTA_PROTO_DST_PORT.
    let address =
        |tuple: &[u8], which| Some(Ipv4Addr::from(*attribute(&attribute(tuple, 1)?, which)?.first_chunk::<4>()?));
    let port =
        |tuple: &[u8], which| Some(u16::from_be_bytes(*attribute(&attribute(tuple, 2)?, which)?.first_chunk::<2>()?));
    let flow = Flow {
        protocol: *attribute(&attribute(&original, 2)?, 1)?.first()?,
        to: address(&original, 2)?,
        to_port: port(&original, 3),
        answered_by: address(&reply, 1)?,
        answering_port: port(&reply, 2),
    };
    stale(&flow).then_some(original)
}

fn attribute(attributes: &[u8], kind: u16) -> Option<Vec<u8>> {
    let mut all = NlasIterator::new(attributes).map_while(Result::ok);
    all.find(|attribute| attribute.kind() == kind).map(|attribute| attribute.value().to_vec())
}
