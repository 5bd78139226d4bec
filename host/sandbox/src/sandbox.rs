//! The supervisor's handle of the node side.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fmt, io};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use knetsim_kernel::NetNs;
use knetsim_model::NodeName;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{broadcast, oneshot, watch};

use crate::error::{Result, SandboxError, step};
use crate::first::Seat;
use crate::memory::{self, OverMemory};
use crate::node::{self, Node, NodeSpec};
use crate::root::{DATA, NODES};
use crate::spawn::{Child, Exit, Life, Spawn, Stdio};
use crate::sweep::{Proc, Spaces};
use crate::wire::{self, Answer, Beside, Call, MAX_PACKET, Message, Request, SpawnRequest, Streams};

/// The way to the node side. Cheap to clone; requests of all clones run beside each other.
#[derive(Clone, Debug)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

type Answered = Result<(Answer, Vec<OwnedFd>)>;

#[derive(Debug)]
pub(crate) struct Inner {
    socket: AsyncFd<OwnedFd>,
    base: NetNs,
    proc: Proc,
    files: Dir,
    data: Dir,
    next: AtomicU64,
    asked: Mutex<HashMap<u64, Asked>>,
    children: Mutex<HashMap<u64, Running>>,
    nodes: Mutex<HashMap<NodeName, HeldNode>>,
    events: broadcast::Sender<Happened>,
    ended: watch::Sender<bool>,
}

/// What happens on its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// A process was ended for want of memory.
    OverMemory(OverMemory),
    /// A node's pause process was killed; another took its place.
    PausedAgain {
        /// The node.
        node: NodeName,
        /// The new process, as `ps` on the node side shows it.
        pid: i32,
    },
    /// The node side has ended, and with it every node.
    Ended,
}

impl fmt::Display for Happened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Happened::OverMemory(over) => over.fmt(f),
            Happened::PausedAgain { node, pid } => {
                write!(f, "{node}: its pause process was killed; process {pid} has taken its place")
            }
            Happened::Ended => write!(f, "the node side has ended, and with it every node"),
        }
    }
}

/// A process that was started and has not ended.
#[derive(Debug)]
struct Running {
    /// None while it begins.
    pid: Option<i32>,
    label: String,
    life: watch::Sender<Life>,
}

/// A request that waits for its answer.
#[derive(Debug)]
struct Asked {
    answer: oneshot::Sender<Answered>,
    undo: Option<Request>,
}

#[derive(Debug)]
struct HeldNode {
    pause: i32,
    spaces: Spaces,
}

impl Running {
    fn ended(&self, exit: Exit) {
        self.life.send_modify(|life| life.exit = Some(exit));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What the maps hold is whole at any time.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Seat {
    /// The sandbox's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The way to the node side, and the listener of the control socket. Within a tokio runtime.
    ///
    /// # Errors
    /// The node side has ended already.
    pub fn open(self) -> Result<(Sandbox, UnixListener)> {
        let opening = || "opening the node side";
        let mut buffer = vec![0; MAX_PACKET];
        let hello = wire::receive(&self.node_side, &mut buffer).map_err(step(opening))?;
        let Some((Message::Hello, fds)) = hello else { return Err(SandboxError::Ended(opening().into())) };
        let [base, proc] = expect(fds.map_err(step(opening))?)?;
        rustix::io::ioctl_fionbio(&self.node_side, true).map_err(step(opening))?;
        let open = |path| Dir::open_ambient_dir(path, ambient_authority()).map_err(step(|| format!("opening {path}")));
        let inner = Inner::new(self.node_side, NetNs::from_fd(base)?, proc, open(NODES)?, open(DATA)?)?;
        let inner = Arc::new(inner);
        tokio::spawn(listen(Arc::clone(&inner)));
        tokio::spawn(memory::watch(Arc::clone(&inner), self.memory));
        Ok((Sandbox { inner }, self.listener))
    }
}

/// Exactly that many descriptors.
fn expect<const N: usize>(fds: Vec<OwnedFd>) -> Result<[OwnedFd; N]> {
    fds.try_into().map_err(|_| SandboxError::Refused("the node side sent other descriptors than it should".into()))
}

/// Hears what the node side says, until its end.
async fn listen(inner: Arc<Inner>) {
    let mut buffer = vec![0; MAX_PACKET];
    loop {
        let received = inner.socket.async_io(Interest::READABLE, |socket| wire::receive(socket, &mut buffer)).await;
        match received {
            Ok(Some((message, fds))) => inner.hear(message, fds),
            Ok(None) => break,
            Err(error) => {
                tracing::error!(%error, "the node side can't be understood");
                break;
            }
        }
    }
    inner.ended.send_replace(true);
    lock(&inner.asked).clear();
    for (_, child) in lock(&inner.children).drain() {
        child.ended(Exit::Lost);
    }
    inner.say(Happened::Ended);
}

impl Inner {
    fn new(node_side: OwnedFd, base: NetNs, proc: OwnedFd, files: Dir, data: Dir) -> Result<Inner> {
        // SAFETY: an OwnedFd is open, and the same descriptor, until it is dropped.
        #[expect(unsafe_code)]
        let socket = unsafe { AsyncFd::register(node_side) };
        Ok(Inner {
            socket: socket.map_err(|error| step(|| "opening the node side")(io::Error::from(error)))?,
            base,
            proc: Proc::new(proc),
            files,
            data,
            next: AtomicU64::new(1),
            asked: Mutex::default(),
            children: Mutex::default(),
            nodes: Mutex::default(),
            events: broadcast::Sender::new(256),
            ended: watch::Sender::new(false),
        })
    }

    fn hear(self: &Arc<Self>, message: Message, beside: Beside) {
        match message {
            Message::Answer { id, result } => {
                let Some(asked) = lock(&self.asked).remove(&id) else { return };
                let done = result.is_ok();
                let taking = || "taking descriptors from the node side";
                let answer = result.map_err(SandboxError::from);
                let answer = answer.and_then(|answer| Ok((answer, beside.map_err(step(taking))?)));
                let lost = answer.is_err();
                if let (sent, Some(undo)) = (asked.answer.send(answer), asked.undo)
                    && done
                    && (lost || sent.is_err())
                {
                    // Nobody has it, and nobody would ever end what was made.
                    let inner = Arc::clone(self);
                    tokio::spawn(async move { inner.ask(undo, &[], None).await });
                }
            }
            Message::Ended { process, status, by_signal } => {
                if let Some(child) = lock(&self.children).remove(&process) {
                    child.ended(if by_signal { Exit::Signal(status) } else { Exit::Code(status) });
                }
            }
            Message::Paused { node, pid } => {
                if let Ok(node) = node.parse::<NodeName>()
                    && let Some(held) = lock(&self.nodes).get_mut(&node)
                {
                    held.pause = pid;
                    self.say(Happened::PausedAgain { node, pid });
                }
            }
            Message::Hello => {}
        }
    }

    /// Asks, and waits for the answer. `undo` is asked where nobody waits any more.
    async fn ask(&self, request: Request, fds: &[BorrowedFd<'_>], undo: Option<Request>) -> Answered {
        self.ask_as(self.next_id(), request, fds, undo).await
    }

    async fn ask_as(&self, id: u64, request: Request, fds: &[BorrowedFd<'_>], undo: Option<Request>) -> Answered {
        let doing = request.doing();
        let (answer, answered) = oneshot::channel();
        lock(&self.asked).insert(id, Asked { answer, undo });
        let call = Call { id, request };
        let sent = self.socket.async_io(Interest::WRITABLE, |socket| wire::send(socket, &call, fds)).await;
        if let Err(error) = sent {
            lock(&self.asked).remove(&id);
            return Err(match error.kind() {
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => SandboxError::Ended(doing),
                _ => step(|| doing)(error),
            });
        }
        if self.has_ended() {
            return Err(SandboxError::Ended(doing));
        }
        answered.await.unwrap_or_else(|_| Err(SandboxError::Ended(doing)))
    }

    fn next_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// A signal to the process group of a process that was spawned with that id.
    pub(crate) async fn signal(&self, process: u64, signal: i32) -> Result<()> {
        self.ask(Request::Signal { process, signal }, &[], None).await.map(drop)
    }

    pub(crate) fn proc(&self) -> &Proc {
        &self.proc
    }

    pub(crate) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Says what happened; nobody listening is nothing to report.
    fn say(&self, happened: Happened) {
        let _ = self.events.send(happened);
    }

    /// The running process that was started with that process id.
    pub(crate) fn child_at(&self, pid: i32) -> Option<u64> {
        lock(&self.children).iter().find(|(_, child)| child.pid == Some(pid)).map(|(id, _)| *id)
    }

    /// What messages call it.
    pub(crate) fn label(&self, child: u64) -> Option<String> {
        lock(&self.children).get(&child).map(|child| child.label.clone())
    }

    /// Says that a process is ended for want of memory, also to whoever waits for the one that it belongs to.
    pub(crate) fn over_memory(&self, child: Option<u64>, over: OverMemory) {
        if let Some(child) = child.and_then(|child| lock(&self.children).get(&child).map(|child| child.life.clone())) {
            child.send_modify(|life| life.add(over.clone()));
        }
        self.say(Happened::OverMemory(over));
    }

    pub(crate) fn pauses(&self) -> HashSet<i32> {
        lock(&self.nodes).values().map(|held| held.pause).collect()
    }

    /// Ends every process that is in one of these namespaces, but for pause processes.
    async fn sweep(self: &Arc<Self>, spaces: Spaces) -> Result<()> {
        let inner = Arc::clone(self);
        let swept = tokio::task::spawn_blocking(move || inner.proc.end_all(&spaces, || inner.pauses())).await;
        swept.map_err(|error| step(|| "ending processes")(io::Error::other(error)))?
    }
}

impl Sandbox {
    /// The node side's own network namespace: the fabric, where all bridges are. Loopback is up.
    pub fn base(&self) -> &NetNs {
        &self.inner.base
    }

    /// `/tmp/knetsim`, where the nodes' folders are.
    pub fn files(&self) -> &Dir {
        &self.inner.files
    }

    /// A node's pause process now, as `ps` on the node side shows it: where somebody killed it, another took its place.
    pub fn pause_of(&self, node: &NodeName) -> Option<i32> {
        lock(&self.inner.nodes).get(node).map(|held| held.pause)
    }

    /// Makes a node: namespaces, pause process, folder, mounts; loopback is up.
    ///
    /// # Errors
    /// It exists, or a step failed; nothing is left then.
    pub async fn create_node(&self, spec: NodeSpec) -> Result<Node> {
        let inner = &self.inner;
        let NodeSpec { name, etcd } = spec;
        if lock(&inner.nodes).contains_key(&name) {
            return Err(SandboxError::Invalid(format!("node {name} exists")));
        }
        // Somebody may have planted one; what is made now is ours.
        self.remove_folders(&name)?;
        let files = node::make_folder(&inner.files, &name)?;
        if etcd {
            inner.data.create_dir(name.as_str()).map_err(step(|| format!("making the data folder of node {name}")))?;
        }
        let request = Request::CreateNode { name: name.to_string(), etcd };
        let undo = Request::DeleteNode { name: name.to_string() };
        let made = inner.ask(request, &[], Some(undo)).await.and_then(|answer| match answer {
            (Answer::Process { pid }, fds) => Ok((pid, expect::<4>(fds)?)),
            (Answer::Done, _) => Err(SandboxError::Refused("the node side made no process".into())),
        });
        let (pid, [net, mnt, uts, root]) = match made {
            Ok(made) => made,
            Err(error) => {
                self.remove_folders(&name)?;
                return Err(error);
            }
        };
        let netns = NetNs::from_fd(net)?;
        let spaces = Spaces::of(netns.inode(), &mnt, &uts)?;
        lock(&inner.nodes).insert(name.clone(), HeldNode { pause: pid, spaces });
        Ok(Node { name, pid, netns, files, root })
    }

    /// Ends everything on a node, and removes it and its folder. Can be repeated.
    ///
    /// # Errors
    /// Something could not be removed.
    pub async fn delete_node(&self, name: &NodeName) -> Result<()> {
        let spaces = lock(&self.inner.nodes).get(name).map(|held| held.spaces);
        if let Some(spaces) = spaces {
            self.inner.sweep(spaces).await?;
        }
        self.inner.ask(Request::DeleteNode { name: name.to_string() }, &[], None).await?;
        lock(&self.inner.nodes).remove(name);
        self.remove_folders(name)
    }

    fn remove_folders(&self, name: &NodeName) -> Result<()> {
        node::remove_folder(&self.inner.files, name)?;
        node::remove_folder(&self.inner.data, name)
    }

    /// A new network namespace without a name; loopback is up. It lives as long as the descriptor or a process in it.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn create_netns(&self) -> Result<NetNs> {
        self.new_netns(None, None).await
    }

    /// A new network namespace for a container, with a name on a node: `ip netns add`. Loopback is up. It lives as
    /// long as the descriptor, a process in it, or its name ([`Sandbox::detach`]).
    ///
    /// # Errors
    /// The name is taken, or there is no such node; nothing is left then.
    pub async fn create_named_netns(&self, node: &NodeName, name: &str) -> Result<NetNs> {
        let (node, name) = (node.to_string(), name.to_owned());
        let undo = Request::Detach { node: node.clone(), name: name.clone() };
        self.new_netns(Some((node, name)), Some(undo)).await
    }

    async fn new_netns(&self, named: Option<(String, String)>, undo: Option<Request>) -> Result<NetNs> {
        let (_, fds) = self.inner.ask(Request::CreateNetns { named }, &[], undo).await?;
        let [netns] = expect(fds)?;
        Ok(NetNs::from_fd(netns)?)
    }

    /// Removes a namespace's name from a node, `ip netns delete`. Can be repeated.
    ///
    /// # Errors
    /// The kernel refused, or there is no such node.
    pub async fn detach(&self, node: &NodeName, name: &str) -> Result<()> {
        self.inner.ask(Request::Detach { node: node.to_string(), name: name.to_owned() }, &[], None).await.map(drop)
    }

    /// Starts a process.
    ///
    /// # Errors
    /// The program is not there or can't be run, or a limit was reached.
    pub async fn spawn(&self, spawn: Spawn) -> Result<Child> {
        let (streams, mut fds) = match spawn.stdio {
            Stdio::Null => (Streams::Null, Vec::new()),
            Stdio::Fds(three) => (Streams::Three, three.into()),
            Stdio::Pty(rows, columns) => (Streams::Terminal(rows, columns), Vec::new()),
            Stdio::Log(file) => (Streams::Output, vec![file]),
        };
        let terminals = usize::from(matches!(streams, Streams::Terminal(..)));
        let netns = spawn.netns.is_some();
        let label = spawn.label.unwrap_or_else(|| crate::quoted(&spawn.argv));
        let request = Request::Spawn(SpawnRequest {
            argv: spawn.argv,
            env: spawn.env,
            cwd: spawn.cwd.unwrap_or_else(|| "/root".to_owned()),
            node: spawn.node.map(|node| node.to_string()),
            profile: spawn.profile,
            streams,
            netns,
        });
        let id = self.inner.next_id();
        let life = watch::Sender::new(Life::default());
        let seen = life.subscribe();
        lock(&self.inner.children).insert(id, Running { pid: None, label, life });
        let undo = Request::Signal { process: id, signal: nix::libc::SIGKILL };
        let beside: Vec<_> = fds.iter().map(AsFd::as_fd).chain(spawn.netns.as_ref().map(NetNs::as_fd)).collect();
        let answer = self.inner.ask_as(id, request, &beside, Some(undo)).await;
        drop(beside);
        fds.clear();
        match answer {
            Ok((Answer::Process { pid }, mut fds)) if fds.len() == terminals => {
                // It may have ended already.
                if let Some(child) = lock(&self.inner.children).get_mut(&id) {
                    child.pid = Some(pid);
                }
                Ok(Child { pid, terminal: fds.pop(), id, life: seen, inner: Arc::clone(&self.inner) })
            }
            other => {
                lock(&self.inner.children).remove(&id);
                let refused = "the node side answered something else than a process";
                Err(other.err().unwrap_or_else(|| SandboxError::Refused(refused.into())))
            }
        }
    }

    /// Kills every process in a network namespace, pause processes excepted, and returns when none is left.
    ///
    /// # Errors
    /// For five seconds none of those that are still there has ended.
    pub async fn kill_in(&self, netns: &NetNs) -> Result<()> {
        self.inner.sweep(Spaces::of_net(netns.inode())).await
    }

    /// What happens on its own, from now on.
    pub fn events(&self) -> broadcast::Receiver<Happened> {
        self.inner.events.subscribe()
    }

    /// Returns when the node side has ended, which it never does by itself.
    pub async fn ended(&self) {
        // The sender lives as long as `self`.
        let _ = self.inner.ended.subscribe().wait_for(|ended| *ended).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, socketpair};
    use std::fs::File;
    use std::time::Duration;
    use tokio::time::timeout;

    const SOON: Duration = Duration::from_secs(5);

    /// A supervisor's side, whose node side is this test.
    async fn false_node_side() -> (Sandbox, OwnedFd) {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let folder = Dir::open_ambient_dir("/proc", ambient_authority()).unwrap();
        for socket in [&ours, &theirs] {
            rustix::io::ioctl_fionbio(socket, true).unwrap();
        }
        let inner = Inner::new(
            ours,
            NetNs::current().unwrap(),
            File::open("/proc").unwrap().into(),
            folder.try_clone().unwrap(),
            folder,
        );
        let inner = Arc::new(inner.unwrap());
        tokio::spawn(listen(Arc::clone(&inner)));
        (Sandbox { inner }, theirs)
    }

    #[tokio::test]
    async fn a_node_side_that_talks_nonsense_has_ended() {
        for nonsense in ["", "x", "{}", "{\"Answer\":{\"id\":1}}", &"[".repeat(100_000), "{\"Ended\":{\"process\":-1}}"]
        {
            let (sandbox, theirs) = false_node_side().await;
            let asked = tokio::spawn({
                let sandbox = sandbox.clone();
                async move { sandbox.create_netns().await }
            });
            rustix::net::send(&theirs, nonsense.as_bytes(), SendFlags::empty()).unwrap();
            timeout(SOON, sandbox.ended()).await.unwrap();
            assert!(matches!(asked.await.unwrap(), Err(SandboxError::Ended(_))));
            assert!(matches!(sandbox.create_netns().await, Err(SandboxError::Ended(_))), "and later");
        }
    }

    #[tokio::test]
    async fn what_was_not_asked_for_changes_nothing() {
        let (sandbox, theirs) = false_node_side().await;
        let node = "C0w1".to_owned();
        let told = || SandboxError::Invalid("no".into()).into();
        for message in [
            Message::Hello,
            Message::Answer { id: 0, result: Ok(Answer::Done) },
            Message::Answer { id: 1 << 40, result: Err(told()) },
            Message::Ended { process: 99, status: -1, by_signal: true },
            Message::Paused { node, pid: -5 },
            Message::Paused { node: "/../x".into(), pid: 1 },
        ] {
            wire::send(&theirs, &message, &[]).unwrap();
        }
        // An answer with other descriptors than it should have, and one that is none of a network namespace.
        let null = File::open("/dev/null").unwrap();
        for fds in [&[][..], &[null.as_fd(), null.as_fd()], &[null.as_fd()]] {
            let asked = tokio::spawn({
                let sandbox = sandbox.clone();
                async move { sandbox.create_netns().await }
            });
            let mut buffer = vec![0; MAX_PACKET];
            let call = loop {
                match wire::receive::<Call>(&theirs, &mut buffer) {
                    Ok(received) => break received.unwrap().0,
                    Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                }
                tokio::task::yield_now().await;
            };
            wire::send(&theirs, &Message::Answer { id: call.id, result: Ok(Answer::Done) }, fds).unwrap();
            assert!(timeout(SOON, asked).await.unwrap().unwrap().is_err());
        }
        assert!(!sandbox.inner.has_ended());
    }
}
