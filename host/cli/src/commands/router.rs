//! `knetsim router -c FILE`: a router between clusters.

use std::path::PathBuf;

use anyhow::Context;
use knetsim_model::Failure;
use knetsim_router::CommandError;

/// Run a router between clusters, as skrouterd's configuration files describe it
///
/// It speaks skrouterd's own protocol: its neighbours may be skrouterd or further ones of its own. It runs until it is
/// told to stop; SIGHUP makes it read its file again.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  knetsim router -c solo0.json\n  knetsim router -c skrouterd.conf --status status.json"
)]
pub(crate) struct Args {
    /// skrouterd's configuration: JSON where its name ends in .json, else the syntax of skrouterd.conf
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// Keep this file up to date with what the router's links, neighbours and listeners are doing, as JSON
    #[arg(long, value_name = "FILE")]
    status: Option<PathBuf>,
}

pub(crate) fn run(args: Args) -> anyhow::Result<u8> {
    match knetsim_router::serve(&args.config, args.status.as_deref()) {
        Err(error @ CommandError::Config(_)) => {
            Err(error).context(Failure::invalid(format!("the router's file {}", args.config.display())))
        }
        other => Ok(other.map(|()| 0)?),
    }
}
