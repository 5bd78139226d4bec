//! Services in plans: which there will be, at which addresses, and what their endpoints lose.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use knetsim_model::service::{Endpoint, ServiceSpec};
use knetsim_model::topology::Topology;
use knetsim_model::{ClusterName, Code, Failure, Owner, ServiceName, ServiceRef, underlay};

use super::Planner;

/// A service's identity: its name is unique in its cluster.
pub type ServiceKey = (ClusterName, ServiceName);

/// A service as it is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct ServicePlan {
    /// Its cluster and its name in it.
    pub key: ServiceKey,
    /// Who makes it.
    pub owner: Owner,
    /// Its virtual address.
    pub vip: Ipv4Addr,
    /// What it is, its address included.
    pub spec: ServiceSpec,
}

impl ServicePlan {
    /// Its whole name.
    pub fn reference(&self) -> ServiceRef {
        let (cluster, name) = self.key.clone();
        ServiceRef { cluster, name }
    }
}

/// A clash of names, with what to do where that was meant.
pub(super) fn replaceable(clash: Failure) -> Failure {
    Failure { message: format!("{}; to change it, use --replace", clash.message), ..clash }
}

impl Planner {
    pub(super) fn create_service(
        &mut self,
        service: ServiceRef,
        spec: ServiceSpec,
        replace: bool,
    ) -> Result<(), Failure> {
        let key = (service.cluster, service.name);
        match self.view.services.get(&key) {
            Some(there) if !replace => {
                Err(replaceable(self.exists("a service", &there.reference().to_string(), &there.owner)))
            }
            _ => self.put_service(key, spec),
        }
    }

    pub(super) fn delete_service(&mut self, service: &ServiceRef) -> Result<(), Failure> {
        let key = (service.cluster.clone(), service.name.clone());
        if !self.view.services.contains_key(&key) {
            return Err(Failure::not_found(format!("there is no service {service}")));
        }
        self.drop_service(key);
        Ok(())
    }

    pub(super) fn drop_service(&mut self, key: ServiceKey) {
        self.view.services.remove(&key);
        self.plan.delete_services.push(key);
    }

    /// A service that is new, or becomes another. It keeps its owner, and its address where the new one names none.
    fn put_service(&mut self, key: ServiceKey, mut spec: ServiceSpec) -> Result<(), Failure> {
        let there = self.view.services.get(&key).cloned();
        let whole = format!("service {}.{}", key.0, key.1);
        if !self.view.clusters.contains_key(&key.0) {
            return Err(Failure::not_found(format!("{whole}: there is no cluster {}", key.0)));
        }
        spec.vip = spec.vip.or(there.as_ref().map(|there| there.vip));
        spec.validate().map_err(|why| Failure::invalid(format!("{whole}: {why}")))?;
        for endpoint in &spec.endpoints {
            let Endpoint::Container(name) = endpoint else { continue };
            // One that is gone may stay what it was: the address that it had.
            let stays = there.as_ref().is_some_and(|there| there.spec.endpoints.contains(endpoint));
            if !stays && !self.view.containers.contains_key(&(key.0.clone(), name.clone())) {
                let message = format!("{whole}: there is no container {}.{name} for its endpoint", key.0);
                return Err(Failure::not_found(message));
            }
        }
        let vip = self.vip(&key, spec.vip)?;
        let owner = there.map_or_else(|| self.owner.clone(), |there| there.owner.clone());
        let service =
            Arc::new(ServicePlan { key: key.clone(), owner, vip, spec: ServiceSpec { vip: Some(vip), ..spec } });
        self.view.services.insert(key, service.clone());
        self.plan.services.push(service);
        Ok(())
    }

    /// The address that was asked for, or the lowest that is free.
    fn vip(&self, key: &ServiceKey, given: Option<Ipv4Addr>) -> Result<Ipv4Addr, Failure> {
        let others = self.view.services.values().filter(|other| other.key.0 == key.0 && other.key != *key);
        if let Some(vip) = given {
            return match others.clone().find(|other| other.vip == vip) {
                Some(there) => {
                    let what = format!("{vip} is the address of service {} already", there.reference());
                    Err(self.taken(&what, &there.owner))
                }
                None => Ok(vip),
            };
        }
        let used: BTreeSet<Ipv4Addr> = others.map(|other| other.vip).collect();
        underlay::SERVICES
            .hosts()
            .find(|vip| !used.contains(vip))
            .ok_or_else(|| Failure::new(Code::Limit, format!("all addresses of {} have services", underlay::SERVICES)))
    }

    /// Deletes what the file owned and no longer names.
    pub(super) fn delete_unwanted_services(&mut self, wanted: &Topology) {
        let stays = |(cluster, name): &ServiceKey| {
            wanted.clusters.get(cluster).is_some_and(|spec| spec.services.contains_key(name))
        };
        let owned = self.view.services.values().filter(|service| service.owner == Owner::File);
        let unwanted: Vec<_> = owned.map(|service| service.key.clone()).filter(|key| !stays(key)).collect();
        unwanted.into_iter().for_each(|key| self.drop_service(key));
    }

    /// Makes and changes the services of a file, when its containers are planned.
    pub(super) fn apply_services(&mut self, wanted: &Topology) -> Result<(), Failure> {
        let all = wanted.clusters.iter().flat_map(|(cluster, spec)| {
            spec.services.iter().map(|(name, spec)| ((cluster.clone(), name.clone()), spec.clone()))
        });
        let mut differ = Vec::new();
        for (key, spec) in all {
            let Some(there) = self.view.services.get(&key) else {
                differ.push((key, spec));
                continue;
            };
            let spec = ServiceSpec { vip: spec.vip.or(Some(there.vip)), ..spec };
            if there.spec == spec {
                continue;
            }
            if there.owner != Owner::File {
                return Err(self.exists("another service", &there.reference().to_string(), &there.owner));
            }
            differ.push((key, spec));
        }
        // Two may change places: neither has its address any more. Who names none takes what is left.
        let free = |there: &Arc<ServicePlan>| Arc::new(ServicePlan { vip: Ipv4Addr::UNSPECIFIED, ..(**there).clone() });
        for (key, _) in &differ {
            if let Some(there) = self.view.services.get_mut(key) {
                *there = free(there);
            }
        }
        differ.sort_by_key(|(_, spec)| spec.vip.is_none());
        differ.into_iter().try_for_each(|(key, spec)| self.put_service(key, spec))
    }

    /// Says which services keep sending connections to a container that goes.
    pub(super) fn note_dead_endpoints(&mut self) {
        for (cluster, name) in &self.plan.delete_containers {
            if self.view.containers.contains_key(&(cluster.clone(), name.clone())) {
                continue;
            }
            let endpoint = Endpoint::Container(name.clone());
            let users = self.view.services.values();
            for user in users.filter(|user| user.key.0 == *cluster && user.spec.endpoints.contains(&endpoint)) {
                self.plan.notes.push(format!(
                    "{cluster}.{name} stays an endpoint of service {}, by its fixed list: its share of the connections fails",
                    user.reference()
                ));
            }
        }
    }
}
