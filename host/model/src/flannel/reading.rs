//! flannel's configuration as it is given, in JSON or YAML: read as flannel reads it, and what of it has no effect.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{Backend, BadConfig, FlannelConfig, OVERHEAD, default_backend, default_vni};
use crate::go_json;
use crate::underlay::MTU;

/// Keys of the configuration that are read.
const KEYS: &[&str] = &["Network", "SubnetLen", "SubnetMin", "SubnetMax", "EnableIPv4", "EnableIPv6", "Backend"];
/// Keys that flannel knows, and that have no effect here.
const IDLE: &[&str] = &["EnableNFTables", "IPv6Network", "IPv6SubnetMin", "IPv6SubnetMax", "IPv6SubnetLen"];
/// Keys of the backend `vxlan`.
const BACKEND_KEYS: &[&str] = &["Type", "VNI", "Port", "MTU", "Learning", "DirectRouting", "GBP"];

/// A configuration's keys that are not read, with their values.
pub type Others = BTreeMap<String, Value>;

impl<'de> Deserialize<'de> for FlannelConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        FlannelConfig::read(&Map::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl FlannelConfig {
    /// Reads it from an object, as Go does: keys are of any case, and `null`, a length of 0 and the address 0.0.0.0
    /// are as if they were left out.
    ///
    /// # Errors
    /// The key whose value is of another type, and why; `EnableIPv4` is false, which is not driven here.
    pub fn read(object: &Map<String, Value>) -> Result<Self, BadConfig> {
        let level = Level { object, prefix: "" };
        let backend = go_json::field(object, "Backend");
        let backend = match backend {
            None => default_backend(),
            Some(Value::Object(backend)) => read_backend(backend)?,
            Some(other) => return Err(BadConfig(format!("Backend is an object, not {other}"))),
        };
        if level.get("EnableIPv4")? == Some(false) {
            return Err(BadConfig("EnableIPv4 false is not driven here; leave it out".to_owned()));
        }
        let network = level.get("Network")?;
        Ok(FlannelConfig {
            network: network.ok_or_else(|| BadConfig("Network is missing: the network of the pods".to_owned()))?,
            subnet_len: level.get("SubnetLen")?.filter(|len| *len != 0),
            subnet_min: level.get("SubnetMin")?.filter(|address: &std::net::Ipv4Addr| !address.is_unspecified()),
            subnet_max: level.get("SubnetMax")?.filter(|address: &std::net::Ipv4Addr| !address.is_unspecified()),
            enable_ipv6: level.get("EnableIPv6")?.unwrap_or_default(),
            backend,
            others: level.others(KEYS),
        })
    }

    /// What of it has no effect, in words: flannel says nothing, and takes it.
    pub fn warnings(&self) -> Vec<String> {
        let idle = |key: &str| IDLE.iter().any(|name| go_json::is_key_of(key, name));
        let top = self.others.keys().map(|key| match idle(key) {
            true => format!("flannel's {key} has no effect here"),
            false => unknown(key, "", &[KEYS, IDLE].concat(), ("Backend.", BACKEND_KEYS)),
        });
        let backend = self.backend.others.keys();
        let backend = backend.map(|key| unknown(key, "Backend.", BACKEND_KEYS, ("", KEYS)));
        let too_much = self.backend.mtu.filter(|mtu| *mtu > MTU).map(|mtu| {
            let fits = MTU - OVERHEAD;
            format!("flannel's Backend.MTU {mtu} is more than the {MTU} of the nodes' eth0: the tunnel's is {fits}")
        });
        top.chain(backend).chain(too_much).collect()
    }
}

fn read_backend(object: &Map<String, Value>) -> Result<Backend, BadConfig> {
    let level = Level { object, prefix: "Backend." };
    Ok(Backend {
        kind: level.get("Type")?.unwrap_or_default(),
        vni: level.get("VNI")?.unwrap_or_else(default_vni),
        port: level.get("Port")?.unwrap_or_default(),
        mtu: level.get("MTU")?,
        learning: level.get("Learning")?.unwrap_or_default(),
        direct_routing: level.get("DirectRouting")?.unwrap_or_default(),
        gbp: level.get("GBP")?.unwrap_or_default(),
        others: level.others(BACKEND_KEYS),
    })
}

/// An object, and where it stands.
struct Level<'a> {
    object: &'a Map<String, Value>,
    prefix: &'static str,
}

impl Level<'_> {
    fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, BadConfig> {
        let value = go_json::field(self.object, name).map(|value| go_json::from_value(value));
        value.transpose().map_err(|error| BadConfig(format!("{}{name}: {error}", self.prefix)))
    }

    fn others(&self, keys: &[&str]) -> Others {
        let read = |key: &str| keys.iter().any(|name| go_json::is_key_of(key, name));
        let others = self.object.iter().filter(|(key, _)| !read(key));
        others.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

/// A key that flannel ignores, with the one that may be meant: at its place, or at another one.
fn unknown(key: &str, prefix: &str, keys: &[&str], elsewhere: (&str, &[&str])) -> String {
    let what = format!("flannel doesn't know {prefix}{key} and ignores it");
    if let Some(name) = elsewhere.1.iter().find(|name| go_json::is_key_of(key, name)) {
        return format!("{what}; did you mean {}{name}?", elsewhere.0);
    }
    match nearest(key, keys) {
        Some(name) => format!("{what}; did you mean {prefix}{name}?"),
        None => what,
    }
}

/// The name that a key is a slip of; none where all are too far.
fn nearest<'a>(key: &str, names: &[&'a str]) -> Option<&'a str> {
    let key = key.to_ascii_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&key, &name.to_ascii_lowercase());
    let near =
        names.iter().map(|name| (distance(name), *name)).filter(|(far, name)| 2 * far < key.len().max(name.len()));
    near.min_by_key(|(far, _)| *far).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> FlannelConfig {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn keys_are_of_any_case() {
        let text = r#"{"network":"10.244.0.0/16","SUBNETLEN":26,"subnetMin":"10.244.1.0","backend":
            {"type":"vxlan","vni":7,"PORT":4789,"mtu":1400,"Directrouting":true,"learning":true}}"#;
        let config = read(text);
        assert_eq!((config.subnet_len, config.subnet_min), (Some(26), Some(Ipv4Addr::new(10, 244, 1, 0))));
        let backend = &config.backend;
        assert_eq!((backend.vni, backend.port, backend.mtu), (7, 4789, Some(1400)));
        assert!(backend.direct_routing && backend.learning && config.warnings().is_empty());
        config.validate().unwrap();
    }

    #[test]
    fn what_is_nothing_to_go_is_left_out() {
        let text = r#"{"Network":"10.244.0.0/16","SubnetLen":0,"SubnetMin":"0.0.0.0","SubnetMax":null,"EnableIPv4":true,
            "EnableIPv6":null,"Backend":{"Type":"vxlan","VNI":null,"Port":0,"MTU":null}}"#;
        let config = read(text);
        assert_eq!(config, read(r#"{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}"#));
        config.validate().unwrap();
    }

    #[test]
    fn a_wrong_value_is_named() {
        for (text, words) in [
            (r#"{"Network":"10.244.0.0/16","Backend":{"VNI":"100"}}"#, "Backend.VNI: invalid type: string"),
            (r#"{"Network":7}"#, "Network: invalid type"),
            (r#"{"network":"10.244.0.0"}"#, "Network: "),
            (r#"{"Backend":{"Type":"vxlan"}}"#, "Network is missing"),
            (r#"{"Network":"10.244.0.0/16","enableIPv4":false}"#, "EnableIPv4 false is not driven here"),
            (r#"{"Network":"10.244.0.0/16","Backend":"vxlan"}"#, "Backend is an object, not \"vxlan\""),
        ] {
            let error = serde_json::from_str::<FlannelConfig>(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn what_has_no_effect_is_told_with_what_may_be_meant() {
        let warnings = |text: &str| read(text).warnings();
        let with =
            |more: &str| warnings(&format!(r#"{{"Network":"10.244.0.0/16",{more},"Backend":{{"Type":"vxlan"}}}}"#));
        let of_backend =
            |more: &str| warnings(&format!(r#"{{"Network":"10.244.0.0/16","Backend":{{"Type":"vxlan",{more}}}}}"#));
        let passes = |key: &str, meant: &str| vec![format!("flannel doesn't know {key} and ignores it{meant}")];
        assert_eq!(with(r#""SubnetLength":20"#), passes("SubnetLength", "; did you mean SubnetLen?"));
        assert_eq!(with(r#""networks":1"#), passes("networks", "; did you mean Network?"));
        assert_eq!(with(r#""IPv6Networks":1"#), passes("IPv6Networks", "; did you mean IPv6Network?"));
        assert_eq!(with(r#""VNI":1"#), passes("VNI", "; did you mean Backend.VNI?"));
        assert_eq!(with(r#""colour":1"#), passes("colour", ""));
        assert_eq!(with(r#""ipv6network":"fd00::/48""#), ["flannel's ipv6network has no effect here"]);
        assert_eq!(
            of_backend(r#""DirectRoute":true"#),
            passes("Backend.DirectRoute", "; did you mean Backend.DirectRouting?")
        );
        assert_eq!(of_backend(r#""SubnetLen":20"#), passes("Backend.SubnetLen", "; did you mean SubnetLen?"));
        assert_eq!(
            of_backend(r#""mtu":9000"#),
            ["flannel's Backend.MTU 9000 is more than the 1500 of the nodes' eth0: the tunnel's is 1450"]
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(key in "[a-zA-Z]{0,12}", value in "[a-z0-9]{0,6}", mtu in 0u32..70_000) {
            let mut object = serde_json::json!({"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan", "mtu": mtu}});
            object[&key] = value.clone().into();
            object["Backend"][&key] = value.into();
            if let Ok(config) = serde_json::from_value::<FlannelConfig>(object) {
                let again = serde_json::from_value(serde_json::to_value(&config).unwrap()).unwrap();
                prop_assert_eq!(config, again);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in r#"[NetworkBckdVIMTU{}\[\]":,0-9.null/ ]{0,80}"#) {
            if let Ok(config) = serde_json::from_str::<FlannelConfig>(&text) {
                let _ = (config.validate(), config.warnings());
            }
        }
    }
}
