//! What is asked of a chapter that is loaded in a sandbox.

use std::time::Duration;

use knetsim_model::Failure;
use knetsim_model::chapter::Verdict;
use knetsim_model::protocol::{Reply, Request};
use tokio::time::Instant;

use crate::control::client::Client;
use crate::control::wire::WireError;

/// How long the kernel may take until a check sees what was done.
const GREEN: Duration = Duration::from_secs(5);
/// How often a check is asked meanwhile.
const AGAIN: Duration = Duration::from_millis(200);

/// Has the chapter solve a task; a question's answer.
pub(crate) async fn solve(client: &mut Client, task: &str) -> anyhow::Result<Option<String>> {
    match client.ask(Request::Solve { task: task.to_owned() }, |_, _| {}).await? {
        Reply::Solved { answer } => Ok(answer),
        other => Err(WireError::Unexpected(Box::new(other)).into()),
    }
}

/// Whether a task is done, or an answer right.
pub(crate) async fn check(client: &mut Client, task: &str, answer: Option<&str>) -> anyhow::Result<Verdict> {
    let request = Request::Check { task: task.to_owned(), answer: answer.map(str::to_owned) };
    match client.ask(request, |_, _| {}).await? {
        Reply::Verdict { verdict } => Ok(verdict),
        other => Err(WireError::Unexpected(Box::new(other)).into()),
    }
}

/// Why a check doesn't pass, neither now nor soon; none where it does.
pub(crate) async fn turns_green(
    client: &mut Client,
    task: &str,
    answer: Option<&str>,
) -> anyhow::Result<Option<String>> {
    let end = Instant::now() + GREEN;
    loop {
        let missing = match check(client, task, answer).await {
            Ok(Verdict::Passed) => return Ok(None),
            Ok(Verdict::Missing(what)) => what.join("; "),
            Err(error) => return Ok(Some(error.downcast::<Failure>()?.message)),
        };
        if Instant::now() > end {
            return Ok(Some(format!("still missing: {missing}")));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// What the chapter remembers.
pub(crate) async fn state(client: &mut Client) -> anyhow::Result<Vec<u8>> {
    match client.ask(Request::State, |_, _| {}).await? {
        Reply::State { state } => Ok(state),
        other => Err(WireError::Unexpected(Box::new(other)).into()),
    }
}
