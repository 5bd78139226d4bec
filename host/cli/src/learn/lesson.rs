//! A chapter that is open: the learner's session joined to the supervisor that runs the chapter.
//!
//! Invariant: at most one round of checks is under way; changes that come meanwhile make one more.

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;

use anyhow::Context;
use knetsim_model::inventory::Inventory;
use knetsim_model::names::BASE;
use knetsim_model::protocol::{Answer, Reply, Request};

use super::progress::Progress;
use super::session::{Scope, Session};
use super::store::Keeper;
use crate::control::client::Client;
use crate::control::wire::WireError;

/// A session, the connection it is held over, and the file that it is kept in.
pub(crate) struct Lesson {
    pub(crate) session: Session,
    client: Client,
    keeper: Keeper,
    /// What the learner has to know and was not told yet.
    unsaid: Option<String>,
    /// Whether the sandbox is this lesson's own: another one is not ended for a reset.
    own: bool,
    calls: HashMap<u64, Call>,
    /// Tasks of this round that are not asked for yet.
    round: VecDeque<String>,
    /// What the next round is about.
    again: Option<Scope>,
    /// Why a task could not be checked, where that was said: the same is said once.
    failed: HashMap<String, String>,
}

/// What was asked and is not answered yet.
enum Call {
    Changes,
    Check(String),
    Answer(String),
    Solve(String),
    State,
    Targets,
}

/// What a learner wants to know of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// A task is solved; its title.
    Solved(String),
    /// An answer is wrong; the task's name.
    Wrong(String),
    /// A task was done, or its answer told.
    Shown(String),
    /// All that was to be checked is checked.
    Checked,
    /// Where a shell can be opened.
    Targets(Vec<String>),
    /// It went wrong, and why.
    Failed(String),
}

impl Lesson {
    /// Joins a session to a supervisor that has the chapter, and begins to watch for changes.
    pub(crate) async fn begin(
        session: Session,
        mut client: Client,
        keeper: Keeper,
        own: bool,
    ) -> anyhow::Result<Lesson> {
        let id = client.send(Request::Changes, &[]).await?;
        let calls = HashMap::from([(id, Call::Changes)]);
        let (round, failed) = (VecDeque::new(), HashMap::new());
        Ok(Lesson { session, client, keeper, unsaid: None, own, calls, round, again: None, failed })
    }

    /// What the supervisor says next. Nothing is lost where the future is dropped.
    pub(crate) async fn receive(&mut self) -> Result<(Answer, Vec<OwnedFd>), WireError> {
        self.client.receive().await
    }

    /// Goes on checking while something else has the terminal: what a task asks for may be undone before that ends.
    /// Gives what became of both.
    pub(crate) async fn beside<T>(&mut self, other: impl Future<Output = T>) -> anyhow::Result<(T, Vec<News>)> {
        let (mut other, mut news) = (std::pin::pin!(other), Vec::new());
        loop {
            tokio::select! {
                done = &mut other => return Ok((done, news)),
                received = self.receive() => {
                    let (answer, _) = received?;
                    news.extend(self.take(answer).await?);
                }
            }
        }
    }

    /// Whether anything that was asked for is still being done.
    pub(crate) fn is_busy(&self) -> bool {
        self.calls.values().any(|call| !matches!(call, Call::Changes))
    }

    /// Checks tasks, as a learner asks for it: now, or when the round that is under way has ended.
    pub(crate) async fn check(&mut self, scope: Scope) -> Result<(), WireError> {
        self.failed.clear();
        self.look(scope).await
    }

    async fn look(&mut self, scope: Scope) -> Result<(), WireError> {
        if self.again != Some(Scope::Chapter) {
            self.again = Some(scope);
        }
        if self.calls.values().any(|call| matches!(call, Call::Check(_))) { Ok(()) } else { self.go_on().await }
    }

    /// Asks for the next check of the round, or begins another one. False where there is none.
    async fn go_on(&mut self) -> Result<(), WireError> {
        if self.round.is_empty()
            && let Some(scope) = self.again.take()
        {
            self.round = self.session.due(scope).into();
        }
        match self.round.pop_front() {
            Some(task) => self.ask(Request::Check { task: task.clone(), answer: None }, Call::Check(task)).await,
            None => Ok(()),
        }
    }

    /// Asks whether an answer is right.
    pub(crate) async fn answer(&mut self, task: String, answer: String) -> Result<(), WireError> {
        self.ask(Request::Check { task: task.clone(), answer: Some(answer) }, Call::Answer(task)).await
    }

    /// Has a task done, or its answer told.
    pub(crate) async fn solve(&mut self, task: String) -> Result<(), WireError> {
        self.ask(Request::Solve { task: task.clone() }, Call::Solve(task)).await
    }

    /// Asks where a shell can be opened.
    pub(crate) async fn targets(&mut self) -> Result<(), WireError> {
        self.ask(Request::Inspect, Call::Targets).await
    }

    async fn ask(&mut self, request: Request, call: Call) -> Result<(), WireError> {
        let id = self.client.send(request, &[]).await?;
        self.calls.insert(id, call);
        Ok(())
    }

    /// Takes note of what the supervisor said.
    pub(crate) async fn take(&mut self, answer: Answer) -> anyhow::Result<Option<News>> {
        let last = answer.reply.is_last();
        let call = if last { self.calls.remove(&answer.id) } else { None };
        let news = match (call, answer.reply) {
            (None, Reply::Changed) => {
                self.look(Scope::Section).await?;
                None
            }
            (Some(Call::Check(task)), reply) => self.checked(&task, reply).await?,
            (Some(Call::Answer(task)), Reply::Verdict { verdict }) => {
                self.judge(&task, verdict).await?.or(Some(News::Wrong(task)))
            }
            (Some(Call::Solve(task)), Reply::Solved { answer }) => {
                self.session.reveal(&task, answer);
                self.ask(Request::State, Call::State).await?;
                self.look(Scope::Section).await?;
                Some(News::Shown(task))
            }
            (Some(Call::State), Reply::State { state }) => {
                self.session.progress.state = state;
                None
            }
            (Some(Call::Targets), Reply::Inventory(inventory)) => Some(News::Targets(targets(&inventory))),
            (Some(_), Reply::Failed(failure)) => Some(News::Failed(failure.to_string())),
            (Some(_), other) if last => return Err(WireError::Unexpected(Box::new(other)).into()),
            _ => None,
        };
        self.save();
        Ok(news)
    }

    async fn checked(&mut self, task: &str, reply: Reply) -> anyhow::Result<Option<News>> {
        let news = match reply {
            Reply::Verdict { verdict } => {
                self.failed.remove(task);
                self.judge(task, verdict).await?
            }
            Reply::Failed(failure) => failed_anew(&mut self.failed, task, failure.to_string()),
            other => return Err(WireError::Unexpected(Box::new(other)).into()),
        };
        self.go_on().await?;
        let ended = !self.calls.values().any(|call| matches!(call, Call::Check(_)));
        Ok(news.or(ended.then_some(News::Checked)))
    }

    async fn judge(&mut self, task: &str, verdict: knetsim_model::chapter::Verdict) -> anyhow::Result<Option<News>> {
        if !self.session.judge(task, verdict) {
            return Ok(None);
        }
        // Others may wait for this one.
        self.look(Scope::Section).await?;
        let title = self.session.outline.task(task).map(|task| task.title.clone());
        Ok(Some(News::Solved(title.unwrap_or_default())))
    }

    /// Has the chapter begin in another sandbox: forgets what it remembers, and with `anew` what was solved, too.
    ///
    /// # Errors
    /// The sandbox is not its own, or the file can't be written, from which the new sandbox goes on.
    pub(crate) fn reset(&mut self, anew: bool) -> anyhow::Result<()> {
        if !self.own {
            anyhow::bail!(
                "this sandbox was there before the chapter: knetsim down ends it, learn makes one of its own"
            );
        }
        let mut progress = if anew { Progress::default() } else { self.session.progress.clone() };
        progress.state.clear();
        let kept = self.keeper.try_keep(&progress);
        kept.context("a new sandbox goes on from what is kept of this chapter")?;
        Ok(())
    }

    /// Keeps the learner's progress, where it has changed. Where it can't be kept, that is to be said.
    pub(crate) fn save(&mut self) {
        self.unsaid = self.keeper.keep(&self.session.progress).or(self.unsaid.take());
    }

    /// What the learner has to know, once.
    pub(crate) fn take_unsaid(&mut self) -> Option<String> {
        self.unsaid.take()
    }
}

/// Says why a task could not be checked, where that was not said before: a check is made every few seconds.
fn failed_anew(failed: &mut HashMap<String, String>, task: &str, why: String) -> Option<News> {
    let before = failed.insert(task.to_owned(), why.clone());
    (before.as_ref() != Some(&why)).then(|| News::Failed(format!("{task} could not be checked: {why}")))
}

/// Where a shell can be opened: workers, containers, other nodes, and where all of them can be seen.
fn targets(inventory: &Inventory) -> Vec<String> {
    let nodes = inventory.nodes.iter().map(|node| node.name.to_string());
    let containers = inventory.containers.iter().map(|c| format!("{}.{}", c.worker, c.name));
    nodes.chain(containers).chain([BASE.to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_fails_alike_is_told_once() {
        let mut failed = HashMap::new();
        let mut fails = |task, why: &str| failed_anew(&mut failed, task, why.to_owned()).is_some();
        let news = [fails("a", "why"), fails("a", "why"), fails("b", "why"), fails("a", "other"), fails("a", "other")];
        assert_eq!(news, [true, false, true, true, false]);
    }
}
