//! Nodes and clusters: made, deleted, changed.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use cap_std::fs::Dir;
use futures::future::{join_all, try_join, try_join_all};
use ipnet::Ipv4Net;
use knetsim_cni::Runtime;
use knetsim_daemon::{Daemon, DaemonSpec, Restart};
use knetsim_kernel::netlink::Netlink;
use knetsim_kernel::{KernelError, files};
use knetsim_model::flannel::FlannelConfig;
use knetsim_model::inventory::Health;
use knetsim_model::names::NodeKind;
use knetsim_model::observe::Change;
use knetsim_model::{ClusterName, Code, Event, Failure, NodeName, chain};
use knetsim_overlay::{Agent, AgentSpec, Clock, Etcd};
use knetsim_sandbox::NodeSpec;

use crate::Emulator;
use crate::build::Steps;
use crate::history;
use crate::logs::CommandLog;
use crate::node_network::{Given, NodeNetwork};
use crate::plan::{ClusterPlan, NodePlan};
use crate::state::{Cluster, Node, Role};

/// How long a new cluster's etcd may take until it answers.
const ETCD_READY: Duration = Duration::from_secs(20);
/// How long an agent may take until its node has a lease and its routes.
const AGENT_READY: Duration = Duration::from_secs(10);

/// A node that is joined to the underlay, but on which nothing runs yet.
pub(crate) struct Bare {
    plan: NodePlan,
    given: Given,
    place: knetsim_sandbox::Node,
    netlink: Netlink,
}

impl Emulator {
    /// A whole cluster: its etcd starts while its workers are still being made.
    pub(crate) async fn make_cluster(
        &self,
        plan: &ClusterPlan,
        nodes: &[NodePlan],
        steps: &Steps<'_>,
    ) -> Result<(), Failure> {
        let switch = self.fabric().add_switch(&plan.name).await;
        switch.map_err(|error| Failure::failed(format!("cluster {}", plan.name), &error))?;
        let (etcd, workers): (Vec<_>, Vec<_>) =
            nodes.iter().cloned().partition(|node| node.name.kind() == NodeKind::Etcd);
        let join = self.join(&workers, Some(plan.flannel.network));
        let (cluster, workers) = try_join(self.make_etcd(plan, &etcd, steps), join).await?;
        self.state().clusters.insert(plan.name.clone(), cluster.clone());
        steps.done(format!("cluster {}: etcd answers", plan.name));
        self.created("cluster", plan.name.as_str());
        self.make_workers(&cluster, workers, steps).await
    }

    /// Two real etcd members; ready means that each has answered a put.
    async fn make_etcd(
        &self,
        plan: &ClusterPlan,
        nodes: &[NodePlan],
        steps: &Steps<'_>,
    ) -> Result<Arc<Cluster>, Failure> {
        let members: Vec<_> = nodes.iter().map(|node| (node.name.clone(), node.address)).collect();
        let failed = |error: &dyn std::error::Error| {
            Failure::new(Code::Unavailable, format!("etcd of cluster {}: {}", plan.name, chain(error)))
        };
        let mut started = Vec::new();
        for node in self.join(nodes, None).await? {
            let spec = DaemonSpec {
                name: "etcd".to_owned(),
                node: node.plan.name.clone(),
                argv: knetsim_overlay::etcd_command(&plan.name, &node.plan.name, &members),
                env: knetsim_overlay::etcd_environment(),
                restart: Restart::Always,
            };
            let daemon = Daemon::start(self.sandbox(), &node.place, spec, self.inner.events.clone()).await;
            let daemon = daemon.map_err(|error| failed(&error))?;
            // A new member asks the others whether they know it already. Two that ask at once, when both listen but
            // answer nobody yet, wait a second for each other: the next one starts when this one has asked.
            let asked = || knetsim_overlay::etcd_answers_peers(&node.place.netns, node.plan.address);
            daemon.ready(ETCD_READY, asked).await.map_err(|error| failed(&error))?;
            started.push((node, daemon));
        }
        try_join_all(started.iter().map(async |(node, daemon)| {
            let member = Etcd::new(&node.place.netns, &[node.plan.address]).await.map_err(|error| failed(&error))?;
            // The put that shows that it is ready is one that is needed anyway.
            let put = async || member.put_config(&plan.flannel).await.map_err(|error| chain(&error));
            daemon.ready(ETCD_READY, put).await.map_err(|error| failed(&error))
        }))
        .await?;
        let first =
            started.first().ok_or_else(|| Failure::invalid(format!("cluster {} has no etcd node", plan.name)))?;
        let addresses: Vec<_> = members.iter().map(|(_, address)| *address).collect();
        let etcd = Etcd::new(&first.0.place.netns, &addresses).await.map_err(|error| failed(&error))?;
        for (node, daemon) in started {
            self.enter(node, Role::Etcd(daemon), steps).await?;
        }
        Ok(Arc::new(Cluster { plan: plan.clone(), etcd, members: addresses }))
    }

    /// Makes nodes and joins them to the underlay, all at once; `pod_network` is that of workers.
    pub(crate) async fn join(&self, nodes: &[NodePlan], pod_network: Option<Ipv4Net>) -> Result<Vec<Bare>, Failure> {
        try_join_all(nodes.iter().map(async |plan| {
            let doing = || format!("node {}", plan.name);
            let spec = NodeSpec { name: plan.name.clone(), etcd: plan.name.kind() == NodeKind::Etcd };
            let place = self.sandbox().create_node(spec).await.map_err(|error| Failure::failed(doing(), &error))?;
            let netlink = place.netns.netlink().map_err(|error| Failure::failed(doing(), &error))?;
            let given = Given::of(plan, pod_network);
            let joined = self.fabric().join(&plan.name, &given, &place.netns, &netlink).await;
            joined.map_err(|error| Failure::failed(doing(), &error))?;
            Ok(Bare { plan: plan.clone(), given, place, netlink })
        }))
        .await
    }

    /// Gives joined nodes their agent, which leases a subnet, and their CNI runtime, all at once.
    pub(crate) async fn make_workers(
        &self,
        cluster: &Cluster,
        workers: Vec<Bare>,
        steps: &Steps<'_>,
    ) -> Result<(), Failure> {
        let made = try_join_all(workers.into_iter().map(async |node| {
            let failed = |error: &dyn std::error::Error| Failure::failed(format!("node {}", node.plan.name), error);
            let folder = || node.place.files.try_clone().map_err(|error| failed(&error));
            write_cni_files(&node.plan.name, &node.place.files).map_err(|error| failed(&error))?;
            let cni = Runtime::new(node.place.netns.clone(), node.netlink.clone(), folder()?);
            let spec = AgentSpec {
                node: node.plan.name.clone(),
                public_ip: node.plan.address,
                netlink: node.netlink.clone(),
                files: folder()?,
                etcd: Etcd::new(&node.place.netns, &cluster.members).await.map_err(|error| failed(&error))?,
                names: self.node_names(),
                held: self.held_subnets(&cluster.plan.name),
                clock: Clock::default(),
            };
            let agent = Agent::start(spec, AGENT_READY).await;
            let agent = Arc::new(agent.map_err(|error| Failure::new(Code::Unavailable, chain(&error)))?);
            let spec = knetsim_services::AgentSpec {
                node: node.plan.name.clone(),
                address: node.plan.address,
                namespace: node.place.netns.clone(),
            };
            let services = Arc::new(knetsim_services::Agent::start(spec));
            self.enter(node, Role::Worker { agent: agent.clone(), services, cni }, steps).await?;
            Ok(agent)
        }))
        .await?;
        self.introduce(&cluster.plan.name, &made).await
    }

    /// Waits until new agents and those of the cluster that work lead to each other.
    async fn introduce(&self, cluster: &ClusterName, new: &[Arc<Agent>]) -> Result<(), Failure> {
        let agents = self.state().agents(cluster);
        let leased: Vec<_> = agents.iter().filter_map(|agent| agent.state().subnet).collect();
        let working = agents.iter().filter(|agent| agent.state().health == Health::Ready);
        // One that is cut off from etcd, or gets cut off meanwhile, learns of the others later.
        join_all(working.map(|agent| agent.ready(&leased, AGENT_READY))).await;
        let met = try_join_all(new.iter().map(|agent| agent.ready(&leased, AGENT_READY))).await;
        met.map(drop).map_err(|error| Failure::new(Code::Unavailable, chain(&error)))
    }

    /// Which node has an address of the underlay, for those that must not keep this alive.
    fn node_names(&self) -> Arc<dyn Fn(Ipv4Addr) -> Option<NodeName> + Send + Sync> {
        let inner = Arc::downgrade(&self.inner);
        Arc::new(move |address| Emulator { inner: inner.upgrade()? }.state().node_at(address))
    }

    /// The subnets that a cluster's workers work with, for those that must not keep this alive.
    fn held_subnets(&self, cluster: &ClusterName) -> Arc<dyn Fn() -> BTreeSet<Ipv4Net> + Send + Sync> {
        let (inner, cluster) = (Arc::downgrade(&self.inner), cluster.clone());
        Arc::new(move || {
            let Some(inner) = inner.upgrade() else { return BTreeSet::new() };
            let agents = Emulator { inner }.state().agents(&cluster);
            agents.iter().filter_map(|agent| agent.state().subnet).collect()
        })
    }

    /// Enters joined scratch nodes: nothing runs there.
    pub(crate) async fn make_scratch(&self, nodes: Vec<Bare>, steps: &Steps<'_>) -> Result<(), Failure> {
        for node in nodes {
            self.enter(node, Role::Scratch, steps).await?;
        }
        Ok(())
    }

    /// A node is complete: enters it into the state.
    async fn enter(&self, node: Bare, role: Role, steps: &Steps<'_>) -> Result<(), Failure> {
        let Bare { plan, given, place, netlink } = node;
        let name = plan.name.clone();
        let network = Arc::new(NodeNetwork::start(name.clone(), netlink.clone(), given));
        let failed = |error: &dyn std::error::Error| Failure::failed(format!("node {name}"), error);
        let agents = match &role {
            Role::Worker { agent, services, .. } => Some((agent.clone(), services.clone())),
            Role::Etcd(_) | Role::Scratch => None,
        };
        let own = network.clone();
        let tell = move |change: &Change| {
            own.changed(change);
            if let Some((overlay, services)) = &agents {
                overlay.changed(change);
                services.changed(change);
            }
        };
        let watch = history::watch(&self.inner.history, name.to_string(), &place.netns, tell).await;
        let watch = watch.map_err(|error| failed(&error))?;
        let named = place.files.open_dir("run/netns").map_err(|error| failed(&error))?;
        self.inner.names.add(name.to_string(), &named).map_err(|error| failed(&error))?;
        let log = Arc::new(CommandLog::new());
        let node = Node { plan, place, netlink, network, role, log, _watch: watch };
        self.state().nodes.insert(name.clone(), Arc::new(node));
        steps.done(format!("node {name}"));
        self.created(name.kind().word(), name.as_str());
        Ok(())
    }

    /// Deletes a node and everything on it: its processes, its namespaces, its port, and its lease where `release`
    /// says so. Can be repeated.
    pub(crate) async fn delete_node(&self, name: &NodeName, release: bool) -> Result<(), Failure> {
        let node = self.state().nodes.remove(name);
        let failed = |error: &dyn std::error::Error| Failure::failed(format!("delete node {name}"), error);
        let released = match node.as_deref().map(|node| &node.role) {
            Some(Role::Worker { agent, .. }) if release => agent.release().await.map_err(|error| failed(&error)),
            Some(Role::Worker { .. }) => Ok(()),
            Some(Role::Etcd(daemon)) => daemon.stop(Duration::ZERO).await.map_err(|error| failed(&error)),
            Some(Role::Scratch) | None => Ok(()),
        };
        let left = self.fabric().leave(name.as_str()).map_err(|error| failed(&error));
        node.iter().for_each(|node| self.inner.captures.end_in(&node.place.netns));
        let deleted = self.sandbox().delete_node(name).await.map_err(|error| failed(&error));
        if node.is_some() {
            self.deleted(name.kind().word(), name.as_str());
        }
        Failure::all([released, left, deleted])
    }

    /// Tells every node all nodes' names, in `/etc/hosts`. Written in place: the file is bound into each node.
    pub(crate) fn write_hosts(&self) {
        let nodes: Vec<_> = self.state().nodes.values().cloned().collect();
        let names: String = nodes.iter().map(|node| format!("{} {}\n", node.plan.address, node.plan.name)).collect();
        for node in &nodes {
            let own = format!("127.0.0.1 localhost\n{names}");
            if let Err(error) = files::write(&node.place.files, "etc/hosts", own.as_bytes()) {
                // The node works without; somebody filled its disk, or put something else there.
                self.say(Event::Warning { message: format!("{}: writing /etc/hosts: {error}", node.plan.name) });
            }
        }
    }

    /// Deletes what is left of a cluster when its nodes are gone. Can be repeated.
    pub(crate) async fn delete_cluster(&self, name: &ClusterName) -> Result<(), Failure> {
        let there = self.state().clusters.remove(name).is_some();
        let removed = self.fabric().remove_switch(name);
        if there {
            self.deleted("cluster", name.as_str());
        }
        removed.map_err(|error| Failure::failed(format!("delete cluster {name}"), &error))
    }

    /// Another flannel configuration for a cluster without containers: agents give their leases back,
    /// the bridges that bear the old addresses go, and the agents start anew.
    pub(crate) async fn set_flannel(
        &self,
        name: &ClusterName,
        config: &FlannelConfig,
        steps: &Steps<'_>,
    ) -> Result<(), Failure> {
        let before = self.state().cluster(name)?;
        let put = before.etcd.put_config(config).await;
        put.map_err(|error| Failure::failed(format!("flannel of cluster {name}"), &error))?;
        let changed = match self.clear_agents(&before, config).await {
            Ok(()) => self.start_agents(name).await,
            failed => failed,
        };
        if let Err(failure) = changed {
            let put = before.etcd.put_config(&before.plan.flannel).await;
            let put = put.map_err(|error| Failure::failed(format!("flannel of cluster {name}"), &error));
            let cleared = self.clear_agents(&before, &before.plan.flannel).await;
            for undone in [put, cleared, self.start_agents(name).await] {
                if let Err(second) = undone {
                    self.say(Event::Warning { message: format!("while undoing: {}", second.message) });
                }
            }
            return Err(failure);
        }
        steps.done(format!("cluster {name}: agents restarted"));
        self.changed("cluster", name.as_str());
        Ok(())
    }

    /// Ends a cluster's agents, and has all else be as that configuration says. Goes on past errors; the first of them is
    /// the answer.
    async fn clear_agents(&self, cluster: &Cluster, config: &FlannelConfig) -> Result<(), Failure> {
        let name = &cluster.plan.name;
        let failed = |error: &dyn std::error::Error| Failure::failed(format!("flannel of cluster {name}"), error);
        let plan = ClusterPlan { flannel: config.clone(), ..cluster.plan.clone() };
        let workers: Vec<_> = {
            let mut state = self.state();
            let cluster = Cluster { plan, etcd: cluster.etcd.clone(), members: cluster.members.clone() };
            state.clusters.insert(name.clone(), Arc::new(cluster));
            let workers = state.nodes.values().filter(|node| node.plan.name.cluster().as_ref() == Some(name));
            workers.cloned().collect()
        };
        let cleared = join_all(workers.iter().map(async |node| {
            let Role::Worker { agent, .. } = &node.role else { return Ok(()) };
            let released = agent.release().await.map_err(|error| failed(&error));
            let removed = remove_bridge(&node.netlink).map_err(|error| failed(&error));
            let led = node.network.set_pod_network(config.network).map_err(|error| failed(&error));
            released.and(removed).and(led)
        }));
        cleared.await.into_iter().collect()
    }

    /// Has a cluster's agents begin anew, with the configuration that etcd has, when the last old lease is gone: one that
    /// began before would lead there.
    async fn start_agents(&self, name: &ClusterName) -> Result<(), Failure> {
        let agents = self.state().agents(name);
        let started = join_all(agents.iter().map(|agent| agent.restart(AGENT_READY))).await;
        let started: Result<(), _> = started.into_iter().collect();
        started.map_err(|error| Failure::failed(format!("flannel of cluster {name}"), &error))?;
        self.introduce(name, &agents).await
    }

    /// Whether a node's agents mend what somebody else changed.
    pub(crate) fn set_repair(&self, name: &NodeName, on: bool) -> Result<(), Failure> {
        let node = self.state().node(name)?;
        node.network.set_repair(on);
        if let Role::Worker { agent, services, .. } = &node.role {
            agent.set_repair(on);
            services.set_repair(on);
        }
        Ok(())
    }
}

/// The node's CNI configuration; and beside `run`, `var` and `etc` in its folder, the names that the slides use.
fn write_cni_files(node: &NodeName, folder: &Dir) -> std::io::Result<()> {
    let path = knetsim_cni::CONFIGURATION_FILE.trim_start_matches('/');
    files::write(folder, path, knetsim_cni::configuration(node.as_str()).as_bytes())?;
    let links = [
        (path, "10-flannel.conflist"),
        ("run/flannel/subnet.env", "flannel-subnet.env"),
        ("var/log/flanneld.log", "flanneld.log"),
        ("var/lib/cni/flannel", "flannel"),
    ];
    links.into_iter().try_for_each(|(target, link)| folder.symlink(target, link))
}

/// The bridge that CNI made bears the old subnet's gateway; the next container makes a new one.
fn remove_bridge(netlink: &Netlink) -> Result<(), KernelError> {
    match netlink.link("cni0")? {
        Some(bridge) => netlink.delete_link(bridge.index),
        None => Ok(()),
    }
}
