//! Interface `workers`: `knetsim create|delete worker|scratch`, `ip link set DEV up|down`.

use knetsim_model::names::NodeKind;
use knetsim_model::{Failure, NodeName, Operation};
use wasmtime::component::Resource;

use super::wit::workers::{Host, HostScratchNode, HostWorker, NodeInfo};
use super::{State, name};
use crate::grants::Grant;
use crate::limits::Limit;

/// A worker that the lab may change.
pub struct Worker(NodeName);

/// A scratch node that the lab may change.
pub struct ScratchNode(NodeName);

impl Host for State {
    async fn create(&mut self, worker: String) -> Result<Resource<Worker>, Failure> {
        self.rights.need(Grant::Workers)?;
        self.room(Limit::Workers, self.made.nodes.len(), 1)?;
        let worker: NodeName = name(&worker)?;
        self.submit(Operation::CreateWorker { worker: worker.clone() }).await?;
        self.made.nodes.insert(worker.clone());
        self.leave_broken([worker.clone()]).await?;
        self.hand_out(Worker(worker))
    }

    async fn open(&mut self, worker: String) -> Result<Resource<Worker>, Failure> {
        self.rights.need(Grant::Workers)?;
        let worker = self.existing(&worker, NodeKind::Worker)?;
        self.hand_out(Worker(worker))
    }

    async fn create_scratch(&mut self, node: String) -> Result<Resource<ScratchNode>, Failure> {
        self.rights.need(Grant::Workers)?;
        self.room(Limit::Workers, self.made.nodes.len(), 1)?;
        let node: NodeName = name(&node)?;
        self.submit(Operation::CreateScratch { node: node.clone() }).await?;
        self.made.nodes.insert(node.clone());
        self.hand_out(ScratchNode(node))
    }

    async fn open_scratch(&mut self, node: String) -> Result<Resource<ScratchNode>, Failure> {
        self.rights.need(Grant::Workers)?;
        let node = self.existing(&node, NodeKind::Scratch)?;
        self.hand_out(ScratchNode(node))
    }

    async fn set_link(&mut self, link: String, up: bool) -> Result<(), Failure> {
        self.rights.need(Grant::Workers)?;
        self.submit(Operation::SetLink { interface: name(&link)?, up }).await
    }
}

impl State {
    fn existing(&self, node: &str, kind: NodeKind) -> Result<NodeName, Failure> {
        let node: NodeName = name(node)?;
        self.node_info(&node)?;
        match node.kind() == kind {
            true => Ok(node),
            false => Err(Failure::invalid(format!(
                "{node} is no {}",
                if kind == NodeKind::Worker { "worker" } else { "scratch node" }
            ))),
        }
    }
}

impl HostWorker for State {
    fn name(&mut self, this: Resource<Worker>) -> wasmtime::Result<String> {
        Ok(self.handle(&this)?.0.to_string())
    }

    async fn info(&mut self, this: Resource<Worker>) -> Result<NodeInfo, Failure> {
        self.node_info(&self.handle(&this)?.0)
    }

    async fn set_repair(&mut self, this: Resource<Worker>, on: bool) -> Result<(), Failure> {
        let worker = self.handle(&this)?.0.clone();
        self.submit(Operation::SetRepair { worker, on }).await
    }

    async fn delete(&mut self, this: Resource<Worker>, force: bool) -> Result<(), Failure> {
        let worker = self.handle(&this)?.0.clone();
        let on_it: Vec<_> =
            self.emulator()?.inventory().containers.into_iter().filter(|c| c.worker == worker).collect();
        self.submit(Operation::DeleteWorker { worker: worker.clone(), force }).await?;
        self.made.nodes.remove(&worker);
        for container in on_it {
            self.made.containers.remove(&(container.cluster, container.name));
        }
        Ok(())
    }

    async fn drop(&mut self, this: Resource<Worker>) -> wasmtime::Result<()> {
        self.drop_handle(this)
    }
}

impl HostScratchNode for State {
    fn name(&mut self, this: Resource<ScratchNode>) -> wasmtime::Result<String> {
        Ok(self.handle(&this)?.0.to_string())
    }

    async fn info(&mut self, this: Resource<ScratchNode>) -> Result<NodeInfo, Failure> {
        self.node_info(&self.handle(&this)?.0)
    }

    async fn delete(&mut self, this: Resource<ScratchNode>) -> Result<(), Failure> {
        let node = self.handle(&this)?.0.clone();
        self.submit(Operation::DeleteScratch { node: node.clone() }).await?;
        self.made.nodes.remove(&node);
        Ok(())
    }

    async fn drop(&mut self, this: Resource<ScratchNode>) -> wasmtime::Result<()> {
        self.drop_handle(this)
    }
}
