//! Clusters and containers.

use std::fmt;
use std::net::Ipv4Addr;

use crate::bindings::knetsim::lab::{clusters, containers};
use crate::records::{ClusterInfo, ContainerInfo};
use crate::{Error, Place, Result};

/// A cluster that may be changed. Dropping this does not delete it.
#[derive(Debug)]
pub struct Cluster {
    name: String,
    handle: clusters::Cluster,
}

impl Cluster {
    pub(crate) fn new(handle: clusters::Cluster) -> Self {
        Cluster { name: handle.name(), handle }
    }

    /// Its name: `C0`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is now.
    ///
    /// # Errors
    /// It is gone.
    pub fn info(&self) -> Result<ClusterInfo> {
        Ok(self.handle.info()?)
    }

    /// Gives it another overlay: `config` is flannel's own network configuration as JSON. Its agents begin
    /// anew, and its containers are made anew with other addresses.
    ///
    /// # Errors
    /// It is gone, flannel would refuse the configuration, or something failed.
    pub fn set_flannel(&self, config: &str) -> Result<()> {
        Ok(self.handle.set_flannel(config)?)
    }

    /// Deletes it with its nodes.
    ///
    /// # Errors
    /// It has containers, or something failed.
    pub fn delete(self) -> Result<()> {
        Ok(self.handle.delete(false)?)
    }

    /// Deletes it with its nodes and its containers.
    ///
    /// # Errors
    /// Something failed.
    pub fn delete_with_containers(self) -> Result<()> {
        Ok(self.handle.delete(true)?)
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

/// A container that may be changed. Dropping this does not delete it.
#[derive(Debug)]
pub struct Container {
    name: String,
    handle: containers::Container,
}

impl Container {
    pub(crate) fn open(name: &str) -> Result<Self> {
        Ok(Container::new(containers::open(name)?))
    }

    fn new(handle: containers::Container) -> Self {
        Container { name: handle.name(), handle }
    }

    /// Its whole name: `C0w1.c1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is now.
    ///
    /// # Errors
    /// It is gone.
    pub fn info(&self) -> Result<ContainerInfo> {
        Ok(self.handle.info()?)
    }

    /// Its address in the pod network.
    ///
    /// # Errors
    /// It is gone.
    pub fn address(&self) -> Result<Ipv4Addr> {
        let address = self.info()?.address;
        address.parse().map_err(|_| Error::new(format!("{self} has the address {address:?}, which is none")))
    }

    /// Deletes it and ends what runs in it.
    ///
    /// # Errors
    /// Something failed.
    pub fn delete(self) -> Result<()> {
        Ok(self.handle.delete()?)
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

impl Place for Container {
    fn target(&self) -> &str {
        &self.name
    }
}

/// A container as it is to be made: see [`Lab::create_container`](crate::Lab::create_container).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewContainer {
    name: String,
    labels: Vec<(String, String)>,
    command: Vec<String>,
}

impl NewContainer {
    /// An idle one without labels: `C0w1.c1`.
    pub fn new(name: impl Into<String>) -> Self {
        NewContainer { name: name.into(), labels: Vec::new(), command: Vec::new() }
    }

    /// Adds a key and value that selectors choose by.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.push((key.into(), value.into()));
        self
    }

    /// A program and its arguments, started in it at once; its output goes to the container's log.
    #[must_use]
    pub fn command<T: Into<String>>(mut self, argv: impl IntoIterator<Item = T>) -> Self {
        self.command = argv.into_iter().map(Into::into).collect();
        self
    }

    pub(crate) fn create(self) -> Result<Container> {
        Ok(Container::new(containers::create(&self.name, &self.labels, &self.command)?))
    }
}

impl<T: Into<String>> From<T> for NewContainer {
    fn from(name: T) -> Self {
        NewContainer::new(name)
    }
}
