//! Logs: what commands wrote in the background and daemons write, in a node's `/var/log`, as on a real one.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cap_std::fs::Dir;
use knetsim_daemon::Log;
use knetsim_kernel::log_file::{LogFile, Parts};
use knetsim_model::{Code, Failure, Target, untrusted};
use tokio::task::spawn_blocking;

use crate::Emulator;

/// Where a node's logs lie.
const NODE: &str = "var/log";
/// The log of the commands that were started on a node.
const COMMANDS: &str = "var/log/commands.log";
/// Where the logs of a node's containers lie.
const CONTAINERS: &str = "var/log/containers";
/// The logs of a node that are listed whatever else lies beside them.
const FIRST: [&str; 3] = ["commands", "etcd", "flanneld"];
/// How many logs of a node are listed at most: its root can make any number of files.
const LOGS: usize = 64;
/// How many files of a node's folder are looked at for that.
const ENTRIES: usize = 10_000;

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

    /// Where a command's output shall go: the log at that path of a node's folder. Blocks, as all of these do.
    fn writer(&self, folder: &Dir, path: String) -> std::io::Result<OwnedFd> {
        let mut stage = self.stage();
        if let Stage::Unused = *stage {
            if let Some((parent, _)) = path.rsplit_once('/') {
                folder.create_dir_all(parent)?;
            }
            let log = Log::new(folder, path.clone())?;
            if path.starts_with(CONTAINERS) {
                // Of an earlier one of that name, or by hand: this one's begins here.
                LogFile::new(folder.try_clone()?, path).remove()?;
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
    /// Which logs are not listed, for the person who asked.
    pub warning: Option<String>,
    /// Their names as they are shown (see [`untrusted::escaped`]), and the files' own.
    names: BTreeMap<String, String>,
    /// Where they lie; none where nothing was logged yet.
    folder: Option<Arc<Dir>>,
    path: &'static str,
    target: Target,
}

/// One log, opened.
#[derive(Debug)]
pub struct OpenLog {
    /// Its files, the oldest first: a log is rotated.
    pub parts: Vec<OwnedFd>,
    /// Which of its older files can't be read, and why.
    pub warning: Option<String>,
}

impl Logs {
    /// Their names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// Opens one of them. Without a file where it was deleted since.
    ///
    /// # Errors
    /// There is none of that name, or what lies in its place can't be read.
    pub async fn open(&self, name: &str) -> Result<OpenLog, Failure> {
        let target = &self.target;
        let (Some(file), Some(folder)) = (self.names.get(name).cloned(), self.folder.clone()) else {
            let names: Vec<_> = self.names().collect();
            let names = if names.is_empty() { "none yet".to_owned() } else { names.join(", ") };
            return Err(Failure::not_found(format!("{target} has no log named {name:?}; there are: {names}")));
        };
        let current = file.clone();
        let opened = spawn_blocking(move || Parts::open(&folder, &file)).await;
        let Parts { files, refused } = opened.map_err(|error| self.failed(name, &error))?;
        let mut warnings = Vec::new();
        for (file, error) in refused {
            let failure = self.failed(&untrusted::escaped(&file), &error);
            if file == current {
                return Err(failure);
            }
            warnings.push(failure.message);
        }
        let parts = files.into_iter().map(|file| file.into_std().into()).collect();
        Ok(OpenLog { parts, warning: (!warnings.is_empty()).then(|| warnings.join("; ")) })
    }

    fn failed(&self, what: &str, error: &dyn std::error::Error) -> Failure {
        Failure::failed(format!("logs of {}: /{}/{what}", self.target, self.path), error)
    }

    /// Finds those that lie in the folder; blocks.
    fn list(&mut self) -> io::Result<()> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let first = FIRST.map(|name| format!("{name}.log"));
        let mut files: Vec<_> = first.into_iter().filter(|file| folder.symlink_metadata(file).is_ok()).collect();
        let ours = files.len();
        let mut entries = folder.entries()?;
        for entry in entries.by_ref().take(ENTRIES) {
            match entry?.file_name().into_string() {
                Ok(file) if file.ends_with(".log") && !files[..ours].contains(&file) => files.push(file),
                Ok(_) | Err(_) => {}
            }
        }
        files[ours..].sort();
        if files.len() > LOGS || entries.next().is_some() {
            let (target, path) = (&self.target, self.path);
            self.warning = Some(format!(
                "logs of {target}: more files lie in /{path} than the {LOGS} logs that are listed at most"
            ));
        }
        files.truncate(LOGS);
        self.names = files.into_iter().map(shown).collect();
        Ok(())
    }
}

/// How a log's file is called, and its own name.
fn shown(file: String) -> (String, String) {
    (untrusted::escaped(file.strip_suffix(".log").unwrap_or(&file)), file)
}

impl Emulator {
    /// The logs of a node's daemons and commands, or of a container's commands, with all that was written until now.
    ///
    /// # Errors
    /// There is no such place, or no folder is where logs should be.
    pub async fn logs(&self, target: &Target) -> Result<Logs, Failure> {
        let (node, commands, path, wanted) = match target {
            Target::Container(reference) => {
                let container = self.state().container(reference)?;
                let wanted = Some(format!("{}.log", reference.name));
                (self.state().node(&container.plan.worker)?, container.log.clone(), CONTAINERS, wanted)
            }
            Target::Node(name) => {
                let node = self.state().node(name)?;
                let commands = node.log.clone();
                (node, commands, NODE, None)
            }
            Target::Base | Target::Named(..) => {
                return Err(Failure::invalid(format!("{target} has no logs; a node or a container has")));
            }
        };
        let failed = {
            let what = format!("logs of {target}: /{path}");
            move |error: &dyn std::error::Error| Failure::failed(&what, error)
        };
        let target = target.clone();
        let list = move || {
            commands.settle();
            let folder = match node.place.files.open_dir(path) {
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                opened => Some(Arc::new(opened?)),
            };
            let mut logs = Logs { life: commands.life, warning: None, names: BTreeMap::new(), folder, path, target };
            match (wanted, &logs.folder) {
                (Some(file), Some(folder)) => {
                    // While it is rotated, only the older one is there.
                    let mut names = [file.clone(), format!("{file}.1")].into_iter();
                    if names.any(|name| folder.symlink_metadata(name).is_ok()) {
                        logs.names.extend([shown(file)]);
                    }
                }
                (Some(_), None) => {}
                (None, _) => logs.list()?,
            }
            Ok::<_, io::Error>(logs)
        };
        spawn_blocking(list).await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
    }

    /// Where the output of a command in the background goes.
    pub(crate) async fn open_log(&self, target: &Target) -> Result<OwnedFd, Failure> {
        let node = self.state().node_of(target)?;
        let node = node.ok_or_else(|| Failure::invalid(format!("{target} keeps no log; start it on a node")))?;
        let (commands, path) = match target {
            Target::Container(reference) => {
                (self.state().container(reference)?.log.clone(), format!("{CONTAINERS}/{}.log", reference.name))
            }
            _ => (node.log.clone(), COMMANDS.to_owned()),
        };
        let doing = format!("the log of {target}, /{path} on {}", node.plan.name);
        let writer = spawn_blocking(move || commands.writer(&node.place.files, path)).await;
        writer.map_err(|error| Failure::failed(&doing, &error))?.map_err(|error| match error.kind() {
            ErrorKind::QuotaExceeded => Failure::new(Code::Limit, format!("{doing}: {error}")),
            _ => Failure::failed(&doing, &error),
        })
    }
}
