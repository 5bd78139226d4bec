//! For the benchmark: the part of `up` for which there is a floor to hold it against.

use futures::future::try_join_all;
use knetsim_model::{Failure, Operation, Owner};

use crate::Emulator;
use crate::plan::Planner;

impl Emulator {
    /// Makes only the underlay of what an operation would make: switches, and nodes joined to them, on which nothing
    /// runs. They are in no inventory and go with the sandbox.
    ///
    /// # Errors
    /// As [`Emulator::submit`]; what was made stays.
    #[doc(hidden)]
    pub async fn underlay(&self, operation: &Operation) -> Result<(), Failure> {
        let plan = Planner::plan(self.state().view(), operation, Owner::User)?;
        let clusters = plan.clusters.iter().map(async |cluster| {
            let switch = self.fabric().add_switch(&cluster.name).await;
            switch.map_err(|error| Failure::failed(format!("cluster {}", cluster.name), &error))?;
            let nodes = plan.nodes.iter().filter(|node| node.name.cluster().as_ref() == Some(&cluster.name));
            self.join(&nodes.cloned().collect::<Vec<_>>(), None).await
        });
        try_join_all(clusters).await.map(drop)
    }
}
