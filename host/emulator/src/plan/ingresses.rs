//! Ingresses in plans: on which workers, and where their backends are.

use std::net::SocketAddrV4;
use std::sync::Arc;

use knetsim_ingress::Backends;
use knetsim_model::ingress::{Backend, BackendHost, IngressSpec};
use knetsim_model::names::NodeKind;
use knetsim_model::service::{Protocol, is_vip};
use knetsim_model::topology::Topology;
use knetsim_model::{ClusterName, Code, Failure, IngressName, IngressRef, Owner};

use super::{Planner, ServicePlan, services};

/// An ingress's identity: its name is unique in its cluster.
pub type IngressKey = (ClusterName, IngressName);

/// An ingress as it is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct IngressPlan {
    /// Its cluster and its name in it.
    pub key: IngressKey,
    /// Who makes it.
    pub owner: Owner,
    /// What it is.
    pub spec: IngressSpec,
    /// Where its backends are.
    pub backends: Backends,
}

impl IngressPlan {
    /// Its whole name.
    pub fn reference(&self) -> IngressRef {
        let (cluster, name) = self.key.clone();
        IngressRef { cluster, name }
    }

    /// Whether nginx can become another one without being started anew.
    fn is_at_the_same_place(&self, spec: &IngressSpec) -> bool {
        self.spec.worker == spec.worker && self.spec.port == spec.port
    }
}

impl Planner {
    pub(super) fn create_ingress(
        &mut self,
        ingress: IngressRef,
        spec: IngressSpec,
        replace: bool,
    ) -> Result<(), Failure> {
        let key = (ingress.cluster, ingress.name);
        let mut owner = self.owner.clone();
        if let Some(there) = self.view.ingresses.get(&key).cloned() {
            if !replace {
                let clash = self.exists("an ingress", &there.reference().to_string(), &there.owner);
                return Err(services::replaceable(clash));
            }
            owner.clone_from(&there.owner);
            if !there.is_at_the_same_place(&spec) {
                self.drop_ingress(key.clone());
            }
        }
        self.put_ingress(key, spec, owner)
    }

    pub(super) fn delete_ingress(&mut self, ingress: &IngressRef) -> Result<(), Failure> {
        let key = (ingress.cluster.clone(), ingress.name.clone());
        if !self.view.ingresses.contains_key(&key) {
            return Err(Failure::not_found(format!("there is no ingress {ingress}")));
        }
        self.drop_ingress(key);
        Ok(())
    }

    pub(super) fn drop_ingress(&mut self, key: IngressKey) {
        self.view.ingresses.remove(&key);
        self.plan.delete_ingresses.push(key);
    }

    /// An ingress that is new, or becomes another. Where its backends are is settled when everything else is planned.
    fn put_ingress(&mut self, key: IngressKey, spec: IngressSpec, owner: Owner) -> Result<(), Failure> {
        let whole = format!("ingress {}.{}", key.0, key.1);
        let worker = &spec.worker;
        if !self.view.clusters.contains_key(&key.0) {
            return Err(Failure::not_found(format!("{whole}: there is no cluster {}", key.0)));
        }
        if worker.cluster().as_ref() != Some(&key.0) || worker.kind() != NodeKind::Worker {
            return Err(Failure::invalid(format!("{whole} needs a worker of {}, not {worker}", key.0)));
        }
        if !self.view.nodes.contains_key(worker) {
            return Err(Failure::not_found(format!("{whole}: there is no worker {worker}")));
        }
        spec.validate().map_err(|why| Failure::invalid(format!("{whole}: {why}")))?;
        let mut others = self.view.ingresses.values().filter(|other| other.key != key);
        if let Some(there) = others.find(|other| other.is_at_the_same_place(&spec)) {
            let what = format!("port {} of {worker} is that of ingress {} already", spec.port, there.reference());
            return Err(self.taken(&what, &there.owner));
        }
        let ingress = IngressPlan { key: key.clone(), owner, spec, backends: Backends::new() };
        self.view.ingresses.insert(key, Arc::new(ingress));
        Ok(())
    }

    /// Finds all backends, when everything else is planned: also those of ingresses that were there before, whose
    /// services may have another address now, or go.
    pub(super) fn settle_ingresses(&mut self) -> Result<(), Failure> {
        for ingress in self.view.ingresses.values() {
            let before = self.before.get(&ingress.key).filter(|_| !self.plan.delete_ingresses.contains(&ingress.key));
            let find = |backend: &Backend| self.backend(&ingress.key.0, backend).map(|there| (backend.clone(), there));
            let backends =
                ingress.spec.backends().map(find).collect::<Result<_, _>>().map_err(|failure: Failure| {
                    let whole = format!("ingress {}", ingress.reference());
                    match before {
                        Some(there) if there.spec == ingress.spec => Failure::new(
                            Code::Exists,
                            format!(
                                "{whole} (of {}) would lose a backend: {}; change or delete it first",
                                there.owner, failure.message
                            ),
                        ),
                        _ => Failure::new(failure.code, format!("{whole}: {}", failure.message)),
                    }
                })?;
            let settled = Arc::new(IngressPlan { backends, ..(**ingress).clone() });
            if before != Some(&settled) {
                self.plan.ingresses.push(settled);
            }
        }
        Ok(())
    }

    /// Where a backend is.
    fn backend(&self, cluster: &ClusterName, backend: &Backend) -> Result<SocketAddrV4, Failure> {
        let found = match &backend.to {
            BackendHost::Service(name) => self.view.services.get(&(cluster.clone(), name.clone())),
            BackendHost::Address(address) if !is_vip(*address) => return Ok(SocketAddrV4::new(*address, backend.port)),
            BackendHost::Address(vip) => {
                self.view.services.values().find(|service| service.key.0 == *cluster && service.vip == *vip)
            }
        };
        let Some(service) = found else {
            return Err(Failure::not_found(match &backend.to {
                BackendHost::Service(name) => format!("there is no service {cluster}.{name} for backend {backend}"),
                BackendHost::Address(vip) => {
                    format!("no service of {cluster} has the address {vip} of backend {backend}")
                }
            }));
        };
        if !serves(service, backend.port) {
            let message = format!(
                "service {} does not serve TCP port {} of backend {backend}",
                service.reference(),
                backend.port
            );
            return Err(Failure::invalid(message));
        }
        Ok(SocketAddrV4::new(service.vip, backend.port))
    }

    /// Deletes what the file owned and no longer names, and what it wants at another place: that is made anew.
    pub(super) fn delete_unwanted_ingresses(&mut self, wanted: &Topology) {
        let owned = self.view.ingresses.values().filter(|ingress| ingress.owner == Owner::File);
        let unwanted = owned.filter(|ingress| {
            let (cluster, name) = &ingress.key;
            let spec = wanted.clusters.get(cluster).and_then(|spec| spec.ingresses.get(name));
            !spec.is_some_and(|spec| ingress.is_at_the_same_place(spec))
        });
        let unwanted: Vec<_> = unwanted.map(|ingress| ingress.key.clone()).collect();
        unwanted.into_iter().for_each(|key| self.drop_ingress(key));
    }

    /// Makes and changes the ingresses of a file, when its workers are planned.
    pub(super) fn apply_ingresses(&mut self, wanted: &Topology) -> Result<(), Failure> {
        for (cluster, spec) in &wanted.clusters {
            for (name, spec) in &spec.ingresses {
                let key = (cluster.clone(), name.clone());
                match self.view.ingresses.get(&key) {
                    Some(there) if there.spec == *spec => {}
                    Some(there) if there.owner != Owner::File => {
                        return Err(self.exists("another ingress", &there.reference().to_string(), &there.owner));
                    }
                    _ => self.put_ingress(key, spec.clone(), Owner::File)?,
                }
            }
        }
        Ok(())
    }
}

fn serves(service: &ServicePlan, port: u16) -> bool {
    let ports = &service.spec.ports;
    ports.is_empty() || ports.iter().any(|there| there.protocol == Protocol::Tcp && there.port == port)
}
