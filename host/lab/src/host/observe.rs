//! Interface `observe`: what `ip`, `bridge`, `nft`, `ss`, `ps` and `etcdctl get` show, files and logs.

use std::io::{Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;

use knetsim_emulator::Emulator;
use knetsim_model::{ClusterName, Failure, NodeName, Target};
use wasmtime::component::Resource;

use super::wit::observe::{
    Address, ClusterInfo, ContainerInfo, EtcdKey, FdbEntry, History, Host, HostObserver, IngressInfo, Link,
    NamedNamespace, Neighbour, NftRuleset, NodeInfo, Process, Route, ServiceInfo, SiteInfo, Socket,
};
use super::{State, name, ruleset};
use crate::grants::Grant;

/// How much of a log's end is given, in bytes.
const LOG_END: u64 = 1 << 20;

/// A target that the lab may look at.
pub struct Observer(Target);

impl Host for State {
    async fn open(&mut self, target: String) -> Result<Resource<Observer>, Failure> {
        self.rights.need(Grant::Observe)?;
        let target = name(&target)?;
        self.emulator()?.namespace(&target)?;
        self.hand_out(Observer(target))
    }

    async fn clusters(&mut self) -> Result<Vec<ClusterInfo>, Failure> {
        self.rights.need(Grant::Observe)?;
        Ok(all(self.emulator()?.inventory().clusters))
    }

    async fn nodes(&mut self) -> Result<Vec<NodeInfo>, Failure> {
        self.rights.need(Grant::Observe)?;
        Ok(all(self.emulator()?.inventory().nodes))
    }

    async fn containers(&mut self) -> Result<Vec<ContainerInfo>, Failure> {
        self.rights.need(Grant::Observe)?;
        Ok(all(self.emulator()?.inventory().containers))
    }

    async fn services(&mut self) -> Result<Vec<ServiceInfo>, Failure> {
        self.rights.need(Grant::Observe)?;
        Ok(all(self.emulator()?.inventory().services))
    }

    async fn ingresses(&mut self) -> Result<Vec<IngressInfo>, Failure> {
        self.rights.need(Grant::Observe)?;
        Ok(all(self.emulator()?.inventory().ingresses))
    }

    async fn sites(&mut self) -> Result<Vec<SiteInfo>, Failure> {
        self.rights.need(Grant::Observe)?;
        Ok(all(self.emulator()?.inventory().sites))
    }

    async fn etcd_keys(&mut self, cluster: String, prefix: String) -> Result<Vec<EtcdKey>, Failure> {
        self.rights.need(Grant::Observe)?;
        let cluster: ClusterName = name(&cluster)?;
        self.emulator()?.etcd_keys(&cluster, &prefix).await.map(all)
    }

    async fn read_history(&mut self, since_ms: u64) -> Result<History, Failure> {
        self.rights.need(Grant::Observe)?;
        let (mut entries, lost) = self.emulator()?.history();
        entries.retain(|entry| entry.at_ms >= since_ms);
        Ok(History { entries: all(entries), lost })
    }
}

impl State {
    /// What a handle shows.
    fn observed(&self, this: &Resource<Observer>) -> Result<Target, Failure> {
        Ok(self.handle(this)?.0.clone())
    }

    /// The node that a handle shows, for what only nodes have.
    fn observed_node(&self, this: &Resource<Observer>, what: &str) -> Result<NodeName, Failure> {
        match self.observed(this)? {
            Target::Node(node) => Ok(node),
            target => Err(Failure::invalid(format!("{target}: a node has {what}, and nothing else"))),
        }
    }
}

impl HostObserver for State {
    fn target(&mut self, this: Resource<Observer>) -> wasmtime::Result<String> {
        Ok(self.observed(&this)?.to_string())
    }

    async fn links(&mut self, this: Resource<Observer>) -> Result<Vec<Link>, Failure> {
        self.emulator()?.links(&self.observed(&this)?).await.map(all)
    }

    async fn addresses(&mut self, this: Resource<Observer>) -> Result<Vec<Address>, Failure> {
        self.emulator()?.addresses(&self.observed(&this)?).await.map(all)
    }

    async fn routes(&mut self, this: Resource<Observer>) -> Result<Vec<Route>, Failure> {
        self.emulator()?.routes(&self.observed(&this)?).await.map(all)
    }

    async fn neighbours(&mut self, this: Resource<Observer>) -> Result<Vec<Neighbour>, Failure> {
        self.emulator()?.neighbours(&self.observed(&this)?).await.map(all)
    }

    async fn fdb(&mut self, this: Resource<Observer>) -> Result<Vec<FdbEntry>, Failure> {
        self.emulator()?.fdb(&self.observed(&this)?).await.map(all)
    }

    async fn ruleset(&mut self, this: Resource<Observer>) -> Result<NftRuleset, Failure> {
        let target = self.observed(&this)?;
        let json = self.emulator()?.ruleset(&target).await?;
        ruleset::typed(json).map_err(|error| Failure::failed(format!("{target}: nftables ruleset"), &error))
    }

    async fn ruleset_text(&mut self, this: Resource<Observer>) -> Result<String, Failure> {
        self.emulator()?.ruleset_text(&self.observed(&this)?).await
    }

    async fn sockets(&mut self, this: Resource<Observer>) -> Result<Vec<Socket>, Failure> {
        self.emulator()?.sockets(&self.observed(&this)?).await.map(all)
    }

    async fn processes(&mut self, this: Resource<Observer>) -> Result<Vec<Process>, Failure> {
        self.emulator()?.processes(&self.observed(&this)?).await.map(all)
    }

    async fn namespaces(&mut self, this: Resource<Observer>) -> Result<Vec<NamedNamespace>, Failure> {
        let node = self.observed_node(&this, "named namespaces")?;
        self.emulator()?.namespaces(&node).await.map(all)
    }

    async fn read_file(&mut self, this: Resource<Observer>, path: String) -> Result<Vec<u8>, Failure> {
        let node = self.observed_node(&this, "files")?;
        self.emulator()?.read_file(&node, &path).await
    }

    async fn list_folder(&mut self, this: Resource<Observer>, path: String) -> Result<Vec<String>, Failure> {
        let node = self.observed_node(&this, "folders")?;
        self.emulator()?.list_folder(&node, &path).await
    }

    async fn logs(&mut self, this: Resource<Observer>) -> Result<Vec<String>, Failure> {
        let logs = self.emulator()?.logs(&self.observed(&this)?)?;
        let mut names: Vec<_> = logs.files.into_iter().map(|(name, _)| name).collect();
        names.dedup();
        Ok(names)
    }

    async fn read_log(&mut self, this: Resource<Observer>, name: String) -> Result<Vec<u8>, Failure> {
        last_of_log(self.emulator()?, &self.observed(&this)?, &name)
    }

    async fn drop(&mut self, this: Resource<Observer>) -> wasmtime::Result<()> {
        self.drop_handle(this)
    }
}

/// The last MiB of one of a target's logs.
pub(super) fn last_of_log(emulator: &Emulator, target: &Target, name: &str) -> Result<Vec<u8>, Failure> {
    let logs = emulator.logs(target)?;
    let mut names: Vec<_> = logs.files.iter().map(|(name, _)| name.clone()).collect();
    names.dedup();
    let (_, log) = logs.files.into_iter().rfind(|(there, _)| there == name).ok_or_else(|| {
        let there = if names.is_empty() { "none yet".to_owned() } else { names.join(", ") };
        Failure::not_found(format!("{target} has no log named {name:?}; there are: {there}"))
    })?;
    end_of(log, &format!("the log {name:?} of {target}"))
}

/// The last MiB of a log.
pub(super) fn end_of(log: OwnedFd, what: &str) -> Result<Vec<u8>, Failure> {
    let read = || {
        let mut log = std::fs::File::from(log);
        let length = log.metadata()?.len();
        log.seek(SeekFrom::Start(length.saturating_sub(LOG_END)))?;
        let mut end = Vec::new();
        log.take(LOG_END).read_to_end(&mut end)?;
        Ok::<_, std::io::Error>(end)
    };
    read().map_err(|error| Failure::failed(format!("read {what}"), &error))
}

fn all<A, B: From<A>>(list: Vec<A>) -> Vec<B> {
    list.into_iter().map(B::from).collect()
}
