//! Objects as `knetsim inspect` prints them, in the WIT package's records.

use knetsim_model::inventory::{ClusterInfo, ContainerInfo, Health, IngressInfo, NodeInfo, ServiceInfo};
use knetsim_model::names::NodeKind;
use knetsim_model::{ClusterName, ContainerRef, Failure, IngressRef, NodeName, Owner, ServiceRef};

use super::State;
use super::wit::types;

impl State {
    pub(super) fn cluster_info(&self, name: &ClusterName) -> Result<types::ClusterInfo, Failure> {
        let found = self.emulator()?.inventory().clusters.into_iter().find(|cluster| cluster.name == *name);
        found.map(Into::into).ok_or_else(|| Failure::not_found(format!("there is no cluster {name}")))
    }

    pub(super) fn node_info(&self, name: &NodeName) -> Result<types::NodeInfo, Failure> {
        let found = self.emulator()?.inventory().nodes.into_iter().find(|node| node.name == *name);
        found.map(Into::into).ok_or_else(|| Failure::not_found(format!("there is no node {name}")))
    }

    pub(super) fn container_info(&self, name: &ContainerRef) -> Result<types::ContainerInfo, Failure> {
        let is_it = |there: &ContainerInfo| {
            there.cluster == name.cluster
                && there.name == name.name
                && name.worker.as_ref().is_none_or(|worker| there.worker == *worker)
        };
        let found = self.emulator()?.inventory().containers.into_iter().find(is_it);
        found.map(Into::into).ok_or_else(|| Failure::not_found(format!("there is no container {name}")))
    }

    pub(super) fn service_info(&self, name: &ServiceRef) -> Result<types::ServiceInfo, Failure> {
        let is_it = |there: &ServiceInfo| there.cluster == name.cluster && there.name == name.name;
        let found = self.emulator()?.inventory().services.into_iter().find(is_it);
        found.map(Into::into).ok_or_else(|| Failure::not_found(format!("there is no service {name}")))
    }

    pub(super) fn ingress_info(&self, name: &IngressRef) -> Result<types::IngressInfo, Failure> {
        let is_it = |there: &IngressInfo| there.cluster == name.cluster && there.name == name.name;
        let found = self.emulator()?.inventory().ingresses.into_iter().find(is_it);
        found.map(Into::into).ok_or_else(|| Failure::not_found(format!("there is no ingress {name}")))
    }
}

impl From<ClusterInfo> for types::ClusterInfo {
    fn from(info: ClusterInfo) -> Self {
        types::ClusterInfo {
            name: info.name.to_string(),
            index: info.index,
            switch: info.switch,
            flannel: serde_json::to_string(&info.flannel).unwrap_or_default(),
            owner: owner(&info.owner),
        }
    }
}

impl From<NodeInfo> for types::NodeInfo {
    fn from(info: NodeInfo) -> Self {
        let kind = match info.kind {
            NodeKind::Worker => "worker",
            NodeKind::Etcd => "etcd",
            NodeKind::Scratch => "scratch",
        };
        types::NodeInfo {
            name: info.name.to_string(),
            kind: kind.to_owned(),
            cluster: info.cluster.map(|cluster| cluster.to_string()),
            number: info.number,
            address: info.address.to_string(),
            pid: info.pid,
            subnet: info.subnet.map(|subnet| subnet.to_string()),
            trouble: trouble(info.health),
            repair: info.repair,
            drift: info.drift,
            owner: owner(&info.owner),
        }
    }
}

impl From<ContainerInfo> for types::ContainerInfo {
    fn from(info: ContainerInfo) -> Self {
        types::ContainerInfo {
            name: format!("{}.{}", info.worker, info.name),
            worker: info.worker.to_string(),
            address: info.address.to_string(),
            labels: info.labels.into_iter().collect(),
            command: info.command,
            owner: owner(&info.owner),
        }
    }
}

impl From<ServiceInfo> for types::ServiceInfo {
    fn from(info: ServiceInfo) -> Self {
        types::ServiceInfo {
            name: format!("{}.{}", info.cluster, info.name),
            spec: info.spec.into(),
            backends: info.backends.iter().map(ToString::to_string).collect(),
            owner: owner(&info.owner),
        }
    }
}

impl From<IngressInfo> for types::IngressInfo {
    fn from(info: IngressInfo) -> Self {
        types::IngressInfo {
            name: format!("{}.{}", info.cluster, info.name),
            spec: info.spec.into(),
            address: info.address.to_string(),
            trouble: trouble(info.health),
            owner: owner(&info.owner),
        }
    }
}

fn trouble(health: Health) -> Option<String> {
    match health {
        Health::Ready => None,
        Health::Broken(why) => Some(why),
    }
}

pub(super) fn owner(owner: &Owner) -> String {
    match owner {
        Owner::File => "file".to_owned(),
        Owner::User => "user".to_owned(),
        Owner::Lab(name) => format!("lab:{name}"),
    }
}
