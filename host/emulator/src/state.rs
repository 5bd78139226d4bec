//! What there is: clusters, nodes, containers, services, ingresses and sites with the things of lower layers that they own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use knetsim_cni::Runtime;
use knetsim_daemon::Daemon;
use knetsim_kernel::netlink::Netlink;
use knetsim_kernel::netns::NetNs;
use knetsim_model::interconnect::Interconnect;
use knetsim_model::inventory::{ClusterInfo, ContainerInfo, Health, Inventory, NodeInfo};
use knetsim_model::underlay::Underlay;
use knetsim_model::{ClusterName, ContainerRef, Failure, NodeName, Target};
use knetsim_overlay::{Agent, Etcd};

use crate::history::Watch;
use crate::ingress::Ingress;
use crate::interconnect::{Site, now};
use crate::link::DroppedRoutes;
use crate::logs::CommandLog;
use crate::node_network::NodeNetwork;
use crate::plan::{
    ClusterPlan, ContainerKey, ContainerPlan, IngressKey, NodePlan, ServiceKey, TokenKey, TokenView, View,
};
use crate::service::Service;

/// A cluster.
pub(crate) struct Cluster {
    pub(crate) plan: ClusterPlan,
    /// Asks its etcd, from its first etcd node.
    pub(crate) etcd: Etcd,
    /// The addresses of its etcd nodes.
    pub(crate) members: Vec<Ipv4Addr>,
}

/// A node.
pub(crate) struct Node {
    pub(crate) plan: NodePlan,
    pub(crate) place: knetsim_sandbox::Node,
    pub(crate) netlink: Netlink,
    pub(crate) network: Arc<NodeNetwork>,
    pub(crate) role: Role,
    /// Of the commands that were started on it.
    pub(crate) log: Arc<CommandLog>,
    /// Writes its kernel events to the history for as long as it lives.
    pub(crate) _watch: Watch,
}

/// What runs on a node.
pub(crate) enum Role {
    /// The overlay's agent, the services' agent, and the runtime that gives containers their network.
    Worker { agent: Arc<Agent>, services: Arc<knetsim_services::Agent>, cni: Runtime },
    /// One member of etcd.
    Etcd(Daemon),
    /// Nothing.
    Scratch,
}

/// A container.
pub(crate) struct Container {
    pub(crate) plan: ContainerPlan,
    pub(crate) namespace: NetNs,
    pub(crate) address: Ipv4Addr,
    pub(crate) log: Arc<CommandLog>,
}

/// Everything.
#[derive(Default)]
pub(crate) struct State {
    /// The network of all nodes.
    pub(crate) underlay: Underlay,
    pub(crate) clusters: BTreeMap<ClusterName, Arc<Cluster>>,
    pub(crate) nodes: BTreeMap<NodeName, Arc<Node>>,
    pub(crate) containers: BTreeMap<ContainerKey, Arc<Container>>,
    pub(crate) services: BTreeMap<ServiceKey, Service>,
    pub(crate) ingresses: BTreeMap<IngressKey, Ingress>,
    pub(crate) sites: BTreeMap<ClusterName, Site>,
    pub(crate) tokens: BTreeMap<TokenKey, TokenView>,
    /// Which program a site's router is where nobody says.
    pub(crate) interconnect: Interconnect,
    /// What went with containers' interfaces that were set down.
    pub(crate) dropped_routes: DroppedRoutes,
    /// Addresses that checks send from at the moment.
    pub(crate) probing: BTreeSet<Ipv4Addr>,
}

impl State {
    /// What planning needs to know.
    pub(crate) fn view(&self) -> View {
        View {
            underlay: self.underlay,
            clusters: self.clusters.iter().map(|(name, cluster)| (name.clone(), cluster.plan.clone())).collect(),
            nodes: self.nodes.iter().map(|(name, node)| (name.clone(), node.plan.clone())).collect(),
            containers: self.containers.iter().map(|(key, container)| (key.clone(), container.plan.clone())).collect(),
            services: self.services.iter().map(|(key, service)| (key.clone(), service.plan.clone())).collect(),
            ingresses: self.ingresses.iter().map(|(key, ingress)| (key.clone(), ingress.plan.clone())).collect(),
            sites: self.sites.iter().map(|(cluster, site)| (cluster.clone(), site.plan.clone())).collect(),
            tokens: self.tokens.clone(),
            interconnect: self.interconnect,
            now: now(),
        }
    }

    pub(crate) fn cluster(&self, name: &ClusterName) -> Result<Arc<Cluster>, Failure> {
        self.clusters.get(name).cloned().ok_or_else(|| Failure::not_found(format!("there is no cluster {name}")))
    }

    pub(crate) fn node(&self, name: &NodeName) -> Result<Arc<Node>, Failure> {
        self.nodes.get(name).cloned().ok_or_else(|| {
            let names: Vec<_> = self.nodes.keys().take(12).map(NodeName::as_str).collect();
            let there = if names.is_empty() { "none yet".to_owned() } else { names.join(", ") };
            Failure::not_found(format!("there is no node {name}; there are: {there}"))
        })
    }

    pub(crate) fn container(&self, reference: &ContainerRef) -> Result<Arc<Container>, Failure> {
        let found = self.containers.get(&(reference.cluster.clone(), reference.name.clone()));
        match (found, &reference.worker) {
            (None, _) => Err(Failure::not_found(format!("there is no container {reference}"))),
            (Some(there), Some(worker)) if there.plan.worker != *worker => Err(Failure::not_found(format!(
                "there is no container {reference}: {} runs on {}",
                reference.name, there.plan.worker
            ))),
            (Some(there), _) => Ok(there.clone()),
        }
    }

    /// The node whose files and processes a target has; none for the base.
    pub(crate) fn node_of(&self, target: &Target) -> Result<Option<Arc<Node>>, Failure> {
        match target {
            Target::Base => Ok(None),
            Target::Node(node) | Target::Named(node, _) => self.node(node).map(Some),
            Target::Container(reference) => self.node(&self.container(reference)?.plan.worker).map(Some),
        }
    }

    /// The agents of a cluster's workers.
    pub(crate) fn agents(&self, cluster: &ClusterName) -> Vec<Arc<Agent>> {
        let nodes = self.nodes.values().filter(|node| node.plan.name.cluster().as_ref() == Some(cluster));
        nodes
            .filter_map(|node| if let Role::Worker { agent, .. } = &node.role { Some(agent.clone()) } else { None })
            .collect()
    }

    /// The node with that address on the underlay.
    pub(crate) fn node_at(&self, address: Ipv4Addr) -> Option<NodeName> {
        self.nodes.values().find(|node| node.plan.address == address).map(|node| node.plan.name.clone())
    }

    pub(crate) fn inventory(&self, sandbox: &str) -> Inventory {
        let mut nodes: Vec<_> = self.nodes.values().map(|node| node.info()).collect();
        nodes.sort_by_key(|node| node.number);
        Inventory {
            sandbox: sandbox.to_owned(),
            underlay: self.underlay,
            clusters: self.clusters.values().map(|cluster| cluster.info()).collect(),
            nodes,
            containers: self.containers.values().map(|container| container.info()).collect(),
            services: self.services.values().map(Service::info).collect(),
            ingresses: self.ingresses.values().map(Ingress::info).collect(),
            sites: self.sites.values().map(|site| site.info(self)).collect(),
            warnings: Vec::new(),
        }
    }
}

impl Cluster {
    fn info(&self) -> ClusterInfo {
        let ClusterPlan { name, owner, index, flannel } = self.plan.clone();
        ClusterInfo { switch: name.switch(), name, owner, index, flannel }
    }
}

impl Node {
    fn info(&self) -> NodeInfo {
        let (subnet, health, more) = match &self.role {
            Role::Worker { agent, services, .. } => {
                let state = agent.state();
                (state.subnet, state.health, [state.drift, services.drift()].concat())
            }
            Role::Etcd(daemon) => (None, etcd_health(daemon), Vec::new()),
            Role::Scratch => (None, Health::Ready, Vec::new()),
        };
        let drift = [self.network.drift(), more].concat();
        NodeInfo {
            name: self.plan.name.clone(),
            kind: self.plan.name.kind(),
            cluster: self.plan.name.cluster(),
            owner: self.plan.owner.clone(),
            number: self.plan.number,
            address: self.plan.address,
            pid: self.place.pid,
            subnet,
            health,
            repair: self.network.repairs(),
            drift,
        }
    }
}

fn etcd_health(daemon: &Daemon) -> Health {
    match daemon.pid() {
        Some(_) => Health::Ready,
        None => Health::Broken("etcd is down".to_owned()),
    }
}

impl Container {
    /// The same container under another plan.
    pub(crate) fn with_plan(&self, plan: ContainerPlan) -> Self {
        Container { plan, namespace: self.namespace.clone(), address: self.address, log: self.log.clone() }
    }

    fn info(&self) -> ContainerInfo {
        let (cluster, name) = self.plan.key.clone();
        ContainerInfo {
            name,
            cluster,
            worker: self.plan.worker.clone(),
            owner: self.plan.owner.clone(),
            address: self.address,
            labels: self.plan.labels.clone(),
            command: self.plan.command.clone(),
        }
    }
}
