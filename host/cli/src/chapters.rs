//! Chapters: where they are, and how one gets into a sandbox.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::Context;
use knetsim_lab::{Host, package};
use knetsim_model::Failure;
use knetsim_model::chapter::Outline;
use knetsim_model::protocol::{LoadChapter, Reply, Request};

use crate::cache::Entry;
use crate::control::client::Client;
use crate::control::wire::WireError;
use crate::{lab_file, output, sandboxes};

/// A chapter's file.
pub(crate) struct Found {
    /// Its name, under which progress is kept.
    pub(crate) name: String,
    /// The lab.
    pub(crate) bytes: Vec<u8>,
    /// Whether it comes with knetsim: then nobody is asked what it may do.
    pub(crate) shipped: bool,
}

/// Finds a chapter by its name, or by its file's.
pub(crate) fn find(chapter: &str) -> anyhow::Result<Found> {
    if chapter.contains('/') || chapter.ends_with(".wasm") {
        let bytes = lab_file::read(Path::new(chapter))?;
        let name = package::manifest(&bytes).map_err(Failure::from)?.name;
        return Ok(Found { name, bytes, shipped: false });
    }
    let shipped = shipped();
    let Some((name, path)) = shipped.iter().find(|(name, _)| name.eq_ignore_ascii_case(chapter)) else {
        let names: Vec<_> = shipped.iter().map(|(name, _)| name.as_str()).collect();
        let there = if names.is_empty() { "knetsim came without any".to_owned() } else { names.join(", ") };
        return Err(Failure::not_found(format!("there is no chapter `{chapter}`: {there}")).into());
    };
    Ok(Found { name: name.clone(), bytes: lab_file::read(path)?, shipped: true })
}

/// What the chapters that come with knetsim say of themselves, by name. No sandbox is needed.
pub(crate) fn outlines() -> anyhow::Result<Vec<(String, Outline)>> {
    let (host, runtime) = (Host::new().map_err(Failure::from)?, sandboxes::runtime()?);
    let mut outlines = Vec::new();
    for (name, path) in shipped() {
        let lab = host.compile(&lab_file::read(&path)?).map_err(Failure::from);
        match lab.and_then(|lab| runtime.block_on(lab.outline())) {
            Ok(outline) => outlines.push((name, outline)),
            // A script lies beside the chapters where they were built.
            Err(error) => tracing::debug!("{}: {error}", path.display()),
        }
    }
    Ok(outlines)
}

/// The chapters that come with knetsim, by name, and their files: where this program was installed, else where it was
/// built.
pub(crate) fn shipped() -> Vec<(String, PathBuf)> {
    let program = std::env::current_exe().ok();
    let folder = program.as_deref().and_then(Path::parent);
    let folders = folder.map(|folder| [folder.join("../share/knetsim/chapters"), folder.join("../labs")]);
    let mut chapters: Vec<_> = folders.into_iter().flatten().flat_map(|folder| chapters_in(&folder)).collect();
    chapters.sort();
    chapters.dedup_by(|one, other| one.0 == other.0);
    chapters
}

fn chapters_in(folder: &Path) -> Vec<(String, PathBuf)> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let chapter = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.strip_suffix(".wasm")?.to_owned();
        Some((name, path))
    };
    files.filter_map(chapter).collect()
}
/// Loads a chapter; compiled code comes from the cache and goes there.
pub(crate) async fn load(client: &mut Client, bytes: &[u8], order: LoadChapter) -> anyhow::Result<Outline> {
    let lab = lab_file::in_memory(bytes).context("making a file in memory")?;
    let entry = Entry::named(&knetsim_lab::cache_key(bytes).map_err(Failure::from)?);
    let entry = entry.inspect_err(|error| output::warning(&format!("{error:#}; it is compiled each time"))).ok();
    let compiled = entry.as_ref().and_then(Entry::open);
    let request = Request::LoadChapter(LoadChapter { cached: compiled.is_some(), ..order });
    let mut before = vec![lab.as_fd()];
    before.extend(compiled.as_ref().map(AsFd::as_fd));
    let id = client.send(request, &before).await?;
    loop {
        let (answer, mut descriptors): (_, Vec<OwnedFd>) = client.receive().await?;
        match (answer.reply, descriptors.pop(), &entry) {
            _ if answer.id != id => {}
            (Reply::Compiled, Some(code), Some(entry)) => {
                if let Err(error) = entry.keep(code.into()) {
                    output::warning(&format!("{error:#}"));
                }
            }
            (Reply::Compiled, ..) => {}
            (Reply::Chapter { outline, .. }, ..) => return Ok(outline),
            (Reply::Failed(failure), ..) => return Err(failure.into()),
            (other, ..) => return Err(WireError::Unexpected(Box::new(other)).into()),
        }
    }
}
