//! A chapter: each of its calls in a fresh instance, with the rights of that call and within its time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use knetsim_emulator::Emulator;
use knetsim_model::chapter::{Outline, Verdict};
use knetsim_model::protocol::LoadChapter;
use knetsim_model::{Code, Failure, untrusted};
use tokio::sync::Semaphore;
use wasmtime::Store;
use wasmtime_wasi::cli::AsyncStdoutStream;

use crate::engine::{Lab, Turns};
use crate::grants::{Phase, Rights};
use crate::host::state::Remembered;
use crate::host::{ChapterExports, ChapterPre, State, lesson, types};
use crate::limits::{Limit, Limits};
use crate::outline;
use crate::output::{Budget, Output};

/// The most time for an outline, which only returns what is in the lab's file.
const OUTLINE: Duration = Duration::from_secs(5);
/// The most time for a check: a learner waits for it.
const CHECK: Duration = Duration::from_secs(30);
/// How much is kept of what a call wrote, for who looks for its mistake, in bytes.
const KEPT: usize = 4 << 10;
/// The most that is missing, and the longest words for it.
const MISSING: (usize, usize) = (20, 500);
/// The longest error in its own words.
const ERROR: usize = 2000;

/// A chapter in a sandbox.
pub struct Chapter {
    lab: Lab,
    emulator: Emulator,
    rights: Rights,
    limits: Arc<Limits>,
    outline: Outline,
    remembered: Arc<Remembered>,
    /// Room for the processes of all calls.
    processes: Arc<Semaphore>,
    /// One call at a time: a check that sees half a solution finds what never was. How long those have taken until now
    /// that change something.
    spent: tokio::sync::Mutex<Duration>,
}

impl Lab {
    /// A chapter's text and tasks. No sandbox is needed.
    ///
    /// # Errors
    /// It is no chapter, it trapped or took too long, or its outline is not as it should be.
    pub async fn outline(&self) -> Result<Outline, Failure> {
        let rights = Rights::new(&self.manifest.name, &[])?.during(Phase::Outline);
        let limits = Limits::new(&self.manifest.limits, &Default::default())?;
        let call = Call { lab: self, emulator: None, rights, limits: Arc::new(limits), of_chapter: None };
        let outline = call.make("outline", OUTLINE, async |chapter, store| {
            Ok(Ok(chapter.knetsim_lab_lesson().call_outline(store).await?))
        });
        outline::checked(outline.await?.into()).map_err(|failure| self.named(failure))
    }

    /// Loads a chapter into a sandbox; nothing is done there yet. What it makes belongs to `lab:<name>`.
    ///
    /// # Errors
    /// As [`Lab::outline`]; an unknown grant or limit; it remembers too much.
    pub async fn chapter(&self, emulator: &Emulator, order: LoadChapter) -> Result<Chapter, Failure> {
        let limits = Limits::new(&self.manifest.limits, &order.limits)?;
        Ok(Chapter {
            lab: self.clone(),
            emulator: emulator.clone(),
            rights: Rights::new(&self.manifest.name, &order.grants)?,
            processes: limits.processes(),
            limits: Arc::new(limits),
            outline: self.outline().await?,
            remembered: Arc::new(Remembered::new(order.state)?),
            spent: tokio::sync::Mutex::default(),
        })
    }

    fn named(&self, failure: Failure) -> Failure {
        Failure::new(failure.code, format!("`{}`: {}", self.manifest.name, failure.message))
    }
}

impl Chapter {
    /// Its text and tasks.
    pub fn outline(&self) -> &Outline {
        &self.outline
    }

    /// What it remembers, at most 64 KiB: to be given back in a [`LoadChapter`].
    pub fn state(&self) -> Vec<u8> {
        self.remembered.get()
    }

    /// Makes what the learner finds at the beginning. Dropping the future ends it, as it does with every call;
    /// operations that it had begun are brought to their end.
    ///
    /// # Errors
    /// The chapter's own, in its words; it trapped; a limit on its time, memory or output was reached.
    pub async fn setup(&self) -> Result<(), Failure> {
        self.make("setup", Phase::Change, None, async |chapter, store| {
            Ok(chapter.knetsim_lab_lesson().call_setup(store).await?.map_err(failure))
        })
        .await
    }

    /// Whether a task is done, or `answer` right. Nothing is changed by it.
    ///
    /// # Errors
    /// As [`Chapter::setup`]; there is no such task; the answer is of the wrong kind, or one is missing.
    pub async fn check(&self, task: &str, answer: Option<&str>) -> Result<Verdict, Failure> {
        let asked = self.task(task)?;
        let answer = match (&asked.question, answer) {
            (None, None) => None,
            (None, Some(_)) => return Err(Failure::invalid(format!("the task `{task}` is no question"))),
            (Some(kind), answer) => Some(kind.canonical(answer.unwrap_or_default()).map_err(Failure::invalid)?),
        };
        let doing = format!("check of `{task}`");
        let phase = Phase::Check { probes: asked.probes };
        let call = self.make(&doing, phase, Some(CHECK), async |chapter, store| {
            Ok(chapter.knetsim_lab_lesson().call_check(store, task, answer.as_deref()).await?.map_err(failure))
        });
        Ok(match call.await? {
            lesson::Verdict::Passed => Verdict::Passed,
            lesson::Verdict::Missing(what) => Verdict::Missing(missing(what)),
        })
    }

    /// Does a task, or gives the right answer to a question.
    ///
    /// # Errors
    /// As [`Chapter::setup`]; there is no such task; what it gives is no answer to the question.
    pub async fn solve(&self, task: &str) -> Result<Option<String>, Failure> {
        let asked = self.task(task)?;
        let doing = format!("solution of `{task}`");
        let call = self.make(&doing, Phase::Change, None, async |chapter, store| {
            Ok(chapter.knetsim_lab_lesson().call_solve(store, task).await?.map_err(failure))
        });
        match (&asked.question, call.await?) {
            (None, _) => Ok(None),
            (Some(kind), answer) => {
                let answer = answer.unwrap_or_default();
                let invalid = |wrong: String| Failure::invalid(format!("{doing}: {wrong}"));
                if let Some(flaw) = untrusted::flaw(&answer) {
                    return Err(invalid(format!("its answer, {flaw}")));
                }
                kind.canonical(&answer).map(Some).map_err(invalid)
            }
        }
    }

    fn task(&self, name: &str) -> Result<&knetsim_model::chapter::Task, Failure> {
        self.outline.task(name).ok_or_else(|| {
            let names: Vec<_> = self.outline.tasks().map(|task| task.name.as_str()).collect();
            Failure::not_found(format!("there is no task `{name}`; there are: {}", names.join(", ")))
        })
    }

    /// Makes a call when those before it have ended, within `most` and, where it changes something, within what is left of
    /// the chapter's time. A check is bounded by itself, and nobody chooses how many of them are made: the learner's
    /// program makes one after each change.
    async fn make<T>(
        &self,
        doing: &str,
        phase: Phase,
        most: Option<Duration>,
        call: impl AsyncFnOnce(&ChapterExports, &mut Store<State>) -> wasmtime::Result<Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut spent = self.spent.lock().await;
        let seconds = |limit| Duration::from_secs(self.limits.get(limit));
        let reached = |limit| self.lab.named(self.limits.reached(limit));
        let counted = !matches!(phase, Phase::Check { .. });
        let left = if counted { seconds(Limit::TotalSeconds).saturating_sub(*spent) } else { Duration::MAX };
        if left.is_zero() {
            return Err(reached(Limit::TotalSeconds));
        }
        let time = most.unwrap_or(Duration::MAX).min(seconds(Limit::CallSeconds));
        // Counted also where nobody waits for its end any more.
        let _counting = counted.then(|| Counting { began: Instant::now(), spent: &mut spent });
        let instance = Call {
            lab: &self.lab,
            emulator: Some(self.emulator.clone()),
            rights: self.rights.during(phase),
            limits: self.limits.clone(),
            of_chapter: Some((self.remembered.clone(), self.processes.clone())),
        };
        tokio::select! {
            done = instance.make(doing, time, call) => done,
            () = tokio::time::sleep(left) => Err(reached(Limit::TotalSeconds)),
        }
    }
}

/// Adds how long a call took when it ends, however it ends.
struct Counting<'a> {
    began: Instant,
    spent: &'a mut Duration,
}

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        *self.spent += self.began.elapsed();
    }
}

/// One call into a chapter: what its instance is made of.
struct Call<'a> {
    lab: &'a Lab,
    emulator: Option<Emulator>,
    rights: Rights,
    limits: Arc<Limits>,
    of_chapter: Option<(Arc<Remembered>, Arc<Semaphore>)>,
}

impl Call<'_> {
    /// Makes the call in a fresh instance, and ends it after `time`.
    async fn make<T>(
        self,
        doing: &str,
        time: Duration,
        call: impl AsyncFnOnce(&ChapterExports, &mut Store<State>) -> wasmtime::Result<Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let lab = self.lab;
        let exports = ChapterPre::new(lab.ready.clone());
        let exports = exports.map_err(|error| lab.named(Failure::invalid(format!("it is no chapter: {error:#}"))))?;
        let (budget, written) = (Budget::new(self.limits.get(Limit::OutputKib) << 10), Written::default());
        let stream = || AsyncStdoutStream::new(KEPT, Output::new(written.clone(), budget.clone()));
        let wasi = crate::host::wasi(std::iter::empty(), tokio::io::empty(), stream(), stream());
        let state = State::new(self.emulator, self.rights, self.limits.clone(), wasi);
        let state = match self.of_chapter {
            Some((remembered, processes)) => state.chapter(remembered, processes),
            None => state,
        };
        let mut store = lab.store(state);
        let _turns = Turns::start(&lab.engine).map_err(|error| Failure::failed("start the lab's clock", &error))?;
        let work = async {
            let chapter = exports.instantiate_async(&mut store).await?;
            call(&chapter, &mut store).await
        };
        let done = tokio::select! {
            biased;
            () = budget.exceeded() => Err(self.limits.reached(Limit::OutputKib)),
            done = tokio::time::timeout(time, work) => match done {
                Ok(done) => done.unwrap_or_else(|error| Err(crate::run::ended(error))),
                Err(_) => Err(Failure::new(Code::Timeout, format!("it took longer than {time:?}"))),
            }
        };
        drop(store);
        let written = written.text();
        tracing::debug!("{doing}: {written}");
        done.map_err(|failure| {
            // Where it ended by its own mistake, that is the last that it wrote.
            let said = if failure.code == Code::Failed { untrusted::words(&written) } else { String::new() };
            let said = if said.is_empty() { String::new() } else { format!("; it had written: {said}") };
            lab.named(Failure::new(failure.code, format!("{doing}: {}{said}", failure.message)))
        })
    }
}

/// A chapter's error as ours.
fn failure(error: types::Error) -> Failure {
    let codes =
        [Code::Denied, Code::Limit, Code::NotFound, Code::Exists, Code::Invalid, Code::Unavailable, Code::Timeout];
    let code = codes.into_iter().find(|code| code.as_str() == error.code).unwrap_or(Code::Failed);
    Failure::new(code, words(&error.message, ERROR))
}

/// What is missing, as it can be shown.
fn missing(what: Vec<String>) -> Vec<String> {
    let (most, length) = MISSING;
    what.iter().take(most).map(|said| words(said, length)).collect()
}

/// What a chapter says within a line of ours, cut.
fn words(said: &str, length: usize) -> String {
    untrusted::words(&said.chars().take(length).collect::<String>())
}

/// The end of what a call wrote to its output and error.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl tokio::io::AsyncWrite for Written {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(bytes);
        let over = kept.len().saturating_sub(KEPT);
        kept.drain(..over);
        std::task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}
