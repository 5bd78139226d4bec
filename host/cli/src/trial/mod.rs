//! `knetsim lab test`: proves that a chapter's checks tell what is done from what isn't.
//!
//! Each task is tried in two sandboxes, both fresh, with the tasks solved that it comes after. In the first the check
//! fails, stays so after a near miss, and passes after the chapter's own solution; the second is what a learner has
//! after a reset: the check fails again, and passes after the author's second solution. Where that is not the way that
//! the text teaches, the commands that are shown to a learner are a third one, tried in the same way. A question is tried in one:
//! wrong answers are refused, the right one is taken. A last sandbox runs the commands of the text, with each
//! section's tasks solved after it. Tasks know nothing of each other, so several are tried at once.

mod answers;
mod lesson;
mod report;
mod script;
mod workers;

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Context;
use knetsim_lab::package::{self, Trials};
use knetsim_lab::{Limit, Limits, Manifest};
use knetsim_model::chapter::{Outline, Section, Task};
use knetsim_model::{Failure, Target};
use knetsim_sandbox::{Options, StateFolder};
use serde::{Deserialize, Serialize};

use crate::control::client::Client;
use crate::fresh::Fresh;
use crate::learn::text::{self, Block, Commands, Ends};
use lesson::Lesson;
use script::Place;

pub(crate) use report::{junit, table, task_lines};
pub(crate) use workers::work;

/// How long a script of the author's, or a command of the text, may take.
const SCRIPT: Duration = Duration::from_secs(60);
/// How long a command that stops only when it is interrupted is left alone.
const GOES_ON: Duration = Duration::from_secs(2);

/// What was found out about a chapter.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) chapter: String,
    pub(crate) version: String,
    pub(crate) title: String,
    /// One for each task, then one for the text.
    pub(crate) tasks: Vec<Tried>,
}

impl Report {
    /// Whether all of it held.
    pub(crate) fn held(&self) -> bool {
        self.tasks.iter().all(Tried::held)
    }
}

/// What is tried by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Piece {
    Task(String),
    /// The commands of the text.
    Text,
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Piece::Task(name) => write!(f, "the task `{name}`"),
            Piece::Text => f.write_str("the commands of the text"),
        }
    }
}

/// What was found out about a task, or about the text.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tried {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) steps: Vec<Step>,
    pub(crate) seconds: f64,
}

impl Tried {
    /// Whether all of it held.
    pub(crate) fn held(&self) -> bool {
        self.steps.iter().all(|step| !matches!(step.outcome, Outcome::Failed(_)))
    }
}

/// One thing that should hold.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) what: String,
    #[serde(flatten)]
    pub(crate) outcome: Outcome,
}

/// Whether it does.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome", content = "why")]
pub(crate) enum Outcome {
    Held,
    /// It does not, and why.
    Failed(String),
    /// Its author says that there is none, and why.
    LeftOut(String),
}

/// A chapter, as it is tried.
pub(crate) struct Trial {
    bytes: Vec<u8>,
    manifest: Manifest,
    trials: Trials,
    launched: u32,
}

impl Trial {
    /// Reads a chapter's file.
    pub(crate) fn new(bytes: Vec<u8>) -> anyhow::Result<Trial> {
        let manifest = package::manifest(&bytes).map_err(Failure::from)?;
        let trials = package::trials(&bytes).map_err(Failure::from)?;
        Ok(Trial { bytes, manifest, trials, launched: 0 })
    }

    /// Tries all tasks, or those that are named, and the text, so many at once; `each` hears of them in their order.
    pub(crate) fn run(&mut self, only: &[String], jobs: usize, each: impl FnMut(&Tried)) -> anyhow::Result<Report> {
        let outline = self.outline()?;
        if let Some(unknown) = only.iter().find(|name| outline.task(name).is_none()) {
            return Err(Failure::not_found(format!("the chapter has no task `{unknown}`")).into());
        }
        let tasks = outline.tasks().filter(|task| only.is_empty() || only.contains(&task.name));
        let mut pieces: Vec<Piece> = tasks.map(|task| Piece::Task(task.name.clone())).collect();
        if only.is_empty() {
            pieces.push(Piece::Text);
        }
        let tasks = workers::run(&self.bytes, &outline, &pieces, jobs, each)?;
        let Manifest { name, version, .. } = self.manifest.clone();
        Ok(Report { chapter: name, version, title: outline.title, tasks })
    }

    fn try_piece(&mut self, outline: &Outline, piece: &Piece) -> anyhow::Result<Tried> {
        let task = match piece {
            Piece::Text => {
                return self.timed("text", "Commands of the text", |trial, steps| trial.text(outline, steps));
            }
            Piece::Task(name) => outline.task(name).with_context(|| format!("the chapter has no task `{name}`"))?,
        };
        self.timed(&task.name, &task.title, |trial, steps| match task.question {
            Some(_) => trial.question(outline, task, steps),
            None => trial.task(outline, task, steps),
        })
    }

    fn timed(
        &mut self,
        name: &str,
        title: &str,
        work: impl FnOnce(&mut Trial, &mut Vec<Step>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Tried> {
        let began = Instant::now();
        let mut steps = Vec::new();
        match work(self, &mut steps) {
            Err(error) if !error.is::<Failure>() => return Err(error),
            Err(error) => {
                steps.push(Step { what: "goes to its end".into(), outcome: Outcome::Failed(error.to_string()) })
            }
            Ok(()) => {}
        }
        Ok(Tried { name: name.into(), title: title.into(), steps, seconds: began.elapsed().as_secs_f64() })
    }

    fn outline(&mut self) -> anyhow::Result<Outline> {
        self.sandbox(async |trial, client, folder| {
            Ok(Lesson::load(client, folder, &trial.bytes, &trial.manifest).await?.outline)
        })
    }

    /// In two sandboxes: before, near miss, solution; after a reset the second solution. In a third one what is shown.
    fn task(&mut self, outline: &Outline, task: &Task, steps: &mut Vec<Step>) -> anyhow::Result<()> {
        let before = before(outline, task);
        self.sandbox(async |trial, client, folder| {
            let mut lesson = Lesson::begin(client, folder, &trial.bytes, &trial.manifest, &before).await?;
            steps.push(step("the check fails before", lesson.is_red(task, None).await?));
            for (name, script) in trial.scripts(task, "near-miss") {
                let done = lesson.try_script(&script).await?;
                let stays = if let Outcome::Held = done { lesson.is_red(task, None).await? } else { done };
                steps.push(step(format!("{name} stays red"), stays));
            }
            lesson.solve(task).await?;
            steps.push(step("the solution turns it green", lesson.turns_green(task, None).await?));
            Ok(())
        })?;
        let carries = |name: &str| self.trials.get(&task.name).is_some_and(|files| files.contains_key(name));
        let kinds = if carries("solution.sh") { &["second", "solution"][..] } else { &["second"] };
        for kind in kinds {
            self.sandbox(async |trial, client, folder| {
                let mut lesson = Lesson::begin(client, folder, &trial.bytes, &trial.manifest, &before).await?;
                steps.push(step("a reset turns it red", lesson.is_red(task, None).await?));
                for (name, script) in trial.scripts(task, kind) {
                    let done = lesson.try_script(&script).await?;
                    let turns = if let Outcome::Held = done { lesson.turns_green(task, None).await? } else { done };
                    steps.push(step(format!("{name} turns it green"), turns));
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Wrong answers, then the right one.
    fn question(&mut self, outline: &Outline, task: &Task, steps: &mut Vec<Step>) -> anyhow::Result<()> {
        let before = before(outline, task);
        self.sandbox(async |trial, client, folder| {
            let mut lesson = Lesson::begin(client, folder, &trial.bytes, &trial.manifest, &before).await?;
            let right = lesson.solve(task).await?.unwrap_or_default();
            let of_author = trial.trials.get(&task.name).and_then(|files| files.get("wrong.txt"));
            let of_author = of_author.map(|text| text.lines().filter(|line| !line.trim().is_empty()).collect());
            for wrong in answers::wrong(task, &right, of_author.unwrap_or_default()) {
                let outcome = lesson.is_red(task, Some(&wrong)).await?;
                steps.push(step(format!("the wrong answer `{}` is refused", wrong.replace('\n', ", ")), outcome));
            }
            steps.push(step("the right answer is taken", lesson.turns_green(task, Some(&right)).await?));
            Ok(())
        })
    }

    /// The commands of the text, and the tasks between them.
    fn text(&mut self, outline: &Outline, steps: &mut Vec<Step>) -> anyhow::Result<()> {
        self.sandbox(async |trial, client, folder| {
            let mut lesson = Lesson::begin(client, folder, &trial.bytes, &trial.manifest, &[]).await?;
            for Section { body, tasks, .. } in &outline.sections {
                for Commands { target, ends, lines } in commands(&text::parse(body)) {
                    for line in lines {
                        let outcome = command(&mut lesson, &target, &line, ends).await?;
                        steps.push(step(format!("{target}: {line}"), outcome));
                    }
                }
                for task in tasks {
                    lesson.solve(task).await?;
                }
            }
            Ok(())
        })
    }

    /// The author's scripts of that kind, or what stands for those that are missing.
    fn scripts(&self, task: &Task, kind: &str) -> Vec<(String, String)> {
        let files = self.trials.get(&task.name).into_iter().flatten();
        let found: Vec<_> = files
            .filter(|(name, _)| name.starts_with(kind))
            .map(|(name, text)| (name.trim_end_matches(".sh").to_owned(), text.clone()))
            .collect();
        let missing = || vec![(kind.to_owned(), format!("# missing: tasks/{}/{kind}.sh", task.name))];
        if found.is_empty() { missing() } else { found }
    }

    /// Runs `work` in a sandbox of its own.
    fn sandbox<T>(
        &mut self,
        work: impl AsyncFnOnce(&Trial, Client, &StateFolder) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        self.launched += 1;
        let asked = Limits::new(&self.manifest.limits, &Default::default()).map_err(Failure::from)?;
        let mut limits = knetsim_sandbox::Limits::default();
        limits.processes += asked.get(Limit::Workers) + asked.get(Limit::Processes);
        let name = format!("test-{}-{}", std::process::id(), self.launched);
        let fresh = Fresh::launch(&Options { name, limits, ..Options::default() })?;
        let done = fresh.talk(async |client| work(self, client, fresh.folder()).await);
        let ended = fresh.end();
        let done = done?;
        ended?;
        Ok(done)
    }
}

fn step(what: impl Into<String>, outcome: Outcome) -> Step {
    Step { what: what.into(), outcome }
}

/// The tasks that one comes after, and those that these come after, in an order in which they can be solved.
fn before<'a>(outline: &'a Outline, task: &'a Task) -> Vec<&'a Task> {
    let needed = outline.before(task);
    outline.solvable().into_iter().filter(|task| needed.contains(task.name.as_str())).collect()
}

/// All commands of a text, in order.
fn commands(blocks: &[Block]) -> Vec<Commands> {
    let mut found = Vec::new();
    for block in blocks {
        match block {
            Block::Commands(commands) => found.push(commands.clone()),
            Block::List(_, items) => items.iter().for_each(|item| found.extend(commands(item))),
            Block::Quote(inner) => found.extend(commands(inner)),
            _ => {}
        }
    }
    found
}

/// Runs a command of the text and looks at how it ends.
async fn command(lesson: &mut Lesson<'_>, target: &Target, line: &str, ends: Ends) -> anyhow::Result<Outcome> {
    let alone = if ends == Ends::Stops { GOES_ON } else { SCRIPT };
    let ran = lesson.shell(&Place::On(target.clone()), line, alone).await?;
    let why = match (ends, ran.interrupted, ran.status) {
        (Ends::Well, false, 0) | (Ends::Stops, true, _) => return Ok(Outcome::Held),
        (Ends::Fails, false, status) if status != 0 => return Ok(Outcome::Held),
        (Ends::Well, false, status) => format!("it ended with status {status}"),
        (Ends::Fails, false, _) => "it ended with status 0, and should fail".to_owned(),
        (Ends::Stops, false, status) => format!("it ended by itself, with status {status}"),
        (_, true, _) => format!("it had not ended after {alone:?}"),
    };
    Ok(Outcome::Failed(ran.explain(&why)))
}
