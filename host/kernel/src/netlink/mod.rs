//! rtnetlink: links, addresses, routes and neighbours of one network namespace.
//!
//! Changes are [`Request`]s: values that name what they do, sent together in one system call by
//! [`Netlink::apply`]. A device's index may be chosen by the caller, so that a whole container takes
//! one send on each side and nothing is looked up. Every change can be repeated: what is there
//! already is replaced or left (links excepted: a second one of that name is an error), deleting
//! what is gone succeeds.
//!
//! Invariant: one dump at a time on a socket (the kernel refuses a second one), and a dump that was
//! interrupted by a change is taken again, as long as that may help.
//!
//! As commands: `ip link`, `ip address`, `ip route`, `ip neighbour`, `bridge fdb`, `ip -batch`.

use std::io;
use std::sync::Arc;

use futures::StreamExt;
use netlink_packet_core::{
    ErrorMessage, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload, NlasIterator,
};
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
mod devices;
mod here;
mod links;
mod mac;
mod neighbours;
mod routes;

/// The kernel's descriptions as observations, for those who read announcements.
pub(crate) mod observe {
    pub(crate) use super::addresses::observe as address;
    pub(crate) use super::links::observe as link;
    pub(crate) use super::neighbours::{is_permanent, observe as neighbour, observe_fdb as fdb};
    pub(crate) use super::routes::observe as route;
}

pub use devices::{Bridge, Veth, VxlanSpec};
pub use here::apply_here;
pub use links::Ends;
pub(crate) use links::Names;
pub use mac::{BadMac, Mac};
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

    fn to_message(&self) -> Message {
        message(&self.message, NLM_F_ACK | self.flags)
    }

    fn forgiving(self, forgives: &'static [Errno]) -> Self {
        Request { forgives, ..self }
    }
}

/// How many requests travel in one datagram: their answers must fit the socket's receive buffer.
const BATCH: usize = 64;
/// How often a dump that a change interrupted is taken at most. Where changes never cease, the last
/// one is as good as any: what was there all the time is in it.
const DUMP_TRIES: usize = 8;

// linux/netlink.h
/// `NLM_F_DUMP_INTR`: the dump may be inconsistent.
const DUMP_INTERRUPTED: u16 = 0x10;
/// `NLM_F_ACK_TLVS`: attributes follow.
const ACK_ATTRIBUTES: u16 = 0x200;
/// `sizeof(struct nlmsghdr)`.
const NETLINK_HEADER: usize = 16;
/// `NLMSGERR_ATTR_MSG`.
const ERROR_MESSAGE: u16 = 1;

type Message = NetlinkMessage<RouteNetlinkMessage>;
type Driver = Connection<RouteNetlinkMessage, TokioSocket>;

impl Netlink {
    /// A socket made inside, driven by a task of the current runtime.
    pub(crate) fn start(namespace: &NetNs) -> Result<Self, KernelError> {
        let (connection, netlink) = Netlink::connect(namespace)?;
        tokio::spawn(connection);
        Ok(netlink)
    }

    /// A socket made inside, and what has to be polled to drive it.
    pub(crate) fn connect(namespace: &NetNs) -> Result<(Driver, Self), KernelError> {
        let runtime = Handle::current();
        let make_socket = || {
            let _runtime = runtime.enter();
            let socket = TokioSocket::new(NETLINK_ROUTE)?;
            options(socket.socket_ref())?;
            Ok::<_, io::Error>(socket)
        };
        let doing = || format!("open rtnetlink in {namespace}");
        let socket = namespace.run(make_socket)?.map_err(|error| KernelError::refused(doing(), error))?;
        let (mut driver, handle, _unsolicited) = from_socket_with_codec(socket);
        driver.set_forward_ack(true);
        driver.set_forward_done(true);
        Ok((driver, Netlink { handle, dumping: Arc::default() }))
    }

    /// Sends changes, in order, in as few system calls as can be. The first that failed is the error;
    /// the kernel may have done some of those after it.
    pub async fn apply(&self, requests: impl IntoIterator<Item = Request>) -> Result<(), KernelError> {
        let mut requests = requests.into_iter().peekable();
        while requests.peek().is_some() {
            let batch: Vec<Request> = requests.by_ref().take(BATCH).collect();
            let answers = self.exchange(batch.iter().map(Request::to_message).collect()).await?;
            confirm(&batch, &answers)?;
        }
        Ok(())
    }

    async fn apply_one(&self, request: Request) -> Result<(), KernelError> {
        self.apply([request]).await
    }

    /// Everything of one kind.
    async fn dump(&self, request: RouteNetlinkMessage, doing: &str) -> Result<Vec<RouteNetlinkMessage>, KernelError> {
        let _turn = self.dumping.lock().await;
        let mut answers = Vec::new();
        for _ in 0..DUMP_TRIES {
            answers = self.exchange(vec![message(&request, NLM_F_DUMP)]).await?;
            if !answers.iter().any(|answer| answer.header.flags & DUMP_INTERRUPTED != 0) {
                break;
            }
        }
        answers.into_iter().filter_map(|answer| inner(doing, answer).transpose()).collect()
    }

    /// One datagram there, all answers to its messages back.
    async fn exchange(&self, messages: Vec<Message>) -> Result<Vec<Message>, KernelError> {
        let answers = self.handle.request_batch(messages, SocketAddr::new(0, 0)).map_err(|_| closed())?;
        Ok(answers.collect().await)
    }
}

fn message(payload: &RouteNetlinkMessage, flags: u16) -> Message {
    let mut message = NetlinkMessage::from(payload.clone());
    message.header.flags = NLM_F_REQUEST | flags;
    message
}

/// That each request was acknowledged: the kernel answers them in order.
fn confirm(requests: &[Request], answers: &[Message]) -> Result<(), KernelError> {
    for (at, request) in requests.iter().enumerate() {
        let Some(answer) = answers.get(at) else { return Err(closed()) };
        let NetlinkPayload::Error(error) = &answer.payload else { continue };
        if !request.forgives.iter().any(|forgiven| *forgiven as i32 == -error.raw_code()) {
            refusal(&request.doing, answer.header.flags, error)?;
        }
    }
    Ok(())
}

/// What an answer holds besides acknowledgements, or why the request was refused.
fn inner(doing: &str, answer: Message) -> Result<Option<RouteNetlinkMessage>, KernelError> {
    match answer.payload {
        NetlinkPayload::InnerMessage(message) => Ok(Some(message)),
        NetlinkPayload::Error(error) => refusal(doing, answer.header.flags, &error).map(|()| None),
        NetlinkPayload::Done(done) if done.code < 0 => {
            Err(KernelError::refused(doing, io::Error::from_raw_os_error(-done.code)))
        }
        NetlinkPayload::Overrun(_) => Err(KernelError::refused(doing, Errno::ENOBUFS)),
        _ => Ok(None),
    }
}

/// The error that a refusal is; none for an acknowledgement.
fn refusal(doing: &str, flags: u16, error: &ErrorMessage) -> Result<(), KernelError> {
    if error.code.is_none() {
        return Ok(());
    }
    let said = (flags & ACK_ATTRIBUTES != 0).then(|| words(&error.header)).flatten();
    Err(KernelError::Refused { doing: doing.to_owned(), said, source: error.to_io() })
}

/// The kernel's own words among the attributes behind the header of the request that it repeats.
fn words(repeated: &[u8]) -> Option<String> {
    let attributes = NlasIterator::new(repeated.get(NETLINK_HEADER..)?);
    let message = attributes.map_while(Result::ok).find(|attribute| attribute.kind() == ERROR_MESSAGE)?;
    let text = String::from_utf8_lossy(message.value()).trim_end_matches('\0').to_owned();
    Some(text).filter(|text| !text.is_empty())
}

/// Refuse what the kernel does not know; say errors in words, without the request's text.
fn options(socket: &netlink_sys::Socket) -> io::Result<()> {
    socket.set_netlink_get_strict_chk(true)?;
    socket.set_ext_ack(true)?;
    socket.set_cap_ack(true)
}

fn closed() -> KernelError {
    KernelError::answer("send to rtnetlink", "the socket failed")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = (value.len() as u16 + 4).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    proptest! {
        #[test]
        fn any_error_is_read(bytes: Vec<u8>) {
            words(&bytes);
        }

        #[test]
        fn the_words_are_found(text in "[ -~]{1,60}", offset: u32) {
            // NLMSGERR_ATTR_OFFS comes first or last.
            let (offset, said) = (attribute(2, &offset.to_ne_bytes()), attribute(1, format!("{text}\0").as_bytes()));
            let header = vec![0; NETLINK_HEADER];
            prop_assert_eq!(words(&[header.clone(), offset.clone(), said.clone()].concat()), Some(text.clone()));
            prop_assert_eq!(words(&[header.clone(), said, offset.clone()].concat()), Some(text));
            prop_assert_eq!(words(&[header, offset].concat()), None);
        }
    }
}
