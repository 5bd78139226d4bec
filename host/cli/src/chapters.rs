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
use crate::lab_file::{self, Kind};
use crate::learn::progress::{Key, Origin};
use crate::{output, sandboxes};

/// What to do where no chapter is found.
const NONE: &str = "no chapter is built here: `make build` in knetsim's checkout builds those of the course, \
                    and `knetsim learn FILE.wasm` opens any other";

/// A chapter's file.
pub(crate) struct Found {
    /// Under which progress is kept.
    pub(crate) key: Key,
    /// The lab.
    pub(crate) bytes: Vec<u8>,
    /// Whether it comes with knetsim: then nobody is asked what it may do.
    pub(crate) shipped: bool,
}

/// Finds a chapter by its name, or by its file's.
pub(crate) fn find(chapter: &str) -> anyhow::Result<Found> {
    if chapter.contains('/') || chapter.ends_with(".wasm") {
        let path = Path::new(chapter);
        let (bytes, manifest) = lab_file::open(path, Kind::Chapter)?;
        let name = manifest.map(|manifest| manifest.name).unwrap_or_default();
        return Ok(Found { key: key(path, name, &bytes), bytes, shipped: false });
    }
    let shipped = shipped();
    let Some((name, path)) = shipped.iter().find(|(name, _)| name.eq_ignore_ascii_case(chapter)) else {
        let names: Vec<_> = shipped.iter().map(|(name, _)| name.as_str()).collect();
        let mut message = format!("there is no chapter `{chapter}`: ");
        message += &if names.is_empty() { NONE.to_owned() } else { names.join(", ") };
        if Path::new(chapter).exists() {
            message += &format!("; the file is ./{chapter}");
        }
        return Err(Failure::not_found(message).into());
    };
    let key = Key { origin: Origin::shipped(), name: name.clone() };
    Ok(Found { key, bytes: lab_file::open(path, Kind::Chapter)?.0, shipped: true })
}

/// Which chapter a file is: one that comes with knetsim is the same by its path.
fn key(path: &Path, name: String, bytes: &[u8]) -> Key {
    let given = path.canonicalize().ok();
    let is_given = |shipped: &Path| given.is_some() && shipped.canonicalize().ok() == given;
    match shipped().into_iter().find(|(_, shipped)| is_given(shipped)) {
        Some((name, _)) => Key { origin: Origin::shipped(), name },
        None => Key { origin: Origin::file(path, bytes), name },
    }
}

/// What the chapters that come with knetsim say of themselves, by name. No sandbox is needed.
pub(crate) fn outlines() -> anyhow::Result<Vec<(String, Outline)>> {
    let (host, runtime) = (Host::new().map_err(Failure::from)?, sandboxes::runtime()?);
    let mut outlines = Vec::new();
    for (name, path) in shipped() {
        let outline = || -> anyhow::Result<Option<Outline>> {
            let bytes = lab_file::read(&path)?;
            // A script lies beside the chapters where they were built.
            if !package::inspect(&bytes).map_err(Failure::from)?.is_chapter() {
                return Ok(None);
            }
            let lab = host.compile(&bytes).map_err(Failure::from)?;
            Ok(Some(runtime.block_on(lab.outline())?))
        };
        match outline() {
            Ok(outline) => outlines.extend(outline.map(|outline| (name, outline))),
            Err(error) => output::warning(&format!("{}: {error:#}", path.display())),
        }
    }
    if outlines.is_empty() {
        return Err(Failure::not_found(NONE).into());
    }
    Ok(outlines)
}

/// The chapters that come with knetsim, by name, and their files: where this program was installed, else where it was
/// built.
pub(crate) fn shipped() -> Vec<(String, PathBuf)> {
    let program = std::env::current_exe().ok();
    let folder = program.as_deref().and_then(Path::parent);
    let folders = folder.map(|folder| [folder.join("../share/knetsim/chapters"), folder.join("../labs")]);
    let chapters = folders.into_iter().flatten().map(|folder| chapters_in(&folder));
    let mut chapters = chapters.into_iter().find(|chapters: &Vec<_>| !chapters.is_empty()).unwrap_or_default();
    chapters.sort();
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
