//! Observations: asked of the kernel, of a daemon, or of a file at the moment of the call, never of
//! our own bookkeeping. Names come with what is not plain in them escaped, as [`knetsim_model::untrusted`] does it.

use knetsim_kernel::netlink::Netlink;
use knetsim_kernel::netns::NetNs;
use knetsim_kernel::processes::{self, Within};
use knetsim_kernel::{KernelError, files, nft, sockets};
use knetsim_model::observe::{
    Address, EtcdKey, FdbEntry, HistoryEntry, Link, NamedNamespace, Neighbour, Process, Route, Socket,
};
use knetsim_model::{ClusterName, Code, ContainerName, Failure, NodeName, Target, untrusted};

use crate::Emulator;

/// The longest file that [`Emulator::read_file`] gives whole.
pub const MAX_FILE: u64 = 1 << 20;
/// The most names that [`Emulator::list_folder`] gives.
pub const MAX_NAMES: usize = 10_000;
/// How deep to look for processes below the supervisor's own view: B's pid namespace is one below.
const PID_DEPTH: usize = 1;

impl Emulator {
    /// `ip -d -s link`.
    ///
    /// # Errors
    /// There is no such target, or the kernel refused.
    pub async fn links(&self, target: &Target) -> Result<Vec<Link>, Failure> {
        let mut links = self.ask(target, "links", Netlink::links).await?;
        for link in &mut links {
            shown([&mut link.name, &mut link.kind].into_iter().chain(&mut link.master));
        }
        Ok(links)
    }

    /// `ip address`.
    ///
    /// # Errors
    /// As [`Emulator::links`].
    pub async fn addresses(&self, target: &Target) -> Result<Vec<Address>, Failure> {
        let mut addresses = self.ask(target, "addresses", Netlink::addresses).await?;
        shown(addresses.iter_mut().map(|address| &mut address.interface));
        Ok(addresses)
    }

    /// `ip route show table all`.
    ///
    /// # Errors
    /// As [`Emulator::links`].
    pub async fn routes(&self, target: &Target) -> Result<Vec<Route>, Failure> {
        let mut routes = self.ask(target, "routes", Netlink::routes).await?;
        shown(routes.iter_mut().filter_map(|route| route.interface.as_mut()));
        Ok(routes)
    }

    /// `ip neighbour`.
    ///
    /// # Errors
    /// As [`Emulator::links`].
    pub async fn neighbours(&self, target: &Target) -> Result<Vec<Neighbour>, Failure> {
        let mut neighbours = self.ask(target, "neighbours", Netlink::neighbours).await?;
        shown(neighbours.iter_mut().map(|neighbour| &mut neighbour.interface));
        Ok(neighbours)
    }

    /// `bridge fdb`.
    ///
    /// # Errors
    /// As [`Emulator::links`].
    pub async fn fdb(&self, target: &Target) -> Result<Vec<FdbEntry>, Failure> {
        let mut entries = self.ask(target, "fdb", Netlink::fdb).await?;
        for entry in &mut entries {
            shown([&mut entry.interface].into_iter().chain(&mut entry.master));
        }
        Ok(entries)
    }

    /// `nft -j list ruleset`.
    ///
    /// # Errors
    /// As [`Emulator::links`]; also where `nft` is not installed.
    pub async fn ruleset(&self, target: &Target) -> Result<serde_json::Value, Failure> {
        let ruleset = nft::ruleset(&self.namespace(target)?).await;
        ruleset.map_err(|error| refused(target, "nftables ruleset", &error))
    }

    /// `nft list ruleset`.
    ///
    /// # Errors
    /// As [`Emulator::ruleset`].
    pub async fn ruleset_text(&self, target: &Target) -> Result<String, Failure> {
        let ruleset = nft::ruleset_text(&self.namespace(target)?).await;
        ruleset.map_err(|error| refused(target, "nftables ruleset", &error))
    }

    /// `ss -tuan`.
    ///
    /// # Errors
    /// As [`Emulator::links`].
    pub async fn sockets(&self, target: &Target) -> Result<Vec<Socket>, Failure> {
        sockets::list(&self.namespace(target)?).await.map_err(|error| refused(target, "sockets", &error))
    }

    /// `ps` of what runs in the target's network namespace; of the whole node side for the base.
    ///
    /// # Errors
    /// As [`Emulator::links`].
    pub async fn processes(&self, target: &Target) -> Result<Vec<Process>, Failure> {
        let within = match target {
            Target::Base => Within::All,
            _ => Within::Network(self.namespace(target)?.inode()),
        };
        let mut processes = self.blocking(target, "processes", move || processes::list(within, PID_DEPTH)).await?;
        shown(processes.iter_mut().flat_map(|process| &mut process.command));
        Ok(processes)
    }

    /// `ip netns list`: the named namespaces of a node, containers' and those made by hand.
    ///
    /// # Errors
    /// As [`Emulator::links`].
    pub async fn namespaces(&self, name: &NodeName) -> Result<Vec<NamedNamespace>, Failure> {
        let node = self.state().node(name)?;
        let target = Target::Node(name.clone());
        let named = self.blocking(&target, "namespaces", move || {
            processes::named_namespaces(std::os::fd::AsFd::as_fd(&node.place.root))
        });
        let mut named = named.await?;
        let state = self.state();
        for namespace in &mut named {
            // The name alone proves nothing: somebody may have bound another namespace there.
            let container = name.cluster().zip(namespace.name.parse::<ContainerName>().ok());
            let container = container.and_then(|key| state.containers.get(&key));
            namespace.container = container.is_some_and(|container| container.namespace.inode() == namespace.inode);
            shown([&mut namespace.name]);
        }
        Ok(named)
    }

    /// `etcdctl get --prefix`.
    ///
    /// # Errors
    /// There is no such cluster, or its etcd does not answer.
    pub async fn etcd_keys(&self, cluster: &ClusterName, prefix: &str) -> Result<Vec<EtcdKey>, Failure> {
        let cluster = self.state().cluster(cluster)?;
        let keys = cluster.etcd.keys(prefix).await;
        keys.map_err(|error| Failure::new(Code::Unavailable, knetsim_model::chain(&error)))
    }

    /// `cat`, of a file in a node's own folders: `/run/...`, `/var/...`, `/etc/cni/...`.
    ///
    /// # Errors
    /// There is no such regular file, it lies elsewhere, or it is longer than [`MAX_FILE`].
    pub async fn read_file(&self, name: &NodeName, path: &str) -> Result<Vec<u8>, Failure> {
        let node = self.state().node(name)?;
        let inside = path.trim_start_matches('/').to_owned();
        let doing = format!("{name}: file {path}");
        let read = tokio::task::spawn_blocking(move || files::read(&node.place.files, &inside, MAX_FILE));
        found(&doing, read.await.map_err(std::io::Error::other).flatten())
    }

    /// `ls -p`, of one of a node's own folders: its names, sorted, those of folders with a `/` at their end.
    ///
    /// # Errors
    /// There is no such folder, it lies elsewhere, or it holds more than [`MAX_NAMES`].
    pub async fn list_folder(&self, name: &NodeName, path: &str) -> Result<Vec<String>, Failure> {
        let node = self.state().node(name)?;
        let inside = format!("./{}", path.trim_start_matches('/'));
        let doing = format!("{name}: folder {path}");
        let list = tokio::task::spawn_blocking(move || {
            let mut names = Vec::new();
            for entry in node.place.files.read_dir(inside)?.take(MAX_NAMES + 1) {
                let entry = entry?;
                let end = if entry.file_type()?.is_dir() { "/" } else { "" };
                names.push(format!("{}{end}", untrusted::escaped(&entry.file_name().to_string_lossy())));
            }
            names.sort();
            match names.len() <= MAX_NAMES {
                true => Ok(names),
                false => Err(std::io::Error::other(format!("it holds more than {MAX_NAMES} names"))),
            }
        });
        found(&doing, list.await.map_err(std::io::Error::other).flatten())
    }

    /// What the kernel announced since the sandbox began, the oldest first, and how much was dropped.
    pub fn history(&self) -> (Vec<HistoryEntry>, u64) {
        (self.inner.history.entries(), self.inner.history.lost())
    }

    /// A number that becomes another when the kernel has announced something, or when a packet has passed a capture
    /// that is kept: then what a check looks at may have changed.
    pub fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.inner.history.changes()
    }

    /// The network namespace that a target names.
    ///
    /// # Errors
    /// There is no such target.
    pub fn namespace(&self, target: &Target) -> Result<NetNs, Failure> {
        match target {
            Target::Base => Ok(self.inner.fabric.namespace.clone()),
            Target::Node(name) => Ok(self.state().node(name)?.place.netns.clone()),
            Target::Container(reference) => Ok(self.state().container(reference)?.namespace.clone()),
            Target::Named(name, namespace) => {
                let node = self.state().node(name)?;
                let opened = processes::open_named_namespace(std::os::fd::AsFd::as_fd(&node.place.root), namespace);
                opened.map_err(|error| match error.is_not_found() {
                    true => Failure::not_found(format!("there is no network namespace {namespace} on {name}")),
                    false => refused(target, "network namespace", &error),
                })
            }
        }
    }

    /// Asks on a thread of its own: nobody knows how much a learner has put there.
    async fn ask<T: Send + 'static>(
        &self,
        target: &Target,
        what: &str,
        ask: fn(&Netlink) -> Result<T, KernelError>,
    ) -> Result<T, Failure> {
        let answer = self.namespace(target)?.run_async(move || ask(&Netlink::here()?)).await;
        answer.and_then(|answer| answer).map_err(|error| refused(target, what, &error))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        target: &Target,
        what: &str,
        work: impl FnOnce() -> Result<T, KernelError> + Send + 'static,
    ) -> Result<T, Failure> {
        let done = tokio::task::spawn_blocking(work).await;
        let done = done.map_err(|error| Failure::failed(format!("{target}: {what}"), &error))?;
        done.map_err(|error| refused(target, what, &error))
    }
}

/// Shows names as they are read: the kernel lets people name things by whatever moves a cursor or can't be seen.
fn shown<'a>(names: impl IntoIterator<Item = &'a mut String>) {
    for name in names {
        *name = untrusted::escaped(name);
    }
}

/// What was read of a node's own files, or why it was not.
fn found<T>(doing: &str, read: std::io::Result<T>) -> Result<T, Failure> {
    read.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::not_found(format!("{doing}: there is none")),
        _ => Failure::failed(doing, &error),
    })
}

fn refused(target: &Target, what: &str, error: &KernelError) -> Failure {
    let code = if matches!(error, KernelError::Missing { .. }) { Code::Unavailable } else { Code::Failed };
    Failure::new(code, format!("{target}: {what}: {}", knetsim_model::chain(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_names_are_never_shown_alike() {
        let mut names = ["a\n", "a\\n", "a\\\\n", "a", "a "].map(str::to_owned);
        shown(&mut names);
        assert_eq!(names, ["a\\n", "a\\\\n", "a\\\\\\\\n", "a", "a\\u{20}"]);
    }
}
