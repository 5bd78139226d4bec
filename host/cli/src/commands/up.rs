//! `knetsim up [-t FILE] [-d]`: a sandbox with what a topology file says.

use std::path::PathBuf;

use knetsim_emulator::plan::{Planner, View};
use knetsim_model::protocol::{Reply, Request};
use knetsim_model::topology::Topology;
use knetsim_model::underlay::Underlay;
use knetsim_model::{Event, Failure, Operation, Owner};
use knetsim_sandbox::{BindMount, Limits, Options, StateFolder};

use crate::control::client::Client;
use crate::control::wire::WireError;
use crate::fresh::{Fresh, Interrupted};
use crate::progress::{self, Progress};
use crate::{console, output, sandboxes, topology};

const EXAMPLES: &str = "\
Examples:
  knetsim up                                 the course's two clusters, until the console ends
  knetsim up -d                              in the background
  knetsim up -d -t lab.yaml --name mine      what the file says, beside other sandboxes
  knetsim up -t lab.yaml                     where it runs already: makes it what the file says now
  knetsim up --dry-run -t lab.yaml           what that would create, change and delete
  knetsim up --mount ~/site:/srv/site:ro     with a folder of yours inside
  knetsim up --underlay 172.16.0.0/12        with other addresses for the nodes: pods may have 10.0.0.0/8
  knetsim up -t big.yaml --limit processes=20000 --limit memory=12G";

/// Start a sandbox, or bring a running one to what a file says
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What to make; left out, the course's two clusters of three workers; `-` is standard input. A file that says
    /// nothing is refused: `{}` stands for nothing at all
    #[arg(short, long, value_name = "FILE")]
    topology: Option<PathBuf>,
    /// Only say what would be created, changed and deleted
    #[arg(long, conflicts_with_all = ["detach", "mounts", "limits", "programs", "plugins"])]
    dry_run: bool,
    /// The network of all nodes, a /8 to a /22; left out, the file's, or 10.0.0.0/8
    #[arg(long, value_name = "NETWORK")]
    underlay: Option<Underlay>,
    /// Leave it running in the background
    #[arg(short, long)]
    detach: bool,
    /// A folder or file of yours to be seen inside
    #[arg(long = "mount", value_name = "SRC:DST[:ro]")]
    mounts: Vec<BindMount>,
    /// How much the sandbox may use: `processes`, `memory` and `disk` in all, `command-memory` for each command
    #[arg(long = "limit", value_name = "WHAT=NUMBER[K|M|G]", value_parser = limit)]
    limits: Vec<(Limit, u64)>,
    /// A program of yours, seen inside as /opt/knetsim/bin/NAME
    #[arg(long = "program", value_name = "FILE")]
    programs: Vec<PathBuf>,
    /// A CNI plugin of yours, seen inside as /opt/cni/bin/NAME
    #[arg(long = "cni-plugin", value_name = "FILE")]
    plugins: Vec<PathBuf>,
}

pub(crate) fn run(name: Option<&str>, args: Args) -> anyhow::Result<u8> {
    let underlay = args.underlay;
    let file = args.topology.as_deref().map(|path| topology::read(path, underlay)).transpose()?;
    let name = name.unwrap_or(sandboxes::DEFAULT);
    if StateFolder::running(&StateFolder::base()?)?.iter().any(|running| running == name) {
        return change(name, &args, file);
    }
    let topology = file.unwrap_or_else(|| Topology { underlay, ..Topology::course() });
    if args.dry_run {
        let apply = Operation::Apply { topology };
        let nothing = View::default();
        let events = Planner::plan(nothing.clone(), &apply, Owner::File)?.events(&nothing);
        return print_preview(&events);
    }
    let detach = args.detach;
    let fresh = Fresh::launch(&options(name, args)?)?;
    let brought_up = fresh.talk(async |client| bring_up(client, topology, false).await);
    if detach && brought_up.is_ok() {
        output::say(format_args!("in the background; `knetsim inspect` shows it, `knetsim down` ends it"));
        return Ok(0);
    }
    let stay = || if console::is_interactive() { fresh.console() } else { fresh.talk(stay) };
    let stayed = brought_up.and_then(|()| match stay() {
        // Ctrl-C is how one ends it.
        Err(error) if error.is::<Interrupted>() => Ok(0),
        stayed => stayed,
    });
    let ended = fresh.end();
    let status = stayed?;
    ended?;
    output::say(format_args!("{name} is down"));
    Ok(status)
}

/// What is limited.
#[derive(Clone, Copy, Debug)]
enum Limit {
    Processes,
    Memory,
    CommandMemory,
    Disk,
}

fn limit(text: &str) -> Result<(Limit, u64), String> {
    let (what, number) = text.split_once('=').ok_or("write WHAT=NUMBER")?;
    let what = match what {
        "processes" => Limit::Processes,
        "memory" => Limit::Memory,
        "command-memory" => Limit::CommandMemory,
        "disk" => Limit::Disk,
        _ => return Err("there are: processes, memory, command-memory, disk".to_owned()),
    };
    let digits = number.trim_end_matches(['K', 'M', 'G']);
    let shift = match &number[digits.len()..] {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return Err(format!("`{number}` has more than one unit")),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    number
        .filter(|number| *number > 0)
        .map(|number| (what, number))
        .ok_or_else(|| "the number is out of range".to_owned())
}

fn options(name: &str, args: Args) -> anyhow::Result<Options> {
    let mut limits = Limits::default();
    for (what, number) in args.limits {
        match what {
            Limit::Processes => limits.processes = number,
            Limit::Memory => limits.memory = number,
            Limit::CommandMemory => limits.address_space = number,
            Limit::Disk => limits.disk = number,
        }
    }
    let Args { detach: detached, mounts, programs, plugins, .. } = args;
    let name = name.to_owned();
    Ok(Options { name, detached, limits, mounts, programs, plugins, ..Options::default() })
}

/// Prints what would happen.
fn print_preview(events: &[Event]) -> anyhow::Result<u8> {
    let mut lines = String::new();
    for event in events {
        match progress::outcome(event) {
            Some(outcome) => lines.push_str(&format!("{outcome} (dry run)\n")),
            None => progress::report(event),
        }
    }
    if lines.is_empty() {
        output::say(format_args!("nothing would be created, changed or deleted"));
        return Ok(0);
    }
    output::print(&lines)?;
    Ok(0)
}

/// Makes what the topology says, and says what came of it.
async fn bring_up(mut client: Client, topology: Topology, running: bool) -> anyhow::Result<()> {
    let progress = Progress::begin("starting", running);
    client.submit(Operation::Apply { topology }, |event| progress.show(&event)).await?;
    drop(progress);
    let inventory = client.inspect().await?;
    let (clusters, nodes, containers) = (inventory.clusters.len(), inventory.nodes.len(), inventory.containers.len());
    output::say(format_args!(
        "{} is up: {}, {}, {}",
        inventory.sandbox,
        output::count(clusters, "cluster"),
        output::count(nodes, "node"),
        output::count(containers, "container")
    ));
    Ok(())
}

/// Says what happens, until the sandbox ends or a signal comes.
async fn stay(mut client: Client) -> anyhow::Result<u8> {
    output::say(format_args!("Ctrl-C ends it; in another terminal, `knetsim shell C0w1` gets you in"));
    client.send(Request::Watch, &[]).await?;
    loop {
        match client.receive().await {
            Ok((answer, _)) => {
                if let Reply::Event(event) = answer.reply {
                    progress::report(&event)
                }
            }
            // Somebody said `knetsim down`.
            Err(WireError::Ended) => return Ok(0),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Brings a sandbox that runs already to what the file says.
fn change(name: &str, args: &Args, topology: Option<Topology>) -> anyhow::Result<u8> {
    let Some(topology) = topology else {
        let message = format!("sandbox {name} is running; `knetsim up -t FILE` changes it, `knetsim down` ends it");
        return Err(Failure::exists(message).into());
    };
    if !(args.mounts.is_empty() && args.limits.is_empty() && args.programs.is_empty() && args.plugins.is_empty()) {
        let message =
            format!("sandbox {name} is running; --mount, --limit and their like need a new one: `knetsim down` first");
        return Err(Failure::invalid(message).into());
    }
    if args.dry_run {
        let mut events = Vec::new();
        sandboxes::talk(Some(name), async |mut client| client.preview(topology, |event| events.push(event)).await)?;
        return print_preview(&events);
    }
    sandboxes::talk(Some(name), async |client| bring_up(client, topology, true).await)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_units() {
        let number = |text| limit(text).map(|(_, number)| number);
        assert_eq!(number("processes=12"), Ok(12));
        assert_eq!(number("memory=2G"), Ok(2 << 30));
        for wrong in ["memory", "memory=", "memory=0", "memory=1GG", "memory=-1", "cpu=1", "disk=99999999999999G"] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
    }
}
