//! flannel's network configuration, subnet leases and `subnet.env`, in flannel's own formats
//! (flannel 0.28: `Documentation/configuration.md`, `pkg/subnet/etcd`, `pkg/lease`).

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The value of the key `/coreos.com/network/config`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct FlannelConfig {
    /// The pod network, such as `11.0.0.0/8`.
    #[schemars(with = "String")]
    pub network: Ipv4Net,
    /// Prefix length of each worker's subnet; left out, 24, or the network's length + 2 where that is longer than 22.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet_len: Option<u8>,
    /// First subnet that may be leased; left out, the second of the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet_min: Option<Ipv4Addr>,
    /// Last subnet that may be leased; left out, the last of the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet_max: Option<Ipv4Addr>,
    /// How packets cross from node to node.
    pub backend: Backend,
}

/// The backend and its options; only `vxlan` is driven in process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Backend {
    /// `vxlan`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// VXLAN network identifier, 0 to 16777215; flannel's default is 1.
    #[serde(rename = "VNI", default = "default_vni")]
    pub vni: u32,
    /// UDP port; 0 or left out is the kernel's 8472.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub port: u16,
    /// A plain route where the peer is on the same link.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub direct_routing: bool,
}

fn default_vni() -> u32 {
    1
}

fn is_zero(port: &u16) -> bool {
    *port == 0
}
