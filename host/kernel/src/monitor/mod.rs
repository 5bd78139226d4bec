//! What the kernel announces: changes of one network namespace, and names that come and go in a folder.
//!
//! Invariant: nothing is lost silently. Where more happened than a queue held, a change with the
//! subject `history` and the verb `lost` says so. Only what the kernel sent counts: root of the
//! namespace may send messages to these sockets too, and they are ignored.
//!
//! Not announced by the kernel: IPv4 routes that go because their device went down or away (the
//! device's own change stands for them), and what is learned from traffic is left out here
//! (neighbours other than permanent ones, forwarding entries of bridges).
//!
//! As commands: `ip monitor link address route neigh`, `nft monitor`, `inotifywait -m /run/netns`.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use knetsim_model::observe::Change;
use netlink_packet_core::NetlinkBuffer;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::sockopt::set_socket_recv_buffer_size;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SocketAddrAny, SocketFlags, SocketType, bind, recvfrom, socket_with,
};
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tokio::task::coop::consume_budget;

use crate::error::KernelError;
use crate::netns::NetNs;

mod names;
mod route;
mod rules;

pub use names::NameMonitor;

/// The announcements of one network namespace. Keeps the namespace alive.
#[derive(Debug)]
pub struct Monitor {
    namespace: NetNs,
    route: Group,
    rules: Group,
    seen: route::Seen,
    /// After an overrun, until `seen` was read anew.
    stale: bool,
    pending: VecDeque<Change>,
}

/// Bytes asked for as receive queue; the kernel grants what net.core.rmem_max allows.
const QUEUE: usize = 4 << 20;
/// Bytes of the largest announcement; a buffer lives only while it is read into.
const LARGEST: usize = 32 << 10;

impl Monitor {
    /// Listens from now on.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn start(namespace: &NetNs) -> Result<Self, KernelError> {
        let runtime = Handle::current();
        let listen = || {
            let _runtime = runtime.enter();
            // rtnetlink is protocol 0.
            io::Result::Ok((Group::listen(None, route::GROUPS)?, Group::listen(Some(NETFILTER), rules::GROUPS)?))
        };
        let groups = namespace.run(listen)?;
        let (route, rules) = groups.map_err(|error| KernelError::refused(doing(namespace), error))?;
        // Read after the sockets listen: what happens between counts as there before.
        let seen = route::Seen::read(namespace)?;
        Ok(Monitor { namespace: namespace.clone(), route, rules, seen, stale: false, pending: VecDeque::new() })
    }

    /// The next change. Cancel safe.
    pub async fn next(&mut self) -> Result<Change, KernelError> {
        loop {
            if self.stale {
                self.seen = route::Seen::read(&self.namespace)?;
                self.stale = false;
            }
            if let Some(change) = self.pending.pop_front() {
                return Ok(change);
            }
            let received = tokio::select! {
                received = self.route.receive() => received.map(|received| match received {
                    Some(bytes) => messages(&bytes, |message| self.pending.extend(self.seen.change(message))),
                    None => self.lost(),
                }),
                received = self.rules.receive() => received.map(|received| match received {
                    Some(bytes) => messages(&bytes, |message| self.pending.extend(rules::change_of(message))),
                    None => self.lost(),
                }),
            };
            received.map_err(|error| KernelError::refused(doing(&self.namespace), error))?;
        }
    }

    fn lost(&mut self) {
        self.stale = true;
        self.pending.push_back(lost("the kernel announced more than its queue holds"));
    }
}

fn doing(namespace: &NetNs) -> String {
    format!("listen to the kernel in {namespace}")
}

/// For the current runtime to watch.
#[expect(unsafe_code)]
fn register(file: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` keeps its descriptor open, and the same, while it is owned.
    Ok(unsafe { AsyncFd::register(file) }?)
}

/// A socket that listens to groups of announcements.
#[derive(Debug)]
struct Group {
    socket: AsyncFd<OwnedFd>,
    /// The queue ran over. The kernel says so once, drops what comes until the queue is empty, and
    /// what is in the queue was before.
    overrun: bool,
}

impl Group {
    fn listen(protocol: Option<Protocol>, groups: u32) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        set_socket_recv_buffer_size(&socket, QUEUE)?;
        bind(&socket, &SocketAddrNetlink::new(0, groups))?;
        Ok(Group { socket: register(socket)?, overrun: false })
    }

    /// One datagram of the kernel's; none where some were lost. Cancel safe: nothing is awaited
    /// between reading and returning.
    async fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            // Somebody inside may keep this busy: other tasks have their turns all the same.
            consume_budget().await;
            let mut ready = self.socket.readable().await?;
            let mut bytes = Vec::with_capacity(LARGEST);
            match recvfrom(&self.socket, spare_capacity(&mut bytes), RecvFlags::empty()) {
                Ok((_, _, sender)) => {
                    if sender.is_some_and(from_kernel) {
                        return Ok(Some(bytes));
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => self.overrun = true,
                Err(Errno::WOULDBLOCK) => {
                    ready.clear_ready();
                    if std::mem::take(&mut self.overrun) {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn from_kernel(sender: SocketAddrAny) -> bool {
    SocketAddrNetlink::try_from(sender).is_ok_and(|sender| sender.pid() == 0)
}

/// Hands on each message of a datagram.
fn messages<'a>(mut bytes: &'a [u8], mut each: impl FnMut(NetlinkBuffer<&'a [u8]>)) {
    while let Ok(message) = NetlinkBuffer::new_checked(bytes) {
        let length = message.length() as usize;
        each(NetlinkBuffer::new(&bytes[..length]));
        // Messages begin at multiples of four bytes.
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

fn change(subject: &str, verb: &str, detail: String) -> Change {
    Change { subject: subject.to_owned(), verb: verb.to_owned(), detail }
}

fn lost(why: &str) -> Change {
    change("history", "lost", why.to_owned())
}
