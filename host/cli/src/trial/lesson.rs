//! A chapter in a sandbox, as a test calls it, and the scripts that stand for what a learner types there.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use anyhow::Context;
use knetsim_lab::{Grant, Manifest};
use knetsim_model::chapter::{Outline, Task, Verdict};
use knetsim_model::protocol::{LoadChapter, Reply, Request};
use knetsim_model::{Code, Failure, Target};
use knetsim_sandbox::StateFolder;
use tokio::net::unix::pipe;
use tokio::time::{Instant, sleep_until};

use super::script::{self, Place};
use super::{Outcome, SCRIPT};
use crate::control::client::Client;
use crate::control::handed::{Desk, PRELUDE};
use crate::{calls, chapters};

/// How long a command has to end after it was interrupted.
const GRACE: Duration = Duration::from_secs(5);
/// How much is kept of what a command writes, in bytes.
const KEPT: usize = 8 << 10;
const SIGINT: i32 = 2;
const SIGKILL: i32 = 9;

/// A chapter that is taught in a sandbox.
pub(super) struct Lesson<'a> {
    client: Client,
    /// The sandbox's.
    folder: &'a StateFolder,
    pub(super) outline: Outline,
}

/// How a command ended.
pub(super) struct Ran {
    pub(super) status: i32,
    /// It went on for longer than it was left alone.
    pub(super) interrupted: bool,
    /// Why it got no connection that it asked for.
    refused: Option<anyhow::Error>,
    written: Vec<u8>,
}

impl Ran {
    /// `why`, and what the command wrote last.
    pub(super) fn explain(&self, why: &str) -> String {
        let written = String::from_utf8_lossy(&self.written);
        match written.trim() {
            "" => why.to_owned(),
            written => format!("{why}; it wrote: {written}"),
        }
    }
}

impl<'a> Lesson<'a> {
    /// Loads a chapter, with all grants that it asks for.
    pub(super) async fn load(
        mut client: Client,
        folder: &'a StateFolder,
        bytes: &[u8],
        manifest: &Manifest,
    ) -> anyhow::Result<Lesson<'a>> {
        let grants = manifest.grants.keys().map(Grant::to_string).collect();
        let outline = chapters::load(&mut client, bytes, LoadChapter { grants, ..LoadChapter::default() }).await?;
        Ok(Lesson { client, folder, outline })
    }

    /// Loads a chapter, sets it up and solves tasks, in order.
    pub(super) async fn begin(
        client: Client,
        folder: &'a StateFolder,
        bytes: &[u8],
        manifest: &Manifest,
        solved: &[&Task],
    ) -> anyhow::Result<Lesson<'a>> {
        let mut lesson = Lesson::load(client, folder, bytes, manifest).await?;
        lesson.client.ask(Request::Setup, |_, _| {}).await?;
        for task in solved {
            let answer = lesson.solve(task).await?;
            if let Outcome::Failed(why) = lesson.turns_green(task, answer.as_deref()).await? {
                let message = format!("the task `{}`, which comes before: its solution: {why}", task.name);
                return Err(Failure::new(Code::Failed, message).into());
            }
        }
        Ok(lesson)
    }

    /// Has the chapter solve a task; a question's answer.
    pub(super) async fn solve(&mut self, task: &Task) -> anyhow::Result<Option<String>> {
        calls::solve(&mut self.client, &task.name).await
    }

    /// Whether the check says that something is missing. That an answer is of the wrong kind will do, too.
    pub(super) async fn is_red(&mut self, task: &Task, answer: Option<&str>) -> anyhow::Result<Outcome> {
        match calls::check(&mut self.client, &task.name, answer).await {
            Ok(Verdict::Missing(_)) => Ok(Outcome::Held),
            Ok(Verdict::Passed) => Ok(Outcome::Failed("the check passes".to_owned())),
            Err(error) => match error.downcast_ref::<Failure>() {
                Some(failure) if failure.code == Code::Invalid && answer.is_some() => Ok(Outcome::Held),
                Some(failure) => Ok(Outcome::Failed(failure.message.clone())),
                None => Err(error),
            },
        }
    }

    /// Whether the check passes, now or soon.
    pub(super) async fn turns_green(&mut self, task: &Task, answer: Option<&str>) -> anyhow::Result<Outcome> {
        let why = calls::turns_green(&mut self.client, &task.name, answer).await?;
        Ok(why.map_or(Outcome::Held, Outcome::Failed))
    }

    /// Runs a script of the author's, each part where its line `# on: TARGET` or `# in: a second terminal` says, up to the
    /// first command that fails. One that only says `# none: WHY` is left out.
    pub(super) async fn try_script(&mut self, script: &str) -> anyhow::Result<Outcome> {
        let said =
            |key: &str| script.lines().find_map(|line| line.strip_prefix("# ")?.strip_prefix(key)).map(str::trim);
        if let Some(missing) = said("missing:") {
            return Ok(Outcome::Failed(format!("there is no {missing}")));
        }
        if let Some(why) = said("none:") {
            return Ok(Outcome::LeftOut(why.to_owned()));
        }
        let parts = match script::parts(script) {
            Ok(parts) => parts,
            Err(why) => return Ok(Outcome::Failed(why)),
        };
        for part in parts {
            let ran = self.shell(&part.place, &format!("set -eu\n{}", part.commands), SCRIPT).await?;
            if let Some(error) = &ran.refused {
                let why = format!("it asked for a connection to the sandbox and got none: {error:#}");
                return Ok(Outcome::Failed(ran.explain(&why)));
            }
            match (ran.interrupted, ran.status) {
                (false, 0) => {}
                (false, status) => {
                    return Ok(Outcome::Failed(ran.explain(&format!("it ended with status {status}"))));
                }
                (true, _) => {
                    return Ok(Outcome::Failed(ran.explain(&format!("it had not ended after {SCRIPT:?}"))));
                }
            }
        }
        Ok(Outcome::Held)
    }

    /// Runs a script of the shell, as a learner's is run; interrupts it when it was left alone for that long.
    pub(super) async fn shell(&mut self, place: &Place, script: &str, alone: Duration) -> anyhow::Result<Ran> {
        let (desk, stdin) = Desk::pair().context("making a socket pair")?;
        // Where a learner's shell is inside, it reaches nothing outside.
        let (target, prelude, mut asks) = match place {
            Place::On(target) => (target.clone(), "exec </dev/null\n", false),
            Place::Terminal => (Target::Base, PRELUDE, true),
        };
        let (from, to) = std::io::pipe().context("making a pipe")?;
        let command = ["bash", "--norc", "-c", &format!("{prelude}{script}")].map(str::to_owned).to_vec();
        let request = Request::Exec { target, command, env: BTreeMap::new(), tty: None, background: false };
        let call = self.client.send(request, &[stdin.as_fd(), to.as_fd(), to.as_fd()]).await?;
        drop((stdin, to));
        let from = pipe::Receiver::from_owned_fd(OwnedFd::from(from)).context("watching a pipe")?;
        let mut ran = Ran { status: 0, interrupted: false, refused: None, written: Vec::new() };
        let (mut end, mut open) = (Instant::now() + alone, true);
        // One future for all turns of the loop: a request that it has taken is answered.
        let mut serving = std::pin::pin!(desk.serve(self.folder));
        ran.status = loop {
            tokio::select! {
                received = self.client.receive() => match received?.0 {
                    answer if answer.id != call => {}
                    answer => match answer.reply {
                        Reply::Exited { status } => break status,
                        Reply::Failed(failure) => return Err(failure.into()),
                        _ => {}
                    },
                },
                served = &mut serving, if asks => {
                    ran.refused = served.err();
                    asks = false;
                }
                ready = from.readable(), if open => open = ready.is_ok() && take(&from, &mut ran.written),
                () = sleep_until(end) => {
                    let signal = if ran.interrupted { SIGKILL } else { SIGINT };
                    self.client.send(Request::Signal { call, signal }, &[]).await?;
                    ran.interrupted = true;
                    end = Instant::now() + GRACE;
                }
            }
        };
        // What there was when it ended, which the runtime may not have been told of; what it left running may go on.
        let mut chunk = [0; 64 << 10];
        if let Ok(read @ 1..) = rustix::io::read(&from, &mut chunk) {
            keep(&mut ran.written, &chunk[..read]);
        }
        Ok(ran)
    }
}

/// Takes what there is to read and keeps the end of it; whether there may be more.
fn take(from: &pipe::Receiver, kept: &mut Vec<u8>) -> bool {
    let mut chunk = [0; 4096];
    match from.try_read(&mut chunk) {
        Ok(read @ 1..) => {
            keep(kept, &chunk[..read]);
            true
        }
        Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        Ok(0) => false,
    }
}

fn keep(kept: &mut Vec<u8>, bytes: &[u8]) {
    kept.extend_from_slice(bytes);
    let over = kept.len().saturating_sub(KEPT);
    kept.drain(..over);
}

#[cfg(test)]
mod tests {
    use knetsim_model::protocol::{Answer, Call};
    use rustix::net::{RecvFlags, SendFlags};

    use super::*;
    use crate::control::wire;
    use crate::learn::sample;

    /// A supervisor that runs a script which asks for a connection and does not look at the answer.
    async fn supervisor(stream: std::os::unix::net::UnixStream) -> anyhow::Result<()> {
        stream.set_nonblocking(true)?;
        let (mut receiver, mut sender) = wire::split(tokio::net::UnixStream::from_std(stream)?);
        let line = receiver.line().await?.context("nothing is asked")?;
        let call: Call = serde_json::from_slice(&line.line)?;
        let descriptors = line.descriptors(3)?;
        tokio::task::spawn_blocking(move || {
            rustix::net::send(&descriptors[0], &[0], SendFlags::NOSIGNAL)?;
            // It is the end, not an answer, and comes at once.
            let received = rustix::net::recv(&descriptors[0], &mut [0; 1], RecvFlags::empty());
            anyhow::ensure!(!matches!(received, Ok((1.., _))), "a connection to no sandbox");
            Ok(())
        })
        .await??;
        Ok(sender.send(&Answer { id: call.id, reply: Reply::Exited { status: 0 } }, &[]).await?)
    }

    #[tokio::test]
    async fn a_script_that_gets_no_connection_fails_its_step() {
        let base = tempfile::tempdir().unwrap();
        // A sandbox that ends: its folder is locked, and nobody listens any more.
        std::fs::create_dir(base.path().join("gone")).unwrap();
        let lock = std::fs::File::create(base.path().join("gone/lock")).unwrap();
        rustix::fs::fcntl_lock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive).unwrap();
        let folder = StateFolder::open(base.path(), "gone").unwrap();
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut lesson = Lesson { client: Client::over(ours).unwrap(), folder: &folder, outline: sample::outline() };
        let script = lesson.try_script("# in: a second terminal\nknetsim ls || true\n");
        let (outcome, supervised) = tokio::join!(script, supervisor(theirs));
        supervised.unwrap();
        let Outcome::Failed(why) = outcome.unwrap() else { panic!("the step holds") };
        assert!(why.contains("asked for a connection to the sandbox and got none"), "{why}");
    }
}
