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
use std::sync::{Arc, Mutex, PoisonError};

use netlink_packet_core::{ErrorMessage, NLM_F_ACK, NLM_F_DUMP, NetlinkMessage, NetlinkPayload, NlasIterator};
use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;

use crate::error::KernelError;
use crate::netns::NetNs;

use socket::{Answer, Ask, Socket};

mod addresses;
mod devices;
mod links;
mod mac;
mod neighbours;
mod routes;
mod socket;

/// The kernel's descriptions as observations, for those who read announcements.
pub(crate) mod observe {
    pub(crate) use super::addresses::observe as address;
    pub(crate) use super::links::observe_change as link;
    pub(crate) use super::neighbours::{is_permanent, observe as neighbour, observe_fdb as fdb};
    pub(crate) use super::routes::observe as route;
}

pub use devices::{Bridge, Veth, VxlanSpec};
pub use links::Ends;
pub(crate) use links::Names;
pub use mac::{BadMac, Mac};
pub use routes::{RouteKind, RouteSpec};

/// An rtnetlink socket of one network namespace. Clones share it; it is closed with the last of them.
///
/// Every call is one short visit to the kernel, which does what it is asked before it returns: it blocks the
/// thread no longer than that, and can be made from any.
#[derive(Clone, Debug)]
pub struct Netlink {
    socket: Arc<Mutex<Socket>>,
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

    fn ask(&self) -> Ask<'_> {
        (&self.message, self.flags)
    }

    fn forgiving(self, forgives: &'static [Errno]) -> Self {
        Request { forgives, ..self }
    }
}

/// How many requests travel in one datagram: should all of them fail, their answers must fit the socket's buffer.
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

impl Netlink {
    /// A socket of the calling thread's namespace: for [`NetNs::run`]. It stays there, whoever uses it.
    pub fn here() -> Result<Self, KernelError> {
        let socket = Socket::open().map_err(KernelError::doing("open rtnetlink"))?;
        Ok(Netlink { socket: Arc::new(Mutex::new(socket)) })
    }

    /// Sends changes, in order, in as few system calls as can be. The first that failed is the error;
    /// the kernel may have done some of those after it.
    pub fn apply(&self, requests: impl IntoIterator<Item = Request>) -> Result<(), KernelError> {
        let requests: Vec<Request> = requests.into_iter().collect();
        for batch in requests.chunks(BATCH) {
            let mut asks: Vec<_> = batch.iter().map(Request::ask).collect();
            // Errors are told unasked; that all is done, with the last.
            if let Some((_, flags)) = asks.last_mut() {
                *flags |= NLM_F_ACK;
            }
            confirm(batch, &self.exchange(&asks)?)?;
        }
        Ok(())
    }

    /// Everything of one kind.
    fn dump(&self, request: RouteNetlinkMessage, doing: &str) -> Result<Vec<RouteNetlinkMessage>, KernelError> {
        let mut answers = Vec::new();
        for _ in 0..DUMP_TRIES {
            answers = self.exchange(&[(&request, NLM_F_DUMP)])?;
            if !answers.iter().any(|(_, answer)| answer.header.flags & DUMP_INTERRUPTED != 0) {
                break;
            }
        }
        answers.into_iter().filter_map(|(_, answer)| inner(doing, answer).transpose()).collect()
    }

    fn exchange(&self, asks: &[Ask<'_>]) -> Result<Vec<Answer>, KernelError> {
        // A socket whose exchange failed is as good as new: what is left unread is known by its number.
        self.socket.lock().unwrap_or_else(PoisonError::into_inner).exchange(asks)
    }
}

/// That no request was refused.
fn confirm(requests: &[Request], answers: &[Answer]) -> Result<(), KernelError> {
    for (at, answer) in answers {
        let (Some(request), NetlinkPayload::Error(error)) = (requests.get(*at), &answer.payload) else { continue };
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
