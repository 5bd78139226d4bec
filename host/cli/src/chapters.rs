//! Chapters: where they are, and how one gets into a sandbox.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::Context;
use knetsim_lab::Host;
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

/// The course's chapters. Whatever else lies beside them is somebody's file.
const COURSE: [&str; 5] = ["c1", "c2", "c3", "c4", "c5"];

/// Finds a chapter by its name, or by its file's.
pub(crate) fn find(chapter: &str) -> anyhow::Result<Found> {
    if chapter.contains('/') || chapter.ends_with(".wasm") {
        return open(Path::new(chapter), false);
    }
    let shipped = shipped();
    let Some((_, path)) = shipped.iter().find(|(name, _)| name.eq_ignore_ascii_case(chapter)) else {
        let names: Vec<_> = shipped.iter().map(|(name, _)| *name).collect();
        let mut message = format!("there is no chapter `{chapter}`: ");
        message += &if names.is_empty() { NONE.to_owned() } else { names.join(", ") };
        if Path::new(chapter).exists() {
            message += &format!("; the file is ./{chapter}");
        }
        return Err(Failure::not_found(message).into());
    };
    open(path, true)
}

/// Reads a chapter. It comes with knetsim where both its path and the name in its manifest say so. A chapter that is
/// opened by its path is asked about in any case.
fn open(path: &Path, by_name: bool) -> anyhow::Result<Found> {
    let (bytes, manifest) = lab_file::open(path, Kind::Chapter)?;
    let name = manifest.map(|manifest| manifest.name).unwrap_or_default();
    let given = path.canonicalize().ok();
    let is_given = |shipped: &Path| given.is_some() && shipped.canonicalize().ok() == given;
    let ours = shipped().iter().any(|(course, shipped)| *course == name && is_given(shipped));
    let origin = if ours { Origin::shipped() } else { Origin::file(path, &bytes) };
    Ok(Found { key: Key { origin, name }, bytes, shipped: ours && by_name })
}

/// What the chapters that come with knetsim say of themselves, by name; none where none is built. No sandbox is needed.
pub(crate) fn outlines() -> anyhow::Result<Vec<(String, Outline)>> {
    let (host, runtime) = (Host::new().map_err(Failure::from)?, sandboxes::runtime()?);
    let mut outlines = Vec::new();
    for (name, path) in shipped() {
        let outline = || -> anyhow::Result<Outline> {
            let (bytes, manifest) = lab_file::open(&path, Kind::Chapter)?;
            let own = manifest.map(|manifest| manifest.name).unwrap_or_default();
            anyhow::ensure!(own == name, "it calls itself `{own}`, so it is not the course's chapter of that name");
            let lab = host.compile(&bytes).map_err(Failure::from)?;
            Ok(runtime.block_on(lab.outline())?)
        };
        match outline() {
            Ok(outline) => outlines.push((name.to_owned(), outline)),
            Err(error) => output::warning(&format!("{}: {error:#}", path.display())),
        }
    }
    Ok(outlines)
}

/// What to do where no chapter is found.
pub(crate) fn none() -> Failure {
    Failure::not_found(NONE)
}

/// The chapters that come with knetsim, by name, and their files: where this program was installed, else where
/// `make build` puts them. `knetsim lab build` puts nothing there unless it is told the place: what it builds lies in
/// `labs` of the same target folder.
pub(crate) fn shipped() -> Vec<(&'static str, PathBuf)> {
    let program = std::env::current_exe().ok();
    let folder = program.as_deref().and_then(Path::parent);
    let folders = folder.map(|folder| [folder.join("../share/knetsim/chapters"), folder.join("../chapters")]);
    let chapters = folders.into_iter().flatten().map(|folder| chapters_in(&folder));
    chapters.into_iter().find(|chapters: &Vec<_>| !chapters.is_empty()).unwrap_or_default()
}

fn chapters_in(folder: &Path) -> Vec<(&'static str, PathBuf)> {
    let files = COURSE.map(|name| (name, folder.join(format!("{name}.wasm"))));
    files.into_iter().filter(|(_, path)| path.exists()).collect()
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
