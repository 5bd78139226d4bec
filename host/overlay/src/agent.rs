//! One worker's overlay agent: flannel's work, in process.
//!
//! A session leases a subnet, makes the device, leads to every peer and follows the leases; whatever
//! ends it (etcd away, a compaction, a lost lease) a new one begins after a pause, while what was made
//! stays, so that traffic goes on. Invariant: after each session's beginning, what leads through the
//! device is exactly what the leases say.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cap_std::fs::Dir;
use etcd_client::{EventType, WatchResponse};
use ipnet::Ipv4Net;
use knetsim_kernel::KernelError;
use knetsim_kernel::files;
use knetsim_kernel::netlink::{Mac, Netlink};
use knetsim_model::flannel::{BadConfig, FlannelConfig, Lease, LeaseValue, SubnetEnv, VxlanData};
use knetsim_model::inventory::Health;
use knetsim_model::{NodeName, chain};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use crate::device::{Device, Mend, Peer};
use crate::etcd::{Etcd, EtcdError};
use crate::subnet::{Choice, choose};

const SUBNET_ENV: &str = "run/flannel/subnet.env";
const LOG: &str = "var/log/flanneld.log";
/// The first and the longest pause before a new session.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How often the device is looked at when the kernel announces nothing.
const LOOK: Duration = Duration::from_secs(30);
/// How long announcements are gathered before the device is looked at.
const GATHER: Duration = Duration::from_millis(50);

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
    /// Seconds that a lease lasts; flannel's is a day.
    pub ttl: u32,
    /// Seconds before its end at which it is renewed; flannel's is an hour.
    pub margin: u32,
}

/// Seconds that flannel's leases last, and before their end at which they are renewed.
pub const FLANNEL_LEASE: (u32, u32) = (86_400, 3_600);

/// What an agent knows of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentState {
    /// The leased subnet; none before the first lease.
    pub subnet: Option<Ipv4Net>,
    /// How many other nodes it leads to.
    pub peers: usize,
    /// Whether it follows the leases.
    pub health: Health,
    /// What differs from what it wants, in words.
    pub drift: Vec<String>,
}

/// Why an agent's session ended.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// etcd did not do what it was asked.
    #[error(transparent)]
    Etcd(#[from] EtcdError),
    /// The kernel did not.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// A file could not be written.
    #[error("writing {path}: {source}")]
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
    #[error("all subnets from {0} to {1} are leased")]
    Full(Ipv4Addr, Ipv4Addr),
    /// The leases can't be followed any more.
    #[error("the watch of the leases ended: {0}")]
    Watch(String),
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
    task: Mutex<AbortHandle>,
}

struct Inner {
    spec: AgentSpec,
    state: watch::Sender<AgentState>,
    repair: AtomicBool,
    changed: Notify,
    /// The device and lease of the last session, for [`Agent::release`].
    held: tokio::sync::Mutex<Option<(Device, Lease)>>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.abort();
    }
}

impl Agent {
    /// Starts an agent and waits until it is ready: leased, device up, routes to all peers of that moment.
    ///
    /// # Errors
    /// It is not ready in time; nothing runs then.
    pub async fn start(spec: AgentSpec, within: Duration) -> Result<Self, AgentError> {
        let state = AgentState { subnet: None, peers: 0, health: starting(), drift: Vec::new() };
        let inner = Inner {
            spec,
            state: watch::Sender::new(state),
            repair: AtomicBool::new(true),
            changed: Notify::new(),
            held: tokio::sync::Mutex::default(),
        };
        let inner = Arc::new(inner);
        let task = Mutex::new(tokio::spawn(inner.clone().run()).abort_handle());
        let agent = Agent { inner, task };
        agent.ready(within).await?;
        Ok(agent)
    }

    /// Starts it anew, after [`Agent::release`].
    ///
    /// # Errors
    /// It is not ready in time, but goes on trying.
    pub async fn restart(&self, within: Duration) -> Result<(), AgentError> {
        self.abort();
        self.inner.state.send_modify(|state| state.health = starting());
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) =
            tokio::spawn(self.inner.clone().run()).abort_handle();
        self.ready(within).await
    }

    /// Ends it, removes its device, and gives its lease back. Can be repeated.
    ///
    /// # Errors
    /// etcd or the kernel did not answer; what could be done was done.
    pub async fn release(&self) -> Result<(), AgentError> {
        self.abort();
        let Some((device, lease)) = self.inner.held.lock().await.take() else { return Ok(()) };
        let removed = device.delete().await;
        self.inner.spec.etcd.delete_lease(&lease).await?;
        Ok(removed?)
    }

    /// What it knows of itself now.
    pub fn state(&self) -> AgentState {
        self.inner.state.borrow().clone()
    }

    /// Whether it mends what somebody else changed, or only says so.
    pub fn set_repair(&self, on: bool) {
        self.inner.repair.store(on, Ordering::Relaxed);
        self.inner.changed.notify_one();
    }

    /// See [`Agent::set_repair`].
    pub fn repairs(&self) -> bool {
        self.inner.repair.load(Ordering::Relaxed)
    }

    /// To be called when the kernel announced a change on the node: the device is looked at soon.
    pub fn changed(&self) {
        self.inner.changed.notify_one();
    }

    fn abort(&self) {
        self.task.lock().unwrap_or_else(PoisonError::into_inner).abort();
    }

    async fn ready(&self, within: Duration) -> Result<(), AgentError> {
        self.until(within, |state| state.health == Health::Ready).await
    }

    /// Waits until it leads to at least that many other nodes: it learns of their leases a moment after they are taken.
    ///
    /// # Errors
    /// It does not in time.
    pub async fn leads_to(&self, peers: usize, within: Duration) -> Result<(), AgentError> {
        self.until(within, |state| state.peers >= peers).await
    }

    async fn until(&self, within: Duration, holds: impl FnMut(&AgentState) -> bool) -> Result<(), AgentError> {
        let mut state = self.inner.state.subscribe();
        match timeout(within, state.wait_for(holds)).await {
            Ok(Ok(_)) => Ok(()),
            _ => {
                let last = match self.state() {
                    AgentState { health: Health::Ready, peers, .. } => format!("it leads to {peers} other nodes"),
                    AgentState { health: Health::Broken(why), .. } => why,
                };
                Err(AgentError::NotReady { node: self.inner.spec.node.clone(), within, last })
            }
        }
    }
}

fn starting() -> Health {
    Health::Broken("starting".to_owned())
}

impl Inner {
    /// Sessions, one after the other, for ever.
    async fn run(self: Arc<Self>) {
        let mut pause = PAUSES.0;
        loop {
            let Err(error) = self.session().await;
            let why = chain(&error);
            self.log(&format!("{why}; trying again in {pause:?}"));
            if matches!(self.state.borrow().health, Health::Ready) {
                pause = PAUSES.0;
            }
            self.state.send_modify(|state| state.health = Health::Broken(why));
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn session(&self) -> Result<std::convert::Infallible, AgentError> {
        let AgentSpec { etcd, netlink, public_ip, ttl, margin, .. } = &self.spec;
        let config = etcd.config().await?;
        config.validate()?;
        let device = Device::ensure(netlink, &config, *public_ip, new_mac()).await?;
        let lease = self.acquire(&config, &device).await?;
        let mut renew = Instant::now() + Duration::from_secs(u64::from(ttl.saturating_sub(*margin)));
        device.set_address(lease.subnet).await?;
        self.write_subnet_env(&config, &lease, device.mtu)?;

        let found = etcd.leases().await?;
        let others = found.leases.iter().filter(|other| other.value.public_ip != *public_ip);
        let others = others.filter_map(|other| Peer::of(other, config.backend.vni));
        let mut peers: BTreeMap<Ipv4Net, Peer> = others.map(|peer| (peer.subnet, peer)).collect();
        for difference in device.drift(lease.subnet, &peers).await? {
            self.mend(&device, lease.subnet, &peers, difference.mend).await?;
        }
        let mut watch = etcd.watch_leases(found.revision + 1).await?;
        *self.held.lock().await = Some((device.clone(), lease.clone()));
        self.log(&format!(
            "lease {} acquired, {} peers, device {} {}",
            lease.subnet,
            peers.len(),
            device.name,
            device.mac
        ));
        self.state.send_replace(AgentState {
            subnet: Some(lease.subnet),
            peers: peers.len(),
            health: Health::Ready,
            drift: Vec::new(),
        });
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = watch.message() => {
                    let message = message.map_err(|error| AgentError::Watch(chain(&error)))?;
                    let message = message.ok_or_else(|| AgentError::Watch("etcd closed it".to_owned()))?;
                    self.follow(&device, &lease, &config, &mut peers, message).await?;
                }
                () = sleep_until(renew) => {
                    etcd.put_lease(&lease, i64::from(*ttl), false).await?;
                    renew = Instant::now() + Duration::from_secs(u64::from(ttl.saturating_sub(*margin)));
                    self.log(&format!("lease {} renewed", lease.subnet));
                }
                () = self.changed.notified() => {
                    sleep(GATHER).await;
                    self.look(&device, lease.subnet, &peers).await?;
                }
                _ = look.tick() => self.look(&device, lease.subnet, &peers).await?,
            }
        }
    }

    /// Leases a subnet, again where somebody was faster.
    async fn acquire(&self, config: &FlannelConfig, device: &Device) -> Result<Lease, AgentError> {
        let AgentSpec { etcd, public_ip, ttl, files: folder, .. } = &self.spec;
        let previous = files::read(folder, SUBNET_ENV, 4096)
            .ok()
            .and_then(|text| SubnetEnv::subnet_of(&String::from_utf8_lossy(&text)));
        let data = VxlanData { vni: config.backend.vni, vtep_mac: device.mac.to_string() };
        let value = LeaseValue {
            public_ip: *public_ip,
            public_ipv6: None,
            backend_type: "vxlan".to_owned(),
            backend_data: Some(data),
        };
        loop {
            let leases = etcd.leases().await?.leases;
            let choice = choose(config, &leases, *public_ip, previous, |number| fastrand::usize(..number));
            let (subnet, create) = match choice {
                Choice::Keep(subnet) => (subnet, false),
                Choice::Take(subnet) => (subnet, true),
                Choice::Full => {
                    return Err(AgentError::Full(config.effective_subnet_min(), config.effective_subnet_max()));
                }
            };
            let lease = Lease { subnet, value: value.clone() };
            if etcd.put_lease(&lease, i64::from(*ttl), create).await? {
                return Ok(lease);
            }
        }
    }

    /// Written beside and moved, so that nobody reads half of it.
    fn write_subnet_env(&self, config: &FlannelConfig, lease: &Lease, mtu: u32) -> Result<(), AgentError> {
        let hosts = u32::from(lease.subnet.network()) + 1;
        let subnet = Ipv4Net::new_assert(hosts.into(), lease.subnet.prefix_len());
        let env = SubnetEnv { network: config.network, subnet, mtu };
        let folder = &self.spec.files;
        let write = || {
            folder.create_dir_all("run/flannel")?;
            let beside = "run/flannel/.subnet.env";
            files::write(folder, beside, env.to_string().as_bytes())?;
            folder.rename(beside, folder, SUBNET_ENV)
        };
        write().map_err(|source| AgentError::File { path: "/run/flannel/subnet.env", source })
    }

    /// Does what a watch's message says.
    async fn follow(
        &self,
        device: &Device,
        own: &Lease,
        config: &FlannelConfig,
        peers: &mut BTreeMap<Ipv4Net, Peer>,
        message: WatchResponse,
    ) -> Result<(), AgentError> {
        if message.canceled() {
            return Err(AgentError::Watch(format!("cancelled, {}", message.cancel_reason())));
        }
        for event in message.events() {
            let Some(pair) = event.kv() else { continue };
            match event.event_type() {
                EventType::Put => {
                    let Some(lease) = Lease::parse(pair.key(), pair.value()) else { continue };
                    if lease.subnet == own.subnet {
                        if lease.value.public_ip != own.value.public_ip {
                            return Err(AgentError::Watch(format!("somebody else took {}", own.subnet)));
                        }
                        continue;
                    }
                    let Some(peer) = Peer::of(&lease, config.backend.vni) else { continue };
                    if let Some(old) = peers.insert(peer.subnet, peer.clone()).filter(|old| *old != peer) {
                        device.remove(&old).await?;
                    }
                    device.add(&peer).await?;
                    self.log(&format!("subnet added: {} via {}", peer.subnet, peer.public_ip));
                }
                // A deletion carries no value: the key alone says which.
                EventType::Delete => {
                    let Some(subnet) = Lease::subnet_of(pair.key()) else { continue };
                    if subnet == own.subnet {
                        return Err(AgentError::Watch(format!("the lease of {subnet} is gone")));
                    }
                    if let Some(peer) = peers.remove(&subnet) {
                        device.remove(&peer).await?;
                        self.log(&format!("subnet removed: {subnet}"));
                    }
                }
            }
        }
        self.state.send_modify(|state| state.peers = peers.len());
        Ok(())
    }

    /// Looks for differences; mends them, or says them.
    async fn look(&self, device: &Device, subnet: Ipv4Net, peers: &BTreeMap<Ipv4Net, Peer>) -> Result<(), AgentError> {
        let drift = device.drift(subnet, peers).await?;
        let words: Vec<_> = drift.iter().map(|difference| difference.words.clone()).collect();
        if !self.repair.load(Ordering::Relaxed) {
            self.state.send_if_modified(|state| std::mem::replace(&mut state.drift, words.clone()) != words);
            return Ok(());
        }
        for difference in drift {
            self.log(&format!("mending: {}", difference.words));
            self.mend(device, subnet, peers, difference.mend).await?;
        }
        self.state.send_if_modified(|state| !std::mem::take(&mut state.drift).is_empty());
        Ok(())
    }

    async fn mend(
        &self,
        device: &Device,
        subnet: Ipv4Net,
        peers: &BTreeMap<Ipv4Net, Peer>,
        mend: Mend,
    ) -> Result<(), AgentError> {
        match mend {
            Mend::Add(peer) => device.add(&peer).await?,
            Mend::Remove(subnet) => device.remove_route(subnet).await?,
            Mend::Device if device.is_there().await? => {
                device.set_address(subnet).await?;
                for peer in peers.values() {
                    device.add(peer).await?;
                }
            }
            // The next session makes it anew, and leads to everybody.
            Mend::Device => return Err(AgentError::Watch(format!("somebody removed {}", device.name))),
        }
        Ok(())
    }

    /// A line in the node's `/var/log/flanneld.log`. A full disk costs the line, not the agent.
    fn log(&self, line: &str) {
        tracing::debug!(node = %self.spec.node, "{line}");
        let write = || {
            let mut file = files::append(&self.spec.files, LOG)?;
            writeln!(file, "{} {line}", humantime::format_rfc3339_millis(std::time::SystemTime::now()))
        };
        if let Err(error) = write() {
            tracing::warn!(node = %self.spec.node, "{LOG}: {error}");
        }
    }
}

/// A locally administered hardware address, as the kernel draws one for a new device.
fn new_mac() -> Mac {
    let mut octets = [0; 6];
    fastrand::fill(&mut octets);
    octets[0] = (octets[0] & 0xfe) | 0x02;
    Mac(octets)
}
