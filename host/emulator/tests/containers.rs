//! Thousands of containers made and deleted in process: nothing of them is left.
//!
//! Launching a sandbox takes a process with one thread, so this is a program of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use cap_std::fs::Dir;
use knetsim_emulator::Emulator;
use knetsim_model::{Operation, Owner, Target};
use knetsim_sandbox::{Options, Seat, launch};
use tokio::runtime::{Builder, Handle};

const CONTAINERS: usize = if cfg!(feature = "nightly") { 10_000 } else { 2_000 };
/// How many exist at once, on two workers.
const AT_ONCE: usize = 20;

fn main() -> ExitCode {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { name: "leaks".into(), base: Some(folder.path().into()), ..Options::default() };
    let began = Instant::now();
    let status = launch(&options, supervise).unwrap().wait().unwrap();
    let (word, passed) = if status == 0 { ("ok", 1) } else { ("FAILED", 0) };
    println!("test {CONTAINERS}_containers_leave_nothing ... {word} ({:?})", began.elapsed());
    println!("\ntest result: {word}. {passed} passed; {} failed; 0 ignored", 1 - passed);
    ExitCode::from(u8::from(status != 0))
}

fn supervise(seat: Seat) -> i32 {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (sandbox, _listener) = seat.open().unwrap();
        let files = sandbox.files().try_clone().unwrap();
        let emulator = Emulator::start("leaks", sandbox).await.unwrap();
        submit(&emulator, r#"{"do":"create-cluster","cluster":"C0","workers":2}"#).await;
        // The first ones make what stays: the bridge, folders, threads.
        batch(&emulator, 0).await;
        let before = settled(&emulator, &files, None).await;
        for number in 1..=CONTAINERS / AT_ONCE {
            batch(&emulator, number).await;
        }
        settled(&emulator, &files, Some(before)).await;
    });
    0
}

/// Makes containers on both workers, and deletes them.
async fn batch(emulator: &Emulator, number: usize) {
    let names = |index| format!("C0w{}.b{number}-{index}", 1 + index % 2);
    for index in 0..AT_ONCE {
        submit(emulator, &format!(r#"{{"do":"create-container","container":"{}"}}"#, names(index))).await;
    }
    for index in 0..AT_ONCE {
        submit(emulator, &format!(r#"{{"do":"delete-container","container":"{}"}}"#, names(index))).await;
    }
}

async fn submit(emulator: &Emulator, operation: &str) {
    let operation: Operation = serde_json::from_str(operation).unwrap();
    emulator.submit(operation, Owner::User).await.unwrap_or_else(|failure| panic!("{failure}"));
}

/// What could leak, counted.
#[derive(Debug, PartialEq)]
struct Counts {
    descriptors: usize,
    tasks: usize,
    links: usize,
    addresses: usize,
    namespaces: usize,
    files: usize,
    processes: usize,
}

impl Counts {
    /// A connection that was idle may have gone meanwhile; nothing may have come.
    fn not_above(&self, other: &Counts) -> bool {
        let all = |counts: &Counts| {
            let Counts { descriptors, tasks, links, addresses, namespaces, files, processes } = counts;
            [*descriptors, *tasks, *links, *addresses, *namespaces, *files, *processes]
        };
        all(self).iter().zip(all(other)).all(|(now, before)| *now <= before)
    }
}

/// Counts, when they stand still, or are no higher than they were: the kernel frees namespaces a moment later.
async fn settled(emulator: &Emulator, files: &Dir, wanted: Option<Counts>) -> Counts {
    let mut last = counts(emulator, files).await;
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = counts(emulator, files).await;
        match &wanted {
            Some(wanted) if now.not_above(wanted) => return now,
            None if now == last => return now,
            _ => last = now,
        }
    }
    panic!("something is left: {last:?}, there was {wanted:?}");
}

async fn counts(emulator: &Emulator, files: &Dir) -> Counts {
    let worker = |name: &str| Target::Node(name.parse().unwrap());
    let (mut links, mut addresses, mut namespaces) = (0, 0, 0);
    for name in ["C0w1", "C0w2"] {
        links += emulator.links(&worker(name)).await.unwrap().len();
        addresses += emulator.addresses(&worker(name)).await.unwrap().len();
        namespaces += emulator.namespaces(&name.parse().unwrap()).await.unwrap().len();
    }
    Counts {
        descriptors: std::fs::read_dir("/proc/self/fd").unwrap().count(),
        tasks: Handle::current().metrics().num_alive_tasks(),
        links,
        addresses,
        namespaces,
        files: count_files(files),
        processes: emulator.processes(&Target::Base).await.unwrap().len(),
    }
}

fn count_files(folder: &Dir) -> usize {
    let entries = folder.entries().unwrap().map(Result::unwrap);
    entries.map(|entry| 1 + entry.open_dir().map_or(0, |folder| count_files(&folder))).sum()
}
