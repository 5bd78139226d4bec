//! What the supervisor and the node side's init say to each other: one JSON value a packet, with descriptors
//! beside it, on a pair of `SOCK_SEQPACKET` sockets.
//!
//! Invariant: neither side trusts the other further than its own data: packets, descriptors and ids are
//! bounded and checked, and what can't be understood ends the conversation.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Told;
use crate::spawn::Profile;

/// The longest packet, in bytes; a command line with its environment must fit.
pub(crate) const MAX_PACKET: usize = 128 << 10;
/// The most descriptors beside a packet.
const MAX_FDS: usize = 8;

/// A request of the supervisor's; the answer bears the same id.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) id: u64,
    pub(crate) request: Request,
}

/// What the supervisor may ask.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Descriptors of the answer: network, mount and UTS namespace, root folder.
    CreateNode {
        name: String,
        etcd: bool,
    },
    DeleteNode {
        name: String,
    },
    /// Descriptor of the answer: the namespace.
    CreateNetns {
        /// The node and the name that it has there.
        named: Option<(String, String)>,
    },
    Detach {
        node: String,
        name: String,
    },
    /// Descriptors beside it: standard streams, then the network namespace, as far as it says so.
    /// Descriptor of the answer: the master of the terminal.
    Spawn(SpawnRequest),
    /// A signal to the process group of the process that was spawned with that id.
    Signal {
        process: u64,
        signal: i32,
    },
}

impl Request {
    /// How many descriptors travel beside it.
    pub(crate) fn descriptors(&self) -> usize {
        match self {
            Request::Spawn(spawn) => spawn.streams.descriptors() + usize::from(spawn.netns),
            _ => 0,
        }
    }

    /// What it is about, for messages.
    pub(crate) fn doing(&self) -> String {
        match self {
            Request::CreateNode { name, .. } => format!("creating node {name}"),
            Request::DeleteNode { name } => format!("deleting node {name}"),
            Request::CreateNetns { named: None } => "creating a network namespace".into(),
            Request::CreateNetns { named: Some((node, name)) } => {
                format!("creating network namespace {name} on {node}")
            }
            Request::Detach { node, name } => format!("taking the name {name} of a namespace away on {node}"),
            Request::Spawn(spawn) => format!("starting `{}`", spawn.argv.first().map_or("", String::as_str)),
            Request::Signal { signal, .. } => format!("sending signal {signal}"),
        }
    }
}

/// A process to start.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SpawnRequest {
    pub(crate) argv: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) cwd: String,
    pub(crate) node: Option<String>,
    pub(crate) profile: Profile,
    pub(crate) streams: Streams,
    pub(crate) netns: bool,
}

/// Which standard streams lie beside a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Streams {
    /// None.
    Null,
    /// Three.
    Three,
    /// One, for output and error.
    Output,
    /// None: a terminal of that many rows and columns.
    Terminal(u16, u16),
}

impl Streams {
    fn descriptors(self) -> usize {
        match self {
            Streams::Null | Streams::Terminal(..) => 0,
            Streams::Output => 1,
            Streams::Three => 3,
        }
    }
}

/// What the node side's init says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    /// The first one. Descriptors: its network namespace, its proc.
    Hello,
    /// An answer.
    Answer { id: u64, result: Result<Answer, Told> },
    /// A process ended that was spawned with that id: with an exit status, or by a signal.
    Ended { process: u64, status: i32, by_signal: bool },
    /// The pause process of a node was killed; another took its place.
    Paused { node: String, pid: i32 },
}

/// How a request succeeded.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    Done,
    /// A process, by its id on the node side: a node's pause process or one that was spawned.
    Process {
        pid: i32,
    },
}

/// Sends a packet whole or not at all.
pub(crate) fn send(socket: impl AsFd, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    if bytes.len() > MAX_PACKET || fds.len() > MAX_FDS {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the request is longer than 128 KiB"));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        beside.push(SendAncillaryMessage::ScmRights(fds));
    }
    let flags = SendFlags::NOSIGNAL;
    rustix::io::retry_on_intr(|| sendmsg(&socket, &[IoSlice::new(&bytes)], &mut beside, flags))?;
    Ok(())
}

/// Descriptors beside a packet; EMFILE where this process may not open so many: then they are lost.
pub(crate) type Beside = io::Result<Vec<OwnedFd>>;

/// Receives a packet; none when the other side is gone. `buffer` has [`MAX_PACKET`] bytes.
pub(crate) fn receive<T: DeserializeOwned>(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Option<(T, Beside)>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        recvmsg(&socket, &mut [IoSliceMut::new(buffer)], &mut beside, RecvFlags::CMSG_CLOEXEC)
    })?;
    let mut fds = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    if received.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a packet that is too long"));
    }
    let lost = received.flags.contains(ReturnFlags::CTRUNC);
    // The other side never sends more than this; the space, rounded up as it is, may hold one more.
    if fds.len() > MAX_FDS || lost && fds.len() == MAX_FDS {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "too many descriptors"));
    }
    let beside = if lost { Err(rustix::io::Errno::MFILE.into()) } else { Ok(fds) };
    Ok(Some((serde_json::from_slice(&buffer[..received.bytes])?, beside)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
    }

    #[test]
    fn a_packet_arrives_with_its_descriptors() {
        let (one, other) = pair();
        let file = std::fs::File::open("/dev/null").unwrap();
        send(&one, &Call { id: 7, request: Request::CreateNetns { named: None } }, &[file.as_fd(), file.as_fd()])
            .unwrap();
        let (call, fds) = receive::<Call>(&other, &mut vec![0; MAX_PACKET]).unwrap().unwrap();
        assert_eq!((call.id, fds.unwrap().len()), (7, 2));
        drop(one);
        assert!(receive::<Call>(&other, &mut vec![0; MAX_PACKET]).unwrap().is_none());
    }

    #[test]
    fn what_is_too_long_or_not_understood_is_an_error() {
        let (one, other) = pair();
        let mut buffer = vec![0; MAX_PACKET];
        assert!(send(&one, &"a".repeat(MAX_PACKET), &[]).is_err());
        for text in ["\"a\"", "{\"id\":1}", "[", "{\"id\":-1,\"request\":{\"CreateNetns\":{\"named\":null}}}"] {
            rustix::net::send(&one, text.as_bytes(), SendFlags::empty()).unwrap();
            assert!(receive::<Call>(&other, &mut buffer).is_err(), "{text}");
        }
        rustix::net::send(&one, &vec![b' '; MAX_PACKET + 1], SendFlags::empty()).unwrap();
        assert!(receive::<Call>(&other, &mut buffer).is_err());
    }

    #[test]
    fn more_descriptors_than_there_is_room_for_are_no_want_of_descriptors() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let call = serde_json::to_vec(&Call { id: 7, request: Request::CreateNetns { named: None } }).unwrap();
        for count in MAX_FDS + 1..MAX_FDS + 4 {
            let (one, other) = pair();
            let many = vec![file.as_fd(); count];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS + 4))];
            let mut beside = SendAncillaryBuffer::new(&mut space);
            beside.push(SendAncillaryMessage::ScmRights(&many));
            sendmsg(&one, &[IoSlice::new(&call)], &mut beside, SendFlags::empty()).unwrap();
            let error = receive::<Call>(&other, &mut vec![0; MAX_PACKET]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{count}");
        }
    }
}
