//! Names as newtypes: a value of one of these types has been checked.
//!
//! | kind | form | example |
//! |---|---|---|
//! | cluster | a letter, then letters and digits, at most 8; not ending like a node's name | `C0` |
//! | worker | cluster, `w`, a number from 1 | `C0w1` |
//! | etcd node | cluster, `e`, 1 or 2 | `C0e1` |
//! | switch | cluster, `s0`; above all clusters `t0` | `C0s0` |
//! | scratch node | a letter, then letters, digits and `-`, at most 15; not like one of the above | `box` |
//! | container | lower case letters, digits and `-`, at most 63, as a pod's name (RFC 1123 label) | `c1` |
//! | container, whole | cluster or node, `.`, container | `C0w1.c1`, `C0.c1` |
//! | service | a lower case letter, then such letters, digits and `-`, at most 63 (RFC 1035 label) | `web` |
//! | service, whole | cluster, `.`, service | `C0.web` |
//! | ingress, token, link, listener, connector | as a service | `C1.backend` |
//! | interface | node, container or switch, `:`, interface | `C0w1:flannel.100` |
//! | capture that is kept | letters, digits, `-`, `_` and `.`, at most 63, as a label's value in Kubernetes | `wire` |
//! | network namespace made by hand, whole | node, `/`, at most 255 bytes of plain characters | `box/myns` |
//!
//! Clusters and scratch nodes have none of the [`RESERVED`] names, whether in small letters or in capitals. What the kernel lets people name otherwise (a
//! namespace, an interface, a process) is escaped when it is read: see [`crate::untrusted`].

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::untrusted;

/// A name that has not the form of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not {kind}: {rule}")]
pub struct BadName {
    /// The text as it was given: its beginning, what is not plain escaped.
    pub given: String,
    /// What it should have named, with its article.
    pub kind: &'static str,
    /// The rule that it breaks.
    pub rule: &'static str,
}

fn bad(given: &str, kind: &'static str, rule: &'static str) -> BadName {
    BadName { given: untrusted::line(&given.chars().take(80).collect::<String>()), kind, rule }
}

/// Refuses a word that stands for something else where a node or a cluster can be named, in whatever letters: a node's
/// name is a host name, too, and of those `LOCALHOST` and `localhost` are one.
fn not_reserved(text: &str, kind: &'static str) -> Result<(), BadName> {
    const RULE: &str = "the word has another meaning here, for knetsim, its console or the kernel; choose another one";
    let is_reserved = RESERVED.iter().any(|word| word.eq_ignore_ascii_case(text));
    if is_reserved { Err(bad(text, kind, RULE)) } else { Ok(()) }
}

/// Splits `C0w12` into `C0`, `w`, `12`: a stem, one of `kinds`, and digits.
fn split_numbered<'a>(text: &'a str, kinds: &str) -> Option<(&'a str, char, &'a str)> {
    let stem = text.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = &text[stem.len()..];
    let kind = stem.chars().last()?;
    let stem = &stem[..stem.len() - kind.len_utf8()];
    (!digits.is_empty() && !stem.is_empty() && kinds.contains(kind)).then_some((stem, kind, digits))
}

/// A number as a name writes it: without leading zeros.
fn plain_number(digits: &str) -> Option<u32> {
    digits.parse().ok().filter(|number: &u32| number.to_string() == digits)
}

/// A cluster, such as `C0`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterName(String);

impl ClusterName {
    const KIND: &str = "a cluster's name";
    const RULE: &str = "at most 8 letters and digits, a letter first, and no ending such as `w1`, `e1` or `s0`";

    /// The `number`th worker, counted from 1: `C0w1`.
    pub fn worker(&self, number: u32) -> NodeName {
        NodeName(format!("{}w{number}", self.0))
    }

    /// The `number`th etcd node, 1 or 2: `C0e1`.
    pub fn etcd(&self, number: u32) -> NodeName {
        NodeName(format!("{}e{number}", self.0))
    }

    /// The bridge that joins the cluster's nodes: `C0s0`.
    pub fn switch(&self) -> String {
        format!("{}s0", self.0)
    }
}

impl FromStr for ClusterName {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        not_reserved(text, Self::KIND)?;
        let mut chars = text.chars();
        let ok = chars.next().is_some_and(|c| c.is_ascii_alphabetic())
            && chars.all(|c| c.is_ascii_alphanumeric())
            && text.len() <= 8
            && split_numbered(text, "wes").is_none();
        ok.then(|| ClusterName(text.to_owned())).ok_or_else(|| bad(text, Self::KIND, Self::RULE))
    }
}

/// How [`Target::Base`] is written.
pub const BASE: &str = "base";

/// The bridge above all clusters.
pub const TOP_SWITCH: &str = "t0";

/// What a node is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    /// Runs containers; has an overlay agent.
    Worker,
    /// Runs one member of the cluster's etcd.
    Etcd,
    /// Belongs to no cluster; empty, for trying things by hand.
    Scratch,
}

impl NodeKind {
    /// What a person calls such a node.
    pub fn word(self) -> &'static str {
        match self {
            NodeKind::Worker => "worker",
            NodeKind::Etcd => "etcd node",
            NodeKind::Scratch => "scratch node",
        }
    }
}

/// A node: a worker `C0w1`, an etcd node `C0e1`, or a scratch node `box`. Ordered as people count: w2 before w10.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct NodeName(String);

impl Ord for NodeName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        fn key(name: &NodeName) -> (&str, u64, &str) {
            let stem = name.0.trim_end_matches(|c: char| c.is_ascii_digit());
            (stem, name.0[stem.len()..].parse().unwrap_or(0), &name.0)
        }
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for NodeName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl NodeName {
    const KIND: &str = "a node's name";
    const RULE: &str = "a worker is `<cluster>w<number>`, an etcd node `<cluster>e1` or `<cluster>e2`, a scratch node at most 15 letters, digits and `-`, a letter first";

    /// What the name says that the node is.
    pub fn kind(&self) -> NodeKind {
        match self.parts() {
            Some((_, 'w', _)) => NodeKind::Worker,
            Some(_) => NodeKind::Etcd,
            None => NodeKind::Scratch,
        }
    }

    /// The cluster that the name says it belongs to; none for a scratch node.
    pub fn cluster(&self) -> Option<ClusterName> {
        self.parts().map(|(cluster, ..)| cluster)
    }

    /// Its number within the cluster, the `1` of `C0w1`; none for a scratch node.
    pub fn number(&self) -> Option<u32> {
        self.parts().map(|(.., number)| number)
    }

    fn parts(&self) -> Option<(ClusterName, char, u32)> {
        let (cluster, kind, digits) = split_numbered(&self.0, "we")?;
        Some((cluster.parse().ok()?, kind, plain_number(digits)?))
    }
}

impl FromStr for NodeName {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        not_reserved(text, Self::KIND)?;
        let wrong = || bad(text, Self::KIND, Self::RULE);
        if let Some((cluster, kind, digits)) = split_numbered(text, "wes") {
            cluster.parse::<ClusterName>().map_err(|_| wrong())?;
            let number = plain_number(digits).ok_or_else(wrong)?;
            // A name must fit an interface's 15 bytes: the node's port on its switch bears it.
            let ok = match kind {
                'w' => (1..=99_999).contains(&number),
                'e' => (1..=2).contains(&number),
                _ => false,
            };
            return ok.then(|| NodeName(text.to_owned())).ok_or_else(wrong);
        }
        let mut chars = text.chars();
        let ok = chars.next().is_some_and(|c| c.is_ascii_alphabetic())
            && chars.all(|c| c.is_ascii_alphanumeric() || c == '-')
            && text.len() <= 15;
        ok.then(|| NodeName(text.to_owned())).ok_or_else(wrong)
    }
}

/// A container's name, unique in its cluster: `c1`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerName(String);

impl ContainerName {
    const KIND: &str = "a container's name";
    const RULE: &str = "at most 63 lower case letters, digits and `-`, with a letter or digit at both ends";
}

impl FromStr for ContainerName {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let ok =
            (1..=63).contains(&text.len()) && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-');
        ok.then(|| ContainerName(text.to_owned())).ok_or_else(|| bad(text, Self::KIND, Self::RULE))
    }
}

/// The name by which a capture is kept: `wire`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CaptureName(String);

impl FromStr for CaptureName {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        const RULE: &str = "at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends";
        let inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let ends = |c: char| c.is_ascii_alphanumeric();
        let ok = text.len() <= 63 && text.chars().all(inner) && text.starts_with(ends) && text.ends_with(ends);
        ok.then(|| CaptureName(text.to_owned())).ok_or_else(|| bad(text, "a capture's name", RULE))
    }
}

/// Gives a checked string its display, its serde form and its schema.
macro_rules! text_form {
    ($type:ident, $pattern:literal) => {
        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
        text_serde!($type, $pattern);
    };
}

/// The same for a type that has a `Display` of its own.
macro_rules! text_serde {
    ($type:ident, $pattern:literal) => {
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

mod reserved;
mod target;
#[cfg(test)]
mod tests;

pub use reserved::RESERVED;
pub use target::{InterfaceRef, Target};

text_form!(ClusterName, "^[A-Za-z][A-Za-z0-9]{0,7}$");
text_form!(NodeName, "^[A-Za-z][A-Za-z0-9-]{0,14}$");
text_form!(ContainerName, "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$");
text_form!(CaptureName, "^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$");

/// A container by its whole name: `C0w1.c1` with its node, or `C0.c1` wherever it runs.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerRef {
    /// The cluster that it belongs to.
    pub cluster: ClusterName,
    /// The worker, where the name says it.
    pub worker: Option<NodeName>,
    /// Its name in the cluster.
    pub name: ContainerName,
}

impl fmt::Display for ContainerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.worker {
            Some(worker) => write!(f, "{worker}.{}", self.name),
            None => write!(f, "{}.{}", self.cluster, self.name),
        }
    }
}

impl FromStr for ContainerRef {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        const RULE: &str = "write `<worker>.<name>` or `<cluster>.<name>`, such as `C0w1.c1`";
        let wrong = || bad(text, "a container's whole name", RULE);
        let (place, name) = text.split_once('.').ok_or_else(wrong)?;
        let name = name.parse()?;
        if let Ok(cluster) = place.parse::<ClusterName>() {
            return Ok(ContainerRef { cluster, worker: None, name });
        }
        let worker: NodeName = place.parse()?;
        match (worker.kind(), worker.cluster()) {
            (NodeKind::Worker, Some(cluster)) => Ok(ContainerRef { cluster, worker: Some(worker), name }),
            _ => Err(wrong()),
        }
    }
}

text_serde!(ContainerRef, "^[A-Za-z][A-Za-z0-9]*\\.[a-z0-9-]+$");

/// The name that something has in its cluster, and its whole name with the cluster, as for a service `web` and `C0.web`.
macro_rules! names_in_a_cluster {
    ($name:ident, $reference:ident, $kind:literal, $example:literal, $whole:literal) => {
        #[doc = concat!("The name of ", $kind, ", unique in its cluster: `", $example, "`.")]
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(String);

        impl FromStr for $name {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                const RULE: &str =
                    "at most 63 lower case letters, digits and `-`, with a letter first and a letter or digit at the end";
                // Kubernetes asks for the same of a container's name, and besides for a letter first.
                let ok = text.starts_with(|c: char| c.is_ascii_lowercase()) && text.parse::<ContainerName>().is_ok();
                ok.then(|| $name(text.to_owned())).ok_or_else(|| bad(text, concat!("the name of ", $kind), RULE))
            }
        }
        text_form!($name, "^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$");

        #[doc = concat!("The whole name of ", $kind, ": `", $whole, "`.")]
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $reference {
            /// The cluster that it belongs to.
            pub cluster: ClusterName,
            /// Its name in the cluster.
            pub name: $name,
        }

        impl fmt::Display for $reference {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}.{}", self.cluster, self.name)
            }
        }

        impl FromStr for $reference {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                const RULE: &str = concat!("write `<cluster>.<name>`, such as `", $whole, "`");
                let wrong = || bad(text, concat!("the whole name of ", $kind), RULE);
                let (cluster, name) = text.split_once('.').ok_or_else(wrong)?;
                Ok($reference { cluster: cluster.parse()?, name: name.parse()? })
            }
        }
        text_serde!($reference, "^[A-Za-z][A-Za-z0-9]*\\.[a-z][a-z0-9-]*$");
    };
}

names_in_a_cluster!(ServiceName, ServiceRef, "a service", "web", "C0.web");
names_in_a_cluster!(IngressName, IngressRef, "an ingress", "grp1", "C0.grp1");
names_in_a_cluster!(TokenName, TokenRef, "a token", "t1", "C0.t1");
names_in_a_cluster!(LinkName, LinkRef, "a link between sites", "c0", "C1.c0");
names_in_a_cluster!(ListenerName, ListenerRef, "a listener", "backend", "C1.backend");
names_in_a_cluster!(ConnectorName, ConnectorRef, "a connector", "backend", "C0.backend");
