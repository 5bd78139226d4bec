//! `knetsim exec [-it] [-d] TARGET -- COMMAND`.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use knetsim_model::protocol::{Reply, Request};
use knetsim_model::{Failure, Target};

use crate::control::client::Client;
use crate::control::wire::WireError;
use crate::{completion, output, relay, sandboxes, terminal};

const EXAMPLES: &str = "\
Examples:
  knetsim exec C0w1.c1 -- ping -c1 C0w2
  knetsim exec C0w1 ip route
  echo 'add table ip t' | knetsim exec -i C0w1 -- nft -f -
  knetsim exec -it C0w1.c1 -- bash
  knetsim exec -d C0w1.c1 -- python3 -m http.server 8000
  knetsim exec box/myns -- ip addr           a namespace made by hand on node box";

/// Run a command on a node or in a container
///
/// Its exit status is this one's; 128 + N where signal N ended it; 125 where knetsim failed, 126 where the
/// program can't be run, 127 where there is none.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Pass standard input on
    #[arg(short, long)]
    interactive: bool,
    /// Give it a terminal
    #[arg(short, long)]
    tty: bool,
    /// Leave it running in the background, its output in `knetsim logs`
    #[arg(short, long, conflicts_with_all = ["interactive", "tty"])]
    detach: bool,
    /// Add to its environment
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    /// Node, container, `base`, or a namespace `NODE/NAME` made by hand
    #[arg(add = completion::targets())]
    target: Target,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

pub(crate) fn run(name: Option<&str>, args: Args) -> anyhow::Result<u8> {
    if args.tty && args.interactive && !std::io::stdin().is_terminal() {
        return Err(Failure::invalid("standard input is no terminal: leave -t out").into());
    }
    let mut env: BTreeMap<_, _> = args.env.into_iter().collect();
    if args.tty {
        add_terminal_kind(&mut env);
    }
    let (target, command, background) = (args.target, args.command, args.detach);
    let tty = args.tty.then(terminal::size);
    let request = Request::Exec { target, command, env, tty, background };
    sandboxes::talk(name, async |mut client| match (background, tty) {
        (true, _) => start(&mut client, request).await,
        (false, Some(_)) => relay::run_in_terminal(&mut client, request, args.interactive).await,
        (false, None) => relay::run(&mut client, request, &[], args.interactive, |_, _| {}).await,
    })
}

/// Tells the program inside what kind of terminal it writes to.
pub(crate) fn add_terminal_kind(env: &mut BTreeMap<String, String>) {
    if let Ok(kind) = std::env::var("TERM") {
        env.entry("TERM".to_owned()).or_insert(kind);
    }
}

async fn start(client: &mut Client, request: Request) -> anyhow::Result<u8> {
    match client.ask(request, |_, _| {}).await? {
        Reply::Started { pid } => output::print(&pid.to_string())?,
        other => return Err(WireError::Unexpected(Box::new(other)).into()),
    }
    Ok(0)
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}
