//! The router as a program: `knetsim router -c FILE`.

use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::{Config, ConfigError, Handle, Router, RouterError};

/// How often the status file is brought up to date, where something changed.
const STATUS_EVERY: Duration = Duration::from_millis(200);

/// Why the program ended.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The configuration can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The router can't run.
    #[error(transparent)]
    Router(#[from] RouterError),
    /// Signals can't be received.
    #[error("set up the handling of signals")]
    Signals(#[source] std::io::Error),
}

/// Runs a router until SIGTERM or SIGINT. SIGHUP reads the file again; one that can't be used is reported, and the
/// router goes on as it was. `status`: a file that is kept up to date with [`crate::Status`] as JSON.
///
/// # Errors
/// The file can't be used, or the system denies what a router needs.
pub fn serve(file: &Path, status: Option<&Path>) -> Result<(), CommandError> {
    let router = Router::new(Config::read(file)?)?;
    raise_open_files();
    let signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(CommandError::Signals)?;
    let (handle, path) = (router.handle(), file.to_owned());
    thread::spawn(move || obey(signals, &handle, &path));
    if let Some(path) = status {
        let (handle, path) = (router.handle(), path.to_owned());
        thread::spawn(move || keep_status(&handle, &path));
    }
    Ok(router.run()?)
}

fn obey(mut signals: Signals, handle: &Handle, file: &Path) {
    for signal in &mut signals {
        if signal != SIGHUP {
            return handle.stop();
        }
        match Config::read(file) {
            Ok(config) => handle.reload(config),
            Err(error) => tracing::error!("{error}; the router goes on as it was"),
        }
    }
}

/// A flow is a descriptor or two: take as many as there may be.
fn raise_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "raise the number of open files");
    }
}

fn keep_status(handle: &Handle, path: &Path) {
    let mut written = None;
    while let Some(status) = handle.status() {
        if written.as_ref() != Some(&status) {
            if let Err(error) = write_whole(path, &status) {
                tracing::error!(file = %path.display(), %error, "write the status");
            }
            written = Some(status);
        }
        thread::sleep(STATUS_EVERY);
    }
}

/// Writes a file that readers see whole or not at all.
fn write_whole(path: &Path, status: &crate::Status) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut file = std::fs::File::create(&new)?;
    serde_json::to_writer_pretty(&mut file, status)?;
    file.write_all(b"\n")?;
    std::fs::rename(new, path)
}
