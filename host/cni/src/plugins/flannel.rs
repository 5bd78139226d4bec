//! flannel: makes of the subnet that the overlay agent leased a configuration for another plugin,
//! `bridge` unless told otherwise, and keeps it for DEL (flannel-io/cni-plugin, README.md).

use std::str::FromStr;

use ipnet::IpNet;
use knetsim_model::go_json;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Call, Command};
use crate::config::{self, Object};
use crate::error::Error;
use crate::files::{Files, Modes};
use crate::result::AddResult;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    name: String,
    #[serde(default = "subnet_file")]
    subnet_file: String,
    #[serde(default)]
    delegate: Object,
    #[serde(default)]
    ipam: Object,
    runtime_config: Option<Object>,
}

fn subnet_file() -> String {
    "/run/flannel/subnet.env".to_owned()
}

/// Where the configurations for the other plugin are kept.
fn data_dir(config: &Object) -> Result<&str, Error> {
    Ok(config::text_of(config, "dataDir")?.unwrap_or("/var/lib/cni/flannel"))
}

pub(super) async fn run(call: Call<'_>) -> Result<Option<AddResult>, Error> {
    let kept = format!("{}/{}", data_dir(call.config)?, call.attachment.container_id);
    let config = || config::typed::<Config>(call.config);
    match call.command {
        Command::Add => add(call, config()?, &kept).await.map(Some),
        // DEL takes what it can, whatever else the configuration says.
        Command::Del => del(call, &kept).await,
        Command::Check => check(call, &kept).await,
        Command::Gc => gc(call).await,
        Command::Status => {
            let unavailable = |error: Error| Error::Unavailable(format!("flannel has no subnet yet: {error}"));
            let delegate = delegate(call, config()?).map_err(unavailable)?;
            call.with_config(&delegate).run(config::kind(&delegate)).await
        }
    }
}

async fn add(call: Call<'_>, config: Config, kept: &str) -> Result<AddResult, Error> {
    let files = &call.host.files;
    let delegate = delegate(call, config)?;
    let text = Value::Object(delegate.clone()).to_string();
    let modes = Modes { folder: 0o700, file: 0o600 };
    let new = files.create_new(kept, text.as_bytes(), modes)?;
    if !new {
        files.write(kept, text.as_bytes(), modes)?;
    }
    let result = call.with_config(&delegate).add(config::kind(&delegate)).await;
    if result.is_err() && new {
        files.remove(kept)?;
    }
    result
}

async fn del(call: Call<'_>, kept: &str) -> Result<Option<AddResult>, Error> {
    let delegate = match read_kept(&call.host.files, kept) {
        Ok(Some(delegate)) if !config::kind(&delegate).is_empty() => delegate,
        Ok(None) => return Ok(None),
        broken => {
            let why = broken.err().map(|error| format!(": {error}")).unwrap_or_default();
            tracing::warn!("{kept} is not what ADD wrote{why}; DEL takes what it finds without it");
            delegate_for_del(call.config)
        }
    };
    call.with_config(&delegate).run(config::kind(&delegate)).await?;
    call.host.files.remove(kept)?;
    Ok(None)
}

async fn check(call: Call<'_>, kept: &str) -> Result<Option<AddResult>, Error> {
    let missing = || Error::Failed(format!("{kept}, which ADD writes, is missing"));
    let mut delegate = read_kept(&call.host.files, kept)?.ok_or_else(missing)?;
    if let Some(previous) = go_json::field(call.config, "prevResult") {
        delegate.insert("prevResult".into(), previous.clone());
    }
    call.with_config(&delegate).run(config::kind(&delegate)).await
}

/// The other plugin first: what is kept for DEL goes when what it is about is gone.
async fn gc(call: Call<'_>) -> Result<Option<AddResult>, Error> {
    let valid = super::host_local::valid_attachments(call.config)?;
    let mut delegate = delegate_for_del(call.config);
    let reserved = call.config.iter().filter(|(key, _)| key.starts_with("cni.dev/"));
    delegate.extend(reserved.map(|(key, value)| (key.clone(), value.clone())));
    call.with_config(&delegate).run(config::kind(&delegate)).await?;
    let files = &call.host.files;
    let data_dir = data_dir(call.config)?;
    for id in files.list(data_dir)? {
        if !valid.iter().any(|attachment| attachment.container_id == id) {
            files.remove(&format!("{data_dir}/{id}"))?;
        }
    }
    Ok(None)
}

fn read_kept(files: &Files, kept: &str) -> Result<Option<Object>, Error> {
    let Some(bytes) = files.read(kept)? else { return Ok(None) };
    serde_json::from_slice(&bytes).map(Some).map_err(Error::decode(kept))
}

/// What the other plugin needs to know to take away what it made, where the kept configuration is lost: not the
/// subnet, which may be lost too.
fn delegate_for_del(config: &Object) -> Object {
    let mut delegate = config::object(config, "delegate").cloned().unwrap_or_default();
    let mut ipam = config::object(config, "ipam").cloned().unwrap_or_default();
    ipam.entry("type").or_insert(json!("host-local"));
    for (key, value) in [("type", json!("bridge")), ("ipMasq", json!(true))] {
        delegate.entry(key).or_insert(value);
    }
    delegate.insert("ipam".into(), Value::Object(ipam));
    for key in ["name", "cniVersion", "runtimeConfig"] {
        delegate.extend(go_json::field(config, key).map(|value| (key.to_owned(), value.clone())));
    }
    delegate
}

/// The configuration for the other plugin.
fn delegate(call: Call<'_>, config: Config) -> Result<Object, Error> {
    let mut delegate = config.delegate;
    for key in ["name", "ipam"] {
        if delegate.contains_key(key) {
            return Err(Error::Config(format!("`delegate` must not have `{key}`: flannel sets it")));
        }
    }
    if delegate.get("type").is_some_and(|kind| !kind.is_string()) {
        return Err(Error::Config("`delegate.type` must be a string".to_owned()));
    }
    let bytes = call.host.files.read(&config.subnet_file)?.ok_or_else(|| {
        Error::Failed(format!("{} is missing: flannel has leased no subnet on this node yet", config.subnet_file))
    })?;
    let env: SubnetEnv = String::from_utf8_lossy(&bytes)
        .parse()
        .map_err(|why| Error::Decode { what: config.subnet_file.clone(), why })?;

    // If flannel does not masquerade, the other plugin has to.
    let defaults = [("type", json!("bridge")), ("ipMasq", json!(!env.masquerades)), ("mtu", json!(env.mtu))];
    for (key, value) in defaults {
        delegate.entry(key).or_insert(value);
    }
    if config::kind(&delegate) == "bridge" {
        delegate.entry("isGateway").or_insert(json!(true));
    }
    delegate.insert("name".into(), json!(config.name));
    let copied = [("cniVersion", go_json::field(call.config, "cniVersion").cloned())];
    let runtime_config = [("runtimeConfig", config.runtime_config.map(Value::Object))];
    for (key, value) in copied.into_iter().chain(runtime_config) {
        delegate.extend(value.map(|value| (key.to_owned(), value)));
    }
    delegate.insert("ipam".into(), Value::Object(ipam(config.ipam, &env)?));
    Ok(delegate)
}

fn ipam(mut ipam: Object, env: &SubnetEnv) -> Result<Object, Error> {
    let mut routes = match ipam.remove("routes") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(routes)) => routes,
        Some(_) => return Err(Error::Config("`ipam.routes` must be a list".to_owned())),
    };
    routes.extend(env.networks.iter().map(|network| json!({"dst": network})));
    let ranges: Vec<Value> = env.subnets.iter().map(|subnet| json!([{"subnet": subnet}])).collect();
    ipam.entry("type").or_insert(json!("host-local"));
    ipam.insert("ranges".into(), json!(ranges));
    ipam.insert("routes".into(), json!(routes));
    Ok(ipam)
}

/// `subnet.env`, the file that flanneld writes when it holds a lease (flannel `pkg/subnet/subnet.go`).
#[derive(Debug, PartialEq)]
struct SubnetEnv {
    networks: Vec<IpNet>,
    subnets: Vec<IpNet>,
    mtu: u32,
    masquerades: bool,
}

impl FromStr for SubnetEnv {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let value = |key: &str| {
            let lines = text.lines().filter_map(|line| line.split_once('='));
            lines.filter(|(name, _)| *name == key).map(|(_, value)| value.trim()).next_back()
        };
        let mut missing = Vec::new();
        let mut nets = |key: &'static str, key6: &'static str| -> Result<Vec<IpNet>, String> {
            let texts: Vec<&str> = [key, key6].into_iter().filter_map(value).flat_map(|list| list.split(',')).collect();
            if texts.is_empty() {
                missing.extend([key, key6]);
            }
            let net = |text: &str| text.parse::<IpNet>().map(|net| net.trunc()).map_err(|why| format!("{text}: {why}"));
            let mut nets = Vec::new();
            for net in texts.into_iter().map(net) {
                let net = net?;
                if !nets.contains(&net) {
                    nets.push(net);
                }
            }
            Ok(nets)
        };
        let networks = nets("FLANNEL_NETWORK", "FLANNEL_IPV6_NETWORK")?;
        let subnets = nets("FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET")?;
        let (mtu, masquerades) = (value("FLANNEL_MTU"), value("FLANNEL_IPMASQ"));
        missing.extend(mtu.is_none().then_some("FLANNEL_MTU"));
        missing.extend(masquerades.is_none().then_some("FLANNEL_IPMASQ"));
        if !missing.is_empty() {
            return Err(format!("it lacks {}", missing.join(", ")));
        }
        let mtu = mtu.unwrap_or_default();
        let mtu = mtu.parse().map_err(|why| format!("FLANNEL_MTU {mtu}: {why}"))?;
        Ok(SubnetEnv { networks, subnets, mtu, masquerades: masquerades == Some("true") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_slides_file_is_read() {
        let text =
            "FLANNEL_NETWORK=11.0.0.0/8\nFLANNEL_SUBNET=11.10.128.1/20\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n";
        let env: SubnetEnv = text.parse().unwrap();
        assert_eq!(env.networks, ["11.0.0.0/8".parse().unwrap()]);
        assert_eq!(env.subnets, ["11.10.128.0/20".parse().unwrap()]);
        assert_eq!((env.mtu, env.masquerades), (1450, false));
    }

    #[test]
    fn what_is_missing_is_named() {
        let missing = "FLANNEL_NETWORK=11.0.0.0/8\n".parse::<SubnetEnv>().unwrap_err();
        assert_eq!(missing, "it lacks FLANNEL_SUBNET, FLANNEL_IPV6_SUBNET, FLANNEL_MTU, FLANNEL_IPMASQ");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "((FLANNEL_(NETWORK|SUBNET|MTU|IPMASQ)|X)[=,/]?[0-9./,]{0,12}\n){0,8}") {
            let _ = text.parse::<SubnetEnv>();
        }
    }
}
