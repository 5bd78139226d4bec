//! Logs: what commands wrote in the background and daemons write, in a node's `/var/log`, as on a real one.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use cap_std::fs::Dir;
use knetsim_daemon::Log;
use knetsim_kernel::{files, log_file};
use knetsim_model::{Failure, Target};

use crate::Emulator;

/// Where a node's logs lie.
const NODE: &str = "var/log";
/// The log of the commands that were started on a node.
const COMMANDS: &str = "var/log/commands.log";
/// Where the logs of a node's containers lie.
const CONTAINERS: &str = "var/log/containers";

/// The log of one container's or one node's commands, for as long as that lives.
pub(crate) struct CommandLog {
    /// No other one in this sandbox has the same, also not a later one of that name.
    life: u64,
    log: Mutex<Stage>,
}

enum Stage {
    /// Nothing was started yet.
    Unused,
    Open(Log),
    /// What it belongs to is being deleted.
    Gone,
}

impl CommandLog {
    pub(crate) fn new() -> Self {
        static LIVES: AtomicU64 = AtomicU64::new(1);
        CommandLog { life: LIVES.fetch_add(1, Ordering::Relaxed), log: Mutex::new(Stage::Unused) }
    }

    /// Where a command's output shall go: the log at that path of a node's folder.
    fn writer(&self, folder: &Dir, path: String) -> std::io::Result<OwnedFd> {
        let mut stage = self.stage();
        if let Stage::Unused = *stage {
            if let Some((parent, _)) = path.rsplit_once('/') {
                folder.create_dir_all(parent)?;
            }
            let log = Log::new(folder, path.clone())?;
            if path.starts_with(CONTAINERS) {
                // Of an earlier one of that name, or by hand: this one's begins here.
                log_file::LogFile::new(folder.try_clone()?, path).remove()?;
            }
            *stage = Stage::Open(log);
        }
        match &*stage {
            Stage::Open(log) => log.writer(),
            Stage::Unused | Stage::Gone => Err(std::io::ErrorKind::NotFound.into()),
        }
    }

    fn settle(&self) {
        if let Stage::Open(log) = &*self.stage() {
            log.settle();
        }
    }

    /// Deletes it for good. Can be repeated.
    pub(crate) fn remove(&self) -> std::io::Result<()> {
        match std::mem::replace(&mut *self.stage(), Stage::Gone) {
            Stage::Open(log) => log.remove(),
            Stage::Unused | Stage::Gone => Ok(()),
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        // Nothing between lock and unlock can panic half-way.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The logs of a node or of a container.
#[derive(Debug)]
pub struct Logs {
    /// Another number for each node and container, also for a later one of the same name.
    pub life: u64,
    /// Names and open files: those of one log follow each other, the oldest first.
    pub files: Vec<(String, OwnedFd)>,
}

impl Emulator {
    /// The logs of a node's daemons and commands, or of a container's commands.
    ///
    /// # Errors
    /// There is no such place, or what lies where a log should be is no file.
    pub fn logs(&self, target: &Target) -> Result<Logs, Failure> {
        let state = self.state();
        let (node, commands, path, wanted) = match target {
            Target::Container(reference) => {
                let container = state.container(reference)?;
                let wanted = Some(format!("{}.log", reference.name));
                (state.node(&container.plan.worker)?, container.log.clone(), CONTAINERS, wanted)
            }
            Target::Node(name) => {
                let node = state.node(name)?;
                let commands = node.log.clone();
                (node, commands, NODE, None)
            }
            Target::Base | Target::Named(..) => {
                return Err(Failure::invalid(format!("{target} has no logs; a node or a container has")));
            }
        };
        drop(state);
        commands.settle();
        let failed = |what: &str, error: std::io::Error| Failure::failed(format!("logs of {target}: /{what}"), &error);
        let mut logs = Logs { life: commands.life, files: Vec::new() };
        let folder = match node.place.files.open_dir(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(logs),
            opened => opened.map_err(|error| failed(path, error))?,
        };
        let names = folder.entries().map_err(|error| failed(path, error))?.flatten();
        let mut names: Vec<_> = names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| name.ends_with(".log") && wanted.as_ref().is_none_or(|wanted| wanted == name));
        names.sort();
        for name in names {
            let short = name.trim_end_matches(".log");
            let older = log_file::older_first(&name).filter_map(|older| files::open(&folder, older).ok());
            logs.files.extend(older.map(|file| (short.to_owned(), file.into_std().into())));
            match files::open(&folder, &name) {
                Ok(file) => logs.files.push((short.to_owned(), file.into_std().into())),
                Err(error) if wanted.is_some() => return Err(failed(&format!("{path}/{name}"), error)),
                // The others of the node can be read.
                Err(error) => tracing::warn!("{}: /{path}/{name}: {error}", node.plan.name),
            }
        }
        Ok(logs)
    }

    /// Where the output of a command in the background goes.
    pub(crate) fn open_log(&self, target: &Target) -> Result<OwnedFd, Failure> {
        let state = self.state();
        let node = state.node_of(target)?;
        let node = node.ok_or_else(|| Failure::invalid(format!("{target} keeps no log; start it on a node")))?;
        let (commands, path) = match target {
            Target::Container(reference) => {
                (state.container(reference)?.log.clone(), format!("{CONTAINERS}/{}.log", reference.name))
            }
            _ => (node.log.clone(), COMMANDS.to_owned()),
        };
        drop(state);
        let writer = commands.writer(&node.place.files, path.clone());
        writer.map_err(|error| Failure::failed(format!("the log of {target}, /{path} on {}", node.plan.name), &error))
    }
}
