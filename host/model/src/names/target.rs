//! Places and interfaces, as a person names them.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{BASE, BadName, ContainerRef, NodeName, bad};
use crate::untrusted;

/// Where a command runs, or what is looked at.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// The node side's base, where all bridges are: `base`.
    Base,
    /// A node: `C0w1`, `C0e1`, `box`.
    Node(NodeName),
    /// A container: `C0w1.c1`, `C0.c1`.
    Container(ContainerRef),
    /// A network namespace that somebody made by hand on a node: `box/myns`.
    Named(NodeName, String),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Base => f.write_str(BASE),
            Target::Node(node) => node.fmt(f),
            Target::Container(container) => container.fmt(f),
            Target::Named(node, name) => write!(f, "{node}/{name}"),
        }
    }
}

impl FromStr for Target {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        if text == BASE {
            return Ok(Target::Base);
        }
        if let Some((node, name)) = text.split_once('/') {
            const RULE: &str = "at most 255 bytes of characters that can be seen, no `/`, and neither `.` nor `..`";
            let plain = !name.contains(['/', '\n', '\t']) && untrusted::flaw(name).is_none();
            let ok = (1..=255).contains(&name.len()) && plain && name != "." && name != "..";
            let named = ok.then(|| name.to_owned()).ok_or_else(|| bad(name, "a namespace's name", RULE))?;
            return Ok(Target::Named(node.parse()?, named));
        }
        if text.contains('.') { Ok(Target::Container(text.parse()?)) } else { Ok(Target::Node(text.parse()?)) }
    }
}

text_serde!(Target, "^[A-Za-z][A-Za-z0-9-]*(\\.[a-z0-9-]+|/[^/\\n\\t]{1,255})?$");

/// An interface: `C0w1:eth0`, `C0w1.c1:eth0`, or a port or bridge of the fabric, `base:C0s0`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InterfaceRef {
    /// Whose it is.
    pub target: Target,
    /// The interface's name, at most 15 bytes.
    pub interface: String,
}

impl fmt::Display for InterfaceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.target, self.interface)
    }
}

impl FromStr for InterfaceRef {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        const RULE: &str = "write `<node or container>:<interface>`, such as `C0w1:eth0`, or `base:C0s0` in the fabric";
        let wrong = || bad(text, "an interface", RULE);
        let (target, interface) = text.split_once(':').ok_or_else(wrong)?;
        let ok = (1..=15).contains(&interface.len())
            && interface.chars().all(|c| c.is_ascii_graphic() && c != '/' && c != ':')
            && interface != "."
            && interface != "..";
        ok.then_some(()).ok_or_else(wrong)?;
        Ok(InterfaceRef { target: target.parse()?, interface: interface.to_owned() })
    }
}

text_serde!(InterfaceRef, "^[A-Za-z][A-Za-z0-9-]*(\\.[a-z0-9-]+|/[^/:\\n\\t]{1,255})?:[^/:]{1,15}$");
