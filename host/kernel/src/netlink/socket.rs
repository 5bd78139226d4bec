//! The socket itself: messages there, answers back, without waiting.
//!
//! The kernel does what rtnetlink asks within send(2), and the answer lies there when that returns. So there
//! is nothing to poll and no task that drives the socket: an exchange is two system calls, on whatever thread.
//!
//! Invariant: one exchange at a time, so that answers are in order and the kernel refuses no dump for
//! another's sake; only the kernel is heard, and of it only what belongs to this exchange.

use netlink_packet_core::{
    Emitable, NLM_F_MULTIPART, NLM_F_REQUEST, NetlinkHeader, NetlinkPayload, NetlinkSerializable,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket as NetlinkSocket, SocketAddr};
use nix::libc::MSG_DONTWAIT;

use super::{Message, NETLINK_HEADER};
use crate::error::KernelError;

/// Bytes of the longest datagram that the kernel answers with. The buffer lives only while it is read into.
const LONGEST: usize = 32 << 10;

/// What is asked: a message, and flags beside NLM_F_REQUEST.
pub(super) type Ask<'a> = (&'a RouteNetlinkMessage, u16);

/// Which of the messages it answers, and the answer.
pub(super) type Answer = (usize, Message);

#[derive(Debug)]
pub(super) struct Socket {
    socket: NetlinkSocket,
    /// Of the last message sent.
    sequence: u32,
}

impl Socket {
    /// One of the calling thread's namespace.
    pub(super) fn open() -> std::io::Result<Self> {
        let socket = NetlinkSocket::new(NETLINK_ROUTE)?;
        // Refuse what the kernel does not know; say errors in words, without the request's text.
        socket.set_netlink_get_strict_chk(true)?;
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        // To the kernel: nobody else's messages are received.
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Socket { socket, sequence: 0 })
    }

    /// One datagram there; all answers back until the last message has its last one. So the last must be one that
    /// is answered whatever happens: one that asks for something, or for an acknowledgement.
    pub(super) fn exchange(&mut self, asks: &[Ask<'_>]) -> Result<Vec<Answer>, KernelError> {
        let first = self.sequence.wrapping_add(1);
        let datagram = self.datagram(asks);
        self.socket.send(&datagram, 0).map_err(KernelError::doing("send to rtnetlink"))?;
        let mut answers = Vec::new();
        let mut bytes = Vec::with_capacity(LONGEST);
        loop {
            bytes.clear();
            self.socket.recv(&mut bytes, MSG_DONTWAIT).map_err(KernelError::doing(RECEIVE))?;
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let answer = Message::deserialize(rest).map_err(|error| KernelError::answer(RECEIVE, error))?;
                // Messages begin at multiples of four bytes.
                rest = rest.get((answer.header.length as usize).next_multiple_of(4)..).unwrap_or_default();
                let at = answer.header.sequence_number.wrapping_sub(first) as usize;
                // What an exchange that failed left unread is nobody's.
                if at < asks.len() {
                    let done = at + 1 == asks.len() && is_last(&answer);
                    answers.push((at, answer));
                    if done {
                        return Ok(answers);
                    }
                }
            }
        }
    }

    fn datagram(&mut self, asks: &[Ask<'_>]) -> Vec<u8> {
        let mut datagram = Vec::new();
        for (message, flags) in asks {
            self.sequence = self.sequence.wrapping_add(1);
            let length = NETLINK_HEADER + NetlinkSerializable::buffer_len(*message);
            let mut header = NetlinkHeader::default();
            header.length = length as u32;
            header.message_type = message.message_type();
            header.flags = NLM_F_REQUEST | flags;
            header.sequence_number = self.sequence;
            let at = datagram.len();
            datagram.resize(at + length.next_multiple_of(4), 0);
            header.emit(&mut datagram[at..]);
            message.serialize(&mut datagram[at + NETLINK_HEADER..at + length]);
        }
        datagram
    }
}

const RECEIVE: &str = "receive from rtnetlink";

/// Whether no more of the same request follow.
fn is_last(answer: &Message) -> bool {
    match answer.payload {
        NetlinkPayload::Done(_) | NetlinkPayload::Error(_) => true,
        _ => answer.header.flags & NLM_F_MULTIPART == 0,
    }
}
