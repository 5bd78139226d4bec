//! Commands on nodes and in containers, in the foreground or with a log.

use std::collections::BTreeMap;

use knetsim_model::{Code, Failure, Target};
use knetsim_sandbox::{Child, Profile, SandboxError, Spawn, Stdio, quoted};

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
        let label = Some(format!("{} in {target}", quoted(&spec.command)));
        let spawn = Spawn { argv: spec.command, env, cwd: None, node, netns, profile: spec.profile, stdio, label };
        self.sandbox().spawn(spawn).await.map_err(|error| failure(target, &error))
    }

    /// Starts a command in the background; its output goes to the target's log.
    ///
    /// # Errors
    /// As [`Emulator::exec`]; also where the log can't be written.
    pub async fn spawn(&self, target: &Target, spec: ExecSpec) -> Result<Child, Failure> {
        let log = self.open_log(target).await?;
        self.exec(target, spec, Stdio::Log(log)).await
    }
}

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
