//! Events: what the emulator says while and after it acts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names::NodeName;

/// Something that happened in the sandbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A step of a longer operation was done: `what` for a person, `done` of `total` steps.
    Progress {
        /// What was done, such as `cluster C0: etcd answers`.
        what: String,
        /// Steps done so far.
        done: u32,
        /// Steps in all.
        total: u32,
    },
    /// An object came to be.
    Created {
        /// `cluster`, `worker`, `container` ...
        kind: String,
        /// Its whole name.
        name: String,
    },
    /// An object is another one now.
    Changed {
        /// `service`, `ingress` ...
        kind: String,
        /// Its whole name.
        name: String,
    },
    /// An object is gone.
    Deleted {
        /// `cluster`, `worker`, `container` ...
        kind: String,
        /// Its whole name.
        name: String,
    },
    /// A daemon ended though nobody asked it to.
    DaemonEnded {
        /// On which node.
        node: NodeName,
        /// Which, such as `etcd`.
        daemon: String,
        /// How, and what is done about it.
        how: String,
    },
    /// Something a person should know.
    Warning {
        /// The words.
        message: String,
    },
}
