//! The runtime: executes configuration lists ("Section 3: Execution of Network Configurations").
//!
//! Invariants: one operation at a time on a node. An ADD that fails undoes what its plugins did. DEL
//! goes on past errors and can be repeated; what it needs is kept until it succeeded.

use cap_std::fs::Dir;
use knetsim_kernel::NetNs;
use knetsim_kernel::netlink::Netlink;
use serde_json::json;
use tokio::sync::Mutex;

use crate::attachment::{Attachment, is_plain_name};
use crate::cache;
use crate::config::{self, NetworkList, Object};
use crate::error::Error;
use crate::files::Files;
use crate::plugins::{Call, Command, Host, Plugins};
use crate::result::AddResult;
use crate::version::Version;

/// Where a node's network configurations are.
const CONFIGURATIONS: &str = "/etc/cni/net.d";

/// The runtime of one node.
///
/// An operation whose future is dropped may leave part of its work behind, which [`Runtime::del`] removes.
pub struct Runtime {
    host: Host,
    plugins: Plugins,
    turn: Mutex<()>,
}

impl Runtime {
    /// For a node: its network namespace, an rtnetlink socket in it, and the folder that holds its
    /// `etc/cni`, `run` and `var`. The plugins run in this process.
    pub fn new(netns: NetNs, netlink: Netlink, root: Dir) -> Self {
        Runtime::with(Host::new(netns, netlink, Files::new(root)), Plugins::InProcess)
    }

    pub(crate) fn with(host: Host, plugins: Plugins) -> Self {
        Runtime { host, plugins, turn: Mutex::default() }
    }

    /// The network of that name, from the node's `/etc/cni/net.d`.
    pub fn network(&self, name: &str) -> Result<NetworkList, Error> {
        self.network_in(CONFIGURATIONS, name)
    }

    /// The network of that name that an attachment is to leave: from the node's `/etc/cni/net.d`, whatever other
    /// files there are like, else as it was at ADD.
    pub fn network_of(&self, name: &str, attachment: &Attachment) -> Result<NetworkList, Error> {
        self.network_of_in(CONFIGURATIONS, name, attachment)
    }

    pub(crate) fn network_in(&self, folder: &str, name: &str) -> Result<NetworkList, Error> {
        NetworkList::load(&self.host.files, folder, name, false)
    }

    pub(crate) fn network_of_in(
        &self,
        folder: &str,
        name: &str,
        attachment: &Attachment,
    ) -> Result<NetworkList, Error> {
        attachment.validate()?;
        // It becomes part of a path.
        if !is_plain_name(name) {
            return Err(Error::Parameter(format!(
                "{name:?} is not a network's name: a letter or digit, then letters, digits, `_`, `.` and `-`"
            )));
        }
        let loaded = NetworkList::load(&self.host.files, folder, name, true);
        loaded.or_else(|error| cache::network(&self.host.files, name, attachment).ok_or(error))
    }

    /// ADD: connects a container to a network.
    pub async fn add(&self, list: &NetworkList, attachment: &Attachment) -> Result<AddResult, Error> {
        attachment.validate()?;
        let _turn = self.turn.lock().await;
        let mut result = None;
        for (done, plugin) in list.plugins.iter().enumerate() {
            match self.call(list, plugin, attachment, Command::Add, result.as_ref()).await {
                Ok(next) => result = next,
                Err(error) => return Err(self.undo(list, &list.plugins[..done], attachment, result, error).await),
            }
        }
        let result = result.ok_or_else(|| Error::Failed(format!("network {} gave no result", list.name)))?;
        match cache::keep(&self.host.files, list, attachment, &result) {
            Ok(()) => Ok(result),
            Err(error) => Err(self.undo(list, &list.plugins, attachment, Some(result), error).await),
        }
    }

    /// DEL by the plugins that did their part of an ADD that failed. Returns why it failed.
    async fn undo(
        &self,
        list: &NetworkList,
        done: &[Object],
        attachment: &Attachment,
        result: Option<AddResult>,
        error: Error,
    ) -> Error {
        if let Err(left) = self.del_by(list, done, attachment, result.as_ref()).await {
            tracing::warn!("undo ADD of {} to {}: {left}", attachment.container_id, list.name);
        }
        error
    }

    /// DEL: disconnects a container from a network. It need not be connected.
    pub async fn del(&self, list: &NetworkList, attachment: &Attachment) -> Result<(), Error> {
        attachment.validate()?;
        let _turn = self.turn.lock().await;
        self.del_locked(list, attachment).await
    }

    async fn del_locked(&self, list: &NetworkList, attachment: &Attachment) -> Result<(), Error> {
        let previous = cache::result(&self.host.files, list, attachment);
        let previous = previous.filter(|_| list.version >= Version::V0_4_0);
        self.del_by(list, &list.plugins, attachment, previous.as_ref()).await?;
        cache::forget(&self.host.files, list, attachment)
    }

    /// Every plugin, the last one first; the first error is the answer.
    async fn del_by(
        &self,
        list: &NetworkList,
        plugins: &[Object],
        attachment: &Attachment,
        previous: Option<&AddResult>,
    ) -> Result<(), Error> {
        let mut outcome = Ok(());
        for plugin in plugins.iter().rev() {
            let done = self.call(list, plugin, attachment, Command::Del, previous).await;
            outcome = outcome.and(done.map(drop));
        }
        outcome
    }

    /// CHECK: whether what ADD made is still there.
    pub async fn check(&self, list: &NetworkList, attachment: &Attachment) -> Result<(), Error> {
        attachment.validate()?;
        if list.version < Version::V0_4_0 {
            return Err(Error::Failed(format!("CNI {} does not know CHECK", list.version.as_str())));
        }
        if list.disable_check {
            return Ok(());
        }
        let _turn = self.turn.lock().await;
        let previous = cache::result(&self.host.files, list, attachment);
        for plugin in &list.plugins {
            self.call(list, plugin, attachment, Command::Check, previous.as_ref()).await?;
        }
        Ok(())
    }

    /// GC: disconnects all containers but these, and removes what plugins keep of others. Goes on past
    /// errors; the first of them is the answer.
    pub async fn gc(&self, list: &NetworkList, valid: &[Attachment]) -> Result<(), Error> {
        if list.disable_gc {
            return Ok(());
        }
        let _turn = self.turn.lock().await;
        let is_valid = |kept: &Attachment| {
            valid.iter().any(|valid| (&valid.container_id, &valid.ifname) == (&kept.container_id, &kept.ifname))
        };
        let mut outcome = Ok(());
        for stale in cache::attachments(&self.host.files, list)?.iter().filter(|kept| !is_valid(kept)) {
            outcome = outcome.and(self.del_locked(list, stale).await);
        }
        if list.version < Version::V1_1_0 {
            return outcome;
        }
        let valid: Vec<_> =
            valid.iter().map(|kept| json!({"containerID": kept.container_id, "ifname": kept.ifname})).collect();
        for plugin in &list.plugins {
            let mut request = list.request(plugin, None, None);
            // The second key is what the specification first said.
            request.insert("cni.dev/valid-attachments".into(), json!(valid));
            request.insert("cni.dev/attachments".into(), json!(valid));
            outcome = outcome.and(self.run(plugin, &request, &Attachment::default(), Command::Gc).await.map(drop));
        }
        outcome
    }

    /// STATUS: whether the network can take containers.
    pub async fn status(&self, list: &NetworkList) -> Result<(), Error> {
        if list.version < Version::V1_1_0 {
            return Ok(());
        }
        for plugin in &list.plugins {
            let request = list.request(plugin, None, None);
            self.run(plugin, &request, &Attachment::default(), Command::Status).await?;
        }
        Ok(())
    }

    async fn call(
        &self,
        list: &NetworkList,
        plugin: &Object,
        attachment: &Attachment,
        command: Command,
        previous: Option<&AddResult>,
    ) -> Result<Option<AddResult>, Error> {
        let request = list.request(plugin, Some(attachment), previous);
        self.run(plugin, &request, attachment, command).await
    }

    async fn run(
        &self,
        plugin: &Object,
        request: &Object,
        attachment: &Attachment,
        command: Command,
    ) -> Result<Option<AddResult>, Error> {
        let call = Call { host: &self.host, plugins: &self.plugins, command, attachment, config: request };
        call.run(config::kind(plugin)).await
    }
}
