//! A topology file's plan: the three-way difference between the file as it is now, what there is, and
//! what the file made before, which the owner of each object says.

use knetsim_model::names::NodeKind;
use knetsim_model::topology::{ClusterSpec, Topology};
use knetsim_model::{ClusterName, Failure, Owner};

use super::{ContainerPlan, Planner, worker_names};

impl Planner {
    /// The three-way difference: the file as it is now, as it was applied last, and what there is.
    pub(super) fn apply(&mut self, wanted: Topology) -> Result<(), Failure> {
        self.owner = Owner::File;
        self.numbers.clone_from(&wanted.numbers);
        self.check_addresses(&wanted)?;
        self.delete_unwanted(&wanted)?;
        wanted.underlay.map_or(Ok(()), |underlay| self.set_underlay(underlay))?;
        for (name, spec) in &wanted.clusters {
            self.apply_cluster(name, spec)?;
        }
        self.apply_services(&wanted)?;
        self.apply_ingresses(&wanted)?;
        self.apply_sites(&wanted)?;
        for name in &wanted.scratch {
            match self.view.nodes.get(name) {
                None => self.create_scratch(name)?,
                Some(there) if there.name.kind() == NodeKind::Scratch => {}
                Some(there) => return Err(self.exists("a node", name.as_str(), &there.owner)),
            }
        }
        self.report_others(&wanted);
        Ok(())
    }

    /// What is there keeps its address for life: a file that gives it another one is not right.
    fn check_addresses(&self, wanted: &Topology) -> Result<(), Failure> {
        for (name, spec) in &wanted.clusters {
            let there = self.view.clusters.get(name).map(|cluster| cluster.index);
            if let (Some(there), Some(index)) = (there, spec.index)
                && there != index
            {
                let message = format!("cluster {name} is there with index {there}, not {index}: delete it first");
                return Err(Failure::invalid(message));
            }
        }
        for (name, number) in &wanted.numbers {
            if let Some(there) = self.view.nodes.get(name).filter(|there| there.number != *number) {
                let message = format!("{name} is there with number {}, not {number}: delete it first", there.number);
                return Err(Failure::invalid(message));
            }
        }
        Ok(())
    }

    /// Deletes what the file owned and no longer names, and containers that it now wants elsewhere or
    /// with another command: those are made anew.
    fn delete_unwanted(&mut self, wanted: &Topology) -> Result<(), Failure> {
        let stays = |there: &&ContainerPlan| {
            let (cluster, name) = &there.key;
            let spec = wanted.clusters.get(cluster).and_then(|spec| spec.containers.get(name));
            spec.is_some_and(|spec| spec.worker == there.worker && spec.command == there.command)
        };
        self.delete_unwanted_sites(wanted)?;
        self.delete_unwanted_ingresses(wanted);
        self.delete_unwanted_services(wanted);
        let owned = self.view.containers.values().filter(|container| container.owner == Owner::File);
        let unwanted: Vec<_> = owned.filter(|there| !stays(there)).map(|there| there.key.clone()).collect();
        unwanted.into_iter().for_each(|key| self.drop_container(key));
        let nodes: Vec<_> = self.view.nodes.values().filter(|node| node.owner == Owner::File).cloned().collect();
        for node in nodes {
            match (node.name.kind(), node.name.cluster()) {
                (NodeKind::Worker, Some(cluster)) => {
                    let stays = |spec: &ClusterSpec| {
                        worker_names(&cluster, &spec.workers).map(|names| names.contains(&node.name))
                    };
                    if let Some(false) = wanted.clusters.get(&cluster).map(stays).transpose()? {
                        self.delete_worker(&node.name, false)?;
                    }
                }
                (NodeKind::Scratch, _) if !wanted.scratch.contains(&node.name) => self.delete_scratch(&node.name)?,
                _ => {}
            }
        }
        let clusters: Vec<_> =
            self.view.clusters.values().filter(|cluster| cluster.owner == Owner::File).cloned().collect();
        for cluster in clusters.into_iter().filter(|cluster| !wanted.clusters.contains_key(&cluster.name)) {
            self.delete_cluster(&cluster.name, false)?;
        }
        Ok(())
    }

    fn apply_cluster(&mut self, name: &ClusterName, spec: &ClusterSpec) -> Result<(), Failure> {
        let workers = worker_names(name, &spec.workers)?;
        let flannel = spec.flannel.clone().unwrap_or_default();
        match self.view.clusters.get(name).cloned() {
            None => self.create_cluster(name, spec.index, &workers, flannel)?,
            Some(there) => {
                if there.flannel != flannel {
                    if there.owner != Owner::File {
                        return Err(self.exists(
                            "a cluster with another flannel configuration",
                            name.as_str(),
                            &there.owner,
                        ));
                    }
                    self.set_flannel(name, flannel)?;
                }
                let missing: Vec<_> =
                    workers.iter().filter(|worker| !self.view.nodes.contains_key(*worker)).cloned().collect();
                missing.iter().try_for_each(|worker| self.create_worker(worker))?;
            }
        }
        for (container, wanted) in &spec.containers {
            let key = (name.clone(), container.clone());
            let (worker, labels, command) = (wanted.worker.clone(), wanted.labels.clone(), wanted.command.clone());
            self.apply_container(ContainerPlan { key, worker, owner: Owner::File, labels, command })?;
        }
        Ok(())
    }

    fn apply_container(&mut self, wanted: ContainerPlan) -> Result<(), Failure> {
        let Some(there) = self.view.containers.get(&wanted.key).cloned() else {
            return self.create_container(wanted);
        };
        if there.worker == wanted.worker && there.command == wanted.command {
            if there.labels != wanted.labels {
                self.plan.labels.push((wanted.key, wanted.labels));
            }
            return Ok(());
        }
        Err(self.exists("a container", &there.reference().to_string(), &there.owner))
    }

    /// Says what the file leaves alone because somebody else made it.
    fn report_others(&mut self, wanted: &Topology) {
        let containers = self.view.containers.values().filter(|container| container.owner != Owner::File);
        let containers = containers.map(|container| (container.reference().to_string(), &container.owner));
        let nodes =
            self.view.nodes.values().filter(|node| node.owner != Owner::File && !wanted.scratch.contains(&node.name));
        let nodes = nodes.map(|node| (node.name.to_string(), &node.owner));
        let services = self.view.services.values().filter(|service| service.owner != Owner::File);
        let services = services.map(|service| (format!("service {}", service.reference()), &service.owner));
        let ingresses = self.view.ingresses.values().filter(|ingress| ingress.owner != Owner::File);
        let ingresses = ingresses.map(|ingress| (format!("ingress {}", ingress.reference()), &ingress.owner));
        let sites = self.other_sites();
        let notes: Vec<_> = nodes
            .chain(containers)
            .chain(services)
            .chain(ingresses)
            .chain(sites.iter().map(|(name, owner)| (name.clone(), owner)))
            .map(|(name, owner)| format!("{name} stays: it is of {owner}, not of the file"))
            .collect();
        self.plan.notes.extend(notes);
    }
}
