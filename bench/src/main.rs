//! `knetsim-bench`: measures knetsim against the kernel's own cost, and against Mininet on the same topology;
//! its router against direct TCP and skrouterd.
//!
//! Each sample is a process of its own in namespaces of its own, so that nothing of one is left for the next and
//! nothing of the machine is changed. A benchmark, not a test: on a busy machine goals are missed.

mod batch;
mod figures;
mod floor;
mod ingress;
mod interconnect;
mod knetsim;
mod lab;
mod memory;
mod path;
mod report;
mod routers;
mod rows;
mod runner;
mod services;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::figures::Figures;
use crate::routers::Make;
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
    /// The lab `bench/guest`, built.
    #[arg(long)]
    guest: Option<PathBuf>,
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
    Underlay,
    Containers,
    Workers,
    Etcd,
    Whole,
    Path,
    Lab,
    Services,
    Ingress,
    Router,
    Skrouterd,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(Internal::Sample { which }) = arguments.sample {
        println!("{}", serde_json::to_string(&sample(&which)?)?);
        return Ok(ExitCode::SUCCESS);
    }
    let samples = runner::Runner::new(arguments.guest.as_deref())?.run(arguments.rounds, &arguments.only)?;
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
        Sample::Underlay => knetsim::underlay(),
        Sample::Containers => knetsim::containers(CONTAINERS),
        Sample::Workers => knetsim::workers(),
        Sample::Etcd => knetsim::etcd(),
        Sample::Whole => knetsim::whole(),
        Sample::Path => knetsim::path(),
        Sample::Lab => knetsim::lab(),
        Sample::Services => services::services(),
        Sample::Ingress => ingress::ingress(),
        Sample::Router => interconnect::interconnect(Make::Knetsim),
        Sample::Skrouterd => interconnect::interconnect(Make::Skrouterd),
    }
}
