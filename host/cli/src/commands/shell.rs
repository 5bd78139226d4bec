//! `knetsim shell [NODE]`: the learner's shell.

use std::collections::BTreeMap;

use knetsim_model::Target;
use knetsim_model::protocol::Request;

use super::exec::add_terminal_kind;
use crate::{completion, relay, sandboxes, terminal};

const EXAMPLES: &str = "\
Examples:
  knetsim shell C0w1
  knetsim shell C0w1.c1
  knetsim shell                              where all nodes are: ps, nsenter -t PID, /tmp/knetsim
  knetsim shell box < commands.sh            a script";

/// Open a shell on a node or in a container
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Node, container, or a namespace `NODE/NAME` made by hand; left out, the node side's base
    #[arg(default_value = knetsim_model::names::BASE, add = completion::targets())]
    target: Target,
}

pub(crate) fn run(name: Option<&str>, args: Args) -> anyhow::Result<u8> {
    let tty = terminal::is_interactive().then(terminal::size);
    let mut env = BTreeMap::new();
    if tty.is_some() {
        add_terminal_kind(&mut env);
    }
    let request = Request::Exec { target: args.target, command: vec![], env, tty, background: false };
    sandboxes::talk(name, async |mut client| match tty {
        Some(_) => relay::run_in_terminal(&mut client, request, true).await,
        None => relay::run(&mut client, request, &[], true, |_, _| {}).await,
    })
}
