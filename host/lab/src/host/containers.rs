//! Interface `containers`: `knetsim create|delete container`.

use knetsim_model::{ContainerRef, Failure, Operation};
use wasmtime::component::Resource;

use super::wit::containers::{ContainerInfo, Host, HostContainer};
use super::{State, name};
use crate::grants::Grant;
use crate::limits::Limit;

/// A container that the lab may change.
pub struct Container(ContainerRef);

impl Host for State {
    async fn create(
        &mut self,
        container: String,
        labels: Vec<(String, String)>,
        command: Vec<String>,
    ) -> Result<Resource<Container>, Failure> {
        self.rights.need(Grant::Containers)?;
        self.room(Limit::Containers, self.made.containers.len(), 1)?;
        let container: ContainerRef = name(&container)?;
        let labels = labels.into_iter().collect();
        self.submit(Operation::CreateContainer { container: container.clone(), labels, command }).await?;
        self.made.containers.insert((container.cluster.clone(), container.name.clone()));
        self.hand_out(Container(container))
    }

    async fn open(&mut self, container: String) -> Result<Resource<Container>, Failure> {
        self.rights.need(Grant::Containers)?;
        let container = name(&container)?;
        // `C0.c1` becomes `C0w1.c1`.
        let whole = self.container_info(&container)?.name;
        self.hand_out(Container(name(&whole)?))
    }
}

impl HostContainer for State {
    fn name(&mut self, this: Resource<Container>) -> wasmtime::Result<String> {
        Ok(self.handle(&this)?.0.to_string())
    }

    async fn info(&mut self, this: Resource<Container>) -> Result<ContainerInfo, Failure> {
        self.container_info(&self.handle(&this)?.0)
    }

    async fn delete(&mut self, this: Resource<Container>) -> Result<(), Failure> {
        let container = self.handle(&this)?.0.clone();
        self.submit(Operation::DeleteContainer { container: container.clone() }).await?;
        self.made.containers.remove(&(container.cluster, container.name));
        Ok(())
    }

    async fn drop(&mut self, this: Resource<Container>) -> wasmtime::Result<()> {
        self.drop_handle(this)
    }
}
