//! The topology file: which clusters, workers, containers, services, ingresses and links there should be.
//!
//! ```yaml
//! clusters:
//!   C0:
//!     workers: 3
//!     containers:
//!       c1: { worker: C0w1 }
//!       web: { worker: C0w2, command: [python3, -m, http.server, "8000"], labels: { app: web } }
//!     services:
//!       web: { vip: 100.64.10.1, ports: [{ port: 80, target: 8000 }], selector: { app: web } }
//!     ingresses:
//!       shop: { worker: C0w1, port: 8001, paths: [{ path: /, backend: "web:80" }] }
//!     interconnect: embedded
//!     connectors:
//!       web: { routing_key: web, selector: { app: web }, port: 8000 }
//! scratch: [box]
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use schemars::JsonSchema;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::flannel::FlannelConfig;
use crate::ingress::IngressSpec;
use crate::interconnect::{ConnectorSpec, Interconnect, LinkSpec, ListenerSpec};
use crate::inventory::Inventory;
use crate::names::{
    ClusterName, ConnectorName, ContainerName, IngressName, LinkName, ListenerName, NodeKind, NodeName, ServiceName,
};
use crate::service::ServiceSpec;
use crate::underlay::Underlay;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// The network of all nodes; left out, as it is: the course's, `10.0.0.0/8`, in a new sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub underlay: Option<Underlay>,
    /// Clusters by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ClusterSpec>")]
    pub clusters: BTreeMap<ClusterName, ClusterSpec>,
    /// Scratch nodes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub scratch: BTreeSet<NodeName>,
    /// The numbers of nodes, which their addresses follow, where they shall not be the next free ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, u32>")]
    pub numbers: BTreeMap<NodeName, u32>,
}

/// One cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterSpec {
    /// Which cluster it is, 0 for the first: its etcd nodes are `10.(index+1).0.x`. Left out, the next free one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// How many workers (`C0w1` to `C0w<n>`), or which by their numbers.
    pub workers: Workers,
    /// flannel's configuration; left out, the course's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flannel: Option<FlannelConfig>,
    /// Containers by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ContainerSpec>")]
    pub containers: BTreeMap<ContainerName, ContainerSpec>,
    /// Services by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ServiceSpec>")]
    pub services: BTreeMap<ServiceName, ServiceSpec>,
    /// Ingresses by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, IngressSpec>")]
    pub ingresses: BTreeMap<IngressName, IngressSpec>,
    /// Gives the cluster a site, whose router is that program. Left out, it has one where it has links, listeners or
    /// connectors, of the sandbox's own choice: `embedded`, where nobody chose otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interconnect: Option<Interconnect>,
    /// Links from its site to others, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, LinkSpec>")]
    pub links: BTreeMap<LinkName, LinkSpec>,
    /// Listeners by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ListenerSpec>")]
    pub listeners: BTreeMap<ListenerName, ListenerSpec>,
    /// Connectors by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ConnectorSpec>")]
    pub connectors: BTreeMap<ConnectorName, ConnectorSpec>,
}

impl ClusterSpec {
    /// Whether it has a site.
    pub fn has_site(&self) -> bool {
        let used = !(self.links.is_empty() && self.listeners.is_empty() && self.connectors.is_empty());
        used || self.interconnect.is_some()
    }
}

/// The workers of a cluster.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Workers {
    /// That many, numbered from 1.
    Count(u32),
    /// Exactly these.
    Named(BTreeSet<NodeName>),
}

// By hand, because a derived untagged enum answers any mistake with "did not match any variant".
impl<'de> Deserialize<'de> for Workers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Workers;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of workers, such as 3, or a list of their names, such as [C0w1, C0w3]")
            }
            fn visit_u64<E: serde::de::Error>(self, count: u64) -> Result<Workers, E> {
                u32::try_from(count)
                    .map(Workers::Count)
                    .map_err(|_| E::invalid_value(Unexpected::Unsigned(count), &self))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, names: A) -> Result<Workers, A::Error> {
                BTreeSet::deserialize(SeqAccessDeserializer::new(names)).map(Workers::Named)
            }
        }
        deserializer.deserialize_any(Form)
    }
}

/// One container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContainerSpec {
    /// The worker that it runs on.
    pub worker: NodeName,
    /// Key and value pairs that selectors choose by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// A program and its arguments, started in it at once; none for an idle container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
}

impl Topology {
    /// The course's scene: two clusters of three workers.
    pub fn course() -> Topology {
        let cluster = || ClusterSpec {
            index: None,
            workers: Workers::Count(3),
            flannel: None,
            containers: BTreeMap::new(),
            services: BTreeMap::new(),
            ingresses: BTreeMap::new(),
            interconnect: None,
            links: BTreeMap::new(),
            listeners: BTreeMap::new(),
            connectors: BTreeMap::new(),
        };
        let clusters = ["C0", "C1"].into_iter().filter_map(|name| Some((name.parse().ok()?, cluster())));
        Topology { clusters: clusters.collect(), ..Topology::default() }
    }

    /// The file that makes the same objects again, with the same numbers. Interfaces that were set down, tokens and
    /// repair that was switched off are no part of a file.
    pub fn of(inventory: &Inventory) -> Topology {
        let underlay = Some(inventory.underlay).filter(|underlay| *underlay != Underlay::default());
        let mut topology = Topology { underlay, ..Topology::default() };
        for cluster in &inventory.clusters {
            let workers = inventory.nodes.iter().filter(|node| node.cluster.as_ref() == Some(&cluster.name));
            let workers = workers.filter(|node| node.kind == NodeKind::Worker).map(|node| node.name.clone());
            let containers = inventory.containers.iter().filter(|container| container.cluster == cluster.name);
            let containers = containers.map(|container| {
                let spec = ContainerSpec {
                    worker: container.worker.clone(),
                    labels: container.labels.clone(),
                    command: container.command.clone(),
                };
                (container.name.clone(), spec)
            });
            let services = inventory.services.iter().filter(|service| service.cluster == cluster.name);
            let ingresses = inventory.ingresses.iter().filter(|ingress| ingress.cluster == cluster.name);
            let site = inventory.sites.iter().find(|site| site.cluster == cluster.name);
            let links = site.iter().flat_map(|site| &site.links);
            let listeners = site.iter().flat_map(|site| &site.listeners);
            let connectors = site.iter().flat_map(|site| &site.connectors);
            let spec = ClusterSpec {
                index: Some(cluster.index),
                workers: Workers::Named(workers.collect()),
                flannel: Some(cluster.flannel.clone()),
                containers: containers.collect(),
                services: services.map(|service| (service.name.clone(), service.spec.clone())).collect(),
                ingresses: ingresses.map(|ingress| (ingress.name.clone(), ingress.spec.clone())).collect(),
                interconnect: site.map(|site| site.interconnect),
                links: links.map(|link| (link.name.clone(), link.spec.clone())).collect(),
                listeners: listeners.map(|listener| (listener.name.clone(), listener.spec.clone())).collect(),
                connectors: connectors.map(|connector| (connector.name.clone(), connector.spec.clone())).collect(),
            };
            topology.clusters.insert(cluster.name.clone(), spec);
        }
        let scratch = inventory.nodes.iter().filter(|node| node.kind == NodeKind::Scratch);
        topology.scratch = scratch.map(|node| node.name.clone()).collect();
        topology.numbers = inventory.nodes.iter().map(|node| (node.name.clone(), node.number)).collect();
        topology
    }
}
