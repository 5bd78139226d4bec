//! The plugins, and who runs one: this process, or an executable found in CNI_PATH.

use std::path::PathBuf;

use knetsim_kernel::NetNs;
use knetsim_kernel::netlink::Netlink;

use crate::attachment::Attachment;
use crate::config::Object;
use crate::error::Error;
use crate::exec;
use crate::files::Files;
use crate::result::AddResult;

pub(crate) mod bridge;
pub(crate) mod flannel;
pub(crate) mod host_local;
pub(crate) mod loopback;

/// What is asked of a plugin. VERSION is answered without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Add,
    Del,
    Check,
    Gc,
    Status,
}

impl Command {
    pub(crate) const ALL: [Command; 5] = [Command::Add, Command::Del, Command::Check, Command::Gc, Command::Status];

    /// As CNI_COMMAND has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Command::Add => "ADD",
            Command::Del => "DEL",
            Command::Check => "CHECK",
            Command::Gc => "GC",
            Command::Status => "STATUS",
        }
    }
}

/// The machine that plugins work on: its network namespace and its files.
pub(crate) struct Host {
    pub(crate) netns: NetNs,
    pub(crate) netlink: Netlink,
    pub(crate) files: Files,
    /// Who holds which address: what host-local would read from its files each time.
    pub(crate) leases: host_local::Leases,
}

impl Host {
    pub(crate) fn new(netns: NetNs, netlink: Netlink, files: Files) -> Self {
        Host { netns, netlink, files, leases: host_local::Leases::default() }
    }
}

/// Who runs plugins.
#[derive(Debug)]
pub(crate) enum Plugins {
    /// The functions below.
    InProcess,
    /// Executables, from the first of these folders that has one.
    Executables(Vec<PathBuf>),
}

/// One call of a plugin.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) host: &'a Host,
    pub(crate) plugins: &'a Plugins,
    pub(crate) command: Command,
    /// Empty for GC and STATUS.
    pub(crate) attachment: &'a Attachment,
    /// What an executable would read from standard input.
    pub(crate) config: &'a Object,
}

impl<'a> Call<'a> {
    /// Has the plugin of that type do the call. A result comes of ADD only.
    pub(crate) async fn run(self, kind: &str) -> Result<Option<AddResult>, Error> {
        match self.plugins {
            Plugins::InProcess => Box::pin(built_in(kind, self)).await,
            Plugins::Executables(folders) => exec::run(folders, kind, self).await,
        }
    }

    /// ADD by the plugin of that type.
    pub(crate) async fn add(self, kind: &str) -> Result<AddResult, Error> {
        let result = self.with_command(Command::Add).run(kind).await?;
        result.ok_or_else(|| Error::Failed(format!("plugin {kind} printed no result")))
    }

    pub(crate) fn with_command(self, command: Command) -> Self {
        Call { command, ..self }
    }

    /// The same for another configuration: delegation.
    pub(crate) fn with_config<'b>(self, config: &'b Object) -> Call<'b>
    where
        'a: 'b,
    {
        Call { config, ..self }
    }
}

/// The types of the plugins here: the names of their executables.
pub(crate) const BUILT_IN: [&str; 4] = ["flannel", "bridge", "host-local", "loopback"];

/// Does a call in this process.
///
/// DEL and GC read from the configuration only what they need, and each field by itself: what ADD would refuse is no
/// reason to leave behind what it made.
pub(crate) async fn built_in(kind: &str, call: Call<'_>) -> Result<Option<AddResult>, Error> {
    match kind {
        "flannel" => flannel::run(call).await,
        "bridge" => bridge::run(call).await,
        "host-local" => host_local::run(call).await,
        "loopback" => loopback::run(call),
        _ => Err(Error::Config(format!("no plugin of type `{kind}`; there are {}", BUILT_IN.join(", ")))),
    }
}
