//! A learner in a chapter: where they are, which tasks are solved, what is missing. No input or output.
//!
//! Invariant: what is solved once stays solved until the chapter is begun anew; only names of tasks that the
//! outline has are looked at, so that progress of another version does no harm.

use std::collections::{BTreeMap, BTreeSet};

use knetsim_lab::package::{self, Trials};
use knetsim_model::chapter::{Outline, Section, Task, Verdict};
use knetsim_model::untrusted;

use super::answer;
use super::progress::{Outcome, Progress};

/// A chapter and how far its learner is.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// The chapter's name, as it was asked for.
    pub(crate) name: String,
    pub(crate) outline: Outline,
    pub(crate) progress: Progress,
    /// The chosen one of this section's tasks.
    chosen: usize,
    /// Solved ones that could not be done again in this sandbox: they are open here.
    lost: BTreeSet<String>,
    /// What the last check of a task found missing, by its name.
    missing: BTreeMap<String, Vec<String>>,
    /// The author's way to solve a task in commands, by the task's name.
    ways: BTreeMap<String, String>,
    /// Solutions that were asked for, by the task's name.
    solutions: BTreeMap<String, Solution>,
}

/// What is shown of a solution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Solution {
    /// A question's right answer; of several that are right, each.
    Answer(Vec<String>),
    /// Commands that would have done it, too: a script that `lab test` runs.
    Way(String),
}

/// How a task stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Solved,
    Skipped,
    /// These have to be solved before, by title.
    Waits(Vec<String>),
    Open,
}

/// Which tasks are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Those of the section that is read.
    Section,
    /// All.
    Chapter,
}

impl Session {
    /// Goes on where the learner was.
    pub(crate) fn new(name: &str, outline: Outline, progress: Progress) -> Session {
        let mut session = Session {
            name: name.to_owned(),
            outline,
            progress,
            chosen: 0,
            lost: BTreeSet::new(),
            missing: BTreeMap::new(),
            ways: BTreeMap::new(),
            solutions: BTreeMap::new(),
        };
        session.go(session.progress.section);
        session
    }

    /// Knows the ways that the chapter carries for `lab test`: a learner who has given up sees how it is done.
    pub(crate) fn with_ways(mut self, trials: &Trials) -> Session {
        for (task, files) in trials {
            if let Some(script) = package::shown(files) {
                // To a shell, a tab divides words as spaces do.
                let shown = script.trim_end().replace('\t', "    ");
                self.ways.insert(task.clone(), untrusted::text(&shown));
            }
        }
        self
    }

    /// The section that is read.
    pub(crate) fn section(&self) -> Option<&Section> {
        self.outline.sections.get(self.progress.section)
    }

    /// Its tasks.
    pub(crate) fn tasks(&self) -> &[Task] {
        self.section().map(|section| section.tasks.as_slice()).unwrap_or_default()
    }

    /// The task that hints, solutions and answers are about.
    pub(crate) fn task(&self) -> Option<&Task> {
        self.tasks().get(self.chosen)
    }

    /// Goes to a section, or to the last one, and chooses its first open task.
    pub(crate) fn go(&mut self, section: usize) {
        self.progress.section = section.min(self.outline.sections.len().saturating_sub(1));
        self.chosen = 0;
        self.choose_open();
    }

    /// Whether there is a next section; it is gone to.
    pub(crate) fn next(&mut self) -> bool {
        let more = self.progress.section + 1 < self.outline.sections.len();
        if more {
            self.go(self.progress.section + 1);
        }
        more
    }

    /// Whether there is a section before; it is gone to.
    pub(crate) fn back(&mut self) -> bool {
        let more = self.progress.section > 0;
        if more {
            self.go(self.progress.section - 1);
        }
        more
    }

    /// Goes to the section of a task and chooses the task.
    pub(crate) fn go_to(&mut self, task: &str) {
        for (at, section) in self.outline.sections.iter().enumerate() {
            if let Some(chosen) = section.tasks.iter().position(|other| other.name == task) {
                self.progress.section = at;
                self.chosen = chosen;
                return;
            }
        }
    }

    /// Chooses the next task of this section, after the last one the first.
    pub(crate) fn choose_next(&mut self) {
        self.chosen = (self.chosen + 1) % self.tasks().len().max(1);
    }

    /// Chooses the next open task, where the chosen one isn't open any more.
    fn choose_open(&mut self) {
        let open = |at: &usize| self.tasks().get(*at).is_some_and(|task| self.standing(task) == Standing::Open);
        let count = self.tasks().len();
        if let Some(at) = (self.chosen..count).chain(0..self.chosen).find(open) {
            self.chosen = at;
        }
    }

    /// How a task stands.
    pub(crate) fn standing(&self, task: &Task) -> Standing {
        match self.outcome(&task.name) {
            Some(Outcome::Solved) => return Standing::Solved,
            Some(Outcome::Skipped) => return Standing::Skipped,
            None => {}
        }
        // Whoever skips a task does what others need of it in a way of their own.
        let before = task.after.iter().filter(|name| self.outcome(name).is_none());
        let titles: Vec<_> = before.filter_map(|name| self.outline.task(name)).map(|task| task.title.clone()).collect();
        if titles.is_empty() { Standing::Open } else { Standing::Waits(titles) }
    }

    /// What came of a task, as far as it is so in this sandbox, too.
    fn outcome(&self, task: &str) -> Option<Outcome> {
        self.progress.tasks.get(task).copied().filter(|_| !self.lost.contains(task))
    }

    /// What the last check of a task found missing.
    pub(crate) fn missing(&self, task: &str) -> &[String] {
        self.missing.get(task).map(Vec::as_slice).unwrap_or_default()
    }

    /// What is to be shown of a solution that was asked for.
    pub(crate) fn solution(&self, task: &str) -> Option<&Solution> {
        self.solutions.get(task)
    }

    /// Takes note that a solution was asked for; of a question, with its right answer.
    pub(crate) fn reveal(&mut self, task: &str, answer: Option<String>) {
        let question = self.outline.task(task).and_then(|task| task.question.as_ref());
        let answer = answer.zip(question).map(|(answer, kind)| Solution::Answer(answer::shown(kind, &answer)));
        let shown = answer.or_else(|| self.ways.get(task).cloned().map(Solution::Way));
        self.solutions.extend(shown.map(|shown| (task.to_owned(), shown)));
    }

    /// Names of the tasks to check when something has changed. Questions wait for an answer.
    pub(crate) fn due(&self, scope: Scope) -> Vec<String> {
        let due = |task: &&Task| {
            let skipped = scope == Scope::Chapter && self.standing(task) == Standing::Skipped;
            task.question.is_none() && (skipped || self.standing(task) == Standing::Open)
        };
        let tasks: Vec<&Task> = match scope {
            Scope::Section => self.tasks().iter().collect(),
            Scope::Chapter => self.outline.tasks().collect(),
        };
        tasks.into_iter().filter(due).map(|task| task.name.clone()).collect()
    }

    /// Takes note of a verdict. Whether the task is newly solved.
    pub(crate) fn judge(&mut self, task: &str, verdict: Verdict) -> bool {
        match verdict {
            Verdict::Passed => {
                self.missing.remove(task);
                let before = self.outcome(task);
                self.lost.remove(task);
                self.progress.tasks.insert(task.to_owned(), Outcome::Solved);
                self.choose_open();
                before != Some(Outcome::Solved)
            }
            Verdict::Missing(what) => {
                self.missing.insert(task.to_owned(), what);
                false
            }
        }
    }

    /// Leaves the chosen task out, or takes it up again.
    pub(crate) fn skip(&mut self) {
        let Some((name, standing)) = self.task().map(|task| (task.name.clone(), self.standing(task))) else { return };
        match standing {
            Standing::Solved => {}
            Standing::Skipped => drop(self.progress.tasks.remove(&name)),
            Standing::Waits(_) | Standing::Open => {
                self.lost.remove(&name);
                self.progress.tasks.insert(name, Outcome::Skipped);
                self.choose_open();
            }
        }
    }

    /// The hints of a task that were shown.
    pub(crate) fn hints<'a>(&self, task: &'a Task) -> &'a [String] {
        let shown = self.progress.hints.get(&task.name).copied().unwrap_or_default();
        &task.hints[..shown.min(task.hints.len())]
    }

    /// Shows one more hint of the chosen task; false where there is none.
    pub(crate) fn hint(&mut self) -> bool {
        let Some(task) = self.task() else { return false };
        let shown = self.hints(task).len();
        let more = shown < task.hints.len();
        if more {
            let name = task.name.clone();
            self.progress.hints.insert(name, shown + 1);
        }
        more
    }

    /// Solved and all tasks of the chapter.
    pub(crate) fn count(&self) -> (usize, usize) {
        let (solved, all) = count(&self.outline, &self.progress);
        (solved - self.lost().count(), all)
    }

    /// Whether no task of this section waits for its learner.
    pub(crate) fn section_done(&self) -> bool {
        self.tasks().iter().all(|task| self.outcome(&task.name).is_some())
    }

    /// The tasks that left something behind which a fresh sandbox lacks, in an order in which they can be done again:
    /// those that are solved, and skipped ones on which these build. Questions leave nothing.
    pub(crate) fn to_make_again(&self) -> Vec<Task> {
        let outcome = |task: &Task| self.progress.tasks.get(&task.name).filter(|_| task.question.is_none());
        let solved = self.outline.tasks().filter(|task| outcome(task) == Some(&Outcome::Solved));
        let needed: BTreeSet<&str> = solved.flat_map(|task| self.outline.before(task)).collect();
        let again = |task: &&Task| match outcome(task) {
            Some(Outcome::Solved) => true,
            Some(Outcome::Skipped) => needed.contains(task.name.as_str()),
            None => false,
        };
        self.outline.solvable().into_iter().filter(again).cloned().collect()
    }

    /// Takes note that what a solved task had made could not be made again, and why: it is to be done again.
    pub(crate) fn lose(&mut self, task: &str, why: &str) {
        if self.progress.tasks.get(task) == Some(&Outcome::Solved) {
            self.lost.insert(task.to_owned());
            let words = format!("It was solved, and could not be done again in this sandbox: {why}");
            self.missing.insert(task.to_owned(), vec![words]);
            self.choose_open();
        }
    }

    /// The tasks that were solved and are to be done again.
    pub(crate) fn lost(&self) -> impl Iterator<Item = &Task> {
        self.outline.tasks().filter(|task| self.lost.contains(&task.name))
    }
}

/// Solved and all tasks of a chapter.
pub(crate) fn count(outline: &Outline, progress: &Progress) -> (usize, usize) {
    let solved = |task: &&Task| progress.tasks.get(&task.name) == Some(&Outcome::Solved);
    (outline.tasks().filter(solved).count(), outline.tasks().count())
}

#[cfg(test)]
mod tests;
