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
    let tasks = session.to_make_again();
    // Those that were skipped are among them, for others may build on them.
    let mut failed: Vec<&Task> = Vec::new();
    for (done, task) in (1..).zip(&tasks) {
        let what = format!("Done again, as it is solved: {}", untrusted::words(&task.title));
        steps.show(&Event::Progress { what, done, total: tasks.len().try_into().unwrap_or(u32::MAX) });
        let before = failed.iter().find(|failed| task.after.contains(&failed.name));
        let why = match before {
            Some(before) => Some(format!("it builds on `{}`", before.title)),
            None => again(client, session, task).await?,
        };
        if let Some(why) = why {
            session.lose(&task.name, &why);
            failed.push(task);
        }
    }
    Ok(())
}

/// Does one again; why it isn't done.
async fn again(client: &mut Client, session: &Session, task: &Task) -> anyhow::Result<Option<String>> {
    if let Err(error) = calls::solve(client, &task.name).await {
        return Ok(Some(error.downcast::<Failure>()?.message));
    }
    match session.progress.tasks.get(&task.name) {
        Some(Outcome::Solved) => calls::turns_green(client, &task.name, None).await,
        // A skipped one that others build on: whether they are done is what counts.
        _ => Ok(None),
    }
}
