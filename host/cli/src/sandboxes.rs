//! Which sandbox a command means, and how it gets to talk to it.

use std::time::Duration;

use anyhow::Context;
use knetsim_model::Failure;
use knetsim_sandbox::StateFolder;

use crate::control::client::Client;
use crate::control::handed;

/// The name of a sandbox that nobody named.
pub(crate) const DEFAULT: &str = "default";
/// How long a supervisor may take to say hello.
const HELLO: Duration = Duration::from_secs(5);

/// The sandbox of that name, or the only one that runs.
pub(crate) fn find(name: Option<&str>) -> anyhow::Result<StateFolder> {
    let base = StateFolder::base()?;
    if let Some(name) = name {
        return Ok(StateFolder::open(&base, name)?);
    }
    match StateFolder::running(&base)?.as_slice() {
        [] if inside() => Err(Failure::not_found(
            "this is inside of a sandbox, where there is none to be seen: give knetsim's commands in a terminal outside",
        )
        .into()),
        [] => Err(Failure::not_found("no sandbox is running; `knetsim up -d` makes one").into()),
        [only] => Ok(StateFolder::open(&base, only)?),
        several => {
            let message = format!("several sandboxes are running: {}; say which by --name", several.join(", "));
            Err(Failure::invalid(message).into())
        }
    }
}

/// Whether this program runs on the node side, whose first process is called so.
fn inside() -> bool {
    std::fs::read("/proc/1/cmdline").is_ok_and(|first| first.starts_with(b"knetsim: "))
}

/// Connects to a sandbox. Within a tokio runtime.
pub(crate) async fn connect(folder: &StateFolder) -> anyhow::Result<Client> {
    let hello = tokio::time::timeout(HELLO, Client::greet(folder.connect()?));
    Ok(hello.await.context("the sandbox's supervisor doesn't answer")??)
}

/// Runs `talk` with a connection to the sandbox of that name, or to the one that this program is handed a connection to.
pub(crate) fn talk<T>(name: Option<&str>, talk: impl AsyncFnOnce(Client) -> anyhow::Result<T>) -> anyhow::Result<T> {
    match handed::take()? {
        Some(stream) => runtime()?.block_on(async { talk(Client::over(stream)?).await }),
        None => {
            let folder = find(name)?;
            runtime()?.block_on(async { talk(connect(&folder).await?).await })
        }
    }
}

/// A runtime of one thread, all that a client needs.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")
}
