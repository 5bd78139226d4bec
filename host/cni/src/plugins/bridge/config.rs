//! What the bridge plugin reads from its configuration, and what it makes of the addresses it got.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use knetsim_kernel::netlink::Mac;
use serde::Deserialize;
use serde_json::Value;

use crate::config;
use crate::error::Error;
use crate::plugins::Call;
use crate::result::{AddResult, Dns, Route};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Config {
    pub(super) name: String,
    #[serde(default = "cni0")]
    pub(super) bridge: String,
    #[serde(default)]
    pub(super) is_gateway: bool,
    #[serde(default)]
    is_default_gateway: bool,
    #[serde(default)]
    pub(super) force_address: bool,
    #[serde(default)]
    pub(super) ip_masq: bool,
    #[serde(default)]
    mtu: u32,
    #[serde(default)]
    pub(super) hairpin_mode: bool,
    #[serde(default)]
    ipam: Ipam,
    #[serde(default)]
    dns: Dns,
    #[serde(default)]
    runtime_config: Asked,
    #[serde(default)]
    args: Args,
    /// The hardware address asked for, from three places.
    #[serde(skip)]
    pub(super) mac: Option<Mac>,
}

#[derive(Default, Deserialize)]
struct Ipam {
    #[serde(default, rename = "type")]
    kind: String,
}

#[derive(Default, Deserialize)]
struct Asked {
    #[serde(default)]
    mac: String,
}

#[derive(Default, Deserialize)]
struct Args {
    #[serde(default)]
    cni: Asked,
}

fn cni0() -> String {
    "cni0".to_owned()
}

/// Fields of the plugin that ask for what is not done here.
const REFUSED: [(&str, &str); 8] = [
    ("vlan", "bridges without VLANs only"),
    ("vlanTrunk", "bridges without VLANs only"),
    ("macspoofchk", "no check of hardware addresses"),
    ("promiscMode", "hairpinMode does what it is used for"),
    ("portIsolation", "all ports of a bridge reach each other"),
    ("enabledad", "addresses are used at once"),
    ("disableContainerInterface", "the container's interface is always set up"),
    ("ipMasqBackend", "only `nftables`"),
];

impl Config {
    pub(super) fn read(call: Call<'_>) -> Result<Self, Error> {
        for (key, why) in REFUSED {
            let value = call.config.get(key).unwrap_or(&Value::Null);
            let empty = [Value::Null, Value::Bool(false), Value::from(0), Value::Array(Vec::new())];
            if !empty.contains(value) && (key, value.as_str()) != ("ipMasqBackend", Some("nftables")) {
                return Err(Error::Unsupported { key, value: value.to_string(), why });
            }
        }
        let mut config: Config = config::typed(call.config)?;
        config.is_gateway |= config.is_default_gateway;
        let asked =
            [config.runtime_config.mac.as_str(), &config.args.cni.mac, call.attachment.arg("MAC").unwrap_or("")];
        let asked = asked.into_iter().find(|mac| !mac.is_empty()).map(str::parse);
        config.mac = asked.transpose().map_err(|why| Error::Config(format!("mac: {why}")))?;
        Ok(config)
    }

    /// The type of the plugin that gives out addresses.
    pub(super) fn ipam(&self) -> Option<&str> {
        Some(self.ipam.kind.as_str()).filter(|kind| !kind.is_empty())
    }

    /// Largest packet in bytes; none is the kernel's choice.
    pub(super) fn mtu(&self) -> Option<u32> {
        Some(self.mtu).filter(|mtu| *mtu > 0)
    }

    /// Adds to the addresses what the plugin knows: their interface, gateways, the default routes, DNS.
    /// Returns the addresses that the bridge has to have.
    pub(super) fn complete(&self, result: &mut AddResult) -> Result<Vec<IpNet>, Error> {
        if !self.dns.is_empty() {
            result.dns = self.dns.clone();
        }
        let mut gateways = Vec::new();
        for ip in &mut result.ips {
            ip.interface = Some(CONTAINER);
            if !self.is_gateway {
                continue;
            }
            let gateway = *ip.gateway.get_or_insert_with(|| first(ip.address));
            gateways.push(
                IpNet::new(gateway, ip.address.prefix_len()).map_err(|_| {
                    Error::Config(format!("gateway {gateway} is of another family than {}", ip.address))
                })?,
            );
        }
        for gateway in gateways.iter().filter(|_| self.is_default_gateway) {
            let dst = match gateway {
                IpNet::V4(_) => IpNet::V4(Ipv4Net::default()),
                IpNet::V6(_) => IpNet::V6(Ipv6Net::default()),
            };
            if !result.routes.iter().any(|route| route.dst == dst && route.gw.is_some()) {
                result.routes.push(Route::new(dst, Some(gateway.addr())));
            }
        }
        Ok(gateways)
    }
}

/// The container's interface among those of the result: bridge, node's end, container's end.
pub(super) const CONTAINER: usize = 2;

/// The first address of a subnet: its gateway where none is named.
fn first(subnet: IpNet) -> IpAddr {
    match subnet.network() {
        IpAddr::V4(network) => IpAddr::from((u32::from(network) + 1).to_be_bytes()),
        IpAddr::V6(network) => IpAddr::from((u128::from(network) + 1).to_be_bytes()),
    }
}
