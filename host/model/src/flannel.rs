//! flannel's network configuration, subnet leases and `subnet.env`, in flannel's own formats
//! (flannel 0.28: `Documentation/configuration.md`, `pkg/subnet/etcd`, `pkg/lease`).

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::go_json;

mod reading;

pub use reading::Others;

/// The value of the key `/coreos.com/network/config`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
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
    /// IPv6 and dual stack: not driven here.
    #[serde(rename = "EnableIPv6", default, skip_serializing_if = "std::ops::Not::not")]
    pub enable_ipv6: bool,
    /// How packets cross from node to node; left out, flannel's `udp`, which is not driven here.
    #[serde(default = "default_backend")]
    pub backend: Backend,
    /// Other keys, which have no effect and are kept as they were given.
    #[serde(flatten)]
    #[schemars(skip)]
    pub others: Others,
}

/// The backend and its options; only `vxlan` is driven in process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
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
    /// Largest packet of the underlay in bytes; left out, what its interface says. The tunnel takes 50 of them.
    #[serde(rename = "MTU", default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Whether the device learns addresses from packets.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub learning: bool,
    /// A plain route where the peer is on the same link.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub direct_routing: bool,
    /// Group policies in VXLAN's header: not driven here.
    #[serde(rename = "GBP", default, skip_serializing_if = "std::ops::Not::not")]
    pub gbp: bool,
    /// Other keys, which have no effect and are kept as they were given.
    #[serde(flatten)]
    #[schemars(skip)]
    pub others: Others,
}

/// What VXLAN over IPv4 takes of each packet, in bytes: outer Ethernet, IP, UDP and VXLAN headers.
pub const OVERHEAD: u32 = 50;

fn default_backend() -> Backend {
    Backend::new("udp", default_vni(), 0)
}

impl Backend {
    /// That backend, its options left out.
    pub fn new(kind: &str, vni: u32, port: u16) -> Self {
        let (kind, others) = (kind.to_owned(), Others::new());
        Backend { kind, vni, port, mtu: None, learning: false, direct_routing: false, gbp: false, others }
    }
}

fn default_vni() -> u32 {
    1
}

fn is_zero(port: &u16) -> bool {
    *port == 0
}

impl Default for FlannelConfig {
    /// The course's: `11.0.0.0/8` in subnets of /20 from 11.10.0.0 to 11.99.0.0, VNI 100, port 8472.
    fn default() -> Self {
        FlannelConfig {
            network: Ipv4Net::new_assert(Ipv4Addr::new(11, 0, 0, 0), 8),
            subnet_len: Some(20),
            subnet_min: Some(Ipv4Addr::new(11, 10, 0, 0)),
            subnet_max: Some(Ipv4Addr::new(11, 99, 0, 0)),
            enable_ipv6: false,
            backend: Backend::new("vxlan", 100, 8472),
            others: Others::new(),
        }
    }
}

/// A configuration that flannel would refuse, or that knetsim can't drive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("flannel configuration: {0}")]
pub struct BadConfig(String);

impl FlannelConfig {
    /// Checks it by flannel's own rules (`pkg/subnet/config.go`).
    ///
    /// # Errors
    /// Which field is wrong, and why.
    pub fn validate(&self) -> Result<(), BadConfig> {
        let bad = |text: String| Err(BadConfig(text));
        let network = self.network;
        if network != network.trunc() {
            return bad(format!("Network {network} has bits below its prefix; write {}", network.trunc()));
        }
        let len = self.effective_subnet_len();
        let least = network.prefix_len() + 2;
        if least > 30 {
            return bad(format!("Network {network} is too small: it takes a /28 at least to hold four subnets"));
        }
        if !(least..=30).contains(&len) {
            return bad(format!("SubnetLen {len} does not fit Network {network}: it takes {least} to 30"));
        }
        let (min, max) = (self.effective_subnet_min(), self.effective_subnet_max());
        for (field, address) in [("SubnetMin", min), ("SubnetMax", max)] {
            if !network.contains(&address) {
                return bad(format!("{field} {address} is not in Network {network}"));
            }
            if Ipv4Net::new(address, len).is_ok_and(|subnet| subnet.network() != address) {
                return bad(format!("{field} {address} is not the first address of a /{len}"));
            }
        }
        if min > max {
            return bad(format!("SubnetMin {min} comes after SubnetMax {max}"));
        }
        if self.enable_ipv6 {
            return bad("EnableIPv6 is not driven here; leave it out".to_owned());
        }
        self.backend.validate()
    }

    /// SubnetLen, or flannel's default for the network.
    pub fn effective_subnet_len(&self) -> u8 {
        let prefix = self.network.prefix_len();
        self.subnet_len.unwrap_or(if prefix <= 22 { 24 } else { prefix + 2 })
    }

    /// SubnetMin, or flannel's default: the second subnet.
    pub fn effective_subnet_min(&self) -> Ipv4Addr {
        let step = 1u32.checked_shl(32 - u32::from(self.effective_subnet_len().min(32))).unwrap_or(0);
        self.subnet_min.unwrap_or_else(|| Ipv4Addr::from(u32::from(self.network.network()).wrapping_add(step)))
    }

    /// SubnetMax, or flannel's default: the last subnet.
    pub fn effective_subnet_max(&self) -> Ipv4Addr {
        let step = 1u32.checked_shl(32 - u32::from(self.effective_subnet_len().min(32))).unwrap_or(0);
        self.subnet_max
            .unwrap_or_else(|| Ipv4Addr::from(u32::from(self.network.broadcast()).wrapping_add(1).wrapping_sub(step)))
    }
}

impl Backend {
    fn validate(&self) -> Result<(), BadConfig> {
        let bad = |text: String| Err(BadConfig(text));
        // flannel reads it in any case (`pkg/backend/manager.go`).
        if !self.kind.eq_ignore_ascii_case("vxlan") {
            return bad(format!("Backend.Type `{}` is not driven here; `vxlan` is", self.kind));
        }
        if self.vni > 0x00ff_ffff {
            return bad(format!("Backend.VNI {} is over 16777215", self.vni));
        }
        // Less than 68 bytes in the tunnel is no IPv4 link (RFC 791).
        if let Some(mtu) = self.mtu.filter(|mtu| !(68 + OVERHEAD..=65_535).contains(mtu)) {
            return bad(format!("Backend.MTU {mtu} is not from {} to 65535", 68 + OVERHEAD));
        }
        if self.gbp {
            return bad("Backend.GBP is not driven here; leave it out".to_owned());
        }
        Ok(())
    }
}

/// The key of flannel's configuration in etcd.
pub const CONFIG_KEY: &str = "/coreos.com/network/config";
/// The prefix of the leases' keys in etcd.
pub const SUBNETS: &str = "/coreos.com/network/subnets/";

/// A subnet that a node leased: key and value below `/coreos.com/network/subnets/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The subnet.
    pub subnet: Ipv4Net,
    /// Who has it, and how to send there.
    pub value: LeaseValue,
}

/// The value of a lease's key, JSON with flannel's names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct LeaseValue {
    /// The node's address on the underlay.
    #[serde(rename = "PublicIP")]
    pub public_ip: Ipv4Addr,
    /// The same for IPv6; flannel writes `null` where there is none.
    #[serde(rename = "PublicIPv6", default)]
    pub public_ipv6: Option<std::net::Ipv6Addr>,
    /// `vxlan`.
    #[serde(default)]
    pub backend_type: String,
    /// What the backend needs to know of the node: [`VxlanData`] for vxlan, something else for another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_data: Option<Value>,
}

/// What the vxlan backend needs to know of a node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct VxlanData {
    /// VXLAN network identifier.
    #[serde(rename = "VNI")]
    pub vni: u32,
    /// The hardware address of its VXLAN device.
    #[serde(rename = "VtepMAC")]
    pub vtep_mac: String,
}

impl LeaseValue {
    /// The value of a node that takes part by VXLAN.
    pub fn of_vxlan(public_ip: Ipv4Addr, data: &VxlanData) -> Self {
        let data = json!({ "VNI": data.vni, "VtepMAC": data.vtep_mac });
        LeaseValue { public_ip, public_ipv6: None, backend_type: "vxlan".to_owned(), backend_data: Some(data) }
    }

    /// What the vxlan backend needs to know of the node; none where it is of another backend.
    pub fn vxlan(&self) -> Option<VxlanData> {
        let data = self.backend_data.as_ref().filter(|_| self.backend_type == "vxlan")?;
        go_json::from_value(data).ok()
    }
}

impl Lease {
    /// The lease's key: `/coreos.com/network/subnets/11.10.0.0-20`.
    pub fn key(&self) -> String {
        format!("{SUBNETS}{}-{}", self.subnet.network(), self.subnet.prefix_len())
    }

    /// The subnet that a key names; none where it is no IPv4 lease's.
    pub fn subnet_of(key: &[u8]) -> Option<Ipv4Net> {
        let name = std::str::from_utf8(key).ok()?.rsplit('/').next()?;
        let (address, prefix) = name.split_once('&').map_or(name, |(v4, _)| v4).split_once('-')?;
        let subnet = Ipv4Net::new(address.parse().ok()?, prefix.parse().ok()?).ok()?;
        (subnet.addr() == subnet.network()).then_some(subnet)
    }

    /// Reads key and value; none where either is not flannel's.
    pub fn parse(key: &[u8], value: &[u8]) -> Option<Self> {
        Some(Lease { subnet: Self::subnet_of(key)?, value: go_json::from_slice(value).ok()? })
    }
}

/// What `/run/flannel/subnet.env` says, for CNI's flannel plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubnetEnv {
    /// The pod network.
    pub network: Ipv4Net,
    /// The node's subnet, its address the first host's.
    pub subnet: Ipv4Net,
    /// Largest packet inside the tunnel, in bytes.
    pub mtu: u32,
}

impl std::fmt::Display for SubnetEnv {
    /// In flannel's order (`pkg/subnet/subnet.go`).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let SubnetEnv { network, subnet, mtu } = self;
        writeln!(f, "FLANNEL_NETWORK={network}\nFLANNEL_SUBNET={subnet}\nFLANNEL_MTU={mtu}\nFLANNEL_IPMASQ=false")
    }
}

impl SubnetEnv {
    /// The subnet of an old file, which a node asks for again. None where the text is not such a file.
    pub fn subnet_of(text: &str) -> Option<Ipv4Net> {
        let line = text.lines().find_map(|line| line.strip_prefix("FLANNEL_SUBNET="))?;
        line.trim().parse::<Ipv4Net>().ok().map(|subnet| subnet.trunc())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_shipped_file() {
        let file = include_str!("../../../conf/flannel-network-config.json");
        assert_eq!(serde_json::from_str::<FlannelConfig>(file).unwrap(), FlannelConfig::default());
        FlannelConfig::default().validate().unwrap();
    }

    #[test]
    fn defaults_are_flannels() {
        let text = r#"{"Network":"10.244.0.0/16","Backend":{"Type":"VXLAN"}}"#;
        let config: FlannelConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.effective_subnet_len(), 24);
        assert_eq!(config.effective_subnet_min(), Ipv4Addr::new(10, 244, 1, 0));
        assert_eq!(config.effective_subnet_max(), Ipv4Addr::new(10, 244, 255, 0));
        assert_eq!(config.backend.vni, 1);
        config.validate().unwrap();
    }

    #[test]
    fn a_lease_is_written_as_flannel_writes_it() {
        let value = r#"{"PublicIP":"10.99.0.11","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"56:30:00:00:00:01"}}"#;
        let lease = Lease::parse(b"/coreos.com/network/subnets/10.244.33.0-24", value.as_bytes()).unwrap();
        assert_eq!(lease.key(), "/coreos.com/network/subnets/10.244.33.0-24");
        assert_eq!(serde_json::to_string(&lease.value).unwrap(), value);
        assert_eq!(Lease::subnet_of(b"/x/10.5.34.0-24&fc00:0:0:1::-64"), Some("10.5.34.0/24".parse().unwrap()));
        let other_case =
            r#"{"publicip":"10.99.0.11","BACKENDTYPE":"vxlan","backenddata":{"vni":1,"vtepmac":"56:30:00:00:00:01"}}"#;
        let other = Lease::parse(b"/coreos.com/network/subnets/10.244.33.0-24", other_case.as_bytes()).unwrap();
        assert_eq!(other.value.vxlan(), lease.value.vxlan());
        for key in ["", "/", "/x/10.5.34.1-24", "/x/10.5.34.0-33", "/x/10.5.34.0", "/x/a-b"] {
            assert_eq!(Lease::subnet_of(key.as_bytes()), None, "{key}");
        }
    }

    #[test]
    fn subnet_env_is_read_back() {
        let env =
            SubnetEnv { network: "11.0.0.0/8".parse().unwrap(), subnet: "11.10.128.1/20".parse().unwrap(), mtu: 1450 };
        let text = env.to_string();
        assert_eq!(
            text,
            "FLANNEL_NETWORK=11.0.0.0/8\nFLANNEL_SUBNET=11.10.128.1/20\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n"
        );
        assert_eq!(SubnetEnv::subnet_of(&text), Some("11.10.128.0/20".parse().unwrap()));
    }
}
