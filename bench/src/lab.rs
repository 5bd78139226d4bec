//! Labs: what a call from one to the host takes, and how soon one is ready whose compiled code is kept.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result};
use knetsim_emulator::Emulator;
use knetsim_lab::{Host, Streams};
use knetsim_model::protocol::RunLab;
use tokio::io::{AsyncReadExt, duplex, empty, sink};

use crate::figures::{Figures, median, millis};

/// The lab `bench/guest`, which `make bench` builds and the runner puts beside this program.
pub(crate) const GUEST: &str = "bench-calls.wasm";

/// The lab's bytes; read before there is a sandbox, whose root has no such file.
pub(crate) fn read() -> Result<Vec<u8>> {
    let file = std::env::current_exe()?.with_file_name(GUEST);
    fs::read(&file).with_context(|| format!("read {}, which scripts/bench.sh builds", file.display()))
}

pub(crate) async fn measure(emulator: &Emulator, lab: &[u8]) -> Result<Figures> {
    let compiled = Host::new()?.compile(lab)?.compiled()?;
    let mut ready = Vec::new();
    for _ in 0..20 {
        let start = Instant::now();
        load(lab, &compiled)?;
        ready.push(millis(start.elapsed()));
    }
    let nanos = run(emulator, &load(lab, &compiled)?).await?;
    Ok(Figures::from([("ready_ms".to_owned(), median(&ready)), ("call_us".to_owned(), nanos / 1e3)]))
}

#[expect(unsafe_code, reason = "compiled code is machine code")]
fn load(lab: &[u8], compiled: &[u8]) -> Result<knetsim_lab::Lab> {
    // SAFETY: it was compiled above from the same bytes, in this process.
    Ok(unsafe { Host::new()?.load(lab, compiled) }?)
}

async fn run(emulator: &Emulator, lab: &knetsim_lab::Lab) -> Result<f64> {
    let (stdout, mut said) = duplex(1 << 16);
    let order = RunLab { args: vec![], grants: vec!["clusters".to_owned()], limits: [].into(), cached: false };
    // Nobody reads the warnings: the lab starts no command.
    let (warnings, _) = tokio::sync::mpsc::channel(1);
    let streams = Streams { stdin: Box::new(empty()), stdout: Box::new(stdout), stderr: Box::new(sink()), warnings };
    let status = lab.run(emulator, &order, streams).await?;
    let mut text = String::new();
    said.read_to_string(&mut text).await?;
    text.trim().parse().with_context(|| format!("the lab ended with {status} and said `{text}`"))
}
