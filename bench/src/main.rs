//! `knetsim-bench`: measures knetsim against the kernel's own cost, and against Mininet on the same topology.
//!
//! Each sample is a process of its own in namespaces of its own, so that nothing of one is left for the next and
//! nothing of the machine is changed. A benchmark, not a test: on a busy machine goals are missed.

mod batch;
mod figures;
mod floor;
mod path;
mod report;
mod rows;
mod runner;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::figures::Figures;
use crate::rows::{CLUSTERS, CONTAINERS, WORKERS};

/// Measures knetsim; says of each goal whether it was met or missed.
#[derive(Parser)]
struct Arguments {
    /// How many times each sample is taken.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Only the series with this in their name.
    #[arg(long, default_value = "")]
    only: String,
    /// Also write what was measured to this file, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    #[command(subcommand)]
    sample: Option<Internal>,
}

#[derive(Subcommand)]
enum Internal {
    /// Takes one sample here and now, and prints it as JSON. In namespaces made for it.
    #[command(hide = true)]
    Sample {
        #[command(subcommand)]
        which: Sample,
    },
}

#[derive(Subcommand)]
enum Sample {
    Settle,
    FloorUnderlay,
    FloorContainers,
    PathByHand,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(Internal::Sample { which }) = arguments.sample {
        println!("{}", serde_json::to_string(&sample(&which)?)?);
        return Ok(ExitCode::SUCCESS);
    }
    let samples = runner::Runner::new()?.run(arguments.rounds, &arguments.only)?;
    print!("{}", report::table(&samples, arguments.rounds));
    if let Some(file) = arguments.json {
        fs::write(file, format!("{:#}\n", report::json(&samples, arguments.rounds)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn sample(which: &Sample) -> Result<Figures> {
    match which {
        Sample::Settle => floor::settle(),
        Sample::FloorUnderlay => floor::underlay(CLUSTERS, WORKERS),
        Sample::FloorContainers => floor::containers(CONTAINERS),
        Sample::PathByHand => path_by_hand(),
    }
}

fn path_by_hand() -> Result<Figures> {
    let hand = path::ByHand::new()?;
    let (one_worker, vxlan) = (hand.one_worker(), hand.vxlan());
    Ok(Figures::from([
        ("one_worker_gbps", one_worker.throughput()?),
        ("vxlan_gbps", vxlan.throughput()?),
        ("one_worker_us", one_worker.round_trip()?),
        ("vxlan_us", vxlan.round_trip()?),
    ]))
}
