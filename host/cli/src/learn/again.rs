//! What the learner had made before, made again: a fresh sandbox has only what the chapter's set-up makes.
//!
//! Each solved task is done again by the chapter's own solution, in the chapter's order, and checked at once: a later
//! one may well undo it (what is cut is mended). What fails, and what builds on that, is open again.

use knetsim_model::chapter::Task;
use knetsim_model::{Event, Failure, untrusted};

use super::progress::Outcome;
use super::session::Session;
use crate::calls;
use crate::control::client::Client;
use crate::progress::Progress as Steps;

/// Makes it, and shows each step.
pub(super) async fn make(client: &mut Client, session: &mut Session, steps: &Steps) -> anyhow::Result<()> {
    let show = |event: &Event| steps.show(event);
    in_order(session, show, async |task, solved| again(client, task, solved).await).await
}

/// Has `again` do each task that is needed in a fresh sandbox. It gets whether the task was solved, and gives the reason
/// where it fails.
async fn in_order(
    session: &mut Session,
    show: impl Fn(&Event),
    mut again: impl AsyncFnMut(&Task, bool) -> anyhow::Result<Option<String>>,
) -> anyhow::Result<()> {
    let tasks = session.to_make_again();
    // Those that were skipped are among them, for others may build on them.
    let mut failed: Vec<&Task> = Vec::new();
    for (done, task) in (1..).zip(&tasks) {
        let what = format!("Done again, as it is solved: {}", untrusted::words(&task.title));
        show(&Event::Progress { what, done, total: tasks.len().try_into().unwrap_or(u32::MAX) });
        let before = failed.iter().find(|failed| task.after.contains(&failed.name));
        let solved = session.progress.tasks.get(&task.name) == Some(&Outcome::Solved);
        let why = match before {
            Some(before) => Some(format!("it builds on `{}`", before.title)),
            None => again(task, solved).await?,
        };
        if let Some(why) = why {
            session.lose(&task.name, &why);
            failed.push(task);
        }
    }
    Ok(())
}

/// Does one again. Gives the reason where it fails.
async fn again(client: &mut Client, task: &Task, solved: bool) -> anyhow::Result<Option<String>> {
    if let Err(error) = calls::solve(client, &task.name).await {
        return Ok(Some(error.downcast::<Failure>()?.message));
    }
    // A skipped task is done for those that build on it: their checks count.
    if solved { calls::turns_green(client, &task.name, None).await } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::progress::Progress;
    use crate::learn::sample;
    use crate::learn::session::{Scope, Standing};

    /// A session whose tasks come after each other, with what came of each.
    fn chain(tasks: &[(&str, Outcome)]) -> Session {
        let mut outline = sample::outline();
        let pattern = outline.sections[1].tasks[0].clone();
        let mut before = Vec::new();
        outline.sections.truncate(1);
        outline.sections[0].tasks.clear();
        for (name, _) in tasks {
            let (name, title) = ((*name).to_owned(), format!("Task {name}"));
            let after = std::mem::replace(&mut before, vec![name.clone()]);
            outline.sections[0].tasks.push(Task { name, title, after, ..pattern.clone() });
        }
        let tasks = tasks.iter().map(|(name, outcome)| ((*name).to_owned(), *outcome)).collect();
        Session::new("sample", outline, Progress { tasks, ..Progress::default() })
    }

    /// Does the tasks again, of which `fails` fails. Gives the names of those that were tried.
    async fn tried(session: &mut Session, fails: &str) -> Vec<(String, bool)> {
        let mut tried = Vec::new();
        let again = async |task: &Task, solved: bool| {
            tried.push((task.name.clone(), solved));
            Ok((task.name == fails).then(|| "the wire is cut".to_owned()))
        };
        in_order(session, |_| {}, again).await.unwrap();
        tried
    }

    #[tokio::test]
    async fn what_builds_on_a_skipped_task_that_failed_is_open_again() {
        let mut session = chain(&[("a", Outcome::Solved), ("b", Outcome::Skipped), ("c", Outcome::Solved)]);
        assert_eq!(tried(&mut session, "a").await, [("a".to_owned(), true)]);
        let task = |name: &str| session.outline.task(name).unwrap();
        assert_eq!(session.standing(task("a")), Standing::Open);
        assert_eq!(session.standing(task("b")), Standing::Skipped);
        assert_eq!(session.standing(task("c")), Standing::Open);
        assert_eq!(session.due(Scope::Section), ["a", "c"]);
        assert!(session.missing("a")[0].ends_with("the wire is cut"), "{:?}", session.missing("a"));
        assert!(session.missing("c")[0].ends_with("it builds on `Task b`"), "{:?}", session.missing("c"));

        let mut session = chain(&[("a", Outcome::Skipped), ("b", Outcome::Solved)]);
        assert_eq!(tried(&mut session, "a").await, [("a".to_owned(), false)]);
        assert!(session.missing("b")[0].ends_with("it builds on `Task a`"), "{:?}", session.missing("b"));
    }

    #[tokio::test]
    async fn all_that_is_needed_is_done_in_order() {
        let mut session = chain(&[("a", Outcome::Solved), ("b", Outcome::Skipped), ("c", Outcome::Solved)]);
        let expected = [("a", true), ("b", false), ("c", true)].map(|(name, solved)| (name.to_owned(), solved));
        assert_eq!(tried(&mut session, "none").await, expected);
        assert_eq!(session.lost().count(), 0);
    }
}
