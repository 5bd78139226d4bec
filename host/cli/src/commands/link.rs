//! `knetsim link NAME:IF up|down`.

use clap::ValueEnum;
use knetsim_model::{InterfaceRef, Operation};

use crate::commands::submit;
use crate::completion;

const EXAMPLES: &str = "\
Examples:
  knetsim link C0w1:eth0 down                a worker's way to the underlay
  knetsim link C0w1.c1:eth0 up
  knetsim link base:C1s0 down                a whole cluster's switch, in the fabric";

/// Set a link up or down, as a cable that is mended or cut
///
/// The kernel drops an interface's routes when it is set down. They come back when it is set up again.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Node or container, and interface; `base` is the fabric
    #[arg(value_name = "NAME:INTERFACE", add = completion::targets())]
    interface: InterfaceRef,
    #[arg(value_enum)]
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum State {
    Up,
    Down,
}

pub(crate) fn run(name: Option<&str>, args: Args) -> anyhow::Result<u8> {
    submit(name, vec![Operation::SetLink { interface: args.interface, up: args.state == State::Up }])
}
