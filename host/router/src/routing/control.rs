//! What routers tell each other: HELLO, RA, LSR, LSU, MAR, MAU as maps in messages (skrouterd's
//! `python/skupper_router_internal/router/data.py` and `src/router_core/modules/mobile_sync`).

use std::collections::BTreeMap;

use crate::amqp::codec::Value;

/// The versions of the two protocols that this router speaks.
const TOPOLOGY: i64 = 1;
const ADDRESSES: i64 = 2;

/// Bounds on what one message may say, far above what a network of routers has.
const MAX_PEERS: usize = 256;
const MAX_ADDRESSES: usize = 20_000;

/// A control message, without who sent it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Control {
    /// To neighbours: whom the sender hears.
    Hello { instance: i64, seen: Vec<String> },
    /// To all: how far the sender's links and addresses have got.
    Advertise { instance: i64, ls_seq: i64, mobile_seq: i64 },
    /// To one: send your links.
    AskLinks,
    /// To one: these are the sender's.
    Links { instance: i64, ls_seq: i64, peers: BTreeMap<String, u32> },
    /// To one: send your addresses, unless this is the latest.
    AskAddresses { have: i64 },
    /// These are the sender's addresses: all, or what changed since the number before.
    Addresses { mobile_seq: i64, change: Change },
}

/// Addresses, without the letter of their class.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    All(Vec<(String, i32)>),
    Diff { add: Vec<(String, i32)>, del: Vec<String> },
}

impl Control {
    pub(crate) fn opcode(&self) -> &'static str {
        match self {
            Control::Hello { .. } => "HELLO",
            Control::Advertise { .. } => "RA",
            Control::AskLinks => "LSR",
            Control::Links { .. } => "LSU",
            Control::AskAddresses { .. } => "MAR",
            Control::Addresses { .. } => "MAU",
        }
    }

    /// The message's body.
    pub(crate) fn encode(&self, me: &str) -> Value {
        let about_addresses = matches!(self, Control::AskAddresses { .. } | Control::Addresses { .. });
        let version = if about_addresses { ADDRESSES } else { TOPOLOGY };
        let mut map = vec![("id", Value::string(me)), ("pv", Value::long(version)), ("area", Value::string("0"))];
        match self {
            Control::Hello { instance, seen } => {
                let seen = seen.iter().map(Value::string).collect();
                map.extend([("instance", Value::long(*instance)), ("seen", Value::List(seen))]);
            }
            Control::Advertise { instance, ls_seq, mobile_seq } => map.extend([
                ("instance", Value::long(*instance)),
                ("ls_seq", Value::long(*ls_seq)),
                ("mobile_seq", Value::long(*mobile_seq)),
            ]),
            Control::AskLinks => {}
            Control::Links { instance, ls_seq, peers } => {
                let peers = peers.iter().map(|(id, cost)| (Value::string(id), Value::long((*cost).into()))).collect();
                let state = [
                    ("id", Value::string(me)),
                    ("area", Value::string("0")),
                    ("ls_seq", Value::long(*ls_seq)),
                    ("peers", Value::Map(peers)),
                ];
                let state = state.map(|(key, value)| (Value::string(key), value)).to_vec();
                map.extend([("instance", Value::long(*instance)), ("ls_seq", Value::long(*ls_seq))]);
                map.push(("ls", Value::Map(state)));
            }
            Control::AskAddresses { have } => map.push(("have_seq", Value::long(*have))),
            Control::Addresses { mobile_seq, change } => {
                map.push(("mobile_seq", Value::long(*mobile_seq)));
                match change {
                    Change::All(all) => map.push(("exist", descriptors(all))),
                    Change::Diff { add, del } => {
                        let del = del.iter().map(|address| Value::List(vec![mobile(address)])).collect();
                        map.extend([("add", descriptors(add)), ("del", Value::List(del))]);
                    }
                }
            }
        }
        // Each of the two protocols has its keys in a type of its own.
        let key = |key: &str| if about_addresses { Value::symbol(key) } else { Value::string(key) };
        Value::Map(map.into_iter().map(|(name, value)| (key(name), value)).collect())
    }

    /// The sender's id and the message; None for one that isn't understood, which is left alone.
    pub(crate) fn decode(opcode: &str, body: &Value) -> Option<(String, Control)> {
        let id = body.get("id")?.text()?.to_owned();
        let number = |key| body.get(key).and_then(Value::integer);
        let instance = number("instance").unwrap_or(0);
        let newest = if opcode.starts_with("MA") { ADDRESSES } else { TOPOLOGY };
        if number("pv").unwrap_or(0) > newest {
            return None;
        }
        let control = match opcode {
            "HELLO" => {
                let seen = body.get("seen")?.list()?.iter().take(MAX_PEERS);
                Control::Hello { instance, seen: seen.filter_map(|id| id.text().map(str::to_owned)).collect() }
            }
            "RA" => Control::Advertise { instance, ls_seq: number("ls_seq")?, mobile_seq: number("mobile_seq")? },
            "LSR" => Control::AskLinks,
            "LSU" => {
                let Value::Map(peers) = body.get("ls")?.get("peers")? else { return None };
                let peer =
                    |(id, cost): &(Value, Value)| Some((id.text()?.to_owned(), cost.integer()?.try_into().ok()?));
                let peers = peers.iter().take(MAX_PEERS).filter_map(peer).collect();
                Control::Links { instance, ls_seq: body.get("ls")?.get("ls_seq")?.integer()?, peers }
            }
            "MAR" => Control::AskAddresses { have: number("have_seq")? },
            "MAU" => {
                let all = |key| body.get(key).and_then(Value::list).map(described);
                let change = match all("exist") {
                    Some(all) => Change::All(all),
                    None => Change::Diff {
                        add: all("add").unwrap_or_default(),
                        del: all("del").unwrap_or_default().into_iter().map(|(address, _)| address).collect(),
                    },
                };
                Control::Addresses { mobile_seq: number("mobile_seq")?, change }
            }
            _ => return None,
        };
        Some((id, control))
    }
}

fn mobile(address: &str) -> Value {
    Value::string(format!("M{address}"))
}

/// `[address, treatment, links in]` of each.
fn descriptors(addresses: &[(String, i32)]) -> Value {
    let one = |(address, treatment): &(String, i32)| {
        Value::List(vec![mobile(address), Value::int(*treatment), Value::int(0)])
    };
    Value::List(addresses.iter().map(one).collect())
}

fn described(list: &[Value]) -> Vec<(String, i32)> {
    let one = |value: &Value| {
        let fields = value.list()?;
        let address = fields.first()?.text()?.strip_prefix('M')?.to_owned();
        let treatment = fields.get(1).and_then(Value::integer).and_then(|n| n.try_into().ok()).unwrap_or(-1);
        Some((address, treatment))
    };
    list.iter().take(MAX_ADDRESSES).filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_comes_back() {
        let all = [
            Control::Hello { instance: 5, seen: vec!["c1".into()] },
            Control::Advertise { instance: 5, ls_seq: 1, mobile_seq: 2 },
            Control::AskLinks,
            Control::Links { instance: 5, ls_seq: 3, peers: BTreeMap::from([("c1".into(), 4)]) },
            Control::AskAddresses { have: 7 },
            Control::Addresses { mobile_seq: 7, change: Change::All(vec![("web".into(), 3)]) },
            Control::Addresses {
                mobile_seq: 8,
                change: Change::Diff { add: vec![("a".into(), 2)], del: vec!["b".into()] },
            },
        ];
        for control in all {
            let decoded = Control::decode(control.opcode(), &control.encode("c0"));
            let (id, decoded) = decoded.unwrap();
            assert_eq!((id.as_str(), &decoded), ("c0", &control));
        }
    }

    #[test]
    fn a_newer_protocol_and_a_body_without_its_fields_are_left_alone() {
        let body = |pairs: &[(&str, Value)]| {
            Value::Map(pairs.iter().map(|(key, value)| (Value::string(*key), value.clone())).collect())
        };
        let newer = body(&[("id", Value::string("x")), ("pv", Value::long(9)), ("seen", Value::List(vec![]))]);
        assert_eq!(Control::decode("HELLO", &newer), None);
        assert_eq!(Control::decode("RA", &body(&[("id", Value::string("x"))])), None);
        assert_eq!(Control::decode("RA", &Value::Null), None);
    }
}
