//! The result of ADD, and its forms in the versions of the specification.
//!
//! | version | form |
//! |---|---|
//! | 0.1, 0.2 | `ip4` and `ip6`, one address each with its routes, no interfaces |
//! | 0.3, 0.4 | lists; each address says its `version`, `4` or `6` |
//! | 1.0, 1.1 | lists, as the types here |

use std::net::IpAddr;

use ipnet::IpNet;
use knetsim_model::go_json;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config;
use crate::error::Error;
use crate::version::Version;

/// What ADD made. Fields are in the order in which the reference library prints them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AddResult {
    /// How names are resolved in the container; knetsim sets none.
    #[serde(default, skip_serializing_if = "Dns::is_empty")]
    pub dns: Dns,
    /// Devices: the bridge, the node's end, the container's end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<Interface>,
    /// Addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<Ip>,
    /// Routes in the container.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
}

/// A device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interface {
    /// Hardware address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mac: String,
    /// Name.
    pub name: String,
    /// Path of the namespace that it is in; empty on the node.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sandbox: String,
}

/// An address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ip {
    /// With the prefix length of its subnet.
    pub address: IpNet,
    /// The subnet's gateway.
    #[serde(default, deserialize_with = "config::address", skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// Which of the interfaces bears it, counted from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<usize>,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// Where to.
    pub dst: IpNet,
    /// The next hop; none is the gateway of the first address of that family.
    #[serde(default, deserialize_with = "config::address", skip_serializing_if = "Option::is_none")]
    pub gw: Option<IpAddr>,
    /// The metric: the lowest wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// Largest packet in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Largest TCP segment to ask for, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advmss: Option<u32>,
    /// Routing table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// Scope: 0 global, 253 link, 254 host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<u8>,
}

impl Route {
    pub(crate) fn new(dst: IpNet, gw: Option<IpAddr>) -> Self {
        Route { dst, gw, priority: None, mtu: None, advmss: None, table: None, scope: None }
    }
}

/// How names are resolved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Dns {
    /// Local domain.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Addresses of servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
    /// Options of resolv.conf(5).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Domains that short names are looked up in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
}

impl Dns {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Dns::default()
    }
}

impl AddResult {
    /// The container's first address.
    pub fn address(&self) -> Option<IpAddr> {
        self.ips.first().map(|ip| ip.address.addr())
    }

    /// The gateway of the first address of the family of `of`.
    pub(crate) fn gateway(&self, of: IpAddr) -> Option<IpAddr> {
        self.ips.iter().filter_map(|ip| ip.gateway).find(|gateway| gateway.is_ipv4() == of.is_ipv4())
    }

    /// The JSON that a plugin prints for a configuration of that version.
    pub fn to_json(&self, version: Version) -> Value {
        let mut json = if version < Version::V0_3_0 { self.families() } else { json!(self) };
        if version < Version::V1_0_0 {
            // Older types had an object here that was never left out.
            json["dns"] = json!(self.dns);
            for (ip, value) in
                self.ips.iter().zip(json.get_mut("ips").and_then(Value::as_array_mut).into_iter().flatten())
            {
                value["version"] = json!(if ip.address.addr().is_ipv4() { "4" } else { "6" });
            }
        }
        json["cniVersion"] = json!(version.as_str());
        json
    }

    /// 0.1 and 0.2: the first address of each family, with the family's routes.
    fn families(&self) -> Value {
        let mut json = json!({});
        for (key, v4) in [("ip4", true), ("ip6", false)] {
            let Some(ip) = self.ips.iter().find(|ip| ip.address.addr().is_ipv4() == v4) else { continue };
            let routes = self.routes.iter().filter(|route| route.dst.addr().is_ipv4() == v4);
            let routes: Vec<_> = routes.map(|route| Route::new(route.dst, route.gw)).collect();
            json[key] = json!(Family { ip: ip.address, gateway: ip.gateway, routes });
        }
        json
    }

    /// Reads a result of any version, as its `cniVersion` says; `assumed` where it says none.
    pub fn from_json(json: &Value, assumed: Version) -> Result<Self, Error> {
        let what = || "the plugin's result".to_owned();
        let text = json.as_object().and_then(|object| config::text(object, "cniVersion"));
        let version = text.filter(|text| !text.is_empty()).map_or(Ok(assumed), str::parse)?;
        if version >= Version::V0_3_0 {
            return go_json::from_value(json).map_err(Error::decode(what()));
        }
        let old: OldResult = go_json::from_value(json).map_err(Error::decode(what()))?;
        let mut result = AddResult { dns: old.dns, ..AddResult::default() };
        for family in [old.ip4, old.ip6].into_iter().flatten() {
            result.ips.push(Ip { address: family.ip, gateway: family.gateway, interface: None });
            result.routes.extend(family.routes);
        }
        Ok(result)
    }
}

#[derive(Deserialize)]
struct OldResult {
    ip4: Option<Family>,
    ip6: Option<Family>,
    #[serde(default)]
    dns: Dns,
}

#[derive(Serialize, Deserialize)]
struct Family {
    ip: IpNet,
    #[serde(default, deserialize_with = "config::address", skip_serializing_if = "Option::is_none")]
    gateway: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    routes: Vec<Route>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> AddResult {
        AddResult {
            interfaces: vec![Interface { name: "eth0".into(), mac: "02:00:00:00:00:01".into(), sandbox: "/n".into() }],
            ips: vec![Ip {
                address: "11.10.0.2/20".parse().unwrap(),
                gateway: Some("11.10.0.1".parse().unwrap()),
                interface: Some(0),
            }],
            routes: vec![Route::new("11.0.0.0/8".parse().unwrap(), None)],
            ..AddResult::default()
        }
    }

    #[test]
    fn each_version_has_its_form() {
        let family = json!({"ip": "11.10.0.2/20", "gateway": "11.10.0.1", "routes": [{"dst": "11.0.0.0/8"}]});
        assert_eq!(sample().to_json(Version::V0_2_0), json!({"cniVersion": "0.2.0", "ip4": family, "dns": {}}));
        let ip = json!({"version": "4", "interface": 0, "address": "11.10.0.2/20", "gateway": "11.10.0.1"});
        assert_eq!(sample().to_json(Version::V0_4_0)["ips"], json!([ip]));
        let latest = sample().to_json(Version::V1_1_0);
        assert_eq!(latest.get("dns"), None);
        assert_eq!(latest["ips"][0].get("version"), None);
    }

    #[test]
    fn what_was_printed_is_read_back() {
        for version in Version::LIST {
            let version = version.parse().unwrap();
            let back = AddResult::from_json(&sample().to_json(version), Version::LATEST).unwrap();
            assert_eq!((&back.routes, back.address()), (&sample().routes, sample().address()), "{version:?}");
            assert_eq!(back == sample(), version >= Version::V0_3_0, "{version:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,64}", version in "[0-9.]{0,6}") {
            if let Ok(json) = serde_json::from_str::<Value>(&text) { let _ = AddResult::from_json(&json, Version::LATEST); }
            let json = json!({"cniVersion": version, "ips": [text], "ip4": {"ip": text}});
            prop_assert!(AddResult::from_json(&json, Version::LATEST).is_err());
        }
    }
}
