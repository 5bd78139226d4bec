//! Clusters, workers and containers made from the layers below.

pub mod plan;
