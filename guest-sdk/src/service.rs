//! Services.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::bindings::knetsim::lab::services;
use crate::records::{ServiceInfo, ServicePort, ServiceSpec};
use crate::{Error, Result};

/// A service that may be changed. Dropping this does not delete it.
#[derive(Debug)]
pub struct Service {
    name: String,
    handle: services::Service,
}

impl Service {
    pub(crate) fn create(name: &str, options: ServiceOptions) -> Result<Self> {
        Ok(Service::new(services::create(name, &options.spec)?))
    }

    pub(crate) fn open(name: &str) -> Result<Self> {
        Ok(Service::new(services::open(name)?))
    }

    fn new(handle: services::Service) -> Self {
        Service { name: handle.name(), handle }
    }

    /// Its whole name: `C0.web`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is now.
    ///
    /// # Errors
    /// It is gone.
    pub fn info(&self) -> Result<ServiceInfo> {
        Ok(self.handle.info()?)
    }

    /// Its virtual address.
    ///
    /// # Errors
    /// It is gone.
    pub fn vip(&self) -> Result<Ipv4Addr> {
        let vip = self.info()?.spec.vip.unwrap_or_default();
        vip.parse().map_err(|_| Error::new(format!("{self} has the virtual address {vip:?}, which is none")))
    }

    /// Makes it another one; its address is kept where the options name none. Connections that were made stay
    /// where they are.
    ///
    /// # Errors
    /// It is gone, the options make no sense, or something failed; then it is as it was.
    pub fn change(&self, options: ServiceOptions) -> Result<()> {
        Ok(self.handle.change(&options.spec)?)
    }

    /// Deletes it.
    ///
    /// # Errors
    /// It is gone, or something failed.
    pub fn delete(self) -> Result<()> {
        Ok(self.handle.delete()?)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

/// A service as it shall be: see [`Lab::create_service`](crate::Lab::create_service).
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceOptions {
    spec: ServiceSpec,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        ServiceOptions::new()
    }
}

impl ServiceOptions {
    /// The lowest address that is free, every port and ICMP; endpoints are to be said.
    pub fn new() -> Self {
        let spec = ServiceSpec {
            vip: None,
            ports: Vec::new(),
            selector: Vec::new(),
            endpoints: Vec::new(),
            affinity: None,
            maps: false,
        };
        ServiceOptions { spec }
    }

    /// Its virtual address, of 100.64.0.0/16.
    #[must_use]
    pub fn vip(mut self, vip: impl fmt::Display) -> Self {
        self.spec.vip = Some(vip.to_string());
        self
    }

    /// Serves that TCP port, by `target` of the endpoints.
    #[must_use]
    pub fn port(self, port: u16, target: u16) -> Self {
        self.serve("tcp", port, target)
    }

    /// Serves that UDP port, by `target` of the endpoints.
    #[must_use]
    pub fn udp_port(self, port: u16, target: u16) -> Self {
        self.serve("udp", port, target)
    }

    fn serve(mut self, protocol: &str, port: u16, target: u16) -> Self {
        self.spec.ports.push(ServicePort { name: None, protocol: protocol.to_owned(), port, target });
        self
    }

    /// Its endpoints are the containers that have this label, and all others that were said, as they come and go.
    #[must_use]
    pub fn select(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.spec.selector.push((key.into(), value.into()));
        self
    }

    /// An endpoint that stays whatever becomes of it: a container of the cluster, `c2`, or an address.
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl fmt::Display) -> Self {
        self.spec.endpoints.push(endpoint.to_string());
        self
    }

    /// Keeps each client's endpoint for that long after its last connection, in whole seconds.
    #[must_use]
    pub fn affinity(mut self, within: Duration) -> Self {
        self.spec.affinity = Some(u32::try_from(within.as_secs()).unwrap_or(u32::MAX));
        self
    }

    /// Programmed by entries of maps and not by chains as kube-proxy does: a change costs the same among any number of
    /// services. With ports and without affinity only.
    #[must_use]
    pub fn by_maps(mut self) -> Self {
        self.spec.maps = true;
        self
    }
}
