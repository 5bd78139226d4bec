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
        let logs = self.emulator()?.logs(&self.observed(&this)?).await?;
        Ok(logs.names().map(str::to_owned).collect())
    }

    async fn read_log(&mut self, this: Resource<Observer>, name: String) -> Result<Vec<u8>, Failure> {
        last_of_log(self.emulator()?, &self.observed(&this)?, &name).await
    }

    async fn drop(&mut self, this: Resource<Observer>) -> wasmtime::Result<()> {
        self.drop_handle(this)
    }
}

/// The last MiB of one of a target's logs.
pub(super) async fn last_of_log(emulator: &Emulator, target: &Target, name: &str) -> Result<Vec<u8>, Failure> {
    let logs = emulator.logs(target).await?;
    let log = logs.open(name).await?;
    end_of(log.parts, &format!("the log {name:?} of {target}")).await
}

/// The last MiB of a log, of whose files the oldest comes first.
pub(super) async fn end_of(parts: Vec<OwnedFd>, what: &str) -> Result<Vec<u8>, Failure> {
    let read = tokio::task::spawn_blocking(|| read_end(parts)).await;
    let failed = |error: &dyn std::error::Error| Failure::failed(format!("read {what}"), error);
    read.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
}

fn read_end(parts: Vec<OwnedFd>) -> std::io::Result<Vec<u8>> {
    let mut end = Vec::new();
    for part in parts.into_iter().rev() {
        let mut part = std::fs::File::from(part);
        let most = LOG_END - end.len() as u64;
        let length = part.metadata()?.len();
        part.seek(SeekFrom::Start(length.saturating_sub(most)))?;
        let mut bytes = Vec::new();
        part.take(most).read_to_end(&mut bytes)?;
        bytes.append(&mut end);
        end = bytes;
    }
    Ok(end)
}

fn all<A, B: From<A>>(list: Vec<A>) -> Vec<B> {
    list.into_iter().map(B::from).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_end_of_a_log_is_in_several_files() {
        let part = |byte: u8, length: usize| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&vec![byte; length]).unwrap();
            OwnedFd::from(file)
        };
        let some = LOG_END as usize;
        for (lengths, ends) in
            [([9, 5, 3], [9, 5, 3]), ([9, some, 3], [0, some - 3, 3]), ([9, 5, some + 1], [0, 0, some])]
        {
            let parts = lengths.iter().zip(b"abc").map(|(length, byte)| part(*byte, *length)).collect();
            let wanted = ends.iter().zip(b"abc").flat_map(|(length, byte)| vec![*byte; *length]).collect::<Vec<_>>();
            assert!(read_end(parts).unwrap() == wanted, "{lengths:?}");
        }
    }
}
