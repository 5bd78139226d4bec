//! `knetsim down`: ends a sandbox and all that is in it.

use std::time::Duration;

use anyhow::Context;
use knetsim_model::protocol::Request;
use knetsim_sandbox::StateFolder;

use crate::{output, sandboxes};

/// How long a supervisor may take to end.
const DEADLINE: Duration = Duration::from_secs(20);

/// End a sandbox and everything in it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  knetsim down\n  knetsim down --name mine\n  knetsim down --all")]
pub(crate) struct Args {
    /// All sandboxes that run
    #[arg(long)]
    all: bool,
}

pub(crate) fn run(name: Option<&str>, args: Args) -> anyhow::Result<u8> {
    if !args.all {
        end(sandboxes::find(name)?)?;
        return Ok(0);
    }
    let base = StateFolder::base()?;
    for name in StateFolder::running(&base)? {
        end(StateFolder::open(&base, &name)?).with_context(|| format!("sandbox {name}"))?;
    }
    Ok(0)
}

/// Ends it and waits until nothing is left.
fn end(folder: StateFolder) -> anyhow::Result<()> {
    sandboxes::runtime()?.block_on(ask(&folder))?;
    let path = folder.path().to_owned();
    folder.wait_and_remove()?;
    output::say(format_args!("{} is down", path.file_name().unwrap_or_default().display()));
    Ok(())
}

/// Asks the supervisor to end. Within a tokio runtime.
pub(crate) async fn ask(folder: &StateFolder) -> anyhow::Result<()> {
    let mut client = sandboxes::connect(folder).await?;
    let down = client.ask(Request::Down, |_, _| {});
    tokio::time::timeout(DEADLINE, down).await.context("the supervisor doesn't end")??;
    Ok(())
}
