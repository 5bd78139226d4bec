//! Carries plans out: deletes, makes, and undoes its own partial work when something fails.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::future::{join_all, try_join_all};
use knetsim_model::{ClusterName, Code, Event, Failure, NodeName};

use crate::Emulator;
use crate::plan::{ContainerPlan, NodePlan, Plan};

/// Counts the steps of a plan for whoever watches.
pub(crate) struct Steps<'a> {
    emulator: &'a Emulator,
    done: AtomicU32,
    total: u32,
}

impl<'a> Steps<'a> {
    fn new(emulator: &'a Emulator, plan: &Plan) -> Self {
        let total = plan.clusters.len() + plan.nodes.len() + plan.flannel.len() + plan.containers.len();
        Steps { emulator, done: AtomicU32::new(0), total: u32::try_from(total).unwrap_or(u32::MAX) }
    }

    /// One more step was done.
    pub(crate) fn done(&self, what: String) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        self.emulator.say(Event::Progress { what, done, total: self.total });
    }
}

impl Emulator {
    /// Does what a plan says. When making fails, what was made is deleted again; what was deleted stays so.
    pub(crate) async fn carry_out(&self, plan: Plan) -> Result<(), Failure> {
        for note in &plan.notes {
            self.say(Event::Warning { message: note.clone() });
        }
        // Before anything goes, nothing new may be sent there.
        let stopped = Failure::all([self.stop_ingresses(&plan).await, self.stop_sites(&plan).await]);
        self.remove_services(&plan);
        let goes = !plan.delete_services.is_empty() || !plan.delete_containers.is_empty();
        let told = if goes { self.program_services(&plan.delete_containers).await } else { Ok(()) };
        let told = Failure::all([told, self.tell_routers(&plan.delete_containers).await]);
        for (cluster, name) in &plan.delete_services {
            self.deleted("service", &format!("{cluster}.{name}"));
        }
        let deleted = self.delete(&plan).await;
        Failure::all([stopped, told, deleted])?;
        let underlay_before = plan.underlay.map(|underlay| std::mem::replace(&mut self.state().underlay, underlay));
        let other_nodes = !plan.nodes.is_empty() || !plan.delete_nodes.is_empty();
        let mut made = self.make(&plan).await;
        if made.is_ok() {
            plan.labels.iter().for_each(|(key, labels)| self.relabel(key, labels.clone()));
            if other_nodes {
                // Routers find each other by their workers' names.
                self.write_hosts();
            }
            made = self.make_reachable(&plan).await.and_then(|()| self.settle_tokens(&plan));
        }
        if made.is_err() {
            self.unmake(&plan).await;
            if let Some(before) = underlay_before {
                self.state().underlay = before;
            }
            if other_nodes {
                self.write_hosts();
            }
        }
        made
    }

    /// Services, sites and ingresses, when what they lead to is there.
    async fn make_reachable(&self, plan: &Plan) -> Result<(), Failure> {
        let before = self.make_services(plan).await?;
        let made = async {
            let sites = self.make_sites(plan).await?;
            let made = self.make_ingresses(plan).await;
            if made.is_err() {
                self.restore_sites(sites).await;
            }
            made
        };
        let made = made.await;
        if made.is_err() {
            self.restore_services(before).await;
        }
        made
    }

    async fn delete(&self, plan: &Plan) -> Result<(), Failure> {
        let containers = join_all(plan.delete_containers.iter().map(|key| self.delete_container(key))).await;
        let nodes = join_all(plan.delete_nodes.iter().map(|name| {
            // Leases in an etcd that goes too need not be given back.
            let cluster_stays = name.cluster().is_some_and(|cluster| !plan.delete_clusters.contains(&cluster));
            self.delete_node(name, cluster_stays)
        }));
        let nodes = nodes.await;
        let clusters = join_all(plan.delete_clusters.iter().map(|name| self.delete_cluster(name))).await;
        let failures: Vec<_> = [containers, nodes, clusters].into_iter().flatten().filter_map(Result::err).collect();
        match failures.as_slice() {
            [] => Ok(()),
            [failure] => Err(failure.clone()),
            several => {
                let words: Vec<_> = several.iter().map(|failure| failure.message.as_str()).collect();
                Err(Failure::new(Code::Failed, words.join("; ")))
            }
        }
    }

    async fn make(&self, plan: &Plan) -> Result<(), Failure> {
        let steps = Steps::new(self, plan);
        let mut nodes: BTreeMap<Option<ClusterName>, Vec<NodePlan>> = BTreeMap::new();
        for node in &plan.nodes {
            nodes.entry(node.name.cluster()).or_default().push(node.clone());
        }
        try_join_all(nodes.iter().map(async |(cluster, nodes)| {
            let new = plan.clusters.iter().find(|plan| Some(&plan.name) == cluster.as_ref());
            match (new, cluster) {
                (Some(new), _) => self.make_cluster(new, nodes, &steps).await,
                (None, Some(cluster)) => {
                    let cluster = self.state().cluster(cluster)?;
                    let workers = self.join(nodes, Some(cluster.plan.flannel.network)).await?;
                    self.make_workers(&cluster, workers, &steps).await
                }
                (None, None) => self.make_scratch(self.join(nodes, None).await?, &steps).await,
            }
        }))
        .await?;
        for (cluster, config) in &plan.flannel {
            self.set_flannel(cluster, config, &steps).await?;
        }
        // Beside each other across workers, one after the other on each: CNI's files are locked there anyway.
        let mut containers: BTreeMap<&NodeName, Vec<&ContainerPlan>> = BTreeMap::new();
        for container in &plan.containers {
            containers.entry(&container.worker).or_default().push(container);
        }
        let made = try_join_all(containers.into_values().map(async |containers| {
            for container in containers {
                self.make_container(container).await?;
                steps.done(format!("container {}", container.reference()));
            }
            Ok(())
        }));
        made.await.map(drop)
    }

    /// Deletes whatever of a plan was made before it failed. Errors are said, and do not stop it.
    async fn unmake(&self, plan: &Plan) {
        let containers = join_all(plan.containers.iter().map(|container| self.delete_container(&container.key))).await;
        let nodes = join_all(plan.nodes.iter().map(|node| self.delete_node(&node.name, true))).await;
        let clusters = join_all(plan.clusters.iter().map(|cluster| self.delete_cluster(&cluster.name))).await;
        let failures = [containers, nodes, clusters].into_iter().flatten().filter_map(Result::err);
        for failure in failures.filter(|failure| failure.code != Code::NotFound) {
            self.say(Event::Warning { message: format!("while undoing: {}", failure.message) });
        }
    }
}
