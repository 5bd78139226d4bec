//! Addresses of the underlay, as the course prints them: one network on-link, a node's number the next
//! free one when it is made (etcd nodes before workers), kept for life.
//!
//! | | `10.0.0.0/8`, the course's | `192.168.0.0/16` |
//! |---|---|---|
//! | workers and scratch nodes, by number | 10.0.0.1 to 10.0.255.254 | 192.168.0.1 to 192.168.0.254 |
//! | etcd nodes 1 and 2 of the first cluster | 10.1.0.1, 10.1.0.2 | 192.168.1.1, 192.168.1.2 |
//! | of the last cluster | 10.255.0.1, 10.255.0.2 | 192.168.255.1, 192.168.255.2 |

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use ipnet::Ipv4Net;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Where virtual addresses of services come from; every worker has a route to it.
pub const SERVICES: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 16);
/// The largest packet of a node's `eth0`, in bytes: a veth pair's, unless somebody changes it.
pub const MTU: u32 = 1500;
/// What no node can have an address of: this host, loopback, multicast and what is reserved.
const SPECIAL: [Ipv4Net; 3] = [
    Ipv4Net::new_assert(Ipv4Addr::new(0, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// The network of all nodes: a /8 to a /22. Its first block has the nodes', the next ones each cluster's etcd nodes'
/// addresses; a block is a /16 of a network up to /15, else a /24.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Underlay(Ipv4Net);

impl Default for Underlay {
    /// The course's, `10.0.0.0/8`.
    fn default() -> Self {
        Underlay(Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8))
    }
}

/// Why a network can't be the underlay.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the underlay can't be {network}: {why}")]
pub struct BadUnderlay {
    network: String,
    why: String,
}

impl FromStr for Underlay {
    type Err = BadUnderlay;

    fn from_str(text: &str) -> Result<Self, BadUnderlay> {
        let bad = |why: String| Err(BadUnderlay { network: text.to_owned(), why });
        let Ok(network) = text.parse::<Ipv4Net>() else {
            return bad("write an IPv4 network such as 172.16.0.0/12".to_owned());
        };
        if network != network.trunc() {
            return bad(format!("it has bits below its prefix; write {}", network.trunc()));
        }
        if !(8..=22).contains(&network.prefix_len()) {
            return bad("it takes a /8 to a /22".to_owned());
        }
        if overlap(network, SERVICES) {
            return bad(format!("services have their addresses in {SERVICES}"));
        }
        match SPECIAL.into_iter().find(|special| overlap(network, *special)) {
            Some(special) => bad(format!("no node can have an address of {special}")),
            None => Ok(Underlay(network)),
        }
    }
}

impl TryFrom<String> for Underlay {
    type Error = BadUnderlay;
    fn try_from(text: String) -> Result<Self, BadUnderlay> {
        text.parse()
    }
}

impl From<Underlay> for String {
    fn from(underlay: Underlay) -> String {
        underlay.to_string()
    }
}

impl fmt::Display for Underlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl JsonSchema for Underlay {
    fn schema_name() -> Cow<'static, str> {
        "Underlay".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "An IPv4 network, /8 to /22, such as `172.16.0.0/12`." })
    }
}

impl Underlay {
    /// Prefix length of every node's address.
    pub fn prefix(&self) -> u8 {
        self.0.prefix_len()
    }

    /// How many bits of an address are within a block.
    fn block(&self) -> u8 {
        if self.prefix() < 16 { 16 } else { 8 }
    }

    /// Where workers and scratch nodes have their addresses: `10.0.0.0/16`.
    pub fn nodes(&self) -> Ipv4Net {
        Ipv4Net::new_assert(self.0.addr(), 32 - self.block())
    }

    /// The most nodes there can be: numbers from 1 on, 65534 of the course's underlay.
    pub fn max_nodes(&self) -> u32 {
        (1 << self.block()) - 2
    }

    /// The most clusters there can be: indices from 0 on, 255 of the course's underlay.
    pub fn max_clusters(&self) -> u32 {
        (1 << (32 - self.prefix() - self.block())) - 1
    }

    /// The address of the node with that number, 1 to [`Underlay::max_nodes`]: the course's C0w1 is number 3, `10.0.0.3`.
    pub fn node_address(&self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.0.addr()) + number)
    }

    /// The address of etcd member `member` (1 or 2) of the cluster with index `cluster`, from 0 on: `10.1.0.1`.
    pub fn etcd_address(&self, cluster: u32, member: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.0.addr()) + ((cluster + 1) << self.block()) + member)
    }
}

/// Whether two networks share an address.
pub fn overlap(one: Ipv4Net, other: Ipv4Net) -> bool {
    one.contains(&other) || other.contains(&one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_the_slides() {
        let course = Underlay::default();
        assert_eq!(course.node_address(3), Ipv4Addr::new(10, 0, 0, 3));
        assert_eq!(course.etcd_address(1, 2), Ipv4Addr::new(10, 2, 0, 2));
        assert_eq!((course.max_nodes(), course.max_clusters()), (65_534, 255));
        let small: Underlay = "192.168.0.0/16".parse().unwrap();
        assert_eq!(small.node_address(254), Ipv4Addr::new(192, 168, 0, 254));
        assert_eq!(small.etcd_address(254, 1), Ipv4Addr::new(192, 168, 255, 1));
        assert_eq!((small.max_nodes(), small.max_clusters()), (254, 255));
    }

    #[test]
    fn each_has_room_and_no_block_is_twice_there() {
        for text in
            ["10.0.0.0/8", "172.16.0.0/12", "172.16.0.0/15", "192.168.0.0/16", "192.168.64.0/18", "198.51.0.0/22"]
        {
            let underlay: Underlay = text.parse().unwrap();
            let (last, clusters) = (underlay.node_address(underlay.max_nodes()), underlay.max_clusters());
            assert!(underlay.nodes().contains(&last) && clusters > 0, "{text}");
            let first = underlay.etcd_address(0, 1);
            assert!(!underlay.nodes().contains(&first) && underlay.0.contains(&underlay.etcd_address(clusters - 1, 2)));
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_reason() {
        for (text, why) in [
            ("10.0.0.1/8", "write 10.0.0.0/8"),
            ("10.0.0.0/24", "/8 to a /22"),
            ("0.0.0.0/0", "/8 to a /22"),
            ("100.0.0.0/8", "services"),
            ("100.64.0.0/22", "services"),
            ("127.0.0.0/8", "127.0.0.0/8"),
            ("239.0.0.0/8", "224.0.0.0/3"),
            ("fd00::/8", "IPv4 network"),
            ("mine", "IPv4 network"),
        ] {
            let refused = text.parse::<Underlay>().unwrap_err().to_string();
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }
}
