//! Containers: made, deleted, relabelled.
//!
//! "Create container", read downwards: [`Emulator::submit`](crate::Emulator::submit) plans it,
//! [`make_container`](crate::Emulator) does it with three things of the layers below:
//!
//! | what | by | as a person would |
//! |---|---|---|
//! | a network namespace | [`knetsim_sandbox::Sandbox::create_named_netns`] | `ip netns add c1` |
//! | `eth0`, address, routes | [`knetsim_cni::Runtime::add`] | `cnitool add C0w1 /var/run/netns/c1` |
//! | its command | [`knetsim_sandbox::Sandbox::spawn`] | `ip netns exec c1 CMD` |

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use knetsim_cni::{Attachment, container_id};
use knetsim_kernel::netns::NetNs;
use knetsim_model::{Code, ContainerRef, Failure, NodeName, Target};
use knetsim_sandbox::Profile;
use tokio::task::spawn_blocking;

use crate::Emulator;
use crate::exec::ExecSpec;
use crate::logs::CommandLog;
use crate::plan::{ContainerKey, ContainerPlan};
use crate::state::{Container, Node, Role};

impl Emulator {
    /// Makes a container, or nothing.
    pub(crate) async fn make_container(&self, plan: &ContainerPlan) -> Result<(), Failure> {
        let reference = plan.reference();
        let doing = || format!("container {reference}");
        let node = self.state().node(&plan.worker)?;
        let namespace = self.sandbox().create_named_netns(&plan.worker, plan.key.1.as_str()).await;
        let namespace = namespace.map_err(|error| Failure::failed(doing(), &error))?;
        if let Err(failure) = self.fill(plan, &node, &namespace).await {
            let half = self.state().containers.remove(&plan.key);
            // The first failure is the one to tell.
            let _ = self.empty(&reference, &node, &namespace).await;
            let _ = spawn_blocking(move || half.map_or(Ok(()), |half| half.log.remove())).await;
            return Err(failure);
        }
        self.created("container", &reference.to_string());
        Ok(())
    }

    /// Gives a new namespace its network and its command, and enters the container.
    async fn fill(&self, plan: &ContainerPlan, node: &Node, namespace: &NetNs) -> Result<(), Failure> {
        let reference = plan.reference();
        let doing = || format!("container {reference}");
        let name = plan.key.1.as_str();
        let cni = cni(node)?;
        let network = cni.network(plan.worker.as_str()).map_err(|error| Failure::failed(doing(), &error))?;
        let result = cni.add(&network, &attachment(name, Some(namespace))).await;
        let result = result.map_err(|error| Failure::failed(doing(), &error))?;
        let Some(IpAddr::V4(address)) = result.address() else {
            return Err(Failure::new(Code::Failed, format!("{}: CNI gave no IPv4 address", doing())));
        };
        let log = Arc::new(CommandLog::new());
        let container = Container { plan: plan.clone(), namespace: namespace.clone(), address, log };
        self.state().containers.insert(plan.key.clone(), Arc::new(container));
        if !plan.command.is_empty() {
            let spec = ExecSpec { command: plan.command.clone(), profile: Profile::Node, ..ExecSpec::default() };
            self.spawn(&Target::Container(reference.clone()), spec).await?;
        }
        Ok(())
    }

    /// Deletes a container and everything that runs in it. Goes on past errors, and tells them all.
    pub(crate) async fn delete_container(&self, key: &ContainerKey) -> Result<(), Failure> {
        let removed = self.state().containers.remove(key);
        let (cluster, name) = key;
        let container = removed.ok_or_else(|| Failure::not_found(format!("there is no container {cluster}.{name}")))?;
        let reference = container.plan.reference();
        let log = container.clone();
        let forgotten = spawn_blocking(move || log.log.remove()).await.map_err(io::Error::other).flatten();
        let forgotten = forgotten.map_err(|error| Failure::failed(format!("delete the log of {reference}"), &error));
        let node = self.state().node(&container.plan.worker);
        let emptied = match node {
            Ok(node) => self.empty(&reference, &node, &container.namespace).await,
            Err(failure) => Err(failure),
        };
        self.deleted("container", &reference.to_string());
        Failure::all([emptied, forgotten])
    }

    /// Takes from a namespace what [`Emulator::fill`] gave it. Can be repeated.
    async fn empty(&self, reference: &ContainerRef, node: &Node, namespace: &NetNs) -> Result<(), Failure> {
        let doing = || format!("delete container {reference}");
        self.inner.captures.end_in(namespace);
        self.state().dropped_routes.forget(namespace);
        let ended = self.sandbox().kill_in(namespace).await.map_err(|error| Failure::failed(doing(), &error));
        let unplugged = self.unplug(node, reference).await.map_err(|error| Failure::failed(doing(), &error));
        let unnamed = self.sandbox().detach(&node.plan.name, reference.name.as_str()).await;
        Failure::all([ended, unplugged, unnamed.map_err(|error| Failure::failed(doing(), &error))])
    }

    /// CNI's DEL. The namespace goes as a whole, and its devices with it, at a hundredth of the price of each.
    async fn unplug(&self, node: &Node, reference: &ContainerRef) -> Result<(), knetsim_cni::Error> {
        let Role::Worker { cni, .. } = &node.role else { return Ok(()) };
        let attachment = attachment(reference.name.as_str(), None);
        let network = cni.network_of(node.plan.name.as_str(), &attachment)?;
        cni.del(&network, &attachment).await
    }

    /// Other labels for a container that stays as it is.
    pub(crate) fn relabel(&self, key: &ContainerKey, labels: BTreeMap<String, String>) {
        let reference = self.state().containers.get_mut(key).map(|container| {
            let plan = ContainerPlan { labels, ..container.plan.clone() };
            *container = Arc::new(container.with_plan(plan));
            container.plan.reference()
        });
        reference.iter().for_each(|reference| self.changed("container", &reference.to_string()));
    }
}

/// How CNI knows a container: as `cnitool` does, so that what one of the two has connected the other can disconnect.
fn attachment(name: &str, namespace: Option<&NetNs>) -> Attachment {
    let path = format!("/var/run/netns/{name}");
    Attachment::new(&container_id(&path), namespace.cloned(), &path)
}

fn cni(node: &Node) -> Result<&knetsim_cni::Runtime, Failure> {
    match &node.role {
        Role::Worker { cni, .. } => Ok(cni),
        _ => Err(not_a_worker(&node.plan.name)),
    }
}

pub(crate) fn not_a_worker(name: &NodeName) -> Failure {
    Failure::invalid(format!("{name} is not a worker"))
}
