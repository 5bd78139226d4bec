//! Announcements of nftables as changes (linux/netfilter/nf_tables.h).

use knetsim_model::observe::Change;
use netlink_packet_core::{NetlinkBuffer, NlasIterator};

use super::change;

/// Group `NFNLGRP_NFTABLES`, as a bit (bind(2) of netlink(7)).
pub(super) const GROUPS: u32 = 1 << (7 - 1);

/// `NFNL_SUBSYS_NFTABLES`: the upper half of a message's type.
const SUBSYSTEM: u16 = 10;
/// `sizeof(struct nfgenmsg)`: family, version, resource.
const HEADER: usize = 4;

/// What an announcement says that changed: `new chain ip nat postrouting`, `gone rule ip nat postrouting handle 4`.
pub(super) fn change_of(message: NetlinkBuffer<&[u8]>) -> Option<Change> {
    let message_type = message.message_type();
    if message_type >> 8 != SUBSYSTEM {
        return None;
    }
    // NFT_MSG_*; which attributes bear the names.
    let (subject, verb, names): (_, _, &[u16]) = match message_type & 0xff {
        0 => ("table", "new", &[1]),
        2 => ("table", "gone", &[1]),
        3 => ("chain", "new", &[1, 3]),
        5 => ("chain", "gone", &[1, 3]),
        6 => ("rule", "new", &[1, 2]),
        8 => ("rule", "gone", &[1, 2]),
        9 => ("set", "new", &[1, 2]),
        11 => ("set", "gone", &[1, 2]),
        12 => ("element", "new", &[1, 2]),
        14 => ("element", "gone", &[1, 2]),
        _ => return None,
    };
    let (header, attributes) = message.payload().split_at_checked(HEADER)?;
    let mut detail = family(header[0]).to_owned();
    for name in names {
        detail.push(' ');
        detail.push_str(&text(&attribute(attributes, *name)?));
    }
    if subject == "rule" {
        // NFTA_RULE_HANDLE, big endian.
        let handle = attribute(attributes, 3)?.try_into().ok().map(u64::from_be_bytes)?;
        detail.push_str(&format!(" handle {handle}"));
    }
    Some(change(subject, verb, detail))
}

fn attribute(attributes: &[u8], kind: u16) -> Option<Vec<u8>> {
    let mut all = NlasIterator::new(attributes).map_while(Result::ok);
    all.find(|attribute| attribute.kind() == kind).map(|attribute| attribute.value().to_vec())
}

/// A name, which ends with a zero byte.
fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.strip_suffix(b"\0").unwrap_or(value)).into_owned()
}

/// `NFPROTO_*`, as nft names it.
fn family(number: u8) -> &'static str {
    match number {
        1 => "inet",
        2 => "ip",
        3 => "arp",
        5 => "netdev",
        7 => "bridge",
        10 => "ip6",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::messages;
    use super::*;

    fn changes(bytes: &[u8]) -> Vec<Change> {
        let mut changes = Vec::new();
        messages(bytes, |message| changes.extend(change_of(message)));
        changes
    }

    fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        padded([&(value.len() as u16 + 4).to_ne_bytes(), &kind.to_ne_bytes(), value].concat())
    }

    fn message(kind: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
        let body = [&[2, 0, 0, 0], attributes.concat().as_slice()].concat();
        let length = (body.len() as u32 + 16).to_ne_bytes();
        padded([&length[..], &(SUBSYSTEM << 8 | kind).to_ne_bytes(), &[0; 10], &body].concat())
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes: Vec<u8>) {
            changes(&bytes);
        }

        #[test]
        fn any_attributes_are_read(kind in 0..16u16, attributes: Vec<u8>) {
            changes(&message(kind, &[attributes]));
        }

        #[test]
        fn names_are_found(table in "[a-z]{1,9}", chain in "[a-z-]{1,9}", handle: u64) {
            let (table_name, chain_name) = (format!("{table}\0"), format!("{chain}\0"));
            let table_attribute = attribute(1, table_name.as_bytes());
            let rule = [table_attribute.clone(), attribute(2, chain_name.as_bytes()), attribute(3, &handle.to_be_bytes())];
            let both = [message(0, &[table_attribute]), message(6, &rule)].concat();
            let expected = [
                change("table", "new", format!("ip {table}")),
                change("rule", "new", format!("ip {table} {chain} handle {handle}")),
            ];
            prop_assert_eq!(changes(&both), expected);
        }
    }
}
