//! rtnetlink: links, addresses, routes and neighbours of one network namespace.
//!
//! Changes are [`Request`]s: values that name what they do, sent together in one system call by
//! [`Netlink::apply`]. A device's index may be chosen by the caller, so that a whole container takes
//! one send on each side and nothing is looked up. Every change can be repeated: what is there
//! already is replaced or left (links excepted: a second one of that name is an error), deleting
//! what is gone succeeds.
//!
//! Invariant: one dump at a time on a socket (the kernel refuses a second one), and a dump that was
//! interrupted by a change is taken again.
//!
//! As commands: `ip link`, `ip address`, `ip route`, `ip neighbour`, `bridge fdb`, `ip -batch`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use futures::StreamExt;
use netlink_packet_core::{ErrorMessage, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_proto::sys::protocols::NETLINK_ROUTE;
use netlink_proto::sys::{AsyncSocket, SocketAddr, TokioSocket};
use netlink_proto::{Connection, ConnectionHandle, from_socket_with_codec};
use nix::errno::Errno;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use crate::error::KernelError;
use crate::netns::NetNs;

mod addresses;
mod links;
mod neighbours;
mod routes;

pub use links::{Bridge, Veth, VxlanSpec};
pub use routes::{RouteKind, RouteSpec};

/// An rtnetlink socket of one network namespace. Clones share it; it is closed with the last of them.
#[derive(Clone, Debug)]
pub struct Netlink {
    handle: ConnectionHandle<RouteNetlinkMessage>,
    dumping: Arc<Mutex<()>>,
}

/// One change, ready to be sent: made by the functions of this type, sent by [`Netlink::apply`].
#[derive(Debug)]
pub struct Request {
    message: RouteNetlinkMessage,
    flags: u16,
    /// For errors: the operation and its object.
    doing: String,
    /// Errors that mean that it was done already.
    forgives: &'static [Errno],
    /// Kept open until the kernel has read its number out of the message.
    _namespace: Option<NetNs>,
}

impl Request {
    fn new(message: RouteNetlinkMessage, flags: u16, doing: String) -> Self {
        Request { message, flags, doing, forgives: &[], _namespace: None }
    }

    fn forgiving(self, forgives: &'static [Errno]) -> Self {
        Request { forgives, ..self }
    }
}

/// How many requests travel in one datagram: their answers must fit the socket's receive buffer.
const BATCH: usize = 64;
/// How often a dump that a change interrupted is taken again.
const DUMP_TRIES: usize = 16;
/// `NLM_F_DUMP_INTR`, linux/netlink.h: the dump may be inconsistent.
const DUMP_INTERRUPTED: u16 = 0x10;

type Answers = Vec<NetlinkMessage<RouteNetlinkMessage>>;

impl Netlink {
    /// A socket made inside, driven by a task of the current runtime.
    pub(crate) fn start(namespace: &NetNs) -> Result<Self, KernelError> {
        let (connection, netlink) = Netlink::connect(namespace)?;
        tokio::spawn(connection);
        Ok(netlink)
    }

    /// A socket made inside, and what has to be polled to drive it.
    pub(crate) fn connect(
        namespace: &NetNs,
    ) -> Result<(Connection<RouteNetlinkMessage, TokioSocket>, Self), KernelError> {
        let runtime = Handle::current();
        let make_socket = || {
            let _runtime = runtime.enter();
            let socket = TokioSocket::new(NETLINK_ROUTE)?;
            // Refuse what the kernel does not know; say errors in words, without the request's text.
            socket.socket_ref().set_netlink_get_strict_chk(true)?;
            socket.socket_ref().set_ext_ack(true)?;
            socket.socket_ref().set_cap_ack(true)?;
            Ok::<_, std::io::Error>(socket)
        };
        let socket =
            namespace.run(make_socket)?.map_err(KernelError::doing(format!("open rtnetlink in {namespace}")))?;
        let (mut connection, handle, _unsolicited) = from_socket_with_codec(socket);
        connection.set_forward_ack(true);
        connection.set_forward_done(true);
        Ok((connection, Netlink { handle, dumping: Arc::default() }))
    }

    /// Sends changes, in order, in as few system calls as can be. The first that failed is the error;
    /// the kernel may have done those after it.
    pub async fn apply(&self, requests: impl IntoIterator<Item = Request>) -> Result<(), KernelError> {
        let mut requests = requests.into_iter().peekable();
        while requests.peek().is_some() {
            let batch: Vec<Request> = requests.by_ref().take(BATCH).collect();
            let answers = self.exchange(batch.iter().map(|request| message(&request.message, request.flags))).await?;
            check(&batch, &answers)?;
        }
        Ok(())
    }

    async fn apply_one(&self, request: Request) -> Result<(), KernelError> {
        self.apply([request]).await
    }

    /// Sends one request without side effects and returns its answer; none where the thing is not there.
    async fn get(&self, message: RouteNetlinkMessage, doing: &str) -> Result<Option<RouteNetlinkMessage>, KernelError> {
        let _ = (message, doing);
        todo!()
    }

    /// Everything of one kind.
    async fn dump(&self, request: RouteNetlinkMessage, doing: &str) -> Result<Vec<RouteNetlinkMessage>, KernelError> {
        let _ = (request, doing);
        todo!()
    }

    async fn exchange(
        &self,
        messages: impl Iterator<Item = NetlinkMessage<RouteNetlinkMessage>>,
    ) -> Result<Answers, KernelError> {
        let messages: Vec<_> = messages.collect();
        let answers = self.handle.request_batch(messages, SocketAddr::new(0, 0)).map_err(|_| closed())?;
        Ok(answers.collect().await)
    }
}

fn closed() -> KernelError {
    KernelError::answer("send to rtnetlink", "the socket failed earlier")
}

fn message(message: &RouteNetlinkMessage, flags: u16) -> NetlinkMessage<RouteNetlinkMessage> {
    let mut message = NetlinkMessage::from(message.clone());
    message.header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    message
}

fn check(requests: &[Request], answers: &Answers) -> Result<(), KernelError> {
    let _ = (requests, answers);
    todo!()
}

/// A hardware address; as text `02:00:00:00:00:01`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mac_text(&self.0))
    }
}

/// A text that is no hardware address.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no hardware address such as 02:00:00:00:00:01")]
pub struct BadMac(String);

impl FromStr for Mac {
    type Err = BadMac;
    fn from_str(text: &str) -> Result<Self, BadMac> {
        let bad = || BadMac(text.chars().take(40).collect());
        let mut octets = [0; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().filter(|part| part.len() == 2 && !part.starts_with('+')).ok_or_else(bad)?;
            *octet = u8::from_str_radix(part, 16).map_err(|_| bad())?;
        }
        if parts.next().is_some() { Err(bad()) } else { Ok(Mac(octets)) }
    }
}

fn mac_text(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":")
}
