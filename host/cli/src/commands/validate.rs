//! `knetsim validate FILE`: whether a topology file can be made.

use std::path::PathBuf;

use crate::{output, topology};

/// Check a topology file without making anything
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  knetsim validate lab.yaml")]
pub(crate) struct Args {
    /// The file; `-` is standard input
    file: PathBuf,
}

pub(crate) fn run(args: Args) -> anyhow::Result<u8> {
    let topology = topology::read(&args.file)?;
    let containers: usize = topology.clusters.values().map(|cluster| cluster.containers.len()).sum();
    let services: usize = topology.clusters.values().map(|cluster| cluster.services.len()).sum();
    let ingresses: usize = topology.clusters.values().map(|cluster| cluster.ingresses.len()).sum();
    let sites = topology.clusters.values().filter(|cluster| cluster.has_site()).count();
    output::say(format_args!(
        "{} is right: {}, {}, {}, {}, {}, {}",
        topology::name_of(&args.file),
        output::count(topology.clusters.len(), "cluster"),
        output::count(containers, "container"),
        output::count(services, "service"),
        output::count(ingresses, "ingress"),
        output::count(sites, "site"),
        output::count(topology.scratch.len(), "scratch node")
    ));
    Ok(0)
}
