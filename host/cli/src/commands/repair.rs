//! `knetsim repair on|off WORKER`.

use clap::ValueEnum;
use knetsim_model::{NodeName, Operation};

use crate::commands::submit;
use crate::completion;

/// Whether nodes mend what somebody else changed
///
/// With repair off, what you delete or change by hand on a node stays so, and `knetsim inspect`
/// says what differs.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  knetsim repair off C0w1\n  knetsim repair on C0w1 C0w2")]
pub(crate) struct Args {
    #[arg(value_enum)]
    state: State,
    /// Which
    #[arg(required = true, value_name = "NODE", add = completion::nodes())]
    workers: Vec<NodeName>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum State {
    On,
    Off,
}

pub(crate) fn run(name: Option<&str>, args: Args) -> anyhow::Result<u8> {
    let on = args.state == State::On;
    submit(name, args.workers.into_iter().map(|worker| Operation::SetRepair { worker, on }).collect())
}
