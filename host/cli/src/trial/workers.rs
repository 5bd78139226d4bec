//! Workers: processes that try the pieces of a chapter side by side.
//!
//! A sandbox is launched by a process that has one thread, so each worker is one: this program again, as
//! `knetsim lab try`. Its standard input has a line of JSON ([`Opening`]), the chapter's bytes, and then a line for each
//! [`Piece`] that it is to try; each of these it answers with a line: what it found out ([`Tried`]).

use std::cell::RefCell;
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
        // Ctrl-C reaches only the process that started it, which then sends it one signal ([`Worker::end`]): after a
        // second one it would not wait until its sandbox's folder is removed.
        command.process_group(0);
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
    async fn end(self) {
        let Worker { mut process, stdin, .. } = self;
        // It has nothing more to try; a signal breaks off what it is at.
        drop(stdin);
        if let Some(id) = process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            let _ = kill_process(id, Signal::TERM);
        }
        let _ = process.wait().await;
    }
}

/// What is left to try, and what was found out.
struct Board<F> {
    /// The places of pieces that nobody has taken, the next one last.
    left: Vec<usize>,
    /// What was found out about pieces before which some are still tried.
    early: Vec<Option<Tried>>,
    done: Vec<Tried>,
    each: F,
}

impl<F: FnMut(&Tried)> Board<F> {
    fn new(pieces: &[Piece], each: F) -> Self {
        let mut left: Vec<usize> = (0..pieces.len()).rev().collect();
        // The text takes longest, so it is the first to be taken.
        left.sort_by_key(|at| pieces[*at] == Piece::Text);
        Board { left, early: pieces.iter().map(|_| None).collect(), done: Vec::new(), each }
    }

    fn found(&mut self, at: usize, tried: Tried) {
        self.early[at] = Some(tried);
        while let Some(next) = self.early.get_mut(self.done.len()).and_then(Option::take) {
            (self.each)(&next);
            self.done.push(next);
        }
    }
}

/// Tries all pieces with so many workers; `each` hears of them in their order. Up to the first signal.
pub(super) fn run(
    bytes: &[u8],
    outline: &Outline,
    pieces: &[Piece],
    jobs: usize,
    each: impl FnMut(&Tried),
) -> anyhow::Result<Vec<Tried>> {
    let interrupts = Interrupts::catch().context("catching signals")?;
    let board = RefCell::new(Board::new(pieces, each));
    sandboxes::runtime()?.block_on(async {
        let starts = (0..jobs.min(pieces.len())).map(|_| Worker::start(bytes, outline));
        let mut workers = try_join_all(starts).await?;
        let result = tokio::select! {
            number = interrupts.next() => Err(Interrupted(number?).into()),
            result = try_join_all(workers.iter_mut().map(|worker| take_turns(worker, pieces, &board))) => result,
        };
        join_all(workers.into_iter().map(Worker::end)).await;
        result
    })?;
    Ok(board.into_inner().done)
}

/// Has a worker try one piece after the other, until none is left.
async fn take_turns(
    worker: &mut Worker,
    pieces: &[Piece],
    board: &RefCell<Board<impl FnMut(&Tried)>>,
) -> anyhow::Result<()> {
    loop {
        let Some(at) = board.borrow_mut().left.pop() else { return Ok(()) };
        let tried = worker.try_piece(&pieces[at]).await.with_context(|| format!("trying {}", pieces[at]))?;
        board.borrow_mut().found(at, tried);
    }
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

#[cfg(test)]
mod tests {
    use super::super::{Outcome, Step};
    use super::*;

    #[test]
    fn what_a_worker_found_out_crosses_a_line() {
        let step = |outcome| Step { what: "a\nstep".to_owned(), outcome };
        let steps = vec![
            step(Outcome::Held),
            step(Outcome::Failed("two\nlines".to_owned())),
            step(Outcome::LeftOut("why".to_owned())),
        ];
        let tried = Tried { name: "task".to_owned(), title: "A task".to_owned(), steps, seconds: 1.5 };
        let line = serde_json::to_string(&tried).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Tried>(&line).unwrap(), tried);
        for piece in [Piece::Task("text".to_owned()), Piece::Text] {
            let line = serde_json::to_string(&piece).unwrap();
            assert_eq!(serde_json::from_str::<Piece>(&line).unwrap(), piece);
        }
    }
}
