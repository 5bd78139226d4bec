//! Packets as they pass an interface, both ways: `tcpdump -i INTERFACE`.
//!
//! The socket (AF_PACKET, packet(7)) is made inside and bound to the one interface before any packet gets into
//! it; it sends nothing. The kernel's receive buffer bounds what waits in it, and the kernel counts what it
//! drops. It keeps its namespace alive, and goes on when the interface is set down and up again.

use std::io::{self, IoSliceMut};
use std::mem::size_of;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, SystemTime};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc::{self, sockaddr, sockaddr_ll};
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike, bind, recvmsg,
    setsockopt, socket,
};
use nix::sys::time::TimeSpec;
use rustix::net::netdevice::{index_to_name_inlined, name_to_index};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::error::KernelError;
use crate::netns::NetNs;

/// That the interface was set down or deleted shows as an error, and as nothing else.
const READY: Interest = Interest::READABLE.add(Interest::ERROR);

/// What came in and what found no room, since it was asked last.
#[derive(Clone, Copy, Debug)]
struct Statistics;

mod statistics {
    #![allow(unsafe_code, reason = "the library's macro, for an option that it has no type for")]
    use nix::libc::{self, PACKET_STATISTICS, SOL_PACKET, tpacket_stats};
    use nix::sys::socket::sockopt::GetStruct;

    use super::Statistics;
    nix::getsockopt_impl!(Statistics, SOL_PACKET, PACKET_STATISTICS, tpacket_stats, GetStruct<tpacket_stats>);
}

/// Packets of one interface.
#[derive(Debug)]
pub struct PacketSocket {
    socket: AsyncFd<OwnedFd>,
    /// The interface's.
    index: u32,
    doing: String,
}

/// What is known of a packet besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// When it passed.
    pub at: SystemTime,
    /// Whether it left the namespace by the interface.
    pub outgoing: bool,
    /// Whether it begins with an Ethernet header; else with the header of IP.
    pub ethernet: bool,
    /// Its whole length in bytes.
    pub length: usize,
}

impl PacketSocket {
    /// Begins to listen at an interface, up or down.
    ///
    /// # Errors
    /// There is none of that name ([`KernelError::is_not_found`]), or the kernel refused.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[expect(unsafe_code)]
    pub fn open(namespace: &NetNs, interface: &str) -> Result<Self, KernelError> {
        let doing = format!("capture on {interface}");
        let (socket, index) = namespace.run(|| listen(interface))?.map_err(KernelError::doing(&doing))?;
        // SAFETY: an `OwnedFd` keeps its descriptor open, and the same, while it is owned.
        let socket = unsafe { AsyncFd::register_with_interest(socket, READY) };
        Ok(PacketSocket { socket: socket.map_err(KernelError::doing(&doing))?, index, doing })
    }

    /// Returns when there may be a packet.
    pub async fn readable(&self) -> Result<(), KernelError> {
        let ready = self.socket.ready(READY).await;
        ready.map(|mut ready| ready.clear_ready()).map_err(KernelError::doing(&self.doing))
    }

    /// The next packet, its beginning written to `buffer`; none where none waits.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<Option<Frame>, KernelError> {
        let mut parts = [IoSliceMut::new(buffer)];
        let mut control = cmsg_space!(TimeSpec);
        // With MSG_TRUNC the answer is the whole length, however little of it fits.
        let flags = MsgFlags::MSG_TRUNC | MsgFlags::MSG_DONTWAIT;
        let fd = self.socket.get_ref().as_raw_fd();
        let received = match recvmsg::<LinkAddr>(fd, &mut parts, Some(&mut control), flags) {
            Ok(received) => received,
            Err(Errno::EAGAIN) => return Ok(None),
            // Said once when the interface was set down or deleted; packets from before may follow.
            Err(Errno::ENETDOWN) => return self.receive(buffer),
            Err(errno) => return Err(KernelError::refused(&self.doing, errno)),
        };
        let stamps = received.cmsgs().map_err(KernelError::doing(&self.doing))?;
        let stamp = stamps.filter_map(|message| match message {
            ControlMessageOwned::ScmTimestampns(time) => Some(SystemTime::UNIX_EPOCH + Duration::from(time)),
            _ => None,
        });
        let at = stamp.last().unwrap_or_else(SystemTime::now);
        let from = received.address;
        let outgoing = from.is_some_and(|from| from.pkttype() == libc::PACKET_OUTGOING);
        let ethernet = from.is_some_and(|from| matches!(from.hatype(), libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK));
        Ok(Some(Frame { at, outgoing, ethernet, length: received.bytes }))
    }

    /// How many packets found no room since this was asked last.
    pub fn dropped(&self) -> Result<u32, KernelError> {
        let statistics = nix::sys::socket::getsockopt(self.socket.get_ref(), Statistics);
        Ok(statistics.map_err(KernelError::doing(&self.doing))?.tp_drops)
    }

    /// Whether the interface was deleted, or taken to another namespace: nothing more will come.
    pub fn is_gone(&self) -> bool {
        index_to_name_inlined(self.socket.get_ref(), self.index).is_err()
    }
}

/// The socket, made in the calling thread's namespace, and the index of its interface.
fn listen(interface: &str) -> io::Result<(OwnedFd, u32)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    // Without a protocol nothing gets in until it is bound.
    let socket = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
    let index = name_to_index(&socket, interface)?;
    setsockopt(&socket, ReceiveTimestampns, &true)?;
    bind(socket.as_raw_fd(), &all_of(index)?)?;
    Ok((socket, index))
}

/// All protocols of one interface, as an address to bind to.
#[expect(unsafe_code)]
fn all_of(index: u32) -> io::Result<LinkAddr> {
    let address = sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: (libc::ETH_P_ALL as u16).to_be(),
        sll_ifindex: index.try_into().map_err(io::Error::other)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = size_of::<sockaddr_ll>() as libc::socklen_t;
    // SAFETY: `address` is a whole sockaddr_ll that outlives the call, and `length` is its length.
    let address = unsafe { LinkAddr::from_raw((&raw const address).cast::<sockaddr>(), Some(length)) };
    address.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}
