//! Masquerade: what a container sends beyond its subnet bears the node's address.
//! The table, chains and comments are those of containernetworking/plugins (`pkg/ip/ipmasq_nftables_linux.go`):
//!
//! ```text
//! nft add rule inet cni_plugins_masquerade masq_checks ip saddr 11.10.128.2 ip daddr != 11.10.128.0/20 \
//!     masquerade comment "HASH-HASH, net: C0w1, if: eth0, id: c1"
//! ```

use ipnet::IpNet;
use knetsim_kernel::nft;
use serde_json::{Value, json};
use sha2::{Digest, Sha512};

use super::config::Config;
use crate::attachment::Attachment;
use crate::error::Error;
use crate::plugins::{Call, host_local};
use crate::result::AddResult;

const FAMILY: &str = "inet";
const TABLE: &str = "cni_plugins_masquerade";
const CHECKS: &str = "masq_checks";
const ENTRY: &str = "postrouting";
/// The longest comment that the kernel keeps.
const LONGEST: usize = 128;

/// Adds the rules of an attachment, and table and chains where they are missing.
pub(super) async fn add(call: Call<'_>, config: &Config, result: &AddResult) -> Result<(), Error> {
    let mut batch = vec![
        json!({"add": {"table": {"family": FAMILY, "name": TABLE}}}),
        json!({"add": {"chain": {"family": FAMILY, "table": TABLE, "name": CHECKS}}}),
        json!({"add": {"chain": {"family": FAMILY, "table": TABLE, "name": ENTRY,
            "type": "nat", "hook": "postrouting", "prio": 100, "policy": "accept"}}}),
        json!({"flush": {"chain": {"family": FAMILY, "table": TABLE, "name": ENTRY}}}),
    ];
    let multicast = [("ip", "224.0.0.0", 4), ("ip6", "ff00::", 8)];
    let leave = multicast
        .map(|(protocol, network, len)| vec![destination(protocol, "==", network, len), json!({"return": null})]);
    batch.extend(leave.into_iter().map(|expr| rule(ENTRY, expr, None)));
    batch.push(rule(ENTRY, vec![json!({"goto": {"target": CHECKS}})], None));

    let comment = comment(&config.name, call.attachment);
    batch.extend(stale(call, |text| text == comment).await?);
    batch.extend(result.ips.iter().map(|ip| rule(CHECKS, masquerade(ip.address), Some(&comment))));
    apply(call, batch).await
}

/// Removes the rules of an attachment.
pub(super) async fn remove(call: Call<'_>, config: &Config) -> Result<(), Error> {
    let comment = comment(&config.name, call.attachment);
    let batch = stale(call, |text| text == comment).await?;
    apply(call, batch).await
}

/// Removes the rules of this network's attachments that are not valid any more.
pub(super) async fn keep(call: Call<'_>, config: &Config) -> Result<(), Error> {
    if !config.ip_masq {
        return Ok(());
    }
    let valid = host_local::valid_attachments(call.config)?;
    let valid: Vec<String> = valid.iter().map(|attachment| comment(&config.name, attachment)).collect();
    let own = format!("{}-", hash(&config.name));
    let batch = stale(call, |text| text.starts_with(&own) && !valid.iter().any(|comment| comment == text)).await?;
    apply(call, batch).await
}

async fn apply(call: Call<'_>, batch: Vec<Value>) -> Result<(), Error> {
    if batch.is_empty() {
        return Ok(());
    }
    let batch = serde_json::from_value(json!({"nftables": batch})).map_err(Error::decode("the batch for nft"))?;
    Ok(nft::apply(&call.host.netns, &batch).await?)
}

/// Deletions of the rules whose comment is chosen.
async fn stale(call: Call<'_>, chosen: impl Fn(&str) -> bool) -> Result<Vec<Value>, Error> {
    let ruleset = nft::ruleset(&call.host.netns).await?;
    let objects = ruleset["nftables"].as_array().into_iter().flatten();
    let rules = objects.map(|object| &object["rule"]);
    let own = rules.filter(|rule| rule["table"] == TABLE && rule["chain"] == CHECKS && rule["family"] == FAMILY);
    let stale = own.filter(|rule| rule["comment"].as_str().is_some_and(&chosen));
    let delete = |rule: &Value| json!({"delete": {"rule": {"family": FAMILY, "table": TABLE, "chain": CHECKS, "handle": rule["handle"], "expr": []}}});
    Ok(stale.map(delete).collect())
}

fn rule(chain: &str, expr: Vec<Value>, comment: Option<&str>) -> Value {
    let mut rule = json!({"family": FAMILY, "table": TABLE, "chain": chain, "expr": expr});
    if let Some(comment) = comment {
        rule["comment"] = json!(comment);
    }
    json!({"add": {"rule": rule}})
}

fn destination(protocol: &str, op: &str, network: &str, len: u8) -> Value {
    let field = json!({"payload": {"protocol": protocol, "field": "daddr"}});
    json!({"match": {"op": op, "left": field, "right": {"prefix": {"addr": network, "len": len}}}})
}

fn masquerade(address: IpNet) -> Vec<Value> {
    let protocol = if address.addr().is_ipv4() { "ip" } else { "ip6" };
    let field = json!({"payload": {"protocol": protocol, "field": "saddr"}});
    vec![
        json!({"match": {"op": "==", "left": field, "right": address.addr().to_string()}}),
        destination(protocol, "!=", &address.network().to_string(), address.prefix_len()),
        json!({"masquerade": null}),
    ]
}

fn comment(network: &str, attachment: &Attachment) -> String {
    let Attachment { container_id, ifname, .. } = attachment;
    let ifname = ifname.replace('"', "");
    let instance = hash(&format!("{}:{container_id}", attachment.ifname));
    let text = format!("{}-{instance}, net: {network}, if: {ifname}, id: {container_id}", hash(network));
    text.chars().take(LONGEST).collect()
}

/// The first 16 digits of SHA-512.
fn hash(text: &str) -> String {
    Sha512::digest(text)[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}
