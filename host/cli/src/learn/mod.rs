//! The learner's loop: a chapter's text a section at a time, tasks that turn green when they are done, and progress
//! that is kept.
//!
//! [`session`] holds where a learner is and has no input or output; [`screen`] says what keys do, [`view`] draws, and
//! [`app`] joins them to the terminal and, through [`lesson`], to the supervisor that runs the chapter. [`plain`] is
//! the same without a screen.

mod answer;
mod app;
#[cfg(test)]
mod course;
mod document;
mod keys;
mod layout;
mod lesson;
mod menu;
mod plain;
pub(crate) mod progress;
#[cfg(test)]
mod sample;
mod screen;
pub(crate) mod session;
mod shell;
pub(crate) mod text;
mod theme;
mod tty;
mod view;

use anyhow::Context;
use knetsim_lab::package;
use knetsim_model::protocol::{LoadChapter, Request};
use knetsim_model::{Code, Failure};
use knetsim_sandbox::{Options, StateFolder};

use self::app::App;
use self::lesson::Lesson;
use self::plain::Plain;
use self::progress::Store;
use self::session::Session;
use crate::chapters::{self, Found};
use crate::consent::{self, Said};
use crate::control::client::Client;
use crate::fresh::{Fresh, Interrupted};
use crate::interrupts::Interrupts;
use crate::progress::Progress as Steps;
use crate::{output, sandboxes};

/// What a learner asked for.
pub(crate) struct Order<'a> {
    /// A sandbox that runs.
    pub(crate) name: Option<&'a str>,
    /// The chapter's name, or its file.
    pub(crate) chapter: &'a str,
    /// What is granted to it.
    pub(crate) said: Said<'a>,
    /// Line by line.
    pub(crate) plain: bool,
}

/// How a learner left a chapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Quit,
    /// For a new sandbox.
    Reset,
}

/// Opens a chapter and lets a learner work through it.
pub(crate) fn open(order: &Order<'_>) -> anyhow::Result<End> {
    let store = Store::open()?;
    let chapter = chapters::find(order.chapter)?;
    // A damaged file is said now, not when something has been solved.
    store.load(&chapter.name)?;
    let grants = granted(&chapter, &order.said)?;
    if let Some(name) = order.name {
        let interrupts = Interrupts::catch().context("catching signals")?;
        return sandboxes::talk(Some(name), async |client| {
            let folder = sandboxes::find(Some(name))?;
            tokio::select! {
                ended = teach(client, &folder, &chapter, grants, store, order) => ended,
                number = interrupts.next() => Err(Interrupted(number?).into()),
            }
        });
    }
    let name = format!("learn-{}", chapter.name);
    let fresh = Fresh::launch(&Options { name, ..Options::default() })?;
    let ended = fresh.talk(async |client| teach(client, fresh.folder(), &chapter, grants, store, order).await);
    let down = fresh.end();
    let ended = ended?;
    down?;
    Ok(ended)
}

/// All that it asks for where it comes with knetsim, else what the person agrees to.
fn granted(chapter: &Found, said: &Said<'_>) -> anyhow::Result<Vec<String>> {
    let manifest = package::manifest(&chapter.bytes).map_err(Failure::from)?;
    if chapter.shipped {
        return Ok(manifest.grants.keys().map(ToString::to_string).collect());
    }
    Ok(consent::decide(&manifest, said)?.iter().map(ToString::to_string).collect())
}

/// Loads a chapter, brings the sandbox to where the learner was, and lets them work.
async fn teach(
    mut client: Client,
    folder: &StateFolder,
    chapter: &Found,
    grants: Vec<String>,
    store: Store,
    order: &Order<'_>,
) -> anyhow::Result<End> {
    let progress = store.load(&chapter.name)?;
    let load = LoadChapter { grants, state: progress.state.clone(), ..LoadChapter::default() };
    let steps = Steps::begin("The chapter is being set up", false);
    let outline = chapters::load(&mut client, &chapter.bytes, load).await?;
    let trials = package::trials(&chapter.bytes).map_err(Failure::from)?;
    let session = Session::new(&chapter.name, outline, progress).with_ways(&trials);
    match client.ask(Request::Setup, |_, _| {}).await {
        // It was set up there before.
        Err(error) if order.name.is_some() && code(&error) == Some(Code::Exists) => {
            output::warning(&format!("{error:#}"))
        }
        set_up => drop(set_up.context("setting the chapter up")?),
    }
    for task in session.to_redo() {
        // What builds on it fails, too, and says what is missing.
        let solved = client.ask(Request::Solve { task: task.clone() }, |_, _| {}).await;
        solved.map_err(|error| output::warning(&format!("{task} could not be done again: {error:#}"))).ok();
    }
    drop(steps);
    let lesson = Lesson::begin(session, client, store, order.name.is_none()).await?;
    if order.plain { Plain::new(lesson, folder)?.run().await } else { App::new(lesson, folder)?.run().await }
}

fn code(error: &anyhow::Error) -> Option<Code> {
    error.downcast_ref::<Failure>().map(|failure| failure.code)
}
