//! Answers found in what a person copies from the screen: `net:[4026534535]`, `inet 11.10.0.2/20`, `8472/udp`.
//!
//! Invariant: a value is taken only where the text has a single one of its kind; what is written in the one form in
//! which a check gets it stays as it is.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// What stands before an address that belongs to another one: `inet 11.10.0.2/20 brd 11.10.15.255`.
const OF_ANOTHER: [&str; 4] = ["brd", "broadcast", "netmask", "mask"];
/// What may stand around a value without being a part of it.
const AROUND: &[char] = &['.', ':', '-', '+', '%', '#', '*', '@', '!', '?'];

/// The whole numbers in a text. Digits of names, addresses, ranges and decimal fractions are none.
pub(crate) fn numbers(text: &str) -> Vec<String> {
    distinct(words(text).filter_map(number))
}

/// The IPv4 addresses in a text, and its networks with their prefix lengths. An address with the prefix length of its
/// network, as on an interface, is an address; a network may be written as the key of a lease, `11.10.0.0-20`.
pub(crate) fn addresses(text: &str) -> Vec<String> {
    distinct(owned(text).filter_map(address))
}

/// The hardware addresses in a text.
pub(crate) fn macs(text: &str) -> Vec<String> {
    distinct(owned(text).filter_map(mac))
}

fn distinct(found: impl Iterator<Item = String>) -> Vec<String> {
    let mut all = Vec::new();
    for one in found {
        if !all.contains(&one) {
            all.push(one);
        }
    }
    all
}

/// Words without the punctuation around them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let divides = |c: char| c.is_whitespace() || "()[]{}<>|,;=\"'`".contains(c);
    text.split(divides).filter(|word| !word.is_empty())
}

/// Words, but for those that belong to the word before them.
fn owned(text: &str) -> impl Iterator<Item = &str> {
    let mut before = "";
    words(text).filter(move |word| {
        let label = std::mem::replace(&mut before, word).trim_end_matches(':');
        !OF_ANOTHER.iter().any(|other| label.eq_ignore_ascii_case(other))
    })
}

fn number(word: &str) -> Option<String> {
    let whole = |text: &str| text.parse::<i64>().ok().map(|number| number.to_string());
    if let Some(number) = whole(word) {
        return Some(number);
    }
    let word = word.trim_matches(AROUND);
    // `8472/udp`, but not `11.10.0.0/20`.
    if let Some((number, protocol)) = word.split_once('/') {
        return whole(number).filter(|_| protocol.chars().all(char::is_alphabetic));
    }
    // `packets:6`, `10.0.0.8:60736`, or `10.0.0.8.60736` as tcpdump writes it; but not `12:30:59`, `fe80::1`.
    let is_address = |text: &str| text.parse::<Ipv4Addr>().is_ok();
    let is_name = |text: &str| text.contains(char::is_alphabetic) && !text.contains(':');
    match (word.rsplit_once(':'), word.rsplit_once('.')) {
        (Some((before, number)), _) if is_address(before) || is_name(before) => whole(number),
        (None, Some((before, number))) if is_address(before) => whole(number),
        _ => whole(word),
    }
}

fn address(word: &str) -> Option<String> {
    let word = word.trim_matches(AROUND);
    // `http://10.0.0.3:8001/svc1`, `/coreos.com/network/subnets/11.10.0.0-20`.
    let word = match (word.split_once("://"), word.starts_with('/')) {
        (Some((_, rest)), _) => rest.split('/').next()?,
        (None, true) => word.rsplit('/').next()?,
        (None, false) => word,
    };
    word.split(':').find_map(with_prefix)
}

/// An address with what may follow it: a prefix length, a port after a dot, a path.
fn with_prefix(text: &str) -> Option<String> {
    let (address, behind) = match text.split_once(['/', '-']) {
        Some((address, behind)) => (address, Some(behind)),
        None => (text, None),
    };
    let port = || address.rsplit_once('.').filter(|(_, port)| port.parse::<u16>().is_ok());
    let address: Ipv4Addr = address.parse().ok().or_else(|| port()?.0.parse().ok())?;
    let prefix = match behind.filter(|behind| behind.starts_with(|c: char| c.is_ascii_digit())) {
        Some(behind) => behind.parse().ok()?,
        None => 32,
    };
    let network = Ipv4Net::new(address, prefix).ok()?;
    let is_network = prefix < 32 && network.trunc() == network;
    Some(if is_network { network.to_string() } else { address.to_string() })
}

fn mac(word: &str) -> Option<String> {
    let bytes: Vec<_> = word.trim_matches(AROUND).split([':', '-']).collect();
    let is_byte = |byte: &&str| matches!(byte.len(), 1 | 2) && byte.chars().all(|c| c.is_ascii_hexdigit());
    let whole = bytes.len() == 6 && bytes.iter().all(is_byte);
    whole.then(|| bytes.iter().map(|byte| format!("{:0>2}", byte.to_ascii_lowercase())).collect::<Vec<_>>().join(":"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::chapter::AnswerKind;

    /// What stands around a value on the screen of whoever copies it.
    const AROUND_ALL: [&str; 16] = [
        "@", "  @\n", "[@]", "(@)", "`@`", "'@'", "\"@\"", "{@}", "@.", "@,", "@;", "= @", "it is @", "is: @", "<@>",
        "x=@",
    ];
    const AROUND_NUMBERS: [&str; 9] = [
        "net:[@]",
        "# handle @",
        "@/udp",
        "@/tcp",
        "packets:@",
        "RX packets @",
        "10.0.0.8:@",
        "C0w1:@",
        "ip saddr 8.8.8.8 # handle @",
    ];
    const AROUND_ADDRESSES: [&str; 12] = [
        "inet @",
        "    inet @/8 brd 11.255.255.255 scope global eth0",
        "inet @  netmask 255.0.0.0  broadcast 11.255.255.255",
        "@:41991",
        "client @:41991",
        "http://@:8001/svc1?echo",
        "@.34567",
        "@:",
        "\"PublicIP\":\"@\"",
        "@/32",
        "@ dev eth0",
        "::ffff:@",
    ];
    const AROUND_MACS: [&str; 5] = [
        "link/ether @ brd ff:ff:ff:ff:ff:ff link-netnsid 0",
        "ether @  txqueuelen 1000  (Ethernet)",
        "lladdr @",
        "\"VtepMAC\":\"@\"",
        "Dst: @ (@)",
    ];

    fn taken(kind: &AnswerKind, text: &str) -> Option<String> {
        kind.canonical(text).ok()
    }

    fn in_all(kind: &AnswerKind, value: &str, around: &[&str], form: &str) -> Result<(), TestCaseError> {
        for around in AROUND_ALL.iter().chain(around) {
            let text = around.replace('@', value);
            prop_assert_eq!(taken(kind, &text), Some(form.to_owned()), "{}", text);
        }
        Ok(())
    }

    #[test]
    fn what_is_copied_from_the_screen_is_taken() {
        let (number, address, mac) = (AnswerKind::Number, AnswerKind::Address, AnswerKind::Mac);
        for (kind, copied, expected) in [
            (&number, "net:[4026534535]", Some("4026534535")),
            (&number, "8472/udp", Some("8472")),
            (&number, "counter packets 3 bytes 252 # handle 3", None),
            (&number, "# handle 3", Some("3")),
            (&number, "10.0.0.8:60736", Some("60736")),
            (&number, "ESTAB 0 0 10.0.0.8:60736 10.0.0.3:55671", None),
            (&number, "about 5", Some("5")),
            (&number, "0045", Some("45")),
            (&number, "10.0", None),
            (&number, "11.10.0.0/20", None),
            (&number, "flannel.100 eth0 C0w1", None),
            (&number, "02:00:00:00:00:10 12:30:59 fe80::1 2-3", None),
            (&address, "11.10.0.2/20", Some("11.10.0.2")),
            (&address, "11.10.0.0/20", Some("11.10.0.0/20")),
            (&address, "11.10.0.0/32", Some("11.10.0.0")),
            (&address, "11.12.80.0-20", Some("11.12.80.0/20")),
            (&address, "/coreos.com/network/subnets/11.12.80.0-20", Some("11.12.80.0/20")),
            (&address, "11.10.176.0:41991", Some("11.10.176.0")),
            (&address, "IP 11.10.0.2.34567", Some("11.10.0.2")),
            (&address, "11.10.0.2 > 11.10.16.2", None),
            (&address, "11.10.0.1 11.10.0.1", Some("11.10.0.1")),
            (&address, "11.10.0.256", None),
            (&address, "11.10.0.2/33", None),
            (&address, "eth0", None),
            (&mac, "BE:FA:00:00:00:0A", Some("be:fa:00:00:00:0a")),
            (&mac, "link/ether be:fa:0:1:2:3 brd ff:ff:ff:ff:ff:ff", Some("be:fa:00:01:02:03")),
            (&mac, "be:fa:00:00:00:01 > be:fa:00:00:00:02", None),
            (&mac, "be:fa:00:00:00:01:02", None),
            (&mac, "+1:+2:3:4:5:6", None),
        ] {
            assert_eq!(taken(kind, copied).as_deref(), expected, "{kind:?}: {copied}");
        }
    }

    #[test]
    fn a_refusal_says_what_is_wanted_and_what_is_there() {
        let refused = |kind: AnswerKind, text: &str| kind.canonical(text).unwrap_err();
        let wanted = "Type an address, such as 11.10.0.2, or a network, such as 11.10.0.0/20";
        assert_eq!(refused(AnswerKind::Address, "eth0"), format!("no address is in `eth0`. {wanted}"));
        assert_eq!(refused(AnswerKind::Number, " "), "an answer is needed. Type a whole number, such as 8472");
        let several = refused(AnswerKind::Number, "RX packets:6 errors:0");
        assert_eq!(several, "more than one whole number is in that: 6, 0. Type the one that is meant");
        let long = refused(AnswerKind::Mac, &"\u{1b}x".repeat(500));
        assert!(long.chars().count() < 150 && !long.contains('\u{1b}'), "{long}");
    }

    proptest! {
        #[test]
        fn a_lone_value_is_found_in_whatever_stands_around_it(number: u32, address: [u8; 4], mac: [u8; 6], upper: bool) {
            in_all(&AnswerKind::Number, &number.to_string(), &AROUND_NUMBERS, &number.to_string())?;
            // An address of a network of /8, and not that network.
            let address = std::net::Ipv4Addr::from([address[0], address[1], address[2], address[3] | 1]).to_string();
            in_all(&AnswerKind::Address, &address, &AROUND_ADDRESSES, &address)?;
            let form = mac.map(|byte| format!("{byte:02x}")).join(":");
            let shown = if upper { form.to_uppercase() } else { form.clone() };
            in_all(&AnswerKind::Mac, &shown, &AROUND_MACS, &form)?;
        }

        #[test]
        fn two_values_are_never_guessed_among(one: u32, other: u32) {
            prop_assume!(one != other);
            prop_assert_eq!(taken(&AnswerKind::Number, &format!("{one} or {other}")), None);
        }

        #[test]
        fn what_is_taken_stays_as_it_is(text in "[0-9a-fA-F.:/\\[\\]# -]{0,40}|\\PC{0,40}") {
            for kind in [AnswerKind::Text, AnswerKind::Number, AnswerKind::Address, AnswerKind::Mac] {
                if let Some(form) = taken(&kind, &text) {
                    prop_assert_eq!(taken(&kind, &form), Some(form.clone()));
                }
            }
        }
    }
}
