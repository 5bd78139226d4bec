//! Workers and scratch nodes.

use std::fmt;

use crate::bindings::knetsim::lab::workers;
use crate::records::NodeInfo;
use crate::{Container, NewContainer, Place, Result};

/// A worker that may be changed. Dropping this does not delete it.
#[derive(Debug)]
pub struct Worker {
    name: String,
    handle: workers::Worker,
}

impl Worker {
    pub(crate) fn new(handle: workers::Worker) -> Self {
        Worker { name: handle.name(), handle }
    }

    /// Its name: `C0w1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is now.
    ///
    /// # Errors
    /// It is gone.
    pub fn info(&self) -> Result<NodeInfo> {
        Ok(self.handle.info()?)
    }

    /// Makes an idle container on it: `c1`. Grant: `containers`.
    ///
    /// ```no_run
    /// # fn main() -> knetsim_sdk::Result<()> {
    /// let container = knetsim_sdk::Lab::new().worker("C0w1")?.create_container("c1")?;
    /// assert_eq!(container.name(), "C0w1.c1");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Lab::create_container`](crate::Lab::create_container).
    pub fn create_container(&self, name: &str) -> Result<Container> {
        NewContainer::new(format!("{self}.{name}")).create()
    }

    /// Whether its agents mend what somebody else changed in the kernel. On at first.
    ///
    /// # Errors
    /// It is gone.
    pub fn set_repair(&self, on: bool) -> Result<()> {
        Ok(self.handle.set_repair(on)?)
    }

    /// Deletes it and gives its lease back.
    ///
    /// # Errors
    /// It has containers, or something failed.
    pub fn delete(self) -> Result<()> {
        Ok(self.handle.delete(false)?)
    }

    /// Deletes it with its containers.
    ///
    /// # Errors
    /// Something failed.
    pub fn delete_with_containers(self) -> Result<()> {
        Ok(self.handle.delete(true)?)
    }
}

impl fmt::Display for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

impl Place for Worker {
    fn target(&self) -> &str {
        &self.name
    }
}

/// A scratch node that may be changed: outside every cluster, for trying things by hand.
#[derive(Debug)]
pub struct Scratch {
    name: String,
    handle: workers::ScratchNode,
}

impl Scratch {
    pub(crate) fn new(handle: workers::ScratchNode) -> Self {
        Scratch { name: handle.name(), handle }
    }

    /// Its name: `box`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is now.
    ///
    /// # Errors
    /// It is gone.
    pub fn info(&self) -> Result<NodeInfo> {
        Ok(self.handle.info()?)
    }

    /// Deletes it.
    ///
    /// # Errors
    /// Something failed.
    pub fn delete(self) -> Result<()> {
        Ok(self.handle.delete()?)
    }
}

impl fmt::Display for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

impl Place for Scratch {
    fn target(&self) -> &str {
        &self.name
    }
}
