//! Clusters, workers and containers made from the layers below.

mod history;
pub mod plan;
