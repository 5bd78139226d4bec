//! Interface `services`: `knetsim create|delete service`.

use knetsim_model::service::{Layout, Protocol, ServicePort, ServiceSpec};
use knetsim_model::{Failure, Operation, ServiceRef};
use wasmtime::component::Resource;

use super::wit::services::{Host, HostService, ServiceInfo};
use super::wit::types;
use super::{State, name};
use crate::grants::Grant;
use crate::limits::Limit;

/// A service that the lab may change.
pub struct Service(ServiceRef);

impl Host for State {
    async fn create(&mut self, service: String, spec: types::ServiceSpec) -> Result<Resource<Service>, Failure> {
        self.rights.need(Grant::Services)?;
        self.room(Limit::Services, self.made.services.len(), 1)?;
        let (service, spec) = (name::<ServiceRef>(&service)?, spec.try_into()?);
        self.submit(Operation::CreateService { service: service.clone(), spec, replace: false }).await?;
        self.made.services.insert(service.clone());
        self.hand_out(Service(service))
    }

    async fn open(&mut self, service: String) -> Result<Resource<Service>, Failure> {
        self.rights.need(Grant::Services)?;
        let service = name(&service)?;
        self.service_info(&service)?;
        self.hand_out(Service(service))
    }
}

impl HostService for State {
    fn name(&mut self, this: Resource<Service>) -> wasmtime::Result<String> {
        Ok(self.handle(&this)?.0.to_string())
    }

    async fn info(&mut self, this: Resource<Service>) -> Result<ServiceInfo, Failure> {
        self.service_info(&self.handle(&this)?.0)
    }

    async fn change(&mut self, this: Resource<Service>, spec: types::ServiceSpec) -> Result<(), Failure> {
        let service = self.handle(&this)?.0.clone();
        // One that is gone is not made again.
        self.service_info(&service)?;
        self.submit(Operation::CreateService { service, spec: spec.try_into()?, replace: true }).await
    }

    async fn delete(&mut self, this: Resource<Service>) -> Result<(), Failure> {
        let service = self.handle(&this)?.0.clone();
        self.submit(Operation::DeleteService { service: service.clone() }).await?;
        self.made.services.remove(&service);
        Ok(())
    }

    async fn drop(&mut self, this: Resource<Service>) -> wasmtime::Result<()> {
        self.drop_handle(this)
    }
}

impl TryFrom<types::ServiceSpec> for ServiceSpec {
    type Error = Failure;
    fn try_from(spec: types::ServiceSpec) -> Result<Self, Failure> {
        Ok(ServiceSpec {
            vip: spec.vip.as_deref().map(name).transpose()?,
            ports: spec.ports.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            selector: (!spec.selector.is_empty()).then(|| spec.selector.into_iter().collect()),
            endpoints: spec.endpoints.iter().map(|endpoint| name(endpoint)).collect::<Result<_, _>>()?,
            affinity: spec.affinity,
            layout: if spec.maps { Layout::Maps } else { Layout::Chains },
        })
    }
}

impl From<ServiceSpec> for types::ServiceSpec {
    fn from(spec: ServiceSpec) -> Self {
        types::ServiceSpec {
            vip: spec.vip.map(|vip| vip.to_string()),
            ports: spec.ports.into_iter().map(Into::into).collect(),
            selector: spec.selector.into_iter().flatten().collect(),
            endpoints: spec.endpoints.iter().map(ToString::to_string).collect(),
            affinity: spec.affinity,
            maps: spec.layout == Layout::Maps,
        }
    }
}

impl TryFrom<types::ServicePort> for ServicePort {
    type Error = Failure;
    fn try_from(port: types::ServicePort) -> Result<Self, Failure> {
        let protocol = match port.protocol.as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            other => {
                let words = format!("`{}` is no protocol of a service: tcp or udp", other.escape_debug());
                return Err(Failure::invalid(words));
            }
        };
        let target = (port.target != port.port).then_some(port.target);
        Ok(ServicePort { name: port.name.as_deref().map(name).transpose()?, protocol, port: port.port, target })
    }
}

impl From<ServicePort> for types::ServicePort {
    fn from(port: ServicePort) -> Self {
        types::ServicePort {
            target: port.target(),
            name: port.name.map(|name| name.to_string()),
            protocol: port.protocol.as_str().to_owned(),
            port: port.port,
        }
    }
}
