//! What there is: the answer of `inspect`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::flannel::FlannelConfig;
use crate::ingress::IngressSpec;
use crate::interconnect::{Condition, ConnectorSpec, Interconnect, LinkSpec, ListenerSpec};
use crate::names::{
    ClusterName, ConnectorName, ContainerName, IngressName, LinkName, LinkRef, ListenerName, NodeKind, NodeName,
    ServiceName, TokenName,
};
use crate::operation::Owner;
use crate::service::ServiceSpec;
use crate::underlay::Underlay;

/// All objects of one sandbox.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Inventory {
    /// The sandbox's name.
    pub sandbox: String,
    /// The network of all nodes.
    #[serde(default)]
    pub underlay: Underlay,
    /// Clusters, by name.
    pub clusters: Vec<ClusterInfo>,
    /// Nodes of all kinds, by number.
    pub nodes: Vec<NodeInfo>,
    /// Containers, by cluster and name.
    pub containers: Vec<ContainerInfo>,
    /// Services, by cluster and name.
    pub services: Vec<ServiceInfo>,
    /// Ingresses, by cluster and name.
    pub ingresses: Vec<IngressInfo>,
    /// Sites, by cluster.
    #[serde(default)]
    pub sites: Vec<SiteInfo>,
    /// What happened though nobody asked for it, such as a command that was ended for want of memory: the newest 20, the
    /// oldest first.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// A cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterInfo {
    /// Its name.
    pub name: ClusterName,
    /// Who made it.
    pub owner: Owner,
    /// 0 for the first: its etcd nodes are `10.(index+1).0.x`.
    pub index: u32,
    /// Its bridge in the fabric.
    pub switch: String,
    /// flannel's configuration.
    pub flannel: FlannelConfig,
}

/// Whether a part works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// It answered when it was last asked.
    Ready,
    /// Why it does not work, in words.
    Broken(String),
}

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeInfo {
    /// Its name.
    pub name: NodeName,
    /// What it is for.
    pub kind: NodeKind,
    /// Its cluster; none for a scratch node.
    pub cluster: Option<ClusterName>,
    /// Who made it.
    pub owner: Owner,
    /// Its number, kept for life.
    pub number: u32,
    /// Its address on the underlay.
    pub address: Ipv4Addr,
    /// Its pause process, as `ps` shows it on the node side.
    pub pid: i32,
    /// A worker's leased pod subnet; none while it has no lease.
    #[schemars(with = "Option<String>")]
    pub subnet: Option<Ipv4Net>,
    /// Its agent or its etcd member.
    pub health: Health,
    /// Whether its agents mend what somebody else changed.
    pub repair: bool,
    /// What differs from what the agents want, in words; empty when nothing does.
    pub drift: Vec<String>,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ContainerInfo {
    /// Its name in the cluster.
    pub name: ContainerName,
    /// Its cluster.
    pub cluster: ClusterName,
    /// Its worker.
    pub worker: NodeName,
    /// Who made it.
    pub owner: Owner,
    /// Its address in the pod network.
    pub address: Ipv4Addr,
    /// Key and value pairs that selectors choose by.
    pub labels: BTreeMap<String, String>,
    /// The command started with it; empty for an idle one.
    pub command: Vec<String>,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceInfo {
    /// Its name in the cluster.
    pub name: ServiceName,
    /// Its cluster.
    pub cluster: ClusterName,
    /// Who made it.
    pub owner: Owner,
    /// What it is; its virtual address is always given.
    pub spec: ServiceSpec,
    /// Where its connections go now, each with the same share.
    pub backends: Vec<Ipv4Addr>,
}

/// An ingress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IngressInfo {
    /// Its name in the cluster.
    pub name: IngressName,
    /// Its cluster.
    pub cluster: ClusterName,
    /// Who made it.
    pub owner: Owner,
    /// What it is.
    pub spec: IngressSpec,
    /// Its worker's address on the underlay: where it is asked from outside, at its port.
    pub address: Ipv4Addr,
    /// Its nginx.
    pub health: Health,
}

/// A site: a router on a cluster's first worker, and what it has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SiteInfo {
    /// Its cluster, by which its router is called, too.
    pub cluster: ClusterName,
    /// Who made it.
    pub owner: Owner,
    /// Which program its router is.
    pub interconnect: Interconnect,
    /// The worker that its router runs on.
    pub worker: NodeName,
    /// The worker's address on the underlay.
    pub address: Ipv4Addr,
    /// The port at which other routers connect to it.
    pub port: u16,
    /// Its router.
    pub state: Condition,
    /// The routers that it reaches, over however many links.
    pub reaches: Vec<ClusterName>,
    /// Tokens that it issued, by name.
    pub tokens: Vec<TokenInfo>,
    /// Links that lead from it, by name.
    pub links: Vec<SiteLinkInfo>,
    /// Listeners, by name.
    pub listeners: Vec<ListenerInfo>,
    /// Connectors, by name.
    pub connectors: Vec<ConnectorInfo>,
}

/// A token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TokenInfo {
    /// Its name.
    pub name: TokenName,
    /// Who made it.
    pub owner: Owner,
    /// Its secret.
    pub code: String,
    /// Until when it can be redeemed, in seconds since 1970.
    pub expires: u64,
    /// The link that it was redeemed for.
    pub redeemed: Option<LinkRef>,
    /// Whether it can be redeemed; else why it can't.
    pub state: Condition,
}

/// A link from a site to another one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SiteLinkInfo {
    /// Its name.
    pub name: LinkName,
    /// Who made it.
    pub owner: Owner,
    /// What it is.
    pub spec: LinkSpec,
    /// Whether the two routers are neighbours over it.
    pub state: Condition,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ListenerInfo {
    /// Its name.
    pub name: ListenerName,
    /// Who made it.
    pub owner: Owner,
    /// What it is.
    pub spec: ListenerSpec,
    /// Whether its port is open, which it is while a connector of its routing key can be reached.
    pub state: Condition,
}

/// A connector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectorInfo {
    /// Its name.
    pub name: ConnectorName,
    /// Who made it.
    pub owner: Owner,
    /// What it is.
    pub spec: ConnectorSpec,
    /// Where its connections go now.
    pub servers: Vec<Ipv4Addr>,
    /// Whether there are servers, and the router knows them.
    pub state: Condition,
}
