//! Clusters, workers, containers, services, ingresses and what links clusters, made from the layers below.
//!
//! [`Emulator::submit`] takes an [`Operation`]: [`plan`] decides and validates it whole, `build`
//! carries it out in `node`, `container`, `service`, `ingress` and `interconnect`, and undoes its own partial work when something fails.
//! Commands ([`Emulator::exec`]), observations ([`Emulator::links`] and the like) and probes
//! ([`Emulator::ping`]) change nothing here and wait for nobody.

mod beside;
mod build;
mod capture;
mod container;
mod exec;
mod fabric;
mod history;
mod ingress;
mod interconnect;
mod link;
mod logs;
mod measure;
mod node;
mod node_network;
mod observe;
pub mod plan;
mod probe;
mod service;
mod state;
mod warnings;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use knetsim_model::interconnect::Interconnect;
use knetsim_model::inventory::Inventory;
use knetsim_model::topology::Topology;
use knetsim_model::{Event, Failure, Operation, Owner};
use knetsim_sandbox::Sandbox;
use tokio::sync::broadcast;

pub use beside::Beside;
pub use capture::{Capture, CaptureSpec, Captured};
pub use exec::ExecSpec;
pub use logs::{Logs, OpenLog};
pub use observe::{MAX_FILE, MAX_NAMES};
pub use probe::{MAX_BODY, Source, Tries};

use capture::Captures;
use fabric::Fabric;
use history::{History, Names};
use plan::Planner;
use state::State;
use warnings::Warnings;

/// The emulator of one sandbox. Cheap to clone.
#[derive(Clone)]
pub struct Emulator {
    inner: Arc<Inner>,
}

struct Inner {
    name: String,
    sandbox: Sandbox,
    fabric: Fabric,
    state: Mutex<State>,
    /// One change at a time: what a plan was validated against must still hold when it is carried out.
    changes: tokio::sync::Mutex<()>,
    events: broadcast::Sender<Event>,
    history: Arc<History>,
    captures: Captures,
    names: Names,
    warnings: Warnings,
}

impl Emulator {
    /// Begins in an empty sandbox of that name: makes the fabric's top bridge, and nothing else.
    ///
    /// # Errors
    /// The kernel refused.
    pub async fn start(name: &str, sandbox: Sandbox) -> Result<Self, Failure> {
        let failed = |error: &dyn std::error::Error| Failure::failed("start the emulator", error);
        let fabric = Fabric::start(sandbox.base().clone()).map_err(|error| failed(&error))?;
        let history = Arc::new(History::new());
        let names = Names::start(history.clone()).map_err(|error| failed(&error))?;
        let happened = sandbox.events();
        let inner = Inner {
            name: name.to_owned(),
            sandbox,
            fabric,
            state: Mutex::default(),
            changes: tokio::sync::Mutex::default(),
            events: broadcast::Sender::new(1024),
            history,
            captures: Captures::default(),
            names,
            warnings: Warnings::default(),
        };
        let emulator = Emulator { inner: Arc::new(inner) };
        warnings::tell(&emulator, happened);
        Ok(emulator)
    }

    /// Carries an operation out, whole or not at all. Operations wait for each other; one that was
    /// begun is brought to its end even when the caller stops waiting.
    ///
    /// # Errors
    /// Why it was refused, before anything was done; or what failed, after its partial work was undone.
    pub async fn submit(&self, operation: Operation, owner: Owner) -> Result<(), Failure> {
        let (emulator, doing) = (self.clone(), operation.to_string());
        let work = tokio::spawn(async move { emulator.change(operation, owner).await });
        work.await.map_err(|error| Failure::failed(doing, &error))?
    }

    async fn change(&self, operation: Operation, owner: Owner) -> Result<(), Failure> {
        let _turn = self.inner.changes.lock().await;
        match &operation {
            Operation::SetLink { interface, up } => self.set_link(interface, *up),
            Operation::SetRepair { worker, on } => self.set_repair(worker, *on),
            _ => {
                let plan = Planner::plan(self.state().view(), &operation, owner)?;
                self.carry_out(plan).await
            }
        }
    }

    /// What applying a topology would do: the events that it would send, were nothing to fail.
    ///
    /// # Errors
    /// Why it would be refused.
    pub async fn preview(&self, topology: Topology) -> Result<Vec<Event>, Failure> {
        let _turn = self.inner.changes.lock().await;
        let before = self.state().view();
        let apply = Operation::Apply { topology };
        Ok(Planner::plan(before.clone(), &apply, Owner::File)?.events(&before))
    }

    /// What there is.
    pub fn inventory(&self) -> Inventory {
        let warnings = self.inner.warnings.all();
        Inventory { warnings, ..self.state().inventory(&self.inner.name) }
    }

    /// Which program the router of a site is from now on, where who makes it doesn't say.
    pub fn set_interconnect(&self, interconnect: Interconnect) {
        self.state().interconnect = interconnect;
    }

    /// All events from now on. A receiver that is over a thousand events late misses the oldest.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.inner.events.subscribe()
    }

    /// Says that something may have changed that the kernel doesn't announce: a process or a file.
    pub fn touch(&self) {
        self.inner.history.changed();
    }

    fn say(&self, event: Event) {
        // Nobody may be listening.
        let _ = self.inner.events.send(event);
    }

    fn created(&self, kind: &str, name: &str) {
        self.say(Event::Created { kind: kind.to_owned(), name: name.to_owned() });
    }

    fn changed(&self, kind: &str, name: &str) {
        self.say(Event::Changed { kind: kind.to_owned(), name: name.to_owned() });
    }

    fn deleted(&self, kind: &str, name: &str) {
        self.say(Event::Deleted { kind: kind.to_owned(), name: name.to_owned() });
    }

    /// The state, for a moment: never held across an await.
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing between lock and unlock leaves it half changed.
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sandbox(&self) -> &Sandbox {
        &self.inner.sandbox
    }

    fn fabric(&self) -> &Fabric {
        &self.inner.fabric
    }
}
