//! `knetsim run FILE.wasm`: a lab, with what a person grants it, in a sandbox of its own.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use anyhow::Context;
use knetsim_lab::{Grant, Limit, Limits, Manifest};
use knetsim_model::Failure;
use knetsim_model::protocol::{Reply, Request, RunLab};
use knetsim_sandbox::Options;

use crate::cache::Entry;
use crate::consent::{self, Said};
use crate::control::client::Client;
use crate::fresh::Fresh;
use crate::lab_file::{self, Kind};
use crate::{output, relay, sandboxes};

const EXAMPLES: &str = "\
Examples:
  knetsim run first-steps.wasm               asks before it grants anything
  knetsim run --yes first-steps.wasm -- all  with an argument
  knetsim run --allow observe --deny exec lab.wasm
  knetsim run --limit workers=200 --limit call-seconds=60 --yes lab.wasm
  knetsim run --name mine lab.wasm           in the sandbox `mine` that runs already";

/// Run a lab
///
/// The sandbox is a fresh one that ends with the lab, unless --name names one that runs. The exit status is
/// the lab's; 125 where knetsim refused or ended it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The lab: a component, a core module, or the text of one
    file: PathBuf,
    /// Grant this, whether it asks for it or not
    #[arg(long, value_name = "GRANT")]
    allow: Vec<Grant>,
    /// Do not grant this, though it asks for it
    #[arg(long, value_name = "GRANT")]
    deny: Vec<Grant>,
    /// Another limit than its own
    #[arg(long = "limit", value_name = "LIMIT=NUMBER", value_parser = limit)]
    limits: Vec<(Limit, u64)>,
    /// Grant all that it asks for, without a question
    #[arg(short, long)]
    yes: bool,
    /// The lab's own arguments
    #[arg(last = true)]
    args: Vec<String>,
}

pub(crate) fn run(name: Option<&str>, args: Args) -> anyhow::Result<u8> {
    let (bytes, manifest) = lab_file::open(&args.file, Kind::Script)?;
    let manifest = manifest.unwrap_or_else(Manifest::unnamed);
    let limits: BTreeMap<_, _> = args.limits.iter().map(|(limit, value)| (limit.to_string(), *value)).collect();
    let all = Limits::new(&manifest.limits, &limits).map_err(Failure::from)?;
    let said = Said { allow: &args.allow, deny: &args.deny, yes: args.yes };
    let grants = consent::decide(&manifest, &said)?.iter().map(Grant::to_string).collect();
    let order = RunLab { args: args.args, grants, limits, cached: false };
    if let Some(name) = name {
        return sandboxes::talk(Some(name), async |client| run_in(client, bytes, order).await);
    }
    // Each node has a process of its own beside those that the lab starts.
    let mut limits = knetsim_sandbox::Limits::default();
    limits.processes += all.get(Limit::Workers) + all.get(Limit::Processes);
    let name = format!("run-{}", std::process::id());
    let fresh = Fresh::launch(&Options { name, limits, ..Options::default() })?;
    let ran = fresh.talk(async |client| run_in(client, bytes, order).await);
    let ended = fresh.end();
    let status = ran?;
    ended?;
    Ok(status)
}

/// Runs it in a sandbox; compiled code comes from the cache and goes there.
async fn run_in(mut client: Client, bytes: Vec<u8>, order: RunLab) -> anyhow::Result<u8> {
    let lab = lab_file::in_memory(&bytes).context("making a file in memory")?;
    let entry = Entry::named(&knetsim_lab::cache_key(&bytes).map_err(Failure::from)?);
    let entry = entry.inspect_err(|error| output::warning(&format!("{error:#}; it is compiled each time"))).ok();
    let compiled = entry.as_ref().and_then(Entry::open);
    let request = Request::Run(RunLab { cached: compiled.is_some(), ..order });
    let mut before = vec![lab.as_fd()];
    before.extend(compiled.as_ref().map(AsFd::as_fd));
    let keep = |reply, mut descriptors: Vec<OwnedFd>| {
        if let (Reply::Compiled, Some(code), Some(entry)) = (reply, descriptors.pop(), &entry)
            && let Err(error) = entry.keep(code.into())
        {
            output::warning(&format!("{error:#}"));
        }
    };
    relay::run(&mut client, request, &before, true, keep).await
}

pub(super) fn limit(text: &str) -> Result<(Limit, u64), String> {
    let (name, number) = text.split_once('=').ok_or("write LIMIT=NUMBER")?;
    let limit = name.parse::<Limit>().map_err(|error| error.to_string())?;
    Ok((limit, number.parse().map_err(|_| format!("`{number}` is no number"))?))
}
