//! Ingresses: nginx on a worker, started, changed and stopped.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use futures::future::join_all;
use knetsim_ingress::{IngressError, Nginx};
use knetsim_kernel::files;
use knetsim_model::inventory::{Health, IngressInfo};
use knetsim_model::{Code, Failure, IngressRef};

use crate::Emulator;
use crate::plan::{IngressKey, IngressPlan, Plan};

/// An ingress.
#[derive(Clone)]
pub(crate) struct Ingress {
    pub(crate) plan: Arc<IngressPlan>,
    /// Its worker's.
    address: Ipv4Addr,
    nginx: Arc<Nginx>,
}

impl Ingress {
    pub(crate) fn info(&self) -> IngressInfo {
        let (cluster, name) = self.plan.key.clone();
        let health = match self.nginx.is_up() {
            true => Health::Ready,
            false => Health::Broken("nginx is down".to_owned()),
        };
        let (owner, spec) = (self.plan.owner.clone(), self.plan.spec.clone());
        IngressInfo { name, cluster, owner, spec, address: self.address, health }
    }

    async fn change(&self, plan: &IngressPlan) -> Result<(), Failure> {
        self.nginx.change(&plan.spec, &plan.backends).await.map_err(|error| failed(plan, &error))
    }
}

impl Emulator {
    /// Starts and changes the ingresses of a plan, or leaves all as they were.
    pub(crate) async fn make_ingresses(&self, plan: &Plan) -> Result<(), Failure> {
        let mut before: Vec<(IngressKey, Option<Ingress>)> = Vec::new();
        for ingress in &plan.ingresses {
            let there = self.state().ingresses.get(&ingress.key).cloned();
            let made = match &there {
                Some(there) => there.change(ingress).await.map(|()| Ingress { plan: ingress.clone(), ..there.clone() }),
                None => self.start_ingress(ingress).await,
            };
            let made = match made {
                Ok(made) => made,
                Err(failure) => {
                    self.restore_ingresses(before).await;
                    return Err(failure);
                }
            };
            self.state().ingresses.insert(ingress.key.clone(), made);
            let say = if there.is_none() { Emulator::created } else { Emulator::changed };
            say(self, "ingress", &ingress.reference().to_string());
            before.push((ingress.key.clone(), there));
        }
        Ok(())
    }

    /// An ingress's access log, open.
    ///
    /// # Errors
    /// There is no such ingress, or something else lies in the log's place.
    pub fn access_log(&self, name: &IngressRef) -> Result<OwnedFd, Failure> {
        let missing = || Failure::not_found(format!("there is no ingress {name}"));
        let key = (name.cluster.clone(), name.name.clone());
        let worker = self.state().ingresses.get(&key).map(|ingress| ingress.plan.spec.worker.clone());
        let node = self.state().node(&worker.ok_or_else(missing)?)?;
        let log = files::open(&node.place.files, knetsim_ingress::access_log(&name.name));
        Ok(log.map_err(|error| Failure::failed(format!("the access log of {name}"), &error))?.into())
    }

    async fn start_ingress(&self, plan: &Arc<IngressPlan>) -> Result<Ingress, Failure> {
        let node = self.state().node(&plan.spec.worker)?;
        let events = self.inner.events.clone();
        let what = (&plan.spec, &plan.backends);
        let nginx = Nginx::start(self.sandbox(), &node.place, &plan.key.1, what, events).await;
        let nginx = Arc::new(nginx.map_err(|error| failed(plan, &error))?);
        Ok(Ingress { plan: plan.clone(), address: node.plan.address, nginx })
    }

    /// The first failure is the one to tell: those in here are not.
    async fn restore_ingresses(&self, before: Vec<(IngressKey, Option<Ingress>)>) {
        for (key, there) in before {
            match there {
                None => drop(self.stop_ingress(&key).await),
                Some(there) => {
                    let _ = there.change(&there.plan).await;
                    self.state().ingresses.insert(key, there);
                }
            }
        }
    }

    /// Stops the ingresses that a plan deletes; requests that are under way are broken off. Goes on past errors.
    pub(crate) async fn stop_ingresses(&self, plan: &Plan) -> Result<(), Failure> {
        let stopped = join_all(plan.delete_ingresses.iter().map(|key| self.stop_ingress(key))).await;
        stopped.into_iter().collect()
    }

    async fn stop_ingress(&self, key: &IngressKey) -> Result<(), Failure> {
        let Some(ingress) = self.state().ingresses.remove(key) else { return Ok(()) };
        let stopped = ingress.nginx.stop().await.map_err(|error| failed(&ingress.plan, &error));
        self.deleted("ingress", &ingress.plan.reference().to_string());
        stopped
    }
}

fn failed(plan: &IngressPlan, error: &IngressError) -> Failure {
    let doing = format!("ingress {} on {}", plan.reference(), plan.spec.worker);
    match error {
        IngressError::Refused(_) | IngressError::Expression { .. } => {
            Failure { code: Code::Invalid, ..Failure::failed(doing, error) }
        }
        _ => Failure::failed(doing, error),
    }
}
