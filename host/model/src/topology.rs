//! The topology file: which clusters, workers and containers there should be.
//!
//! ```yaml
//! clusters:
//!   C0:
//!     workers: 3
//!     containers:
//!       c1: { worker: C0w1 }
//!       web: { worker: C0w2, command: [python3, -m, http.server, "8000"], labels: { app: web } }
//! scratch: [box]
//! ```

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::flannel::FlannelConfig;
use crate::names::{ClusterName, ContainerName, NodeName};

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Topology {
    /// Clusters by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ClusterSpec>")]
    pub clusters: BTreeMap<ClusterName, ClusterSpec>,
    /// Scratch nodes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub scratch: BTreeSet<NodeName>,
}

/// One cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterSpec {
    /// How many workers (`C0w1` to `C0w<n>`), or which by their numbers.
    pub workers: Workers,
    /// flannel's configuration; left out, the course's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flannel: Option<FlannelConfig>,
    /// Containers by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, ContainerSpec>")]
    pub containers: BTreeMap<ContainerName, ContainerSpec>,
}

/// The workers of a cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Workers {
    /// That many, numbered from 1.
    Count(u32),
    /// Exactly these.
    Named(BTreeSet<NodeName>),
}

/// One container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContainerSpec {
    /// The worker that it runs on.
    pub worker: NodeName,
    /// Key and value pairs that selectors choose by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// A program and its arguments, started in it at once; none for an idle container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
}
