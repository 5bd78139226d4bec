//! What joins clusters: a site in each, links between sites, and listeners and connectors of services that cross.
//!
//! ```yaml
//! C0:
//!   connectors:
//!     backend: { routing_key: "backend:8080", container: c4, port: 8090 }
//! C1:
//!   interconnect: skrouterd
//!   links:
//!     c0: { to: C0 }
//!   listeners:
//!     backend: { routing_key: "backend:8080", port: 1028 }
//! ```
//!
//! The words are those of Skupper v2 (`skupper.io/v2alpha1`): Site, AccessGrant and AccessToken (here a [`Token`]),
//! Link, Listener, Connector. A site is a router on the cluster's first worker.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::names::{ClusterName, ContainerName, NodeName, TokenRef};
use crate::service::{BadText, bad};

/// The port at which routers connect to each other.
pub const ROUTER_PORT: u16 = 55671;
/// The port of a listener that names none, as in the course.
pub const LISTENER_PORT: u16 = 1028;
/// How long a token is good for where nobody says otherwise, in seconds: Skupper's 15 minutes.
pub const TOKEN_SECONDS: u32 = 15 * 60;

/// The worker of a cluster that its router runs on.
pub fn site_worker(cluster: &ClusterName) -> NodeName {
    cluster.worker(1)
}

/// Which program a site's router is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Interconnect {
    /// knetsim's own, `knetsim router`.
    #[default]
    Embedded,
    /// Skupper's, from PATH.
    Skrouterd,
}

impl Interconnect {
    /// Its name in files and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Interconnect::Embedded => "embedded",
            Interconnect::Skrouterd => "skrouterd",
        }
    }
}

impl fmt::Display for Interconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Interconnect {
    type Err = BadText;
    fn from_str(text: &str) -> Result<Self, BadText> {
        let all = [Interconnect::Embedded, Interconnect::Skrouterd];
        let found = all.into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| bad(text, "a router: write `embedded` or `skrouterd`"))
    }
}

/// A connection from a site's router to another one's, over mutual TLS. It carries services both ways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkSpec {
    /// The cluster that it leads to, which has a site.
    pub to: ClusterName,
    /// What crossing it costs; left out, 1. Of several ways the cheapest is taken.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(range(min = 1))]
    pub cost: u32,
}

fn one() -> u32 {
    1
}

fn is_one(cost: &u32) -> bool {
    *cost == 1
}

/// A port of a site's worker, from which connections go to the connectors of its routing key, at whichever site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerSpec {
    /// What it has in common with its connectors, such as `backend:8080`.
    pub routing_key: String,
    /// The address of the worker that it listens on; left out, all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Ipv4Addr>,
    /// Its TCP port; left out, 1028.
    #[serde(default = "listener_port")]
    #[schemars(range(min = 1))]
    pub port: u16,
}

fn listener_port() -> u16 {
    LISTENER_PORT
}

/// Servers of a site's cluster, to which connections come from the listeners of its routing key, at whichever site. It
/// says which by one of `container`, `selector` and `host`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectorSpec {
    /// What it has in common with its listeners, such as `backend:8080`.
    pub routing_key: String,
    /// A container of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerName>,
    /// The containers of the cluster that have all these labels, as they come and go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<BTreeMap<String, String>>,
    /// An address that the worker reaches: a service's, or any other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Ipv4Addr>,
    /// The TCP port of the servers.
    #[schemars(range(min = 1))]
    pub port: u16,
}

impl ListenerSpec {
    /// Whether it makes sense by itself.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub fn validate(&self) -> Result<(), String> {
        if self.port == ROUTER_PORT {
            return Err(format!("port {ROUTER_PORT} is the routers' own: take another"));
        }
        check(&self.routing_key, self.port)
    }

    /// Whether both can't listen on one worker.
    pub fn overlaps(&self, other: &ListenerSpec) -> bool {
        let host = |spec: &ListenerSpec| spec.host.filter(|host| !host.is_unspecified());
        self.port == other.port && (host(self).is_none() || host(other).is_none() || host(self) == host(other))
    }
}

impl ConnectorSpec {
    /// Whether it makes sense by itself.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub fn validate(&self) -> Result<(), String> {
        let ways = [self.container.is_some(), self.selector.is_some(), self.host.is_some()];
        if ways.into_iter().filter(|way| *way).count() != 1 {
            return Err("give it one of a container, a selector and a host".to_owned());
        }
        if self.selector.as_ref().is_some_and(BTreeMap::is_empty) {
            return Err("its selector has no label: give it one".to_owned());
        }
        check(&self.routing_key, self.port)
    }
}

fn check(routing_key: &str, port: u16) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
    if !(1..=253).contains(&routing_key.len()) || !routing_key.chars().all(plain) {
        let shown: String = routing_key.escape_debug().take(80).collect();
        return Err(format!(
            "`{shown}` is no routing key: take 1 to 253 letters, digits and -._:, such as `backend:8080`"
        ));
    }
    if port == 0 { Err("0 is no port: take 1 to 65535".to_owned()) } else { Ok(()) }
}

/// What a site gives to another one that it may link with it: once, and for a while. Written `C0.t1/<code>`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The site that issued it, and its name there.
    pub name: TokenRef,
    /// What nobody else knows: 32 hexadecimal digits.
    pub code: String,
}

impl fmt::Debug for Token {
    /// Without its secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/...", self.name)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.code)
    }
}

impl FromStr for Token {
    type Err = BadText;
    fn from_str(text: &str) -> Result<Self, BadText> {
        // Nobody's secret is shown in a message.
        let wrong = || {
            let name = text.split('/').next().unwrap_or_default();
            bad(name, "a token: give it the line that `knetsim create token` printed, such as `C0.t1/<code>`")
        };
        let (name, code) = text.split_once('/').ok_or_else(wrong)?;
        let ok = code.len() == 32 && code.chars().all(|c| c.is_ascii_hexdigit());
        Ok(Token { name: name.parse().map_err(|_| wrong())?, code: ok.then(|| code.to_owned()).ok_or_else(wrong)? })
    }
}

impl Serialize for Token {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Token {
    fn schema_name() -> Cow<'static, str> {
        "Token".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "A token as `knetsim create token` printed it." })
    }
}

/// Whether a part of a site does what it is for, as its router says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// It does.
    Ready,
    /// Not yet, or no more: why, and what to do, in words.
    Pending(String),
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Ready => f.write_str("ready"),
            Condition::Pending(why) => write!(f, "pending: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(host: Option<&str>, port: u16) -> ListenerSpec {
        ListenerSpec { routing_key: "web".to_owned(), host: host.map(|host| host.parse().unwrap()), port }
    }

    #[test]
    fn tokens_are_read_as_they_are_written_and_keep_their_secret() {
        let text = "C0.t1/0123456789abcdef0123456789abcdef";
        let token: Token = text.parse().unwrap();
        assert_eq!((token.to_string().as_str(), format!("{token:?}").as_str()), (text, "C0.t1/..."));
        for wrong in ["", "C0.t1", "C0.t1/", "C0.t1/xyz", "C0/0123456789abcdef0123456789abcdef"] {
            assert!(wrong.parse::<Token>().is_err(), "{wrong}");
        }
        let error = "C0.T/secret".parse::<Token>().unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(listener(None, 1028).validate(), Ok(()));
        for (wrong, word) in [
            (listener(None, 0), "no port"),
            (listener(None, ROUTER_PORT), "own"),
            (ListenerSpec { routing_key: "a b".to_owned(), ..listener(None, 1) }, "no routing key"),
        ] {
            assert!(wrong.validate().unwrap_err().contains(word), "{wrong:?}");
        }
        let by_host = ConnectorSpec {
            routing_key: "backend:8080".to_owned(),
            host: Some(Ipv4Addr::LOCALHOST),
            port: 80,
            ..ConnectorSpec::default()
        };
        assert_eq!(by_host.validate(), Ok(()));
        let none = ConnectorSpec { host: None, ..by_host.clone() };
        let two = ConnectorSpec { container: Some("c1".parse().unwrap()), ..by_host };
        let all = ConnectorSpec { selector: Some(BTreeMap::new()), ..none.clone() };
        for (wrong, word) in [(none, "one of"), (two, "one of"), (all, "no label")] {
            assert!(wrong.validate().unwrap_err().contains(word), "{wrong:?}");
        }
    }

    #[test]
    fn listeners_share_a_port_only_at_different_addresses() {
        let here = listener(Some("10.0.0.3"), 80);
        assert!(here.overlaps(&listener(None, 80)) && listener(Some("0.0.0.0"), 80).overlaps(&here));
        assert!(!here.overlaps(&listener(Some("127.0.0.1"), 80)) && !here.overlaps(&listener(None, 81)));
    }
}
