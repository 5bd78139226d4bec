//! Services: where their connections go now, and all workers of the cluster told so.
//!
//! "Delete container", as far as services go: [`program_services`](crate::Emulator) has told every worker that it
//! is leaving before anything of it goes; so no new connection meets it half gone.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use futures::{StreamExt, stream};
use ipnet::Ipv4Net;
use knetsim_model::inventory::ServiceInfo;
use knetsim_model::service::Endpoint;
use knetsim_model::{ClusterName, Code, ContainerName, Failure, ServiceName, chain};
use knetsim_services::Desired;

use crate::Emulator;
use crate::plan::{ContainerKey, Plan, ServiceKey, ServicePlan};
use crate::state::{Role, State};

/// How many workers are told at the same time: each takes a thread and an `nft`.
const AT_ONCE: usize = 16;

/// A service.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) plan: Arc<ServicePlan>,
    /// The addresses that the containers of its fixed list have or had.
    last: BTreeMap<ContainerName, Ipv4Addr>,
    /// What the workers were told last.
    told: Arc<knetsim_services::Service>,
}

/// Services as they were before they were made or changed; none for those that were not there.
pub(crate) type Before = Vec<(ServiceKey, Option<Service>)>;

impl Service {
    fn new(plan: Arc<ServicePlan>) -> Self {
        let (vip, ports, affinity, layout) = (plan.vip, plan.spec.ports.clone(), plan.spec.affinity, plan.spec.layout);
        let told = Arc::new(knetsim_services::Service { vip, ports, affinity, backends: Vec::new(), layout });
        Service { plan, last: BTreeMap::new(), told }
    }

    /// Where its connections go now.
    fn backends(&mut self, containers: &Containers<'_>) -> Vec<Ipv4Addr> {
        let mut backends = match &self.plan.spec.selector {
            Some(labels) => containers.selected(labels),
            None => {
                let mut fixed = Vec::new();
                for endpoint in &self.plan.spec.endpoints {
                    match endpoint {
                        Endpoint::Address(address) => fixed.push(*address),
                        Endpoint::Container(name) => {
                            if let Some(address) = containers.by_name.get(name) {
                                self.last.insert(name.clone(), *address);
                            }
                            fixed.extend(self.last.get(name));
                        }
                    }
                }
                fixed
            }
        };
        backends.sort_unstable();
        backends.dedup();
        backends
    }

    pub(crate) fn info(&self) -> ServiceInfo {
        let (cluster, name) = self.plan.key.clone();
        let (owner, spec) = (self.plan.owner.clone(), self.plan.spec.clone());
        ServiceInfo { name, cluster, owner, spec, backends: self.told.backends.clone() }
    }
}

/// The containers of a cluster that connections may go to.
#[derive(Default)]
struct Containers<'a> {
    by_name: BTreeMap<&'a ContainerName, Ipv4Addr>,
    by_label: BTreeMap<(&'a str, &'a str), Vec<Labelled<'a>>>,
}

/// All labels of a container, and its address.
type Labelled<'a> = (&'a BTreeMap<String, String>, Ipv4Addr);

impl<'a> Containers<'a> {
    fn of(
        state: &'a BTreeMap<ContainerKey, Arc<crate::state::Container>>,
        cluster: &ClusterName,
        leaving: &[ContainerKey],
    ) -> Self {
        let mut found = Containers::default();
        for ((_, name), container) in state.iter().filter(|(key, _)| key.0 == *cluster && !leaving.contains(key)) {
            found.by_name.insert(name, container.address);
            let labels = &container.plan.labels;
            for (key, value) in labels {
                found.by_label.entry((key, value)).or_default().push((labels, container.address));
            }
        }
        found
    }

    /// Those that have all these labels.
    fn selected(&self, labels: &BTreeMap<String, String>) -> Vec<Ipv4Addr> {
        let Some((key, value)) = labels.first_key_value() else { return Vec::new() };
        let some = self.by_label.get(&(key.as_str(), value.as_str())).into_iter().flatten();
        let all = |there: &BTreeMap<String, String>| labels.iter().all(|(key, value)| there.get(key) == Some(value));
        some.filter(|(there, _)| all(there)).map(|(_, address)| *address).collect()
    }
}

impl State {
    /// What the workers of a cluster shall do, when those containers have gone.
    fn desired(&mut self, cluster: &ClusterName, pod_network: Ipv4Net, leaving: &[ContainerKey]) -> Desired {
        if !self.services.keys().any(|(of, _)| of == cluster) {
            return Desired { pod_network, services: BTreeMap::new() };
        }
        let containers = Containers::of(&self.containers, cluster, leaving);
        let mut services: BTreeMap<ServiceName, Arc<knetsim_services::Service>> = BTreeMap::new();
        for ((_, name), service) in self.services.iter_mut().filter(|(key, _)| key.0 == *cluster) {
            let backends = service.backends(&containers);
            if service.told.backends != backends {
                service.told = Arc::new(knetsim_services::Service { backends, ..(*service.told).clone() });
            }
            services.insert(name.clone(), service.told.clone());
        }
        Desired { pod_network, services }
    }
}

impl Emulator {
    /// Tells all workers where connections of services go, when those containers have gone. Goes on past errors.
    pub(crate) async fn program_services(&self, leaving: &[ContainerKey]) -> Result<(), Failure> {
        let mut agents = Vec::new();
        {
            let mut state = self.state();
            let clusters: Vec<_> = state.clusters.values().map(|cluster| cluster.plan.clone()).collect();
            for cluster in clusters {
                let desired = Arc::new(state.desired(&cluster.name, cluster.flannel.network, leaving));
                let nodes =
                    state.nodes.values().filter(|node| node.plan.name.cluster().as_ref() == Some(&cluster.name));
                for node in nodes {
                    if let Role::Worker { services, .. } = &node.role {
                        agents.push((services.clone(), desired.clone()));
                    }
                }
            }
        }
        let programmed = stream::iter(agents).map(|(agent, desired)| async move { agent.program(&desired).await });
        let programmed: Vec<_> = programmed.buffer_unordered(AT_ONCE).collect().await;
        let failures: Vec<_> =
            programmed.iter().filter_map(|result| result.as_ref().err()).map(|error| chain(error)).collect();
        if failures.is_empty() { Ok(()) } else { Err(Failure::new(Code::Failed, failures.join("; "))) }
    }

    /// Forgets services that a plan deletes; the workers are told later.
    pub(crate) fn remove_services(&self, plan: &Plan) {
        let mut state = self.state();
        for key in &plan.delete_services {
            state.services.remove(key);
        }
    }

    /// Enters and changes the services of a plan, and tells the workers; or leaves all as it was. Gives what was before.
    pub(crate) async fn make_services(&self, plan: &Plan) -> Result<Before, Failure> {
        let before: Before = {
            let mut state = self.state();
            let put = |plan: &Arc<ServicePlan>| {
                let mut service = Service::new(plan.clone());
                let before = state.services.remove(&plan.key);
                if let Some(before) = &before {
                    service.last.clone_from(&before.last);
                }
                state.services.insert(plan.key.clone(), service);
                (plan.key.clone(), before)
            };
            plan.services.iter().map(put).collect()
        };
        if let Err(failure) = self.program_services(&[]).await {
            self.restore_services(before).await;
            return Err(failure);
        }
        for ((cluster, name), there) in &before {
            let say = if there.is_none() { Emulator::created } else { Emulator::changed };
            say(self, "service", &format!("{cluster}.{name}"));
        }
        Ok(before)
    }

    /// Makes services again what they were before a plan. The failure that led to this is the one to tell.
    pub(crate) async fn restore_services(&self, before: Before) {
        if before.is_empty() {
            return;
        }
        {
            let mut state = self.state();
            for (key, service) in before {
                state.services.remove(&key);
                state.services.extend(service.map(|service| (key, service)));
            }
        }
        let _ = self.program_services(&[]).await;
    }
}
