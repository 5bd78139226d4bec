//! The capabilities: what the WIT package `knetsim:lab` promises, by calls of the emulator.
//!
//! Each has three phases: [`link`] offers all to every lab; [`Rights`] says, from what was granted, what a lab may
//! open; [`State::new`] makes one instance's empty table of handles. A handle in that table is the proof
//! that its grant was checked; a lab holds only numbers into a table of its own.

#![allow(unreachable_pub, reason = "the bindings re-export the types of handles")]

mod captures;
mod clusters;
mod containers;
mod exec;
mod info;
mod ingresses;
mod links;
mod memory;
mod observe;
mod probe;
mod records;
mod ruleset;
mod services;
pub(crate) mod state;
mod workers;

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use knetsim_emulator::Emulator;
use knetsim_model::names::NodeKind;
use knetsim_model::{ClusterName, Code, ContainerName, Failure, IngressRef, NodeName, Operation, Owner, ServiceRef};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Sender;
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::cli::{StdinStream, StdoutStream};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::grants::{Phase, Rights};
use crate::limits::{Limit, Limits};
use memory::Memory;
use state::Remembered;

/// The most that one call of a lab may pass to the host, in bytes.
pub(crate) const MAX_ARGUMENTS: usize = 16 << 20;
/// The most handles of ours that a lab may hold.
const MAX_HANDLES: usize = 10_000;
/// The most handles of WASI's that a lab may hold, which only a hostile one comes near.
const MAX_STREAMS: usize = 10_000;
/// The most random bytes of one call.
const MAX_RANDOM: u64 = 1 << 20;

mod bindings {
    #![allow(missing_docs, reason = "made from the WIT files, which are documented")]
    wasmtime::component::bindgen!({
        path: "../../guest-sdk/wit",
        world: "chapter",
        imports: {
            "knetsim:lab/clusters.[method]cluster.name": trappable,
            "knetsim:lab/workers.[method]worker.name": trappable,
            "knetsim:lab/workers.[method]scratch-node.name": trappable,
            "knetsim:lab/containers.[method]container.name": trappable,
            "knetsim:lab/services.[method]service.name": trappable,
            "knetsim:lab/ingresses.[method]ingress.name": trappable,
            "knetsim:lab/links.[method]site.cluster": trappable,
            "knetsim:lab/exec.[method]place.target": trappable,
            "knetsim:lab/exec.[method]process.pid": trappable,
            "knetsim:lab/probe.[method]prober.target": trappable,
            "knetsim:lab/observe.[method]observer.target": trappable,
            "knetsim:lab/captures.[method]capture.interface-name": trappable,
            default: async | trappable,
        },
        exports: { default: async },
        with: {
            "knetsim:lab/clusters.cluster": super::clusters::Cluster,
            "knetsim:lab/workers.worker": super::workers::Worker,
            "knetsim:lab/workers.scratch-node": super::workers::ScratchNode,
            "knetsim:lab/containers.container": super::containers::Container,
            "knetsim:lab/services.service": super::services::Service,
            "knetsim:lab/ingresses.ingress": super::ingresses::Ingress,
            "knetsim:lab/links.site": super::links::Site,
            "knetsim:lab/exec.place": super::exec::Place,
            "knetsim:lab/exec.process": super::exec::Process,
            "knetsim:lab/probe.prober": super::probe::Prober,
            "knetsim:lab/observe.observer": super::observe::Observer,
            "knetsim:lab/captures.capture": super::captures::Capture,
        },
        trappable_error_type: { "knetsim:lab/types.error" => knetsim_model::Failure },
    });
}
pub(crate) use bindings::exports::knetsim::lab::lesson;
use bindings::knetsim::lab as wit;
pub(crate) use bindings::knetsim::lab::types;
pub(crate) use bindings::{Chapter as ChapterExports, ChapterPre};

/// Offers everything that a lab may import: all of knetsim's and, for compilers import what labs never use, all
/// of WASI 0.2 but http.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    bindings::Chapter::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

/// WASI over an empty context: no files, no sockets, no environment; streams, clocks, randomness, arguments.
pub(crate) fn wasi<'a>(
    args: impl Iterator<Item = &'a String>,
    stdin: impl StdinStream + 'static,
    stdout: impl StdoutStream + 'static,
    stderr: impl StdoutStream + 'static,
) -> WasiCtx {
    let mut wasi = WasiCtx::builder();
    wasi.args(&args.collect::<Vec<_>>()).stdin(stdin).stdout(stdout).stderr(stderr);
    wasi.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false).max_random_size(MAX_RANDOM);
    wasi.build()
}

/// One instance of a lab.
pub(crate) struct State {
    /// None while an outline is asked for, and then nothing gets past [`Rights`].
    emulator: Option<Emulator>,
    rights: Rights,
    limits: Arc<Limits>,
    made: Made,
    processes: Arc<Semaphore>,
    /// Where it is told which of the lab's commands were ended for want of memory.
    warnings: Option<Sender<String>>,
    remembered: Option<Arc<Remembered>>,
    table: ResourceTable,
    handles: usize,
    wasi: WasiCtx,
    pub(crate) memory: Memory,
}

/// What the lab made and has not deleted: the limits count it.
#[derive(Default)]
struct Made {
    nodes: BTreeSet<NodeName>,
    containers: BTreeSet<(ClusterName, ContainerName)>,
    services: BTreeSet<ServiceRef>,
    ingresses: BTreeSet<IngressRef>,
}

impl State {
    /// An instance of a lab that has made nothing yet.
    pub(crate) fn new(emulator: Option<Emulator>, rights: Rights, limits: Arc<Limits>, wasi: WasiCtx) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES + MAX_STREAMS);
        let (memory, made) = (Memory::new(limits.clone()), Made::default());
        let (processes, warnings) = (limits.processes(), None);
        State { emulator, rights, limits, made, processes, warnings, remembered: None, table, handles: 0, wasi, memory }
    }

    /// Somebody reads the warnings.
    pub(crate) fn warning(self, warnings: Sender<String>) -> Self {
        State { warnings: Some(warnings), ..self }
    }

    /// One more instance of a chapter: what others made, started and remembered is its own.
    pub(crate) fn chapter(mut self, remembered: Arc<Remembered>, processes: Arc<Semaphore>) -> Self {
        let owner = Owner::Lab(self.rights.lab().to_owned());
        let there = self.emulator.as_ref().map(Emulator::inventory).unwrap_or_default();
        let nodes = there.nodes.into_iter().filter(|node| node.owner == owner && node.kind != NodeKind::Etcd);
        self.made.nodes = nodes.map(|node| node.name).collect();
        let containers = there.containers.into_iter().filter(|container| container.owner == owner);
        self.made.containers = containers.map(|container| (container.cluster, container.name)).collect();
        let services = there.services.into_iter().filter(|service| service.owner == owner);
        self.made.services =
            services.map(|service| ServiceRef { cluster: service.cluster, name: service.name }).collect();
        let ingresses = there.ingresses.into_iter().filter(|ingress| ingress.owner == owner);
        self.made.ingresses =
            ingresses.map(|ingress| IngressRef { cluster: ingress.cluster, name: ingress.name }).collect();
        (self.remembered, self.processes) = (Some(remembered), processes);
        self
    }

    fn emulator(&self) -> Result<&Emulator, Failure> {
        self.emulator.as_ref().ok_or_else(|| Failure::new(Code::Denied, "there is no sandbox"))
    }

    async fn submit(&mut self, operation: Operation) -> Result<(), Failure> {
        self.emulator()?.submit(operation, Owner::Lab(self.rights.lab().to_owned())).await
    }

    /// In a chapter nobody mends what the learner breaks.
    async fn leave_broken(&mut self, nodes: impl IntoIterator<Item = NodeName>) -> Result<(), Failure> {
        if self.rights.phase() == Phase::Change {
            for worker in nodes {
                self.submit(Operation::SetRepair { worker, on: false }).await?;
            }
        }
        Ok(())
    }

    /// Refuses `more` of something where `there` are as many as may be.
    fn room(&self, limit: Limit, there: usize, more: u64) -> Result<(), Failure> {
        match (there as u64).saturating_add(more) <= self.limits.get(limit) {
            true => Ok(()),
            false => Err(self.limits.reached(limit)),
        }
    }

    /// Gives a handle to the lab.
    fn hand_out<T: Send + 'static>(&mut self, handle: T) -> Result<Resource<T>, Failure> {
        let full = || {
            let words = format!("a lab can hold {MAX_HANDLES} handles; drop some before you open more");
            Failure::new(Code::Limit, words)
        };
        if self.handles >= MAX_HANDLES {
            return Err(full());
        }
        let handle = self.table.push(handle).map_err(|_| full())?;
        self.handles += 1;
        Ok(handle)
    }

    /// What a handle stands for.
    fn handle<T: 'static>(&self, handle: &Resource<T>) -> Result<&T, Failure> {
        self.table.get(handle).map_err(|error| Failure::failed("use a handle", &error))
    }

    fn drop_handle<T: 'static>(&mut self, handle: Resource<T>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        self.handles -= 1;
        Ok(())
    }
}

/// Reads a name that the lab gave.
fn name<T: FromStr<Err: Display>>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|error: T::Err| Failure::invalid(error.to_string()))
}

impl wit::types::Host for State {
    fn convert_error(&mut self, failure: Failure) -> wasmtime::Result<wit::types::Error> {
        Ok(wit::types::Error { code: failure.code.as_str().to_owned(), message: failure.message })
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}
