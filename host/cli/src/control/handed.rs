//! Connections to a supervisor for a `knetsim` that can't see its socket: one that an author's script starts within the
//! sandbox, where it stands for what a learner types in a terminal outside.
//!
//! Owns a socket pair. One end is in the sandbox, and whoever has it asks by a byte; the other end answers with a
//! connection. What it leads to is the sandbox that the script runs in, and nothing else.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use anyhow::Context;
use knetsim_sandbox::StateFolder;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};
use tokio::io::Interest;
use tokio::net::UnixDatagram;

/// The number of the descriptor by which connections are asked for.
const VARIABLE: &str = "KNETSIM_CONTROL";

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

    /// Waits for the next who asks and gives it a connection to that sandbox; false where nobody can ask any more.
    /// Nothing is lost where the future is dropped.
    pub(crate) async fn serve(&self, folder: &StateFolder) -> anyhow::Result<bool> {
        let asked = || Ok(rustix::net::recv(&self.socket, &mut [0; 1], RecvFlags::empty())?.0);
        if self.socket.async_io(Interest::READABLE, asked).await? == 0 {
            return Ok(false);
        }
        let connection = folder.connect()?;
        let descriptors = [connection.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        rustix::net::sendmsg(&self.socket, &[IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL)
            .context("handing a connection over")?;
        Ok(true)
    }
}

/// The connection that this program is to use; none where nobody hands any over.
pub(crate) fn take() -> anyhow::Result<Option<UnixStream>> {
    let Some(number) = std::env::var_os(VARIABLE) else { return Ok(None) };
    let number = number.to_str().and_then(|number| number.parse::<RawFd>().ok()).filter(|number| *number >= 0);
    let number = number.with_context(|| format!("{VARIABLE} is no descriptor"))?;
    // SAFETY: it is open, and stays so, by whoever has set the variable; a number that is not is an error of `send`.
    #[expect(unsafe_code)]
    let socket = unsafe { BorrowedFd::borrow_raw(number) };
    ask(socket).with_context(|| format!("asking for a connection by the descriptor {number} of {VARIABLE}")).map(Some)
}

fn ask(socket: BorrowedFd<'_>) -> anyhow::Result<UnixStream> {
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
