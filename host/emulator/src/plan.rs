//! Plans: what an operation will delete and make, decided and validated before anything is done.
//!
//! Pure: a [`Planner`] works on a [`View`] of what there is, refuses what cannot be, and hands out
//! numbers. A topology file is planned as the same small operations, against the same view.

mod addresses;
mod apply;
mod ingresses;
mod preview;
mod services;
mod sites;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use knetsim_model::flannel::FlannelConfig;
use knetsim_model::interconnect::{Interconnect, site_worker};
use knetsim_model::names::NodeKind;
use knetsim_model::operation::Operation;
use knetsim_model::topology::Workers;
use knetsim_model::underlay::Underlay;
use knetsim_model::{ClusterName, Code, ContainerName, ContainerRef, Failure, LinkRef, NodeName, Owner};

use crate::interconnect::SLIDES;

pub(crate) use preview::site_events;

pub use ingresses::{IngressKey, IngressPlan};
pub use services::{ServiceKey, ServicePlan};
pub use sites::{Owned, Parts, SitePlan, TokenKey, TokenPlan, TokenView};

/// A Linux bridge takes 1024 ports (BR_MAX_PORTS); one is the uplink or the bridge's own.
pub const MAX_PORTS: usize = 1023;

/// A cluster as it is to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterPlan {
    /// Its name.
    pub name: ClusterName,
    /// Who makes it.
    pub owner: Owner,
    /// 0 for the first: its etcd nodes are `10.(index+1).0.x`.
    pub index: u32,
    /// flannel's configuration.
    pub flannel: FlannelConfig,
}

/// A node as it is to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct NodePlan {
    /// Its name, which says its kind and its cluster.
    pub name: NodeName,
    /// Who makes it.
    pub owner: Owner,
    /// Its number, kept for life.
    pub number: u32,
    /// Its address on the underlay.
    pub address: std::net::Ipv4Addr,
    /// The length of the underlay's prefix.
    pub prefix: u8,
}

/// A container as it is to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerPlan {
    /// Its cluster and its name in it.
    pub key: ContainerKey,
    /// The worker that it runs on.
    pub worker: NodeName,
    /// Who makes it.
    pub owner: Owner,
    /// What selectors choose by.
    pub labels: BTreeMap<String, String>,
    /// Started in it; empty for an idle one.
    pub command: Vec<String>,
}

/// A container's identity: its name is unique in its cluster.
pub type ContainerKey = (ClusterName, ContainerName);

impl ContainerPlan {
    /// Its whole name, with its worker.
    pub fn reference(&self) -> ContainerRef {
        let (cluster, name) = self.key.clone();
        ContainerRef { cluster, worker: Some(self.worker.clone()), name }
    }
}

/// What there is, as far as planning needs to know.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The network of all nodes.
    pub underlay: Underlay,
    /// Clusters.
    pub clusters: BTreeMap<ClusterName, ClusterPlan>,
    /// Nodes of all kinds.
    pub nodes: BTreeMap<NodeName, NodePlan>,
    /// Containers.
    pub containers: BTreeMap<ContainerKey, ContainerPlan>,
    /// Services, of which there may be thousands.
    pub services: BTreeMap<ServiceKey, Arc<ServicePlan>>,
    /// Ingresses.
    pub ingresses: BTreeMap<IngressKey, Arc<IngressPlan>>,
    /// Sites.
    pub sites: BTreeMap<ClusterName, Arc<SitePlan>>,
    /// Which program a site's router is where nobody says.
    pub interconnect: Interconnect,
    /// Tokens that sites have issued.
    pub tokens: BTreeMap<TokenKey, TokenView>,
    /// What time it is, in seconds since 1970: tokens expire.
    pub now: u64,
}

impl View {
    /// Finds a container by a name with or without its worker.
    pub fn container(&self, reference: &ContainerRef) -> Result<&ContainerPlan, Failure> {
        let found = self.containers.get(&(reference.cluster.clone(), reference.name.clone()));
        let Some(found) = found else {
            return Err(Failure::not_found(format!("there is no container {reference}")));
        };
        match &reference.worker {
            Some(worker) if *worker != found.worker => Err(Failure::not_found(format!(
                "there is no container {reference}: {} runs on {}",
                reference.name, found.worker
            ))),
            _ => Ok(found),
        }
    }

    fn on_worker<'a>(&'a self, worker: &'a NodeName) -> impl Iterator<Item = &'a ContainerPlan> {
        self.containers.values().filter(move |container| container.worker == *worker)
    }

    fn in_cluster<'a>(&'a self, cluster: &'a ClusterName) -> impl Iterator<Item = &'a NodePlan> {
        self.nodes.values().filter(move |node| node.name.cluster().as_ref() == Some(cluster))
    }
}

/// What will be done, in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Another underlay, where no node is left.
    pub underlay: Option<Underlay>,
    /// Ingresses to delete first.
    pub delete_ingresses: Vec<IngressKey>,
    /// Then sites,
    pub delete_sites: Vec<ClusterName>,
    /// and tokens.
    pub delete_tokens: Vec<TokenKey>,
    /// Then services.
    pub delete_services: Vec<ServiceKey>,
    /// Then containers.
    pub delete_containers: Vec<ContainerKey>,
    /// Then nodes.
    pub delete_nodes: Vec<NodeName>,
    /// Then clusters, when their nodes are gone.
    pub delete_clusters: Vec<ClusterName>,
    /// Clusters to make.
    pub clusters: Vec<ClusterPlan>,
    /// Nodes to make, etcd nodes before workers.
    pub nodes: Vec<NodePlan>,
    /// Clusters that get another flannel configuration.
    pub flannel: Vec<(ClusterName, FlannelConfig)>,
    /// Containers to make, when their workers are there.
    pub containers: Vec<ContainerPlan>,
    /// Containers that only get other labels.
    pub labels: Vec<(ContainerKey, BTreeMap<String, String>)>,
    /// Services to make or to change, when their endpoints are there.
    pub services: Vec<Arc<ServicePlan>>,
    /// Ingresses to make or to change when their services are there.
    pub ingresses: Vec<Arc<IngressPlan>>,
    /// Sites to make or to change last.
    pub sites: Vec<Arc<SitePlan>>,
    /// Tokens to issue.
    pub tokens: Vec<TokenPlan>,
    /// Tokens that are redeemed, and for which links.
    pub redeem: Vec<(TokenKey, LinkRef)>,
    /// What a person should know before or after.
    pub notes: Vec<String>,
}

/// What uses something that shall be deleted.
struct Users {
    containers: Vec<ContainerPlan>,
    services: Vec<Arc<ServicePlan>>,
    ingresses: Vec<Arc<IngressPlan>>,
    /// The cluster whose site goes, too, where it has one.
    site: Option<ClusterName>,
}

/// Turns operations into a [`Plan`].
pub struct Planner {
    view: View,
    /// The ingresses that there were before.
    before: BTreeMap<IngressKey, Arc<IngressPlan>>,
    /// The sites that there were before.
    sites_before: BTreeMap<ClusterName, Arc<SitePlan>>,
    owner: Owner,
    plan: Plan,
    /// Numbers that a topology file gives to its nodes.
    numbers: BTreeMap<NodeName, u32>,
}

impl Planner {
    /// Plans one operation in that owner's name.
    ///
    /// # Errors
    /// Why it cannot be: nothing was done yet.
    pub fn plan(view: View, operation: &Operation, owner: Owner) -> Result<Plan, Failure> {
        let (before, sites_before) = (view.ingresses.clone(), view.sites.clone());
        let (plan, numbers) = (Plan::default(), BTreeMap::new());
        let mut planner = Planner { view, before, sites_before, owner, plan, numbers };
        let planned = match operation.clone() {
            Operation::CreateCluster { cluster, workers, flannel } => {
                let workers = numbered_workers(&cluster, workers)?;
                planner.create_cluster(&cluster, None, &workers, flannel.unwrap_or_default())
            }
            Operation::DeleteCluster { cluster, force } => planner.delete_cluster(&cluster, force),
            Operation::CreateWorker { worker } => planner.create_worker(&worker),
            Operation::DeleteWorker { worker, force } => planner.delete_worker(&worker, force),
            Operation::CreateScratch { node } => planner.create_scratch(&node),
            Operation::DeleteScratch { node } => planner.delete_scratch(&node),
            Operation::CreateContainer { container, labels, command } => {
                let worker = container.worker.clone().ok_or_else(|| {
                    Failure::invalid(format!("say on which worker: `{}w1.{}`", container.cluster, container.name))
                })?;
                let key = (container.cluster, container.name);
                planner.create_container(ContainerPlan { key, worker, owner: planner.owner.clone(), labels, command })
            }
            Operation::DeleteContainer { container } => planner.delete_container(&container),
            Operation::CreateService { service, spec, replace } => planner.create_service(service, spec, replace),
            Operation::DeleteService { service } => planner.delete_service(&service),
            Operation::CreateIngress { ingress, spec, replace } => planner.create_ingress(ingress, spec, replace),
            Operation::DeleteIngress { ingress } => planner.delete_ingress(&ingress),
            Operation::CreateSite { cluster, interconnect } => planner.create_site(&cluster, interconnect),
            Operation::DeleteSite { cluster, force } => planner.delete_site(&cluster, force),
            Operation::CreateToken { token, seconds } => planner.create_token(token, seconds),
            Operation::DeleteToken { token } => planner.delete_token(&token),
            Operation::CreateLink { link, spec, token } => planner.create_link(link, spec, token.as_ref()),
            Operation::DeleteLink { link } => planner.delete_link(&link),
            Operation::CreateListener { listener, spec } => planner.create_listener(listener, spec),
            Operation::DeleteListener { listener } => planner.delete_listener(&listener),
            Operation::CreateConnector { connector, spec } => planner.create_connector(connector, spec),
            Operation::DeleteConnector { connector } => planner.delete_connector(&connector),
            Operation::SetFlannel { cluster, config } => planner.set_flannel(&cluster, config),
            Operation::Apply { topology } => planner.apply(topology),
            Operation::SetLink { .. } | Operation::SetRepair { .. } => Ok(()),
        };
        let planned = planned.and_then(|()| planner.settle_ingresses()).and_then(|()| planner.settle_sites());
        planned.map_err(|failure| Failure::new(failure.code, format!("{operation}: {}", failure.message)))?;
        planner.note_dead_endpoints();
        Ok(planner.plan)
    }

    fn create_cluster(
        &mut self,
        name: &ClusterName,
        index: Option<u32>,
        workers: &BTreeSet<NodeName>,
        flannel: FlannelConfig,
    ) -> Result<(), Failure> {
        if let Some(there) = self.view.clusters.get(name) {
            return Err(self.exists("a cluster", name.as_str(), &there.owner));
        }
        if let Some(there) = name.as_str().parse().ok().and_then(|node: NodeName| self.view.nodes.get(&node)) {
            return Err(self.exists("a scratch node", name.as_str(), &there.owner));
        }
        self.check_flannel(name, &flannel)?;
        let mut cluster = ClusterPlan { name: name.clone(), owner: self.owner.clone(), index: 0, flannel };
        cluster.index = self.cluster_index(&cluster, index)?;
        self.view.clusters.insert(name.clone(), cluster.clone());
        for member in 1..=2 {
            let address = self.view.underlay.etcd_address(cluster.index, member);
            self.add_node(&name.etcd(member), Some(address))?;
        }
        self.plan.clusters.push(cluster);
        workers.iter().try_for_each(|worker| self.create_worker(worker))
    }

    fn delete_cluster(&mut self, name: &ClusterName, force: bool) -> Result<(), Failure> {
        if !self.view.clusters.contains_key(name) {
            return Err(Failure::not_found(format!("there is no cluster {name}")));
        }
        let users = Users {
            containers: self.view.containers.values().filter(|user| user.key.0 == *name).cloned().collect(),
            services: self.view.services.values().filter(|user| user.key.0 == *name).cloned().collect(),
            ingresses: self.view.ingresses.values().filter(|user| user.key.0 == *name).cloned().collect(),
            site: Some(name.clone()),
        };
        self.delete_users(name.as_str(), users, force)?;
        let nodes: Vec<_> = self.view.in_cluster(name).map(|node| node.name.clone()).collect();
        for node in nodes {
            self.view.nodes.remove(&node);
            self.plan.delete_nodes.push(node);
        }
        self.view.clusters.remove(name);
        self.plan.delete_clusters.push(name.clone());
        Ok(())
    }

    fn create_worker(&mut self, name: &NodeName) -> Result<(), Failure> {
        let (NodeKind::Worker, Some(cluster)) = (name.kind(), name.cluster()) else {
            return Err(Failure::invalid(format!("{name} is not a worker's name: write `<cluster>w<number>`")));
        };
        if !self.view.clusters.contains_key(&cluster) {
            return Err(Failure::not_found(format!(
                "there is no cluster {cluster}; make it by `knetsim create cluster {cluster}`"
            )));
        }
        if self.view.in_cluster(&cluster).count() >= MAX_PORTS {
            let message = format!("{} is full: a Linux bridge takes {MAX_PORTS} nodes", cluster.switch());
            return Err(Failure::new(Code::Limit, message));
        }
        self.add_node(name, None)
    }

    fn create_scratch(&mut self, name: &NodeName) -> Result<(), Failure> {
        if name.kind() != NodeKind::Scratch {
            return Err(Failure::invalid(format!(
                "{name} is the name of a cluster's node; a scratch node needs another"
            )));
        }
        if let Some(there) =
            name.as_str().parse().ok().and_then(|cluster: ClusterName| self.view.clusters.get(&cluster))
        {
            return Err(self.exists("a cluster", name.as_str(), &there.owner));
        }
        if name.as_str() == SLIDES {
            let message = format!("{name} can't be a node's name: /tmp/knetsim/{name} has the routers' files");
            return Err(Failure::invalid(message));
        }
        self.add_node(name, None)
    }

    fn delete_worker(&mut self, name: &NodeName, force: bool) -> Result<(), Failure> {
        match self.view.nodes.get(name).map(|node| node.name.kind()) {
            Some(NodeKind::Worker) => {}
            Some(_) => return Err(Failure::invalid(format!("{name} is not a worker"))),
            None => return Err(Failure::not_found(format!("there is no worker {name}"))),
        }
        let users = Users {
            containers: self.view.on_worker(name).cloned().collect(),
            services: Vec::new(),
            ingresses: self.view.ingresses.values().filter(|user| user.spec.worker == *name).cloned().collect(),
            site: name.cluster().filter(|cluster| site_worker(cluster) == *name),
        };
        self.delete_users(name.as_str(), users, force)?;
        self.view.nodes.remove(name);
        self.plan.delete_nodes.push(name.clone());
        Ok(())
    }

    fn delete_scratch(&mut self, name: &NodeName) -> Result<(), Failure> {
        match self.view.nodes.remove(name).map(|node| node.name.kind()) {
            Some(NodeKind::Scratch) => self.plan.delete_nodes.push(name.clone()),
            Some(_) => return Err(Failure::invalid(format!("{name} is not a scratch node"))),
            None => return Err(Failure::not_found(format!("there is no scratch node {name}"))),
        }
        Ok(())
    }

    fn create_container(&mut self, container: ContainerPlan) -> Result<(), Failure> {
        let (cluster, name) = &container.key;
        if container.worker.cluster().as_ref() != Some(cluster) || container.worker.kind() != NodeKind::Worker {
            return Err(Failure::invalid(format!(
                "container {cluster}.{name} needs a worker of {cluster}, not {}",
                container.worker
            )));
        }
        if !self.view.nodes.contains_key(&container.worker) {
            return Err(Failure::not_found(format!("there is no worker {}", container.worker)));
        }
        if let Some(there) = self.view.containers.get(&container.key) {
            return Err(self.exists("a container", &there.reference().to_string(), &there.owner));
        }
        if self.view.on_worker(&container.worker).count() >= MAX_PORTS {
            let message = format!("{} is full: its bridge cni0 takes {MAX_PORTS} containers", container.worker);
            return Err(Failure::new(Code::Limit, message));
        }
        if container.command.first().is_some_and(String::is_empty) {
            return Err(Failure::invalid(format!("container {cluster}.{name}: its command has an empty program name")));
        }
        self.view.containers.insert(container.key.clone(), container.clone());
        self.plan.containers.push(container);
        Ok(())
    }

    fn delete_container(&mut self, reference: &ContainerRef) -> Result<(), Failure> {
        let key = self.view.container(reference)?.key.clone();
        self.drop_container(key);
        Ok(())
    }

    fn drop_container(&mut self, key: ContainerKey) {
        self.view.containers.remove(&key);
        self.plan.delete_containers.push(key);
    }

    /// Deletes what uses something about to be deleted, or refuses and names it.
    fn delete_users(&mut self, used: &str, users: Users, force: bool) -> Result<(), Failure> {
        let Users { containers, services, ingresses, site } = users;
        let site = site.and_then(|cluster| self.view.sites.get(&cluster)).cloned();
        let links: Vec<_> = site.iter().flat_map(|site| self.links_to(&site.cluster)).collect();
        let users = services.len() + containers.len() + ingresses.len() + site.iter().len() + links.len();
        if users > 0 && !force {
            let ingresses = ingresses.iter().map(|user| format!("ingress {} (of {})", user.reference(), user.owner));
            let services = services.iter().map(|user| format!("service {} (of {})", user.reference(), user.owner));
            let containers = containers.iter().map(|user| format!("{} (of {})", user.reference(), user.owner));
            let sites = site.iter().map(|site| format!("site {} (of {})", site.cluster, site.owner)).chain(links);
            let named: Vec<_> = containers.chain(services).chain(ingresses).chain(sites).take(5).collect();
            let more = users.checked_sub(6).map(|rest| format!(" and {} more", rest + 1)).unwrap_or_default();
            let message = format!("{used} is in use by {}{more}: delete them first, or use --force", named.join(", "));
            return Err(Failure::new(Code::Exists, message));
        }
        site.iter().for_each(|site| self.drop_site(&site.cluster));
        ingresses.into_iter().for_each(|user| self.drop_ingress(user.key.clone()));
        services.into_iter().for_each(|user| self.drop_service(user.key.clone()));
        containers.into_iter().for_each(|user| self.drop_container(user.key));
        Ok(())
    }

    /// Another configuration for a cluster. Addresses change, so its containers are made anew.
    fn set_flannel(&mut self, name: &ClusterName, config: FlannelConfig) -> Result<(), Failure> {
        self.check_flannel(name, &config)?;
        let cluster = self
            .view
            .clusters
            .get_mut(name)
            .ok_or_else(|| Failure::not_found(format!("there is no cluster {name}")))?;
        if cluster.flannel == config {
            return Ok(());
        }
        cluster.flannel = config.clone();
        self.plan.flannel.push((name.clone(), config));
        let anew: Vec<_> =
            self.view.containers.values().filter(|container| container.key.0 == *name).cloned().collect();
        for container in anew {
            self.plan.delete_containers.push(container.key.clone());
            self.plan.containers.push(container);
        }
        Ok(())
    }

    /// A refusal: an object of that kind and name is there already.
    fn exists(&self, kind: &str, name: &str, owner: &Owner) -> Failure {
        self.taken(&format!("there is already {kind} {name}"), owner)
    }

    /// A refusal: `what` has what somebody wants. Who made it matters only where that was somebody else.
    fn taken(&self, what: &str, owner: &Owner) -> Failure {
        match *owner == self.owner {
            true => Failure::exists(what),
            false => Failure::exists(format!("{what}, made by {owner}, not by {}", self.owner)),
        }
    }
}

fn worker_names(cluster: &ClusterName, workers: &Workers) -> Result<BTreeSet<NodeName>, Failure> {
    match workers {
        Workers::Count(count) => numbered_workers(cluster, *count),
        Workers::Named(names) => {
            match names.iter().find(|name| name.kind() != NodeKind::Worker || name.cluster().as_ref() != Some(cluster))
            {
                Some(other) => {
                    Err(Failure::invalid(format!("{other} is no worker of {cluster}: write `{cluster}w<number>`")))
                }
                None => Ok(names.clone()),
            }
        }
    }
}

fn numbered_workers(cluster: &ClusterName, count: u32) -> Result<BTreeSet<NodeName>, Failure> {
    // Two ports of the switch are the etcd nodes'.
    if count as usize > MAX_PORTS - 2 {
        let message = format!("cluster {cluster}: {count} workers are too many, its bridge takes {}", MAX_PORTS - 2);
        return Err(Failure::new(Code::Limit, message));
    }
    Ok((1..=count).map(|number| cluster.worker(number)).collect())
}
