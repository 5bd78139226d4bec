//! What a service is: a virtual address with ports, and the endpoints that its connections go to.
//!
//! ```yaml
//! web: { vip: 100.64.10.1, ports: [{ port: 80, target: 8000 }], selector: { app: web } }
//! old: { vip: 100.64.10.2, endpoints: [c2, c3, 10.0.0.7], affinity: 600 }
//! ```
//!
//! The words are those of a Kubernetes Service of type ClusterIP, with defaults of their own:
//! `vip` is `clusterIP`, `target` is `targetPort`, `affinity` is `sessionAffinity: ClientIP` with its timeout.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::names::ContainerName;
use crate::underlay::SERVICES;

/// A service as it shall be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceSpec {
    /// Its virtual address, of 100.64.0.0/16; left out, the lowest that no other service of the cluster has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vip: Option<Ipv4Addr>,
    /// The ports that it serves; none for every port of every protocol, and ICMP.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<ServicePort>,
    /// Its endpoints are the containers of the cluster that have all these labels, as they come and go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<BTreeMap<String, String>>,
    /// Its endpoints, in place of a selector: containers of the cluster and addresses. They stay whatever becomes of
    /// them: a container that is gone keeps its share of the connections.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<Endpoint>,
    /// For that many seconds after its last connection a client's next one goes to the same endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<u32>,
    /// How workers program it; left out, as kube-proxy does.
    #[serde(default, skip_serializing_if = "Layout::is_chains")]
    pub layout: Layout,
}

/// How a service is programmed in nftables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// By chains of its own and of its endpoints, as kube-proxy does. The kernel walks through all such chains at each
    /// change of any service.
    #[default]
    Chains,
    /// By entries of maps that one rule asks for all services with so many endpoints: Kubernetes has nothing like it.
    /// A change costs the same among any number of services. For services with ports, without affinity.
    Maps,
}

impl Layout {
    fn is_chains(&self) -> bool {
        *self == Layout::Chains
    }
}

/// A port that a service serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServicePort {
    /// Its name, part of the names of its chains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<ContainerName>,
    /// TCP or UDP; left out, TCP.
    #[serde(default, skip_serializing_if = "Protocol::is_tcp")]
    pub protocol: Protocol,
    /// The port of the virtual address, 1 to 65535.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// The port of the endpoints; left out, the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub target: Option<u16>,
}

/// A protocol that has ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// Its name as nft and everybody else writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        }
    }

    fn is_tcp(&self) -> bool {
        *self == Protocol::Tcp
    }
}

/// Where connections of a service can go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// A container of the service's cluster; when it is gone, the address that it had.
    Container(ContainerName),
    /// Any address.
    Address(Ipv4Addr),
}

/// Text that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not {form}")]
pub struct BadText {
    given: String,
    form: &'static str,
}

pub(crate) fn bad(given: &str, form: &'static str) -> BadText {
    BadText { given: given.escape_debug().take(80).collect(), form }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Container(name) => name.fmt(f),
            Endpoint::Address(address) => address.fmt(f),
        }
    }
}

impl FromStr for Endpoint {
    type Err = BadText;
    fn from_str(text: &str) -> Result<Self, BadText> {
        const FORM: &str = "an endpoint: write a container's name in the cluster, such as `c2`, or an IPv4 address";
        // No container's name is an address: it has no dots.
        let address = text.parse().map(Endpoint::Address);
        address.or_else(|_| text.parse().map(Endpoint::Container)).map_err(|_| bad(text, FORM))
    }
}

impl Serialize for Endpoint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Endpoint {
    fn schema_name() -> Cow<'static, str> {
        "Endpoint".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "A container's name in the cluster, or an IPv4 address." })
    }
}

impl ServicePort {
    /// The port of the endpoints.
    pub fn target(&self) -> u16 {
        self.target.unwrap_or(self.port)
    }
}

impl fmt::Display for ServicePort {
    /// As [`ServicePort::from_str`] reads it; what is the default is left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = &self.name {
            write!(f, "{name}=")?;
        }
        write!(f, "{}", self.port)?;
        if let Some(target) = self.target {
            write!(f, ":{target}")?;
        }
        if self.protocol != Protocol::default() {
            write!(f, "/{}", self.protocol.as_str())?;
        }
        Ok(())
    }
}

impl FromStr for ServicePort {
    type Err = BadText;
    fn from_str(text: &str) -> Result<Self, BadText> {
        let wrong = || bad(text, "a port: write `[<name>=]<port>[:<target>][/tcp|udp]`, such as `80:8000`");
        let number = |text: &str| text.parse().ok().filter(|port: &u16| *port != 0).ok_or_else(wrong);
        let (name, rest) = match text.split_once('=') {
            Some((name, rest)) => (Some(name.parse().map_err(|_| wrong())?), rest),
            None => (None, text),
        };
        let (ports, protocol) = match rest.split_once('/') {
            None | Some((_, "tcp")) => (rest.split('/').next().unwrap_or_default(), Protocol::Tcp),
            Some((ports, "udp")) => (ports, Protocol::Udp),
            Some(_) => return Err(wrong()),
        };
        let (port, target) = match ports.split_once(':') {
            Some((port, target)) => (number(port)?, Some(number(target)?)),
            None => (number(ports)?, None),
        };
        Ok(ServicePort { name, protocol, port, target })
    }
}

impl ServiceSpec {
    /// Whether it makes sense by itself.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub fn validate(&self) -> Result<(), String> {
        if let Some(vip) = self.vip.filter(|vip| !is_vip(*vip)) {
            return Err(format!("{vip} is no virtual address: take one of {SERVICES}, but its first and last"));
        }
        match (&self.selector, self.endpoints.is_empty()) {
            (None, true) => return Err("it has neither endpoints nor a selector: give it one of them".to_owned()),
            (Some(_), false) => return Err("it has endpoints and a selector: give it one of them".to_owned()),
            (Some(labels), true) if labels.is_empty() => {
                return Err("its selector is empty: give it a label at least".to_owned());
            }
            _ => {}
        }
        let mut seen = BTreeSet::new();
        if let Some(twice) = self.endpoints.iter().find(|endpoint| !seen.insert(*endpoint)) {
            return Err(format!("its endpoint {twice} is there twice"));
        }
        let mut ports = BTreeSet::new();
        let mut names = BTreeSet::new();
        for port in &self.ports {
            if port.port == 0 || port.target == Some(0) {
                return Err("0 is no port: take 1 to 65535".to_owned());
            }
            if !ports.insert((port.protocol, port.port)) {
                return Err(format!("its port {}/{} is there twice", port.port, port.protocol.as_str()));
            }
            if let Some(name) = port.name.as_ref().filter(|name| !names.insert((*name).clone())) {
                return Err(format!("two of its ports are called {name}"));
            }
        }
        if self.layout == Layout::Maps && (self.ports.is_empty() || self.affinity.is_some()) {
            return Err("its layout `maps` is for services with ports and without affinity: take `chains`".to_owned());
        }
        match self.affinity {
            // As Kubernetes has it: a day at most.
            Some(seconds) if !(1..=86_400).contains(&seconds) => {
                Err(format!("its affinity of {seconds} seconds is not in 1 to 86400"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a service can have that address.
pub fn is_vip(address: Ipv4Addr) -> bool {
    SERVICES.contains(&address) && address != SERVICES.network() && address != SERVICES.broadcast()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(text: &str) -> Result<ServicePort, BadText> {
        text.parse()
    }

    #[test]
    fn ports_are_read_as_they_are_written() {
        for text in ["80", "80:8000", "53/udp", "dns=53:5353/udp", "http=80"] {
            assert_eq!(port(text).unwrap().to_string(), text);
        }
        assert_eq!(port("80/tcp").unwrap().to_string(), "80");
        for text in ["", "0", "80:0", "65536", "80:", ":80", "80/icmp", "80/tcp/udp", "=80", "A=80", "80:81:82"] {
            assert!(port(text).is_err(), "{text}");
        }
    }

    #[test]
    fn endpoints_are_told_apart() {
        assert_eq!("10.0.0.7".parse(), Ok(Endpoint::Address(Ipv4Addr::new(10, 0, 0, 7))));
        assert_eq!("c2".parse(), Ok(Endpoint::Container("c2".parse().unwrap())));
        assert!("10.0.0".parse::<Endpoint>().is_err() && "C0w1.c2".parse::<Endpoint>().is_err());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let right = ServiceSpec { endpoints: vec!["c2".parse().unwrap()], ..ServiceSpec::default() };
        assert_eq!(right.validate(), Ok(()));
        let ports = |texts: &[&str]| texts.iter().map(|text| port(text).unwrap()).collect();
        for (wrong, word) in [
            (ServiceSpec::default(), "neither"),
            (ServiceSpec { selector: Some([("app".into(), "web".into())].into()), ..right.clone() }, "endpoints and"),
            (ServiceSpec { vip: Some(Ipv4Addr::new(10, 0, 0, 1)), ..right.clone() }, "no virtual address"),
            (ServiceSpec { vip: Some(Ipv4Addr::new(100, 64, 0, 0)), ..right.clone() }, "no virtual address"),
            (ServiceSpec { ports: ports(&["80", "80:81"]), ..right.clone() }, "twice"),
            (ServiceSpec { ports: ports(&["a=80", "a=81"]), ..right.clone() }, "called a"),
            (ServiceSpec { affinity: Some(0), ..right.clone() }, "affinity"),
            (ServiceSpec { endpoints: vec![Endpoint::Address(Ipv4Addr::LOCALHOST); 2], ..right.clone() }, "twice"),
        ] {
            assert!(wrong.validate().unwrap_err().contains(word), "{word}");
        }
    }
}
