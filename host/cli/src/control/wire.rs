//! Lines of JSON on a Unix stream socket, with descriptors beside them by SCM_RIGHTS.
//!
//! Owns the framing. Descriptors come with the first byte of their line, so by the time a line is whole they are here.
//! A read ends with the piece that bears descriptors, unix(7): they belong to the line that the read's last byte is part
//! of. A line has exactly as many as it calls for; else the connection ends, and all of them are closed.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use knetsim_model::protocol::{Hello, PROTOCOL, Reply};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use serde::Serialize;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// The longest line, its end included: a topology file of some ten thousand containers fits.
pub(crate) const MAX_LINE: usize = 4 << 20;
/// The most descriptors beside a line, and of those that wait for theirs.
pub(crate) const MAX_DESCRIPTORS: usize = 16;

/// Why a connection can't go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// The kernel's answer.
    #[error("the control socket: {0}")]
    Io(#[from] std::io::Error),
    /// The other side sent a line over [`MAX_LINE`].
    #[error("the control socket: a line of more than {MAX_LINE} bytes")]
    TooLong,
    /// It sent more or fewer descriptors than what it said calls for.
    #[error("the control socket: {0} descriptors where {1} belong")]
    Descriptors(usize, usize),
    /// It is no knetsim, or its line can't be written as JSON.
    #[error("the control socket: {0}")]
    Json(#[from] serde_json::Error),
    /// The other side speaks another version.
    #[error(
        "the sandbox is of knetsim {} (protocol {}), this is knetsim {} (protocol {PROTOCOL}): use the knetsim that \
         started it",
        .0.knetsim, .0.protocol, env!("CARGO_PKG_VERSION")
    )]
    Version(Hello),
    /// The other side answered a call with what is no answer to it.
    #[error("the sandbox answered something else than was asked: {0:?}")]
    Unexpected(Box<Reply>),
    /// It ended the connection in the middle.
    #[error("the sandbox ended the connection")]
    Ended,
}

/// Both halves of a connection.
pub(crate) fn split(stream: UnixStream) -> (Receiver, Sender) {
    let stream = Arc::new(stream);
    let receiver = Receiver { stream: stream.clone(), bytes: Vec::new(), searched: 0, descriptors: VecDeque::new() };
    (receiver, Sender { stream })
}

/// The half that lines come from.
pub(crate) struct Receiver {
    stream: Arc<UnixStream>,
    bytes: Vec<u8>,
    /// How much of `bytes` is known to hold no end of line.
    searched: usize,
    /// Each with how many of `bytes` were there when it came: the last of them is one of its line's.
    descriptors: VecDeque<(usize, OwnedFd)>,
}

/// A line without its end, and what came beside it.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) line: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

impl Received {
    /// The descriptors that came with the line. An error where they are not `count`.
    pub(crate) fn descriptors(self, count: usize) -> Result<Vec<OwnedFd>, WireError> {
        match self.descriptors.len() {
            there if there == count => Ok(self.descriptors),
            there => Err(WireError::Descriptors(there, count)),
        }
    }
}

impl Receiver {
    /// The next line; none when the other side has ended the connection. Nothing is lost where the future is dropped.
    pub(crate) async fn line(&mut self) -> Result<Option<Received>, WireError> {
        loop {
            if let Some(end) = self.bytes[self.searched..].iter().position(|byte| *byte == b'\n') {
                let length = self.searched + end + 1;
                let rest = self.bytes.split_off(length);
                let mut line = std::mem::replace(&mut self.bytes, rest);
                self.searched = 0;
                line.pop();
                let here = self.descriptors.partition_point(|(bytes, _)| *bytes <= length);
                let descriptors = self.descriptors.drain(..here).map(|(_, descriptor)| descriptor).collect();
                self.descriptors.iter_mut().for_each(|(bytes, _)| *bytes -= length);
                return Ok(Some(Received { line, descriptors }));
            }
            self.searched = self.bytes.len();
            if self.bytes.len() >= MAX_LINE {
                return Err(WireError::TooLong);
            }
            let stream = self.stream.clone();
            let received = stream.async_io(Interest::READABLE, || self.receive()).await?;
            match (received, self.bytes.is_empty()) {
                (0, true) => return Ok(None),
                (0, false) => return Err(WireError::Ended),
                _ if self.descriptors.len() > MAX_DESCRIPTORS => {
                    return Err(WireError::Descriptors(self.descriptors.len(), MAX_DESCRIPTORS));
                }
                _ => {}
            }
        }
    }

    fn receive(&mut self) -> std::io::Result<usize> {
        let mut chunk = [0; 16 << 10];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let into = &mut [IoSliceMut::new(&mut chunk)];
        let received = rustix::net::recvmsg(&*self.stream, into, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        let bytes = self.bytes.len() + received.bytes;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors.map(|descriptor| (bytes, descriptor)));
            }
        }
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(std::io::Error::other(format!("more than {MAX_DESCRIPTORS} descriptors at once")));
        }
        self.bytes.extend_from_slice(&chunk[..received.bytes]);
        Ok(received.bytes)
    }
}

/// The half that lines go into.
pub(crate) struct Sender {
    stream: Arc<UnixStream>,
}

impl Sender {
    /// Sends one line with its descriptors. Once begun it must not be dropped before its end.
    pub(crate) async fn send(
        &mut self,
        message: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), WireError> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let (mut sent, mut beside) = (0, descriptors);
        while sent < line.len() {
            let rest = &line[sent..];
            sent += self.stream.async_io(Interest::WRITABLE, || send(&self.stream, rest, beside)).await?;
            beside = &[];
        }
        Ok(())
    }
}

fn send(stream: &UnixStream, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> std::io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(std::io::Error::other(format!("more than {MAX_DESCRIPTORS} descriptors at once")));
    }
    Ok(rustix::net::sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
}

/// The first line of this side.
pub(crate) fn hello() -> Hello {
    Hello { knetsim: env!("CARGO_PKG_VERSION").to_owned(), protocol: PROTOCOL, inside: false }
}

/// Reads the other side's first line and compares the versions.
pub(crate) async fn greeted(receiver: &mut Receiver) -> Result<Hello, WireError> {
    let line = receiver.line().await?.ok_or(WireError::Ended)?;
    let theirs: Hello = serde_json::from_slice(&line.line)?;
    line.descriptors(0)?;
    if theirs.protocol == PROTOCOL { Ok(theirs) } else { Err(WireError::Version(theirs)) }
}
