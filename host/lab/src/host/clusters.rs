//! Interface `clusters`: `knetsim create|delete cluster`.

use knetsim_model::flannel::FlannelConfig;
use knetsim_model::{ClusterName, Failure, Operation};
use wasmtime::component::Resource;

use super::wit::clusters::{ClusterInfo, Host, HostCluster};
use super::{State, name};
use crate::grants::Grant;
use crate::limits::Limit;

/// A cluster that the lab may change.
pub struct Cluster(ClusterName);

impl Host for State {
    async fn create(
        &mut self,
        cluster: String,
        workers: u32,
        flannel: Option<String>,
    ) -> Result<Resource<Cluster>, Failure> {
        self.rights.need(Grant::Clusters)?;
        self.room(Limit::Workers, self.made.nodes.len(), workers.into())?;
        let cluster: ClusterName = name(&cluster)?;
        let flannel = flannel.as_deref().map(flannel_config).transpose()?;
        self.submit(Operation::CreateCluster { cluster: cluster.clone(), workers, flannel }).await?;
        self.made.nodes.extend((1..=workers).map(|number| cluster.worker(number)));
        let workers = (1..=workers).map(|number| cluster.worker(number));
        self.leave_broken(workers.chain([1, 2].map(|member| cluster.etcd(member)))).await?;
        self.hand_out(Cluster(cluster))
    }

    async fn open(&mut self, cluster: String) -> Result<Resource<Cluster>, Failure> {
        self.rights.need(Grant::Clusters)?;
        let cluster = name(&cluster)?;
        self.cluster_info(&cluster)?;
        self.hand_out(Cluster(cluster))
    }
}

impl HostCluster for State {
    fn name(&mut self, this: Resource<Cluster>) -> wasmtime::Result<String> {
        Ok(self.handle(&this)?.0.to_string())
    }

    async fn info(&mut self, this: Resource<Cluster>) -> Result<ClusterInfo, Failure> {
        self.cluster_info(&self.handle(&this)?.0)
    }

    async fn set_flannel(&mut self, this: Resource<Cluster>, config: String) -> Result<(), Failure> {
        let cluster = self.handle(&this)?.0.clone();
        self.submit(Operation::SetFlannel { cluster, config: flannel_config(&config)? }).await
    }

    async fn delete(&mut self, this: Resource<Cluster>, force: bool) -> Result<(), Failure> {
        let cluster = self.handle(&this)?.0.clone();
        self.submit(Operation::DeleteCluster { cluster: cluster.clone(), force }).await?;
        self.made.nodes.retain(|node| node.cluster().as_ref() != Some(&cluster));
        self.made.containers.retain(|(there, _)| *there != cluster);
        self.made.services.retain(|there| there.cluster != cluster);
        Ok(())
    }

    async fn drop(&mut self, this: Resource<Cluster>) -> wasmtime::Result<()> {
        self.drop_handle(this)
    }
}

fn flannel_config(json: &str) -> Result<FlannelConfig, Failure> {
    serde_json::from_str(json).map_err(|error| Failure::invalid(format!("flannel's network configuration: {error}")))
}
