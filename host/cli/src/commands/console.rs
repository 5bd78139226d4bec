//! `knetsim console`.

use anyhow::Context;

use crate::fresh::Interrupted;
use crate::interrupts::Interrupts;
use crate::{console, sandboxes};

const EXAMPLES: &str = "\
Examples:
  knetsim console                            the prompt `knetsim>`: type `help`
  knetsim console < script                   its lines, up to the first that fails

  knetsim> C0w1 ping -c1 C0w2                a command on a node
  knetsim> C0w1.c1 curl 100.64.10.1          a command in a container
  knetsim> create container C0w1.c1          any command line of knetsim
  knetsim> pingall                           as Mininet has it: nodes net links dump iperf link sh source";

/// Type commands at a prompt
///
/// A line is a command on a node or in a container, whose name it begins with, one of Mininet's commands, or a command
/// line of knetsim; names of nodes and containers are turned into addresses. `knetsim up` on a terminal opens it, too.
/// Without a terminal the first line that fails ends it, with that line's exit status.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {}

pub(crate) fn run(name: Option<&str>, Args {}: Args) -> anyhow::Result<u8> {
    let interrupts = Interrupts::catch().context("catching signals")?;
    sandboxes::talk(name, async |client| {
        tokio::select! {
            done = console::run(client) => done,
            number = interrupts.end(console::is_interactive()) => Err(Interrupted(number?).into()),
        }
    })
}
