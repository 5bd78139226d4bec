//! The proof: a sandbox is launched, runs a program on its node side, and ends.

use std::collections::BTreeMap;

use anyhow::Context;
use knetsim_model::chain;
use knetsim_sandbox::{Exit, Options, Profile, SandboxError, Seat, Spawn, Stdio};

use super::{Check, State, machine};

pub(super) fn look() -> Check {
    let check = Check::there("whole", "a sandbox", "everything");
    match launch() {
        Ok(()) => check,
        Err(error) => {
            let refused = error.is::<SandboxError>();
            let remedy = if refused { machine::what_confines() } else { "mend that, then ask again".to_owned() };
            check.lacks(State::Missing, chain(error.as_ref()), remedy)
        }
    }
}

/// Launches one, with a state folder that nobody else sees. What is weaker about it is among the permissions.
fn launch() -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("making a folder under TMPDIR, else /tmp")?;
    let (name, base) = ("doctor".to_owned(), Some(folder.path().to_owned()));
    let options = Options { name, base, ..Options::default() };
    let supervise = |seat| match inside(seat) {
        Ok(()) => 0,
        Err(error) => {
            tracing::warn!("in the sandbox: {error:#}");
            1
        }
    };
    match knetsim_sandbox::launch(&options, supervise)?.wait()? {
        0 => Ok(()),
        status => anyhow::bail!("it starts, but no program runs in it (status {status})"),
    }
}

fn inside(seat: Seat) -> anyhow::Result<()> {
    crate::sandboxes::runtime()?.block_on(async {
        let (sandbox, _listener) = seat.open()?;
        let (argv, env) = (vec!["true".to_owned()], BTreeMap::new());
        let spawn = Spawn {
            argv,
            env,
            cwd: None,
            node: None,
            netns: None,
            profile: Profile::Plain,
            stdio: Stdio::Null,
            label: None,
        };
        match sandbox.spawn(spawn).await?.wait().await {
            Exit::Code(0) => Ok(()),
            other => anyhow::bail!("{other:?}"),
        }
    })
}
