//! Workers: processes that try the pieces of a chapter side by side.
//!
//! A sandbox is launched by a process that has one thread, so each worker is one: this program again, as
//! `knetsim lab try`. Its standard input has a line of JSON ([`Opening`]), the chapter's bytes, and then a line for each
//! [`Piece`] that it is to try; each of these it answers with a line: what it found out ([`Tried`]).

use std::cell::{Cell, RefCell};
use std::io::{BufRead, Read, Write};
use std::process::Stdio;

use anyhow::{Context, bail};
use futures::future::{join_all, try_join_all};
use knetsim_model::chapter::Outline;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::{Piece, Trial, Tried};
use crate::fresh::Interrupted;
use crate::interrupts::Interrupts;
use crate::sandboxes;

/// What a worker is told first.
#[derive(Debug, Serialize, Deserialize)]
struct Opening {
    outline: Outline,
    /// How many bytes the chapter has.
    size: usize,
}

struct Worker {
    process: Child,
    stdin: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    async fn start(bytes: &[u8], outline: &Outline) -> anyhow::Result<Worker> {
        let mut command = Command::new("/proc/self/exe");
        command.args(["lab", "try"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().context("starting this program again")?;
        let pipes = process.stdin.take().zip(process.stdout.take());
        let (stdin, stdout) = pipes.context("the pipes to a program are missing")?;
        let mut worker = Worker { process, stdin, answers: BufReader::new(stdout).lines() };
        worker.say(&Opening { outline: outline.clone(), size: bytes.len() }).await?;
        worker.stdin.write_all(bytes).await?;
        Ok(worker)
    }

    async fn say(&mut self, line: &impl Serialize) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(line)?;
        line.push(b'\n');
        Ok(self.stdin.write_all(&line).await?)
    }

    async fn try_piece(&mut self, piece: &Piece) -> anyhow::Result<Tried> {
        self.say(piece).await?;
        match self.answers.next_line().await? {
            Some(answer) => Ok(serde_json::from_str(&answer)?),
            // It has told why on its standard error.
            None => bail!("the process that does it ended: {}", self.process.wait().await?),
        }
    }

    /// Ends it, and with it its sandbox, and waits until both are gone.
    async fn end(mut self) {
        if let Some(id) = self.process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            let _ = kill_process(id, Signal::TERM);
        }
        let _ = self.process.wait().await;
    }
}

/// Tries all pieces with so many workers; `each` hears of them in their order. Up to the first signal.
pub(super) fn run(
    bytes: &[u8],
    outline: &Outline,
    pieces: &[Piece],
    jobs: usize,
    mut each: impl FnMut(&Tried),
) -> anyhow::Result<Vec<Tried>> {
    let interrupts = Interrupts::catch().context("catching signals")?;
    let mut done = Vec::new();
    let hear = |at: usize, tried: Tried, waiting: &mut Vec<Option<Tried>>| {
        waiting[at] = Some(tried);
        while let Some(next) = waiting.get_mut(done.len()).and_then(Option::take) {
            each(&next);
            done.push(next);
        }
    };
    sandboxes::runtime()?.block_on(async {
        let starts = (0..jobs.min(pieces.len())).map(|_| Worker::start(bytes, outline));
        let mut workers = try_join_all(starts).await?;
        let work = side_by_side(&mut workers, pieces, hear);
        let result = tokio::select! {
            result = work => result,
            number = interrupts.next() => Err(Interrupted(number?).into()),
        };
        join_all(workers.into_iter().map(Worker::end)).await;
        result
    })?;
    Ok(done)
}

/// Lets each worker take a piece whenever it is free, the last first: the text takes longest.
async fn side_by_side(
    workers: &mut [Worker],
    pieces: &[Piece],
    hear: impl FnMut(usize, Tried, &mut Vec<Option<Tried>>),
) -> anyhow::Result<()> {
    let left = Cell::new(pieces.len());
    let found = RefCell::new((hear, pieces.iter().map(|_| None).collect()));
    let turns = workers.iter_mut().map(async |worker| {
        while let Some(at) = left.get().checked_sub(1) {
            left.set(at);
            let tried = worker.try_piece(&pieces[at]).await.with_context(|| format!("trying {}", pieces[at]))?;
            let (hear, waiting) = &mut *found.borrow_mut();
            hear(at, tried, waiting);
        }
        anyhow::Ok(())
    });
    try_join_all(turns).await.map(drop)
}

/// What a worker does: tries what it is told to, until it is told nothing more.
pub(crate) fn work() -> anyhow::Result<()> {
    // Whoever is to hear of it is gone otherwise.
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM)).context("asking to end with the parent")?;
    let mut stdin = std::io::stdin().lock();
    let mut line = String::new();
    stdin.read_line(&mut line).context("reading what is to be tried")?;
    let Opening { outline, size } = serde_json::from_str(&line).context("this command is for `knetsim lab test`")?;
    let mut bytes = vec![0; size];
    stdin.read_exact(&mut bytes).context("reading the chapter")?;
    let mut trial = Trial::new(bytes)?;
    for line in stdin.lines() {
        let tried = trial.try_piece(&outline, &serde_json::from_str(&line?)?)?;
        let mut answer = serde_json::to_vec(&tried)?;
        answer.push(b'\n');
        std::io::stdout().write_all(&answer)?;
    }
    Ok(())
}
