//! Commands on nodes and in containers, in the foreground or with a log, and the logs.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use knetsim_kernel::files;
use knetsim_model::{Code, Failure, Target};
use knetsim_sandbox::{Child, Profile, SandboxError, Spawn, Stdio};

use crate::Emulator;

/// A command, and what it may do.
#[derive(Debug)]
pub struct ExecSpec {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Added to the environment.
    pub env: BTreeMap<String, String>,
    /// What it may do.
    pub profile: Profile,
}

impl Default for ExecSpec {
    fn default() -> Self {
        ExecSpec { command: Vec::new(), env: BTreeMap::new(), profile: Profile::Plain }
    }
}

impl Emulator {
    /// Runs a command with the given standard streams.
    ///
    /// # Errors
    /// There is no such place or program, or a limit was reached.
    pub async fn exec(&self, target: &Target, spec: ExecSpec, stdio: Stdio) -> Result<Child, Failure> {
        let node = self.state().node_of(target)?.map(|node| node.plan.name.clone());
        let netns = match target {
            Target::Base | Target::Node(_) => None,
            Target::Container(_) | Target::Named(..) => Some(self.namespace(target)?),
        };
        if spec.command.first().is_none_or(String::is_empty) {
            return Err(Failure::invalid(format!("exec in {target}: no command was given")));
        }
        let env = spec.env;
        let spawn = Spawn { argv: spec.command, env, cwd: None, node, netns, profile: spec.profile, stdio };
        self.sandbox().spawn(spawn).await.map_err(|error| failure(target, &error))
    }

    /// Starts a command in the background; its output goes to the target's log.
    ///
    /// # Errors
    /// As [`Emulator::exec`]; also where the log can't be written.
    pub async fn spawn(&self, target: &Target, spec: ExecSpec) -> Result<Child, Failure> {
        let log = self.open_log(target)?;
        self.exec(target, spec, Stdio::Log(log)).await
    }

    /// The logs of a node's daemons and commands, or of a container's commands: names and open files.
    ///
    /// # Errors
    /// There is no such place, or nothing was logged yet.
    pub fn logs(&self, target: &Target) -> Result<Vec<(String, OwnedFd)>, Failure> {
        let state = self.state();
        let (node, folder, wanted) = match target {
            Target::Container(reference) => {
                let container = state.container(reference)?;
                (state.node(&container.plan.worker)?, CONTAINERS, Some(format!("{}.log", reference.name)))
            }
            Target::Node(name) => (state.node(name)?, NODE, None),
            Target::Base | Target::Named(..) => {
                return Err(Failure::invalid(format!("{target} has no logs; a node or a container has")));
            }
        };
        drop(state);
        let nothing = || Failure::not_found(format!("{target} has logged nothing yet"));
        let folder = node.place.files.open_dir(folder).map_err(|_| nothing())?;
        let mut logs = Vec::new();
        let entries = folder.entries().map_err(|error| Failure::failed(format!("logs of {target}"), &error))?;
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(short) = name.strip_suffix(".log") else { continue };
            if wanted.as_ref().is_none_or(|wanted| *wanted == name)
                && let Ok(file) = files::open(&folder, &name)
            {
                logs.push((short.to_owned(), file.into()));
            }
        }
        logs.sort_by(|(a, _), (b, _)| a.cmp(b));
        if logs.is_empty() { Err(nothing()) } else { Ok(logs) }
    }

    fn open_log(&self, target: &Target) -> Result<OwnedFd, Failure> {
        let node = self.state().node_of(target)?;
        let node = node.ok_or_else(|| Failure::invalid(format!("{target} keeps no log; start it on a node")))?;
        let path = match target {
            Target::Container(reference) => format!("{CONTAINERS}/{}.log", reference.name),
            _ => format!("{NODE}/commands.log"),
        };
        let folder = &node.place.files;
        let opened = folder.create_dir_all(CONTAINERS).and_then(|()| files::append(folder, &path));
        let log = opened.map_err(|error| Failure::failed(format!("the log of {target}"), &error))?;
        Ok(log.into_std().into())
    }
}

/// Where a node's logs lie, as on a real one.
const NODE: &str = "var/log";
/// Where the logs of a node's containers lie, as on a real one.
const CONTAINERS: &str = "var/log/containers";

/// A program that is not there is [`Code::Unavailable`], one that can't be run [`Code::Denied`].
fn failure(target: &Target, error: &SandboxError) -> Failure {
    let code = match error {
        SandboxError::Step { source, .. } => match source.kind() {
            std::io::ErrorKind::NotFound => Code::Unavailable,
            std::io::ErrorKind::PermissionDenied => Code::Denied,
            _ => Code::Failed,
        },
        _ => Code::Failed,
    };
    Failure { code, ..Failure::failed(format!("exec in {target}"), error) }
}
