//! Network namespaces: a descriptor that keeps one alive, and ways to work inside it.
//!
//! Invariant: no thread of the async runtime ever calls setns. [`NetNs::run`] enters on a scratch
//! thread that ends there; a socket made inside stays inside and is driven from anywhere.
//!
//! As commands: `ip netns exec NAME ...`, `nsenter --net=FILE ...`, `sysctl -w KEY=VALUE`.

use std::marker::PhantomData;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::{fmt, io, thread};

use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use nix::sys::stat::fstat;
use nix::sys::statfs::{NSFS_MAGIC, fstatfs};
use rustix::fs::{Mode, OFlags};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::sync::oneshot;

use crate::error::KernelError;
use crate::netlink::Netlink;
use crate::sysctl;

/// A network namespace. Lives at least as long as the last clone of this handle.
#[derive(Clone, Debug)]
pub struct NetNs {
    file: Arc<OwnedFd>,
    inode: u64,
}

impl PartialEq for NetNs {
    fn eq(&self, other: &Self) -> bool {
        self.inode == other.inode
    }
}

impl Eq for NetNs {}

impl AsFd for NetNs {
    /// The descriptor that keeps it alive.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl NetNs {
    /// The namespace that a descriptor of its nsfs file refers to. Refused where it is none of a network.
    pub fn from_fd(file: OwnedFd) -> Result<Self, KernelError> {
        NetNs::take(file, "take a descriptor of a network namespace")
    }

    /// The namespace bound to a file, such as `/run/netns/NAME` or `/proc/PID/ns/net`.
    ///
    /// The path is followed as it is: a path that a learner could have written is for
    /// [`crate::processes::open_named_namespace`].
    pub fn open(path: &Path) -> Result<Self, KernelError> {
        let doing = format!("open network namespace {}", path.display());
        let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        NetNs::take(file.map_err(KernelError::doing(&doing))?, &doing)
    }

    /// As [`NetNs::from_fd`], for the sake of which operation.
    pub(crate) fn take(file: OwnedFd, doing: &str) -> Result<Self, KernelError> {
        // A path that somebody bound elsewhere says nothing: only the file system and its own answer do.
        let kind = fstatfs(&file).map_err(KernelError::doing(doing))?.filesystem_type();
        if kind != NSFS_MAGIC
            || namespace_type(file.as_fd()).map_err(KernelError::doing(doing))? != CloneFlags::CLONE_NEWNET
        {
            return Err(KernelError::answer(doing, "that is no network namespace"));
        }
        let inode = fstat(&file).map_err(KernelError::doing(doing))?.st_ino;
        Ok(NetNs { file: Arc::new(file), inode })
    }

    /// The calling thread's.
    pub fn current() -> Result<Self, KernelError> {
        NetNs::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// Its inode, the number that `lsns` and `readlink /proc/PID/ns/net` show.
    pub fn inode(&self) -> u64 {
        self.inode
    }

    /// Does `work` inside, on a scratch thread that ends before this returns. Blocks: for short work.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, KernelError> {
        Visitor::run(|visitor| visitor.enter(self).map(|()| work()))?
    }

    /// As [`NetNs::run`], for work that takes longer than a millisecond: does not block the caller's thread.
    pub async fn run_async<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, KernelError> {
        let (answer, answered) = oneshot::channel();
        let inside = self.clone();
        // A caller that gave up dropped the receiver: then nobody wants the answer.
        let enter_and_work = move || drop(answer.send(inside.enter().map(|()| work())));
        scratch().spawn(enter_and_work).map_err(KernelError::doing(SPAWN))?;
        answered.await.map_err(|_| KernelError::answer(format!("work in {self}"), "its thread panicked"))?
    }

    /// An rtnetlink socket made inside. It keeps the namespace alive.
    pub fn netlink(&self) -> Result<Netlink, KernelError> {
        self.run(Netlink::here)?
    }

    /// A TCP connection from inside.
    pub async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let socket = self.run(|| if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() });
        socket.map_err(io::Error::other)??.connect(to).await
    }

    /// A UDP socket inside, bound to `from`.
    pub fn udp(&self, from: SocketAddr) -> io::Result<UdpSocket> {
        let socket = self.run(|| std::net::UdpSocket::bind(from)).map_err(io::Error::other)??;
        socket.set_nonblocking(true)?;
        UdpSocket::from_std(socket)
    }

    /// A raw ICMP socket inside: what is sent begins with the ICMP header; what is received begins
    /// with the IPv4 header, and is every ICMP message that reaches the namespace.
    pub fn icmp(&self) -> io::Result<UdpSocket> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = self.run(|| socket(AddressFamily::Inet, SockType::Raw, flags, SockProtocol::Icmp));
        UdpSocket::from_std(socket.map_err(io::Error::other)??.into())
    }

    /// Writes sysctls of this namespace, in order: see [`sysctl::write`].
    pub fn write_sysctls(&self, values: &[(&str, &str)]) -> Result<(), KernelError> {
        self.run(|| sysctl::write(values))?
    }

    fn enter(&self) -> Result<(), KernelError> {
        setns(&self.file, CloneFlags::CLONE_NEWNET).map_err(KernelError::doing(format!("enter {self}")))
    }
}

/// A scratch thread, for work in several namespaces one after the other. It can't leave its thread.
#[derive(Debug)]
pub struct Visitor(PhantomData<*const ()>);

impl Visitor {
    /// Does `work` on a scratch thread that ends before this returns. Blocks: for short work.
    pub fn run<T: Send>(work: impl FnOnce(&Visitor) -> T + Send) -> Result<T, KernelError> {
        thread::scope(|scope| {
            let work = || work(&Visitor(PhantomData));
            let thread = scratch().spawn_scoped(scope, work).map_err(KernelError::doing(SPAWN))?;
            Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
        })
    }

    /// Goes on in that namespace.
    pub fn enter(&self, namespace: &NetNs) -> Result<(), KernelError> {
        namespace.enter()
    }
}

impl fmt::Display for NetNs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "network namespace {}", self.inode)
    }
}

const SPAWN: &str = "start a thread for work in a network namespace";

fn scratch() -> thread::Builder {
    thread::Builder::new().name("netns".to_owned())
}

/// What kind of namespace an nsfs file is, ioctl_nsfs(2).
#[expect(unsafe_code)]
fn namespace_type(file: BorrowedFd<'_>) -> io::Result<CloneFlags> {
    nix::ioctl_none_bad!(ns_get_nstype, nix::request_code_none!(0xb7, 3));
    // SAFETY: NS_GET_NSTYPE takes no argument and touches no memory of ours.
    let kind = unsafe { ns_get_nstype(file.as_raw_fd()) }?;
    Ok(CloneFlags::from_bits_retain(kind))
}
