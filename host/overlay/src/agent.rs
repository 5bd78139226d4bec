//! One worker's overlay agent: flannel's work, in process.
//!
//! Two loops in one task share [`Overlay`], what should be: one follows the leases in etcd
//! ([`crate::session`]), the other looks whether the kernel has it ([`crate::repair`]). So each goes on
//! while the other's side is away. Invariant: the kernel is changed only with `overlay` locked.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use cap_std::fs::Dir;
use ipnet::Ipv4Net;
use knetsim_kernel::KernelError;
use knetsim_kernel::netlink::Netlink;
use knetsim_model::flannel::{BadConfig, FlannelConfig, Lease};
use knetsim_model::inventory::Health;
use knetsim_model::observe::Change;
use knetsim_model::{NodeName, chain};
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use crate::clock::Clock;
use crate::device::{Device, Entry, Peer, UNDERLAY};
use crate::etcd::{Etcd, EtcdError};
use crate::log::Log;

/// How many entries that somebody deleted are kept in mind until the device is looked at: far more than there are peers.
const MOST_DELETED: usize = 4096;

/// What an agent works with.
pub struct AgentSpec {
    /// Its node.
    pub node: NodeName,
    /// The node's address on the underlay.
    pub public_ip: Ipv4Addr,
    /// The node's links.
    pub netlink: Netlink,
    /// The node's files.
    pub files: Dir,
    /// Its cluster's etcd, asked from the node.
    pub etcd: Etcd,
    /// For messages: which node has an address of the underlay.
    pub names: Arc<dyn Fn(Ipv4Addr) -> Option<NodeName> + Send + Sync>,
    /// The subnets that agents of the cluster work with. Where etcd was away for a lease's whole time, it has
    /// forgotten leases whose nodes go on; a node that joins just then must not draw one of theirs.
    pub held: Arc<dyn Fn() -> BTreeSet<Ipv4Net> + Send + Sync>,
    /// By which leases are renewed: `Clock::default()`.
    pub clock: Clock,
}

/// What an agent knows of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentState {
    /// The leased subnet; none before the first lease.
    pub subnet: Option<Ipv4Net>,
    /// The subnets of other nodes that it leads to.
    pub peers: BTreeSet<Ipv4Net>,
    /// Whether it follows the leases.
    pub health: Health,
    /// What differs from what it wants, in words.
    pub drift: Vec<String>,
}

/// Why an agent does not follow the leases.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// etcd did not do what it was asked.
    #[error(transparent)]
    Etcd(#[from] EtcdError),
    /// The kernel did not.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// A file could not be written.
    #[error("write {path}: {source}")]
    File {
        /// Which.
        path: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The configuration in etcd is not right.
    #[error(transparent)]
    Config(#[from] BadConfig),
    /// All subnets are leased.
    #[error("out of subnets: all from {0} to {1} are leased")]
    Full(Ipv4Addr, Ipv4Addr),
    /// Others were faster, again and again.
    #[error("each subnet that was free was leased by somebody else meanwhile")]
    Races,
    /// The lease went to another node, or was deleted.
    #[error("the lease of {0} was revoked")]
    Revoked(Ipv4Net),
    /// It was released.
    #[error("it was released")]
    Released,
    /// The kernel did not keep what it was given.
    #[error("{0}")]
    Drift(String),
    /// It was not ready in time.
    #[error("the overlay agent of {node} was not ready within {within:?}: {last}")]
    NotReady {
        /// Its node.
        node: NodeName,
        /// How long it had.
        within: Duration,
        /// The last state seen.
        last: String,
    },
}

/// An agent. Ends when it is dropped; what it made stays until [`Agent::release`].
pub struct Agent {
    inner: Arc<Inner>,
    task: SyncMutex<Option<JoinHandle<()>>>,
}

pub(crate) struct Inner {
    pub(crate) spec: AgentSpec,
    pub(crate) log: Log,
    pub(crate) state: watch::Sender<AgentState>,
    pub(crate) repair: AtomicBool,
    /// The underlay's interface was down, and what the kernel dropped with it was not written again yet.
    pub(crate) underlay_was_down: AtomicBool,
    /// The same of the device.
    pub(crate) device_was_down: AtomicBool,
    /// The device is down, as the kernel announced.
    device_down: AtomicBool,
    /// Entries that somebody deleted since the device was looked at, as the kernel announced them.
    pub(crate) deleted: SyncMutex<BTreeSet<String>>,
    /// The device is to be looked at.
    pub(crate) look: Notify,
    /// None before the first lease.
    pub(crate) overlay: Mutex<Option<Overlay>>,
}

/// What should be.
pub(crate) struct Overlay {
    pub(crate) config: FlannelConfig,
    pub(crate) device: Device,
    pub(crate) lease: Lease,
    pub(crate) renew: Instant,
    /// Other nodes by their subnets.
    pub(crate) peers: BTreeMap<Ipv4Net, Peer>,
    /// Whether the kernel was seen to have all of it; from then on only what changes is applied.
    pub(crate) established: bool,
    /// The entries that somebody deleted, and that are missing still.
    pub(crate) deleted: Vec<Entry>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(task) = self.task().take() {
            task.abort();
        }
    }
}

impl Agent {
    /// Starts an agent and waits until it is ready: the lease in etcd, the device up, and the entries that lead
    /// to all peers of that moment seen in the kernel.
    ///
    /// # Errors
    /// It is not ready in time; nothing runs then, and what it made is gone as far as it can be.
    pub async fn start(spec: AgentSpec, within: Duration) -> Result<Self, AgentError> {
        let log = Log::new(&spec.node, &spec.files)?;
        let state = AgentState { subnet: None, peers: BTreeSet::new(), health: starting(), drift: Vec::new() };
        let inner = Inner {
            spec,
            log,
            state: watch::Sender::new(state),
            repair: AtomicBool::new(true),
            underlay_was_down: AtomicBool::new(false),
            device_was_down: AtomicBool::new(false),
            device_down: AtomicBool::new(false),
            deleted: SyncMutex::default(),
            look: Notify::new(),
            overlay: Mutex::default(),
        };
        let agent = Agent { inner: Arc::new(inner), task: SyncMutex::default() };
        if let Err(error) = agent.restart(within).await {
            if let Err(left) = agent.release().await {
                agent.inner.log.error(&format!("giving up: {}", chain(&left)));
            }
            return Err(error);
        }
        Ok(agent)
    }

    /// Starts it anew, after [`Agent::release`]: the configuration is read again.
    ///
    /// # Errors
    /// It is not ready in time, but goes on trying.
    pub async fn restart(&self, within: Duration) -> Result<(), AgentError> {
        self.end().await;
        *self.inner.overlay.lock().await = None;
        self.inner.state.send_modify(|state| state.health = starting());
        *self.task() = Some(tokio::spawn(Inner::run(self.inner.clone())));
        self.ready(&[], within).await
    }

    /// Waits until it is ready and leads to these subnets of other nodes; its own may be among them.
    ///
    /// # Errors
    /// It is not in time.
    pub async fn ready(&self, subnets: &[Ipv4Net], within: Duration) -> Result<(), AgentError> {
        let missing = |state: &AgentState| {
            let there = |subnet: &&Ipv4Net| !state.peers.contains(*subnet) && state.subnet != Some(**subnet);
            subnets.iter().find(there).copied()
        };
        let ready = |state: &AgentState| state.health == Health::Ready && missing(state).is_none();
        let mut watch = self.inner.state.subscribe();
        if timeout(within, watch.wait_for(ready)).await.is_ok() {
            return Ok(());
        }
        let state = self.state();
        let last = match (&state.health, missing(&state)) {
            (Health::Broken(why), _) => why.clone(),
            (Health::Ready, Some(subnet)) => format!("it does not lead to {subnet}"),
            (Health::Ready, None) => "ready just now".to_owned(),
        };
        Err(AgentError::NotReady { node: self.inner.spec.node.clone(), within, last })
    }

    /// Ends it, removes its device and all that it led to, and gives its lease back. Can be repeated.
    ///
    /// # Errors
    /// etcd or the kernel did not answer; what could be done was done. A lease that stays ends after a day.
    pub async fn release(&self) -> Result<(), AgentError> {
        self.end().await;
        let removed = self.inner.remove_all().await;
        self.inner.give_back().await?;
        Ok(removed?)
    }

    /// What it knows of itself now.
    pub fn state(&self) -> AgentState {
        self.inner.state.borrow().clone()
    }

    /// Whether it mends what somebody else changed, or only says so.
    pub fn set_repair(&self, on: bool) {
        self.inner.repair.store(on, Ordering::Relaxed);
        self.inner.look.notify_one();
    }

    /// See [`Agent::set_repair`].
    pub fn repairs(&self) -> bool {
        self.inner.repair.load(Ordering::Relaxed)
    }

    /// To be told what the kernel announced on the node: where it may be about the tunnel, it is looked at soon.
    ///
    /// When the interface of the underlay or the device is set up again, what the kernel dropped with it is written
    /// again, also where the agent mends nothing else: nobody deleted it.
    pub fn changed(&self, change: &Change) {
        let of_device = |word: &str| word.starts_with("flannel.");
        let words: Vec<_> = change.detail.split(' ').collect();
        match (change.subject.as_str(), words.as_slice()) {
            ("link", [UNDERLAY, "down", ..]) => self.inner.underlay_was_down.store(true, Ordering::Relaxed),
            ("link", [name, state, ..]) if of_device(name) => {
                let down = *state == "down";
                // With a new one, which begins so, nothing is dropped.
                self.inner.device_was_down.fetch_or(down && change.verb == "changed", Ordering::Relaxed);
                self.inner.device_down.store(down, Ordering::Relaxed);
            }
            // The kernel doesn't announce routes that it drops by itself, and neighbour entries only after the device.
            (subject @ ("route" | "neighbour"), [destination, ..])
                if change.verb == "gone" && (subject == "route" || !self.inner.device_down.load(Ordering::Relaxed)) =>
            {
                let mut deleted = self.inner.deleted();
                // While there is no overlay, nothing takes them; no more than it could have of its own are of use.
                if deleted.len() < MOST_DELETED {
                    deleted.insert((*destination).to_owned());
                }
            }
            _ => {}
        }
        let about = |word: &&str| *word == UNDERLAY || of_device(word);
        if change.subject == "history" || words.iter().any(about) {
            self.inner.look.notify_one();
        }
    }

    async fn end(&self) {
        let task = self.task().take();
        if let Some(task) = task {
            task.abort();
            // It ended: by this, or before. From now on nothing is changed behind the caller's back.
            let _ = task.await;
        }
    }

    fn task(&self) -> std::sync::MutexGuard<'_, Option<JoinHandle<()>>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn starting() -> Health {
    Health::Broken("starting".to_owned())
}

impl Inner {
    pub(crate) fn deleted(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.deleted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: Arc<Self>) {
        tokio::join!(self.follow_leases(), self.look_after_kernel());
    }
}
