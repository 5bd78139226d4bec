//! One worker's agent: has the kernel do what services ask for, and sees that it stays so.
//!
//! Invariants: the table is changed only with `state` locked, by one batch a change, or several where the kernel
//! doesn't take so much at once; `state.programmed` is what the last change that was applied left in the kernel.
//!
//! As commands: `nft -f -`, `nft list table ip kube-proxy`, `sysctl -w net.bridge.bridge-nf-call-iptables=1`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use knetsim_kernel::netns::NetNs;
use knetsim_kernel::{KernelError, nft};
use knetsim_model::observe::Change;
use knetsim_model::{NodeName, chain};
use tokio::sync::{Mutex, Notify};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

use crate::difference::{Commands, between, delete_chains, from_nothing};
use crate::flows::{self, Pending};
use crate::layout::{Desired, Services, base, part};
use crate::listing::{differences, parse};
use crate::table::{TABLE, Table};

/// How long a chain that nothing leads to any more stays, as kube-proxy has it.
const STALE: Duration = Duration::from_secs(1);
/// How long announcements are gathered before the table is looked at.
const GATHER: Duration = Duration::from_millis(50);

/// What an agent works with.
pub struct AgentSpec {
    /// Its node.
    pub node: NodeName,
    /// The node's address on the underlay.
    pub address: Ipv4Addr,
    /// The node's network.
    pub namespace: NetNs,
}

/// Why a worker does not do what services ask for.
#[derive(Debug, thiserror::Error)]
#[error("services of {node}: {source}")]
pub struct ServicesError {
    /// Which worker.
    pub node: NodeName,
    /// What the kernel or nft said.
    pub source: KernelError,
}

/// An agent. Ends when it is dropped; what it programmed stays.
pub struct Agent {
    inner: Arc<Inner>,
    task: AbortHandle,
}

struct Inner {
    spec: AgentSpec,
    state: Mutex<State>,
    repair: AtomicBool,
    /// The table is to be looked at.
    look: Notify,
    /// There are stale chains.
    stale: Notify,
    drift: SyncMutex<Vec<String>>,
}

#[derive(Default)]
struct State {
    /// None while there is no service.
    programmed: Option<Programmed>,
    /// To whose addresses flows may still go elsewhere than the rules lead.
    flows: Pending,
}

/// What was programmed.
struct Programmed {
    desired: Arc<Desired>,
    /// Chains that nothing leads to, and since when.
    stale: BTreeMap<String, Instant>,
    /// The generation of the ruleset at which the table was surely this; none where somebody else changed
    /// something since, maybe elsewhere.
    generation: Option<u32>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Agent {
    /// Begins without services.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(spec: AgentSpec) -> Self {
        let inner = Arc::new(Inner {
            spec,
            state: Mutex::default(),
            repair: AtomicBool::new(true),
            look: Notify::new(),
            stale: Notify::new(),
            drift: SyncMutex::default(),
        });
        let task = tokio::spawn(inner.clone().run()).abort_handle();
        Agent { inner, task }
    }

    /// Makes the kernel do this from now on. Connections over TCP that were made stay as they are; who asks by datagrams
    /// is led as the rules say from the next one on.
    ///
    /// # Errors
    /// The kernel refused the rules: what it did before, it does still. Or it did not forget flows: then the rules are
    /// the new ones, and the flows are forgotten at the next change, or when the table is looked at.
    pub async fn program(&self, desired: &Arc<Desired>) -> Result<(), ServicesError> {
        let programmed = self.inner.program(desired).await;
        programmed.map_err(|source| ServicesError { node: self.inner.spec.node.clone(), source })
    }

    /// What differs from what was programmed, in words.
    pub fn drift(&self) -> Vec<String> {
        self.inner.drift().clone()
    }

    /// Whether it mends what somebody else changed, or only says so.
    pub fn set_repair(&self, on: bool) {
        self.inner.repair.store(on, Ordering::Relaxed);
        self.inner.look.notify_one();
    }

    /// To be told what the kernel announced on the node: where it may be about the table, it is looked at soon.
    pub fn changed(&self, change: &Change) {
        let mut words = change.detail.split(' ');
        if change.subject == "history" || words.next() == Some("ip") && words.next() == Some(TABLE) {
            self.inner.look.notify_one();
        }
    }
}

impl Inner {
    async fn run(self: Arc<Self>) {
        let look = async {
            loop {
                self.look.notified().await;
                sleep(GATHER).await;
                if let Err(error) = self.look_at_table().await {
                    self.say(vec![chain(&error)]);
                }
            }
        };
        let sweep = async {
            loop {
                self.stale.notified().await;
                // Not waited for by anybody: it only spares the kernel empty chains.
                sleep(STALE).await;
                self.sweep().await;
            }
        };
        tokio::join!(look, sweep);
    }

    async fn program(&self, desired: &Arc<Desired>) -> Result<(), KernelError> {
        let mut state = self.state.lock().await;
        self.program_rules(&mut state, desired).await?;
        let forgotten = state.flows.settle(async |addresses| self.forget(addresses, &desired.services).await).await;
        if forgotten.is_err() || !self.drift().is_empty() {
            // Tries again, and says what is so now.
            self.look.notify_one();
        }
        forgotten
    }

    async fn program_rules(&self, state: &mut State, desired: &Arc<Desired>) -> Result<(), KernelError> {
        let State { programmed, flows } = state;
        match programmed.as_mut() {
            None if desired.services.is_empty() => Ok(()),
            None => self.rebuild(state, desired).await,
            Some(now) if desired.services.is_empty() => {
                nft::load(&self.spec.namespace, format!("add table ip {TABLE}\ndelete table ip {TABLE}\n")).await?;
                flows.add(flows::changed(&now.desired, desired));
                *programmed = None;
                self.say(Vec::new());
                Ok(())
            }
            Some(now) if now.desired == *desired => Ok(()),
            Some(now) => match self.change(now, flows, desired).await {
                Ok(()) => Ok(()),
                // Somebody changed what the commands are about: only the whole can be right then.
                Err(error) => {
                    tracing::debug!(node = %self.spec.node, "rebuilding the services' table: {}", chain(&error));
                    self.rebuild(state, desired).await
                }
            },
        }
    }

    async fn forget(&self, addresses: BTreeSet<Ipv4Addr>, services: &Services) -> Result<(), KernelError> {
        flows::forget(&self.spec.namespace, addresses, services).await
    }

    /// Touches only what differs from before.
    async fn change(
        &self,
        now: &mut Programmed,
        flows: &mut Pending,
        desired: &Arc<Desired>,
    ) -> Result<(), KernelError> {
        let (old, new) = changed_parts(self.spec.address, &now.desired, desired);
        let commands = between(&old, &new);
        now.generation = self.load(now.generation, &commands).await?;
        flows.add(flows::changed(&now.desired, desired));
        now.desired = desired.clone();
        // A chain that is wanted again is not stale any more.
        now.stale.retain(|chain, _| !new.chains.contains_key(chain));
        if !commands.stale.is_empty() {
            now.stale.extend(commands.stale.into_iter().map(|chain| (chain, Instant::now())));
            self.stale.notify_one();
        }
        Ok(())
    }

    /// Makes the whole table anew, whatever it is now: while it was spoilt, anything may have been led anywhere.
    async fn rebuild(&self, state: &mut State, desired: &Arc<Desired>) -> Result<(), KernelError> {
        // Answers between two containers of one bridge must pass the rules that their requests passed.
        self.spec.namespace.write_sysctls(&[("net/bridge/bridge-nf-call-iptables", "1")])?;
        let commands = from_nothing(&whole(self.spec.address, desired));
        let generation = self.load(nft::generation(&self.spec.namespace).ok(), &commands).await?;
        let now = Programmed { desired: desired.clone(), stale: BTreeMap::new(), generation };
        let before = state.programmed.replace(now);
        let before = before.iter().flat_map(|before| before.desired.services.values());
        state.flows.add(flows::addresses(desired.services.values().chain(before)));
        self.say(Vec::new());
        Ok(())
    }

    /// Applies commands. Gives the ruleset's generation after it, where nobody else changed something since `before`.
    async fn load(&self, before: Option<u32>, commands: &Commands) -> Result<Option<u32>, KernelError> {
        let mut generation = before;
        for batch in commands.batches(nft::room()?) {
            nft::load(&self.spec.namespace, batch).await?;
            let after = nft::generation(&self.spec.namespace)?;
            generation = generation.filter(|before| before.wrapping_add(1) == after).map(|_| after);
        }
        Ok(generation)
    }

    /// Compares the table with what was programmed; mends it, or says what differs.
    async fn look_at_table(&self) -> Result<(), KernelError> {
        let mut state = self.state.lock().await;
        let mut drift = self.compare(&mut state).await?;
        let desired = state.programmed.as_ref().map(|now| now.desired.clone());
        if let Some(desired) = desired.as_ref().filter(|_| !drift.is_empty() && self.repair.load(Ordering::Relaxed)) {
            drift.iter().for_each(|words| tracing::info!(node = %self.spec.node, "{words}, rebuilding"));
            self.rebuild(&mut state, desired).await?;
            drift.clear();
        }
        let none = Services::new();
        let services = desired.as_ref().map_or(&none, |desired| &desired.services);
        state.flows.settle(async |addresses| self.forget(addresses, services).await).await?;
        self.say(drift);
        Ok(())
    }

    /// What differs from what was programmed, in words.
    async fn compare(&self, state: &mut State) -> Result<Vec<String>, KernelError> {
        let Some(now) = state.programmed.as_mut() else { return Ok(Vec::new()) };
        let before = nft::generation(&self.spec.namespace)?;
        if now.generation == Some(before) {
            return Ok(Vec::new());
        }
        let listed = nft::table_text(&self.spec.namespace, TABLE).await?.map(|text| parse(&text));
        let wanted = whole(self.spec.address, &now.desired);
        let drift = differences(&wanted, listed, &now.stale.keys().collect::<BTreeSet<_>>());
        if drift.is_empty() {
            now.generation = Some(before);
            // Somebody may have spoilt it since, and mended it again.
            state.flows.add(flows::addresses(now.desired.services.values()));
        }
        Ok(drift)
    }

    /// Deletes chains that have been stale for long enough.
    async fn sweep(&self) {
        let mut state = self.state.lock().await;
        let Some(now) = state.programmed.as_mut() else { return };
        let (old, young) = std::mem::take(&mut now.stale).into_iter().partition(|(_, since)| since.elapsed() >= STALE);
        let old: BTreeMap<String, Instant> = old;
        now.stale = young;
        if !now.stale.is_empty() {
            self.stale.notify_one();
        }
        if old.is_empty() {
            return;
        }
        match self.load(now.generation, &delete_chains(old.keys())).await {
            Ok(generation) => now.generation = generation,
            // Somebody else changed them first: a look says what should not be.
            Err(error) => {
                tracing::debug!(node = %self.spec.node, "stale chains: {}", chain(&error));
                now.generation = None;
                self.look.notify_one();
            }
        }
    }

    fn say(&self, drift: Vec<String>) {
        *self.drift() = drift;
    }

    fn drift(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.drift.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The whole table.
fn whole(node: Ipv4Addr, desired: &Desired) -> Table {
    let mut table = base(node, desired);
    for (name, service) in &desired.services {
        table.extend(part(name, service, desired.pod_network));
    }
    table
}

/// What is common to all services, and what those that differ add, before and after.
fn changed_parts(node: Ipv4Addr, old: &Desired, new: &Desired) -> (Table, Table) {
    let same_network = old.pod_network == new.pod_network;
    let of = |one: &Desired, other: &Desired| {
        let mut table = base(node, one);
        for (name, service) in &one.services {
            if !same_network || other.services.get(name) != Some(service) {
                table.extend(part(name, service, one.pod_network));
            }
        }
        table
    };
    (of(old, new), of(new, old))
}
