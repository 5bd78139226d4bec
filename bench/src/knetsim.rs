//! knetsim's own samples: the layers as they are, in a sandbox made for each sample, and the program as a user runs it.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Write, pipe};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use knetsim_emulator::Emulator;
use knetsim_model::topology::Topology;
use knetsim_model::{Operation, Owner, Target};
use knetsim_sandbox::{Options, Seat, launch};
use tempfile::TempDir;

use crate::figures::{Figures, around, millis};
use crate::path::{ByHand, Path, Space};
use crate::{lab, memory};

/// Runs `work` in the supervisor of a new sandbox. What it says comes out by a pipe, a line each: its figures at the
/// end, or before it the wish to have the sandbox's memory measured, which can be seen from outside only.
pub(crate) fn in_sandbox(work: impl AsyncFnOnce(Emulator, &mut Outside) -> Result<Figures>) -> Result<Figures> {
    let folder = TempDir::new()?;
    let options = Options { name: "bench".to_owned(), base: Some(folder.path().to_owned()), ..Options::default() };
    let (said, say) = pipe()?;
    let (hear, mut answer) = pipe()?;
    let mut outside = Outside { say, hear: BufReader::new(hear) };
    let supervise = |seat: Seat| match supervised(seat, &mut outside, work) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error:#}");
            1
        }
    };
    let launched = launch(&options, supervise)?;
    drop(outside);
    let mut figures = None;
    for line in BufReader::new(said).lines() {
        match line?.as_str() {
            MEMORY => writeln!(answer, "{}", memory::of_descendants()?)?,
            line => figures = Some(serde_json::from_str(line)?),
        }
    }
    ensure!(launched.wait()? == 0, "the supervisor failed");
    figures.context("the supervisor said nothing")
}

fn supervised(
    seat: Seat,
    outside: &mut Outside,
    work: impl AsyncFnOnce(Emulator, &mut Outside) -> Result<Figures>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let figures = runtime.block_on(async {
        let (sandbox, _control) = seat.open()?;
        work(Emulator::start("bench", sandbox).await?, outside).await
    })?;
    runtime.shutdown_background();
    Ok(writeln!(outside.say, "{}", serde_json::to_string(&figures)?)?)
}

const MEMORY: &str = "memory";

/// The process that launched the sandbox, as the supervisor sees it.
pub(crate) struct Outside {
    say: PipeWriter,
    hear: BufReader<PipeReader>,
}

impl Outside {
    /// KiB of all processes of the sandbox but etcd's.
    fn memory(&mut self) -> Result<f64> {
        writeln!(self.say, "{MEMORY}")?;
        let mut line = String::new();
        self.hear.read_line(&mut line)?;
        Ok(line.trim().parse()?)
    }
}

fn course() -> Operation {
    Operation::Apply { topology: Topology::course() }
}

async fn make(emulator: &Emulator, operation: Operation) -> Result<()> {
    Ok(emulator.submit(operation, Owner::User).await?)
}

async fn cluster(emulator: &Emulator, workers: u32) -> Result<()> {
    make(emulator, Operation::CreateCluster { cluster: "C0".parse()?, workers, flannel: None }).await
}

async fn container(emulator: &Emulator, name: &str) -> Result<()> {
    let container = name.parse()?;
    make(emulator, Operation::CreateContainer { container, labels: [].into(), command: vec![] }).await
}

/// The two clusters' switches and nodes, mounts included, with nothing running on them.
pub(crate) fn underlay() -> Result<Figures> {
    in_sandbox(async |emulator, _| {
        let start = Instant::now();
        emulator.underlay(&course()).await?;
        Ok(Figures::from([("ms".to_owned(), millis(start.elapsed()))]))
    })
}

/// Two etcd members: from nothing until each has answered a put.
pub(crate) fn etcd() -> Result<Figures> {
    in_sandbox(async |emulator, _| {
        let start = Instant::now();
        cluster(&emulator, 0).await?;
        Ok(Figures::from([("ms".to_owned(), millis(start.elapsed()))]))
    })
}

/// Containers on one worker, one after the other, through CNI; and what each takes of memory.
pub(crate) fn containers(count: u32) -> Result<Figures> {
    in_sandbox(async |emulator, outside| {
        cluster(&emulator, 1).await?;
        let (mut times, mut before) = (Vec::new(), 0.0);
        for number in 0..count {
            if number == 10 {
                before = outside.memory()?;
            }
            let start = Instant::now();
            container(&emulator, &format!("C0w1.c{number}")).await?;
            times.push(start.elapsed());
        }
        let mut figures = around(&times);
        figures.insert("kib".to_owned(), (outside.memory()? - before) / f64::from(count - 10));
        Ok(figures)
    })
}

/// What a worker with its agent takes of memory: eight more where there are two.
pub(crate) fn workers() -> Result<Figures> {
    const MORE: u32 = 8;
    in_sandbox(async |emulator, outside| {
        cluster(&emulator, 2).await?;
        let before = outside.memory()?;
        for number in 3..3 + MORE {
            make(&emulator, Operation::CreateWorker { worker: format!("C0w{number}").parse()? }).await?;
        }
        Ok(Figures::from([("kib".to_owned(), (outside.memory()? - before) / f64::from(MORE))]))
    })
}

/// Calls from a lab, with a cluster to call.
pub(crate) fn lab() -> Result<Figures> {
    let guest = lab::read()?;
    in_sandbox(async |emulator, _| {
        cluster(&emulator, 0).await?;
        lab::measure(&emulator, &guest).await
    })
}

/// The data path between containers, and one made by hand beside it, in turns.
pub(crate) fn path() -> Result<Figures> {
    in_sandbox(async |emulator, _| {
        cluster(&emulator, 2).await?;
        let mut spaces = Vec::new();
        for name in ["C0w1.c1", "C0w1.c2", "C0w2.c3"] {
            container(&emulator, name).await?;
            let namespace = emulator.namespace(&Target::Container(name.parse()?))?;
            spaces.push(Space(namespace.as_fd().try_clone_to_owned()?));
        }
        let [one, two, three] = &spaces[..] else { anyhow::bail!("three containers") };
        let inventory = emulator.inventory();
        let address = |name: &str| {
            let found = inventory.containers.iter().find(|container| container.name.as_str() == name);
            found.map(|container| container.address).context("no such container")
        };
        let hand = ByHand::new()?;
        let mut figures = Figures::new();
        for (name, ours, theirs) in [
            ("one_worker", Path { client: one, server: two, address: address("c2")? }, hand.one_worker()),
            ("vxlan", Path { client: one, server: three, address: address("c3")? }, hand.vxlan()),
        ] {
            // Twice, there and back, and the better of each: what else happens falls on both alike.
            for (whose, path) in [("ours", &ours), ("hand", &theirs), ("hand", &theirs), ("ours", &ours)] {
                let most = figures.entry(format!("{whose}_{name}_gbps")).or_insert(0.0);
                *most = most.max(path.throughput()?);
                let least = figures.entry(format!("{whose}_{name}_us")).or_insert(f64::MAX);
                *least = least.min(path.round_trip()?);
            }
        }
        Ok(figures)
    })
}

/// `knetsim up -d` and `knetsim down`, as a user types them: the course's two clusters, etcd included.
pub(crate) fn whole() -> Result<Figures> {
    let folder = TempDir::new()?;
    let (state, program) = (folder.path().join("state"), beside_this()?);
    let run = |arguments: &[&str]| -> Result<f64> {
        let start = Instant::now();
        let output = Command::new(&program).args(arguments).env("KNETSIM_STATE_DIR", &state).output()?;
        ensure!(output.status.success(), "knetsim {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(millis(start.elapsed()))
    };
    Ok(Figures::from([("up_ms".to_owned(), run(&["up", "-d"])?), ("down_ms".to_owned(), run(&["down"])?)]))
}

/// The program `knetsim`.
pub(crate) fn beside_this() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("knetsim"))
}
