//! The learner's loop: a chapter's text a section at a time, tasks that turn green when they are done, and progress
//! that is kept.
//!
//! [`session`] holds where a learner is and has no input or output; [`screen`] says what keys do, [`view`] draws, and
//! [`app`] joins them to the terminal and, through [`lesson`], to the supervisor that runs the chapter. [`plain`] is
//! the same without a screen.

mod again;
mod answer;
mod app;
#[cfg(test)]
mod course;
mod document;
mod keys;
mod layout;
mod lesson;
mod lines;
mod menu;
mod plain;
pub(crate) mod progress;
#[cfg(test)]
pub(crate) mod sample;
mod screen;
pub(crate) mod session;
mod shell;
pub(crate) mod store;
pub(crate) mod text;
mod theme;
mod tty;
mod view;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use knetsim_lab::{Grant, package};
use knetsim_model::protocol::{LoadChapter, Request};
use knetsim_model::{Code, Failure, untrusted};
use knetsim_sandbox::{Options, StateFolder};

use self::app::App;
use self::lesson::Lesson;
use self::plain::Plain;
use self::session::Session;
use self::store::{Keeper, Store};
use crate::chapters::{self, Found};
use crate::consent::{self, Agreed, Said};
use crate::control::client::Client;
use crate::fresh::{Fresh, Interrupted};
use crate::interrupts::Interrupts;
use crate::progress::Progress as Steps;
use crate::{calls, output, sandboxes};

/// What a learner asked for.
pub(crate) struct Order<'a> {
    /// A sandbox that runs.
    pub(crate) name: Option<&'a str>,
    /// The chapter's name, or its file.
    pub(crate) chapter: &'a str,
    /// What is granted to it.
    pub(crate) said: Said<'a>,
    /// What was granted to it before a reset.
    pub(crate) agreed: Option<&'a Agreed>,
    /// Other limits than its own.
    pub(crate) limits: &'a BTreeMap<String, u64>,
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

/// Opens a chapter and lets a learner work through it. For a new sandbox, what was granted is given back.
pub(crate) fn open(order: &Order<'_>) -> anyhow::Result<Option<Agreed>> {
    let chapter = chapters::find(order.chapter)?;
    let agreed = Agreed::new(&chapter.bytes, granted(&chapter, order)?);
    let end = open_with(order, &chapter, agreed.grants())?;
    Ok((end == End::Reset).then_some(agreed))
}

fn open_with(order: &Order<'_>, chapter: &Found, grants: Vec<String>) -> anyhow::Result<End> {
    if let Some(name) = order.name {
        let interrupts = Interrupts::catch().context("catching signals")?;
        return sandboxes::talk(Some(name), async |client| {
            let folder = sandboxes::find(Some(name))?;
            tokio::select! {
                ended = teach(client, &folder, chapter, grants, order) => ended,
                number = interrupts.next() => Err(Interrupted(number?).into()),
            }
        });
    }
    let name = format!("learn-{}", chapter.key.name);
    let fresh = Fresh::launch(&Options { name, ..Options::default() })?;
    let ended = fresh.talk(async |client| teach(client, fresh.folder(), chapter, grants, order).await);
    let down = fresh.end();
    let ended = ended?;
    down?;
    Ok(ended)
}

/// All that it asks for where it comes with knetsim; what was granted before a reset, where it is still the same; else
/// what the person agrees to.
fn granted(chapter: &Found, order: &Order<'_>) -> anyhow::Result<BTreeSet<Grant>> {
    let manifest = package::manifest(&chapter.bytes).map_err(Failure::from)?;
    if chapter.shipped {
        return Ok(manifest.grants.into_keys().collect());
    }
    match order.agreed.and_then(|agreed| agreed.to(&chapter.bytes)) {
        Some(grants) => Ok(grants.clone()),
        None => consent::decide(&manifest, &order.said),
    }
}

/// Loads a chapter, brings the sandbox to where the learner was, and lets them work.
async fn teach(
    mut client: Client,
    folder: &StateFolder,
    chapter: &Found,
    grants: Vec<String>,
    order: &Order<'_>,
) -> anyhow::Result<End> {
    let (keeper, warning) = Keeper::begin(Store::open(), chapter.key.clone());
    warning.iter().for_each(|warning| output::warning(warning));
    let progress = keeper.kept().clone();
    let limits = order.limits.clone();
    let load = LoadChapter { grants, limits, state: progress.state.clone(), ..LoadChapter::default() };
    let steps = Steps::begin("The chapter is being set up", false);
    let outline = chapters::load(&mut client, &chapter.bytes, load).await?;
    let trials = package::trials(&chapter.bytes).map_err(Failure::from)?;
    let mut session = Session::new(&chapter.key.name, outline, progress).with_ways(&trials);
    match client.ask(Request::Setup, |_, _| {}).await {
        Ok(_) => again::make(&mut client, &mut session, &steps).await?,
        // It was set up there before, and holds whatever its learner has left.
        Err(error) if order.name.is_some() && code(&error) == Some(Code::Exists) => {
            output::warning(&format!("{error:#}; what is solved is not done again there"))
        }
        Err(error) => return Err(error).context("setting the chapter up"),
    }
    session.progress.state = calls::state(&mut client).await?;
    drop(steps);
    let lesson = Lesson::begin(session, client, keeper, order.name.is_none()).await?;
    let lost = lesson.session.lost().map(|task| untrusted::words(&task.title)).collect::<Vec<_>>();
    let lost = (!lost.is_empty()).then(|| format!("To be done again in this sandbox: {}", lost.join(", ")));
    if order.plain {
        return Plain::new(lesson, folder)?.run(lost).await;
    }
    // The warning above is out of sight as soon as the screen is drawn.
    let notice: Vec<_> = warning.into_iter().chain(lost).collect();
    App::new(lesson, folder)?.run((!notice.is_empty()).then(|| notice.join(". "))).await
}

fn code(error: &anyhow::Error) -> Option<Code> {
    error.downcast_ref::<Failure>().map(|failure| failure.code)
}
