//! Programs that the console itself runs inside, to read what they say.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::Context;
use knetsim_model::Target;
use knetsim_model::protocol::{Reply, Request};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

use crate::control::client::Client;
use crate::control::wire::WireError;

/// What a program writes to standard output.
pub(super) struct Output(pipe::Receiver);

impl Output {
    /// All of it, once everybody has closed it.
    async fn read(&mut self) -> anyhow::Result<String> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).await.context("reading what a program wrote")?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Starts programs, all at once, and gives their calls and what all of them write. They end with the connection.
pub(super) async fn start(
    client: &mut Client,
    programs: impl IntoIterator<Item = (Target, Vec<String>)>,
) -> anyhow::Result<(Vec<u64>, Output)> {
    let (stdin, _) = std::io::pipe().context("making a pipe")?;
    let (output, stdout) = std::io::pipe().context("making a pipe")?;
    let mut calls = Vec::new();
    for (target, command) in programs {
        let request = Request::Exec { target, command, env: [].into(), tty: None, background: false };
        calls.push(client.send(request, &[stdin.as_fd(), stdout.as_fd(), stdout.as_fd()]).await?);
    }
    let output = OwnedFd::from(output);
    rustix::io::ioctl_fionbio(&output, true).context("watching a pipe")?;
    Ok((calls, Output(pipe::Receiver::from_owned_fd(output).context("watching a pipe")?)))
}

/// Runs programs, all at once: the status of each, and what all of them wrote.
pub(super) async fn run(
    client: &mut Client,
    programs: impl IntoIterator<Item = (Target, Vec<String>)>,
) -> anyhow::Result<(Vec<i32>, String)> {
    let (calls, mut output) = start(client, programs).await?;
    let (statuses, output) = tokio::join!(statuses(client, &calls), output.read());
    Ok((statuses?, output?))
}

async fn statuses(client: &mut Client, calls: &[u64]) -> anyhow::Result<Vec<i32>> {
    let mut statuses = vec![None; calls.len()];
    while statuses.contains(&None) {
        let (answer, _) = client.receive().await?;
        let Some(at) = calls.iter().position(|call| *call == answer.id) else { continue };
        statuses[at] = match answer.reply {
            Reply::Exited { status } => Some(status),
            Reply::Failed(failure) => return Err(failure.into()),
            other => return Err(WireError::Unexpected(Box::new(other)).into()),
        };
    }
    Ok(statuses.into_iter().flatten().collect())
}

/// Runs one program, which must succeed, and gives what it wrote.
pub(super) async fn ask(client: &mut Client, target: Target, command: &[&str]) -> anyhow::Result<String> {
    let said = format!("{target}: {}", command.join(" "));
    let words = command.iter().map(|word| (*word).to_owned()).collect();
    match run(client, [(target, words)]).await? {
        (statuses, output) if statuses == [0] => Ok(output),
        (_, output) => anyhow::bail!("{said}: {}", output.trim()),
    }
}
