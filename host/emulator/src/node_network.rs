//! A node's own network: the address of its `eth0` and the routes that lead out, given once and looked after, as a
//! network manager such as systemd-networkd does on a real node.
//!
//! | what happens | what follows |
//! |---|---|
//! | `eth0` is set down | it is reported; nobody sets it up again: whoever did that may want it so |
//! | `eth0` is set up again | the routes that the kernel dropped with it are set again, with repair off, too: nobody deleted them. What somebody deleted before stays away |
//! | an address or a route is deleted or changed | it is mended where repair is on, else reported |
//!
//! As commands: `ip address`, `ip route`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::Ipv4Net;
use knetsim_kernel::KernelError;
use knetsim_kernel::netlink::{Netlink, Request, RouteKind, RouteSpec};
use knetsim_model::names::NodeKind;
use knetsim_model::observe::Change;
use knetsim_model::{NodeName, chain};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use crate::fabric::{ETH0, ETH0_INDEX};

mod given;

pub(crate) use given::Given;
use given::{Drift, GivenRoute, Mend, Observed};

/// How often the node is looked at when the kernel announces nothing.
const LOOK: Duration = Duration::from_secs(30);
/// How long announcements are gathered before the node is looked at. The kernel announces an interface before the routes
/// that it makes with it.
const GATHER: Duration = Duration::from_millis(50);
/// The pause after a look that failed.
const AGAIN: Duration = Duration::from_secs(1);
/// How often what was mended is looked at again: with an address, all routes may be gone.
const ROUNDS: usize = 3;

/// Looks after what a node was given, until it is dropped.
pub(crate) struct NodeNetwork {
    inner: Arc<Inner>,
    task: AbortHandle,
}

struct Inner {
    node: NodeName,
    netlink: Netlink,
    /// Locked while the node is looked at and mended: one after the other.
    state: Mutex<State>,
    repair: AtomicBool,
    /// `eth0` was down, as was announced or seen, and what the kernel dropped with it was not set again yet.
    was_down: AtomicBool,
    look: Notify,
    drift: Mutex<Vec<String>>,
}

struct State {
    given: Given,
    /// The routes that somebody deleted, as the kernel announced, and that are missing still.
    deleted: Vec<GivenRoute>,
}

impl Drop for NodeNetwork {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NodeNetwork {
    /// Begins to look after a node that has all of it.
    pub(crate) fn start(node: NodeName, netlink: Netlink, given: Given) -> Self {
        NodeNetwork::start_with(node, netlink, given, LOOK)
    }

    /// `look`: how often it is looked at when the kernel announces nothing.
    fn start_with(node: NodeName, netlink: Netlink, given: Given, look: Duration) -> Self {
        // A scratch node is for trying things by hand.
        let repair = AtomicBool::new(node.kind() != NodeKind::Scratch);
        let inner = Arc::new(Inner {
            node,
            netlink,
            state: Mutex::new(State { given, deleted: Vec::new() }),
            repair,
            was_down: AtomicBool::new(false),
            look: Notify::new(),
            drift: Mutex::default(),
        });
        let task = tokio::spawn(inner.clone().run(look)).abort_handle();
        NodeNetwork { inner, task }
    }

    /// What differs, in words.
    pub(crate) fn drift(&self) -> Vec<String> {
        lock(&self.inner.drift).clone()
    }

    /// Whether it mends what somebody else changed, or only reports it.
    pub(crate) fn set_repair(&self, on: bool) {
        self.inner.repair.store(on, Ordering::Relaxed);
        self.inner.look.notify_one();
    }

    /// See [`NodeNetwork::set_repair`].
    pub(crate) fn repairs(&self) -> bool {
        self.inner.repair.load(Ordering::Relaxed)
    }

    /// The pods' network is another one from now on. When that fails, it is the old one still.
    pub(crate) fn set_pod_network(&self, pod_network: Ipv4Net) -> Result<(), KernelError> {
        {
            let mut state = lock(&self.inner.state);
            let mut given = state.given.clone();
            given.set_pod_network(Some(pod_network));
            let (old, new) = (state.given.throws(), given.throws());
            self.inner.netlink.apply(new.iter().map(|route| given.add(route, ETH0_INDEX)))?;
            let old = old.iter().filter(|route| !new.contains(route));
            let old = old.map(|route| RouteSpec { kind: RouteKind::Throw, ..RouteSpec::to(route.to) });
            self.inner.netlink.apply(old.map(|route| Request::delete_route(&route)))?;
            state.given = given;
        }
        self.inner.settle()
    }

    /// `eth0` was set up: sets the routes again that the kernel dropped when it went down.
    pub(crate) fn came_back(&self) -> Result<(), KernelError> {
        self.inner.was_down.store(true, Ordering::Relaxed);
        self.inner.settle()
    }

    /// To be called with each change that the kernel announced on the node: where it may be about the node's own
    /// network, that is looked at soon.
    pub(crate) fn changed(&self, change: &Change) {
        let mut words = change.detail.split(' ');
        let about = match change.subject.as_str() {
            "history" => true,
            // The kernel announces no route that goes because its device went down.
            "link" if words.next() == Some(ETH0) => {
                if words.next() == Some("down") {
                    self.inner.was_down.store(true, Ordering::Relaxed);
                }
                true
            }
            // One that is replaced is announced as the new one alone, by whatever device.
            "route" => {
                let mut state = lock(&self.inner.state);
                let ours = |word: &str| state.given.routes.iter().find(|route| word == route.destination()).copied();
                let route = words.find_map(ours);
                // What the kernel drops by itself it doesn't announce.
                let new = |route: &GivenRoute| change.verb == "gone" && !state.deleted.contains(route);
                let deleted = route.filter(new);
                state.deleted.extend(deleted);
                route.is_some()
            }
            "address" => words.any(|word| word == ETH0),
            _ => false,
        };
        if about {
            self.inner.look.notify_one();
        }
    }
}

impl Inner {
    async fn run(self: Arc<Self>, look: Duration) {
        let mut tick = interval_at(Instant::now() + look, look);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = self.look.notified() => sleep(GATHER).await,
            }
            while let Err(error) = self.settle() {
                *lock(&self.drift) = vec![chain(&error)];
                sleep(AGAIN).await;
            }
        }
    }

    /// Compares, mends, and keeps what differs in the end.
    fn settle(&self) -> Result<(), KernelError> {
        let mut state = lock(&self.state);
        let was_down = self.was_down.swap(false, Ordering::Relaxed);
        let mend = match (self.repair.load(Ordering::Relaxed), was_down) {
            (true, _) => Mend::All,
            (false, true) => Mend::Dropped,
            (false, false) => Mend::Nothing,
        };
        let drift = self.compare_and_mend(&state, mend);
        match drift.as_deref() {
            // It is for the next look to set what is dropped.
            Ok([Drift::Down]) => self.was_down.store(true, Ordering::Relaxed),
            Err(_) if was_down => self.was_down.store(true, Ordering::Relaxed),
            Ok([Drift::NoInterface | Drift::NoAddress]) | Err(_) => {}
            Ok(drift) => state.deleted.retain(|route| drift.contains(&Drift::NoRoute(*route))),
        }
        let words = |drift: &Drift| drift.words(&self.node, &state.given);
        *lock(&self.drift) = drift?.iter().map(words).collect();
        Ok(())
    }

    /// Gives what differs in the end.
    fn compare_and_mend(&self, state: &State, mend: Mend) -> Result<Vec<Drift>, KernelError> {
        let State { given, deleted } = state;
        let mut rounds = 0;
        loop {
            let observed = Observed::read(&self.netlink)?;
            let drift = given.compare(&observed);
            let mended: Vec<_> = drift.iter().filter(|drift| drift.is_mended_by(mend, deleted)).collect();
            if mended.is_empty() || rounds == ROUNDS {
                return Ok(drift);
            }
            for drift in &mended {
                tracing::info!(node = %self.node, "{}, mending", drift.words(&self.node, given));
            }
            let device = observed.link.map_or(ETH0_INDEX, |link| link.index);
            self.netlink.apply(mended.into_iter().filter_map(|drift| given.mend(drift, device)))?;
            rounds += 1;
        }
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing between lock and unlock leaves it half changed.
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
