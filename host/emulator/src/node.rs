//! Nodes and clusters: made, deleted, changed.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{try_join, try_join_all};
use knetsim_cni::Runtime;
use knetsim_daemon::{Daemon, DaemonSpec, Restart};
use knetsim_kernel::netlink::Netlink;
use knetsim_model::flannel::FlannelConfig;
use knetsim_model::names::NodeKind;
use knetsim_model::{ClusterName, Code, Failure, InterfaceRef, NodeName, chain};
use knetsim_overlay::{Agent, AgentSpec, Etcd};
use knetsim_sandbox::NodeSpec;

use crate::Emulator;
use crate::build::Steps;
use crate::history;
use crate::plan::{ClusterPlan, NodePlan};
use crate::state::{Cluster, Node, Role};

/// How long a new cluster's etcd may take until it answers.
const ETCD_READY: Duration = Duration::from_secs(20);
/// How long an agent may take until its node has a lease and its routes.
const AGENT_READY: Duration = Duration::from_secs(10);

/// A node that is joined to the underlay, but on which nothing runs yet.
pub(crate) struct Bare {
    plan: NodePlan,
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
        let (cluster, workers) = try_join(self.make_etcd(plan, &etcd, steps), self.join(&workers)).await?;
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
        let started = try_join_all(self.join(nodes).await?.into_iter().map(async |node| {
            let spec = DaemonSpec {
                name: "etcd".to_owned(),
                node: node.plan.name.clone(),
                argv: knetsim_overlay::etcd_command(&plan.name, &node.plan.name, &members),
                env: knetsim_overlay::etcd_environment(),
                restart: Restart::Always,
            };
            let daemon = Daemon::start(self.sandbox(), &node.place, spec, self.inner.events.clone()).await;
            Ok((node, daemon.map_err(|error| failed(&error))?))
        }))
        .await?;
        try_join_all(started.iter().map(async |(node, daemon)| {
            let member = Etcd::new(&node.place.netns, &[node.plan.address]).map_err(|error| failed(&error))?;
            let ready = daemon.ready(ETCD_READY, async || member.ready().await.map_err(|error| chain(&error))).await;
            ready.map_err(|error| failed(&error))
        }))
        .await?;
        let first =
            started.first().ok_or_else(|| Failure::invalid(format!("cluster {} has no etcd node", plan.name)))?;
        let addresses: Vec<_> = members.iter().map(|(_, address)| *address).collect();
        let etcd = Etcd::new(&first.0.place.netns, &addresses).map_err(|error| failed(&error))?;
        etcd.put_config(&plan.flannel).await.map_err(|error| failed(&error))?;
        for (node, daemon) in started {
            self.enter(node, Role::Etcd(daemon), steps)?;
        }
        Ok(Arc::new(Cluster { plan: plan.clone(), etcd }))
    }

    /// Makes nodes and joins them to the underlay, all at once.
    pub(crate) async fn join(&self, nodes: &[NodePlan]) -> Result<Vec<Bare>, Failure> {
        try_join_all(nodes.iter().map(async |plan| {
            let doing = || format!("node {}", plan.name);
            let spec = NodeSpec { name: plan.name.clone(), etcd: plan.name.kind() == NodeKind::Etcd };
            let place = self.sandbox().create_node(spec).await.map_err(|error| Failure::failed(doing(), &error))?;
            let netlink = place.netns.netlink().map_err(|error| Failure::failed(doing(), &error))?;
            let joined = self.fabric().join(plan, &place.netns, &netlink).await;
            joined.map_err(|error| Failure::failed(doing(), &error))?;
            Ok(Bare { plan: plan.clone(), place, netlink })
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
        try_join_all(workers.into_iter().map(async |node| {
            let doing = format!("node {}", node.plan.name);
            let files = node.place.files.try_clone().map_err(|error| Failure::failed(&doing, &error))?;
            let cni = Runtime::new(&node.plan.name, node.place.netns.clone(), node.netlink.clone(), files);
            cni.write_config().map_err(|error| Failure::failed(&doing, &error))?;
            let agent = start_agent(cluster, &node, true).await?;
            self.enter(node, Role::Worker { agent, cni }, steps)
        }))
        .await
        .map(drop)
    }

    /// Enters joined scratch nodes: nothing runs there.
    pub(crate) fn make_scratch(&self, nodes: Vec<Bare>, steps: &Steps<'_>) -> Result<(), Failure> {
        nodes.into_iter().try_for_each(|node| self.enter(node, Role::Scratch, steps))
    }

    /// A node is complete: enters it into the state.
    fn enter(&self, node: Bare, role: Role, steps: &Steps<'_>) -> Result<(), Failure> {
        let Bare { plan, place, netlink } = node;
        let name = plan.name.clone();
        let failed = |error: &dyn std::error::Error| Failure::failed(format!("node {name}"), error);
        let watch =
            history::watch(&self.inner.history, name.to_string(), &place.netns).map_err(|error| failed(&error))?;
        let named = place.files.open_dir("run/netns").map_err(|error| failed(&error))?;
        self.inner.names.add(name.to_string(), named.into_std_file().into());
        let node = Node { plan, place, netlink, role, _watch: watch };
        self.state().nodes.insert(name.clone(), Arc::new(node));
        steps.done(format!("node {name}"));
        self.created(kind_word(&name), name.as_str());
        Ok(())
    }

    /// Deletes a node and everything on it: its processes, its namespaces, its port, and its lease where `release`
    /// says so. Can be repeated.
    pub(crate) async fn delete_node(&self, name: &NodeName, release: bool) -> Result<(), Failure> {
        let node = self.state().nodes.remove(name);
        let failed = |error: &dyn std::error::Error| Failure::failed(format!("delete node {name}"), error);
        let released = match node.as_deref().map(|node| &node.role) {
            // A cluster that is deleted whole needs no leases back: its etcd goes too.
            Some(Role::Worker { agent, .. }) => agent.release().await.map_err(|error| failed(&error)),
            Some(Role::Etcd(daemon)) => daemon.stop(Duration::ZERO).await.map_err(|error| failed(&error)),
            Some(Role::Scratch) | None => Ok(()),
        };
        let left = self.fabric().leave(name.as_str()).await.map_err(|error| failed(&error));
        let deleted = self.sandbox().delete_node(name).await.map_err(|error| failed(&error));
        if node.is_some() {
            self.deleted(kind_word(name), name.as_str());
        }
        released.and(left).and(deleted)
    }

    /// Deletes what is left of a cluster when its nodes are gone. Can be repeated.
    pub(crate) async fn delete_cluster(&self, name: &ClusterName) -> Result<(), Failure> {
        let there = self.state().clusters.remove(name).is_some();
        let removed = self.fabric().remove_switch(name).await;
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
        let cluster = self.state().cluster(name)?;
        let failed = |error: &dyn std::error::Error| Failure::failed(format!("flannel of cluster {name}"), error);
        let nodes: Vec<_> = self
            .state()
            .nodes
            .values()
            .filter(|node| node.plan.name.cluster().as_ref() == Some(name))
            .cloned()
            .collect();
        cluster.etcd.put_config(config).await.map_err(|error| failed(&error))?;
        let plan = ClusterPlan { flannel: config.clone(), ..cluster.plan.clone() };
        self.state().clusters.insert(name.clone(), Arc::new(Cluster { plan, etcd: cluster.etcd.clone() }));
        try_join_all(nodes.iter().map(async |node| {
            let Role::Worker { agent, cni } = &node.role else { return Ok(()) };
            agent.release().await.map_err(|error| failed(&error))?;
            cni.remove_bridge().await.map_err(|error| failed(&error))?;
            agent.restart().await.map_err(|error| failed(&error))
        }))
        .await?;
        steps.done(format!("cluster {name}: agents restarted"));
        Ok(())
    }

    /// `ip link set DEV up|down`.
    pub(crate) async fn set_link(&self, interface: &InterfaceRef, up: bool) -> Result<(), Failure> {
        let namespace = self.namespace(&interface.target)?;
        let set = namespace.with_netlink(async |netlink| match netlink.link(&interface.interface).await? {
            Some(link) => netlink.set_up(link.index, up).await.map(|()| true),
            None => Ok(false),
        });
        match set.await.and_then(|set| set) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::not_found(format!("there is no interface {interface}"))),
            Err(error) => Err(Failure::failed(format!("set link {interface}"), &error)),
        }
    }

    /// Whether a worker's agent mends what somebody else changed.
    pub(crate) fn set_repair(&self, name: &NodeName, on: bool) -> Result<(), Failure> {
        let node = self.state().node(name)?;
        let Role::Worker { agent, .. } = &node.role else { return Err(not_a_worker(name)) };
        agent.set_repair(on);
        Ok(())
    }
}
