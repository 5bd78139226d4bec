//! What the bridge plugin reads from its configuration, and what it makes of the addresses it got.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use knetsim_kernel::netlink::Mac;
use knetsim_model::go_json;
use serde::Deserialize;
use serde_json::Value;

use crate::attachment::Attachment;
use crate::config::{self, Object};
use crate::error::Error;
use crate::plugins::Command;
use crate::result::{AddResult, Dns, Route};

#[derive(Default, Deserialize)]
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
    /// What a command needs. DEL and GC take what they can: they read few fields, and pass over what ADD refuses.
    pub(super) fn read(json: &Object, attachment: &Attachment, command: Command) -> Result<Self, Error> {
        if matches!(command, Command::Del | Command::Gc) {
            let ipam = config::object(json, "ipam").and_then(|ipam| config::text(ipam, "type"));
            return Ok(Config {
                name: config::text(json, "name").unwrap_or_default().to_owned(),
                ip_masq: go_json::field(json, "ipMasq") == Some(&Value::Bool(true)),
                ipam: Ipam { kind: ipam.unwrap_or_default().to_owned() },
                ..Config::default()
            });
        }
        attachment.refuse_unknown_args(&["MAC"])?;
        for (key, why) in REFUSED {
            let value = go_json::field(json, key).unwrap_or(&Value::Null);
            let empty = [Value::Null, Value::Bool(false), Value::from(0), Value::Array(Vec::new())];
            if !empty.contains(value) && (key, value.as_str()) != ("ipMasqBackend", Some("nftables")) {
                return Err(Error::Unsupported { key, value: value.to_string(), why });
            }
        }
        let mut config: Config = config::typed(json)?;
        config.is_gateway |= config.is_default_gateway;
        let asked = [config.runtime_config.mac.as_str(), &config.args.cni.mac, attachment.arg("MAC").unwrap_or("")];
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(json: Value) -> Result<Config, Error> {
        Config::read(json.as_object().unwrap(), &Attachment::default(), Command::Add)
    }

    #[test]
    fn gateways_and_default_routes_come_of_the_addresses() {
        let config = read(json!({"name": "n", "isDefaultGateway": true})).unwrap();
        let ips = json!({"cniVersion": "1.0.0", "ips": [{"address": "10.1.2.3/24"}, {"address": "fd00::5/64"}],
            "routes": [{"dst": "::/0", "gw": "fd00::9"}]});
        let mut result = AddResult::from_json(&ips, crate::Version::LATEST).unwrap();
        let gateways = config.complete(&mut result).unwrap();
        assert_eq!(gateways, ["10.1.2.1/24".parse().unwrap(), "fd00::1/64".parse().unwrap()]);
        let default = Route::new("0.0.0.0/0".parse().unwrap(), Some("10.1.2.1".parse().unwrap()));
        assert_eq!((result.routes.len(), &result.routes[1]), (2, &default));
    }

    #[test]
    fn what_is_not_done_is_refused_by_key_and_value() {
        for (key, value) in [("vlan", json!(7)), ("macspoofchk", json!(true)), ("ipMasqBackend", json!("iptables"))] {
            let error = read(json!({"name": "n", key: value})).err().unwrap();
            assert!(error.code() == 2 && error.to_string().contains(&format!("{key} = {value}")), "{error}");
        }
        read(json!({"name": "n", "vlan": 0, "macspoofchk": false, "ipMasqBackend": "nftables"})).unwrap();
    }

    proptest! {
        #[test]
        fn any_values_are_read_or_refused(
            key in "name|bridge|isGateway|mtu|ipam|dns|args|runtimeConfig|vlan|hairpinMode|x",
            value in prop_oneof![
                Just(json!(null)), any::<bool>().prop_map(Value::from), any::<i64>().prop_map(Value::from),
                ".{0,8}".prop_map(Value::from), Just(json!([])), Just(json!({"type": 1})), Just(json!({"cni": {"mac": "x"}})),
            ],
        ) {
            let json = json!({"name": "n", "type": "bridge", "ipam": {"type": "x"}, key: value});
            let _ = read(json.clone());
            Config::read(json.as_object().unwrap(), &Attachment::default(), Command::Del).unwrap();
        }
    }
}
