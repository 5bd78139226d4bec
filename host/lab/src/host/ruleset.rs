//! An nftables ruleset in typed records, from the JSON of `nft -j list ruleset` (libnftables-json(5)).

use serde::Deserialize;
use serde_json::Value;

use super::wit::observe::{NftChain, NftHook, NftRule, NftRuleset, NftSet, NftTable};

#[derive(Deserialize)]
struct Listing {
    nftables: Vec<Object>,
}

/// One object of the listing; exactly one field is there.
#[derive(Deserialize)]
struct Object {
    table: Option<Table>,
    chain: Option<Chain>,
    rule: Option<Rule>,
    set: Option<Set>,
    map: Option<Set>,
}

#[derive(Deserialize)]
struct Table {
    family: String,
    name: String,
    handle: u64,
}

#[derive(Deserialize)]
struct Chain {
    family: String,
    table: String,
    name: String,
    handle: u64,
    #[serde(rename = "type")]
    kind: Option<String>,
    hook: Option<String>,
    prio: Option<i32>,
    policy: Option<String>,
}

#[derive(Deserialize)]
struct Rule {
    family: String,
    table: String,
    chain: String,
    handle: u64,
    comment: Option<String>,
    #[serde(default)]
    expr: Vec<Value>,
}

#[derive(Deserialize)]
struct Set {
    family: String,
    table: String,
    name: String,
    handle: u64,
    #[serde(default)]
    elem: Vec<Value>,
}

pub(super) fn typed(json: Value) -> Result<NftRuleset, serde_json::Error> {
    let listing: Listing = serde_json::from_value(json)?;
    let mut ruleset = NftRuleset { tables: Vec::new(), chains: Vec::new(), rules: Vec::new(), sets: Vec::new() };
    for object in listing.nftables {
        if let Some(Table { family, name, handle }) = object.table {
            ruleset.tables.push(NftTable { family, name, handle });
        }
        ruleset.chains.extend(object.chain.map(chain));
        ruleset.rules.extend(object.rule.map(rule));
        ruleset.sets.extend(object.set.map(|found| set(found, false)));
        ruleset.sets.extend(object.map.map(|found| set(found, true)));
    }
    Ok(ruleset)
}

fn chain(chain: Chain) -> NftChain {
    let hook = chain.hook.map(|hook| NftHook {
        kind: chain.kind.unwrap_or_default(),
        hook,
        priority: chain.prio.unwrap_or_default(),
        policy: chain.policy.unwrap_or_else(|| "accept".to_owned()),
    });
    NftChain { family: chain.family, table: chain.table, name: chain.name, handle: chain.handle, hook }
}

fn rule(rule: Rule) -> NftRule {
    let counter = rule.expr.iter().find_map(|statement| statement.get("counter"));
    let counted = |what: &str| counter.and_then(|counter| counter.get(what)?.as_u64());
    NftRule {
        packets: counted("packets"),
        bytes: counted("bytes"),
        expr: Value::from(rule.expr).to_string(),
        family: rule.family,
        table: rule.table,
        chain: rule.chain,
        handle: rule.handle,
        comment: rule.comment,
    }
}

fn set(set: Set, is_map: bool) -> NftSet {
    NftSet {
        family: set.family,
        table: set.table,
        name: set.name,
        handle: set.handle,
        is_map,
        elements: set.elem.iter().map(Value::to_string).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As nft 1.0.6 prints it.
    const LISTING: &str = r#"{"nftables": [
        {"metainfo": {"version": "1.0.6", "release_name": "Lester Gooch #5", "json_schema_version": 1}},
        {"table": {"family": "ip", "name": "t", "handle": 7}},
        {"map": {"family": "ip", "name": "m", "table": "t", "type": "ipv4_addr", "handle": 3, "map": "verdict",
                 "elem": [["10.0.0.1", {"goto": {"target": "c"}}]]}},
        {"chain": {"family": "ip", "table": "t", "name": "out", "handle": 1, "type": "filter", "hook": "output",
                   "prio": -5, "policy": "drop"}},
        {"chain": {"family": "ip", "table": "t", "name": "c", "handle": 2}},
        {"rule": {"family": "ip", "table": "t", "chain": "out", "handle": 4, "comment": "why",
                  "expr": [{"counter": {"packets": 3, "bytes": 252}}, {"drop": null}]}}
    ]}"#;

    #[test]
    fn a_listing_becomes_records() {
        let ruleset = typed(serde_json::from_str(LISTING).unwrap()).unwrap();
        assert_eq!(ruleset.tables[0].handle, 7);
        let hook = ruleset.chains[0].hook.as_ref().unwrap();
        assert_eq!((hook.hook.as_str(), hook.priority, hook.policy.as_str()), ("output", -5, "drop"));
        assert!(ruleset.chains[1].hook.is_none());
        let rule = &ruleset.rules[0];
        assert_eq!((rule.packets, rule.bytes, rule.comment.as_deref()), (Some(3), Some(252), Some("why")));
        assert_eq!(rule.expr, r#"[{"counter":{"bytes":252,"packets":3}},{"drop":null}]"#);
        assert!(ruleset.sets[0].is_map);
        assert_eq!(ruleset.sets[0].elements, [r#"["10.0.0.1",{"goto":{"target":"c"}}]"#]);
    }
}
