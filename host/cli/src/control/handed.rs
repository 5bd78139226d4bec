//! Connections to a supervisor for a `knetsim` that can't see its socket: one that an author's script starts within the
//! sandbox, where it stands for what a learner types in a terminal outside.
//!
//! Owns a socket pair. The script has one end and sends a byte on it to ask for a connection. The other end answers with
//! a connection to the sandbox that the script runs in. Before that, it marks the connection as one for the inside: the
//! supervisor takes a learner's commands from it, and refuses labs, because it trusts their compiled code.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::Context;
use knetsim_model::protocol::Hello;
use knetsim_sandbox::StateFolder;
use rustix::net::sockopt::Timeout;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};
use tokio::io::Interest;
use tokio::net::UnixDatagram;

use super::wire;

/// The number of the descriptor by which connections are asked for.
const VARIABLE: &str = "KNETSIM_CONTROL";

/// How long a connection may take to be handed over.
const ANSWER: Duration = Duration::from_secs(10);

/// What begins a script whose standard input is that end: it goes to another descriptor, for each `knetsim`.
pub(crate) const PRELUDE: &str = "exec 9<&0 </dev/null\nexport KNETSIM_CONTROL=9\n";

/// The end outside of the sandbox.
pub(crate) struct Desk {
    socket: UnixDatagram,
}

impl Desk {
    /// Both ends. Within a tokio runtime.
    pub(crate) fn pair() -> std::io::Result<(Desk, OwnedFd)> {
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        Ok((Desk { socket: UnixDatagram::from_std(ours.into())? }, theirs))
    }

    /// Answers each request with a connection to that sandbox, until nobody can ask any more. Where the future is
    /// dropped, a request may be lost.
    ///
    /// # Errors
    /// A connection could not be made. No more requests are answered then: a program that asks fails at once.
    pub(crate) async fn serve(self, folder: &StateFolder) -> anyhow::Result<()> {
        while self.answer(folder).await? {}
        Ok(())
    }

    /// Waits for the next request and answers it; false where nobody can ask any more.
    async fn answer(&self, folder: &StateFolder) -> anyhow::Result<bool> {
        let asked = || Ok(rustix::net::recv(&self.socket, &mut [0; 1], RecvFlags::empty())?.0);
        if self.socket.async_io(Interest::READABLE, asked).await? == 0 {
            return Ok(false);
        }
        let connection = for_the_inside(folder.connect()?).await?;
        let descriptors = [connection.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        // An error means that the script has ended or reads no answers. It then gets no connection.
        let _ = rustix::net::sendmsg(&self.socket, &[IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL);
        Ok(true)
    }
}

/// A fresh connection on which the version is agreed on, and which takes no more than [`Request::serves_the_inside`].
///
/// [`Request::serves_the_inside`]: knetsim_model::protocol::Request::serves_the_inside
async fn for_the_inside(connection: UnixStream) -> anyhow::Result<UnixStream> {
    let ours = connection.try_clone()?;
    ours.set_nonblocking(true)?;
    let (mut receiver, mut sender) = wire::split(tokio::net::UnixStream::from_std(ours)?);
    sender.send(&Hello { inside: true, ..wire::hello() }, &[]).await?;
    wire::greeted(&mut receiver).await?;
    Ok(connection)
}

/// The connection that this program is to use, on which the version is agreed on; none where nobody hands any over.
pub(crate) fn take() -> anyhow::Result<Option<UnixStream>> {
    let Some(number) = std::env::var_os(VARIABLE) else { return Ok(None) };
    let number = number.to_str().and_then(|number| number.parse::<RawFd>().ok()).filter(|number| *number >= 0);
    let number = number.with_context(|| format!("{VARIABLE} is no descriptor"))?;
    // SAFETY: the script opens the descriptor before it sets the variable, and nothing here closes it. If it is closed
    // all the same, `send` fails.
    #[expect(unsafe_code)]
    let socket = unsafe { BorrowedFd::borrow_raw(number) };
    ask(socket).with_context(|| format!("asking for a connection by the descriptor {number} of {VARIABLE}")).map(Some)
}

fn ask(socket: BorrowedFd<'_>) -> anyhow::Result<UnixStream> {
    rustix::net::sockopt::set_socket_timeout(socket, Timeout::Recv, Some(ANSWER))?;
    rustix::net::send(socket, &[0], SendFlags::NOSIGNAL)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let handed = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok(UnixStream::from(handed.context("nobody hands any over")?))
}
