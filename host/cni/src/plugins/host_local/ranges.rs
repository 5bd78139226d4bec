//! Ranges of addresses: which belong to one, and in which order they are tried.
//! Pure arithmetic, after containernetworking/plugins `host-local/backend/allocator`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use serde::Deserialize;

use crate::config;
use crate::error::Error;

/// A range as configurations write it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RangeConfig {
    pub(super) subnet: IpNet,
    #[serde(default, deserialize_with = "config::address")]
    pub(super) range_start: Option<IpAddr>,
    #[serde(default, deserialize_with = "config::address")]
    pub(super) range_end: Option<IpAddr>,
    #[serde(default, deserialize_with = "config::address")]
    pub(super) gateway: Option<IpAddr>,
}

/// Addresses `start` to `end` of a subnet, both included, without the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Range {
    subnet: IpNet,
    start: IpAddr,
    end: IpAddr,
    pub(super) gateway: IpAddr,
}

/// Ranges of one family that are one pool: a container gets one address of each set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RangeSet(Vec<Range>);

impl TryFrom<RangeConfig> for Range {
    type Error = Error;
    fn try_from(config: RangeConfig) -> Result<Self, Error> {
        let subnet = config.subnet;
        if subnet.prefix_len() + 2 > subnet.max_prefix_len() {
            return Err(Error::Config(format!("network {subnet} is too small to allocate from")));
        }
        if subnet != subnet.trunc() {
            return Err(Error::Config(format!("network {subnet} has host bits set; write {}", subnet.trunc())));
        }
        let first = step(subnet.network(), 1);
        // The broadcast address of IPv4 is nobody's.
        let last = if subnet.addr().is_ipv4() { step(subnet.broadcast(), -1) } else { subnet.broadcast() };
        let within = |what: &str, given: Option<IpAddr>, default: IpAddr| match given {
            Some(address) if !subnet.contains(&address) => {
                Err(Error::Config(format!("{what} {address} is not in network {subnet}")))
            }
            given => Ok(given.unwrap_or(default)),
        };
        let start = within("rangeStart", config.range_start, first)?;
        let end = within("rangeEnd", config.range_end, last)?;
        if number(start) > number(end) {
            return Err(Error::Config(format!("rangeEnd {end} comes before rangeStart {start}")));
        }
        Ok(Range { subnet, start, end, gateway: config.gateway.unwrap_or(first) })
    }
}

impl Range {
    fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.start.is_ipv4() && (number(self.start)..=number(self.end)).contains(&number(address))
    }

    fn overlaps(&self, other: &Range) -> bool {
        let ends = |one: &Range, other: &Range| one.contains(other.start) || one.contains(other.end);
        ends(self, other) || ends(other, self)
    }

    /// The address with the prefix length of the range's subnet.
    pub(super) fn with_prefix(&self, address: IpAddr) -> IpNet {
        IpNet::new(address, self.subnet.prefix_len()).unwrap_or(self.subnet)
    }
}

impl RangeSet {
    pub(super) fn new(configs: Vec<RangeConfig>) -> Result<Self, Error> {
        let ranges = configs.into_iter().map(Range::try_from).collect::<Result<Vec<_>, _>>()?;
        let first = ranges.first().ok_or_else(|| Error::Config("an empty set of ranges".to_owned()))?;
        if ranges.iter().any(|range| range.start.is_ipv4() != first.start.is_ipv4()) {
            return Err(Error::Config("a set of ranges mixes IPv4 and IPv6".to_owned()));
        }
        for (index, range) in ranges.iter().enumerate() {
            if let Some(other) = ranges[index + 1..].iter().find(|other| range.overlaps(other)) {
                return Err(Error::Config(format!("ranges {range} and {other} overlap")));
            }
        }
        Ok(RangeSet(ranges))
    }

    pub(super) fn is_ipv4(&self) -> bool {
        self.0.iter().all(|range| range.start.is_ipv4())
    }

    pub(super) fn overlaps(&self, other: &RangeSet) -> bool {
        self.0.iter().any(|range| other.0.iter().any(|other| range.overlaps(other)))
    }

    pub(super) fn range_of(&self, address: IpAddr) -> Option<&Range> {
        self.0.iter().find(|range| range.contains(address))
    }

    /// Every address once, gateways left out: round robin from the one after `last`, which comes last.
    pub(super) fn candidates(&self, last: Option<IpAddr>) -> impl Iterator<Item = (IpAddr, &Range)> {
        let count = self.0.len();
        let found = last.and_then(|last| Some((self.0.iter().position(|range| range.contains(last))?, last)));
        let (at, next) = found.map_or((0, None), |(at, last)| (at, Some(number(last) + 1)));
        // The rest of that range, the other ranges, and what comes first of that range.
        let turns = (0..=count).map(move |turn| {
            let range = &self.0[(at + turn) % count];
            let (start, end) = (number(range.start), number(range.end).saturating_add(1));
            let next = next.unwrap_or(start);
            let from = if turn == 0 { next } else { start };
            (range, from..if turn == count { next } else { end })
        });
        turns
            .flat_map(|(range, numbers)| numbers.map(move |number| (like(range.start, number), range)))
            .filter(|(address, range)| *address != range.gateway)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.start, self.end)
    }
}

impl fmt::Display for RangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(Range::to_string).collect::<Vec<_>>().join(","))
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// The address of that number, in the family of `other`.
fn like(other: IpAddr, number: u128) -> IpAddr {
    match other {
        IpAddr::V4(_) => Ipv4Addr::from(number as u32).into(),
        IpAddr::V6(_) => Ipv6Addr::from(number).into(),
    }
}

fn step(address: IpAddr, by: i128) -> IpAddr {
    like(address, number(address).wrapping_add_signed(by))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn set(configs: serde_json::Value) -> Result<RangeSet, Error> {
        RangeSet::new(serde_json::from_value(configs).unwrap())
    }

    fn order(set: &RangeSet, last: Option<&str>) -> Vec<String> {
        set.candidates(last.map(|last| last.parse().unwrap())).map(|(address, _)| address.to_string()).collect()
    }

    #[test]
    fn round_robin_from_the_last_one_over_all_ranges() {
        let set = set(serde_json::json!([
            {"subnet": "10.0.0.0/29", "rangeStart": "10.0.0.4"}, {"subnet": "10.0.1.0/30"}
        ]))
        .unwrap();
        assert_eq!(order(&set, None), ["10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.1.2"]);
        assert_eq!(order(&set, Some("10.0.0.5")), ["10.0.0.6", "10.0.1.2", "10.0.0.4", "10.0.0.5"]);
        assert_eq!(order(&set, Some("10.0.1.2")), ["10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.1.2"]);
        assert_eq!(order(&set, Some("192.0.2.1")), order(&set, None));
    }

    #[test]
    fn ipv6_has_no_broadcast_address() {
        let set = set(serde_json::json!([{"subnet": "fd00::/126"}])).unwrap();
        assert_eq!(order(&set, None), ["fd00::2", "fd00::3"]);
    }

    #[test]
    fn ranges_that_make_no_sense_are_refused() {
        for (ranges, why) in [
            (serde_json::json!([]), "empty"),
            (serde_json::json!([{"subnet": "10.0.0.0/31"}]), "too small"),
            (serde_json::json!([{"subnet": "10.0.0.1/24"}]), "host bits"),
            (serde_json::json!([{"subnet": "10.0.0.0/24", "rangeStart": "10.0.1.1"}]), "rangeStart 10.0.1.1"),
            (serde_json::json!([{"subnet": "10.0.0.0/24", "rangeEnd": "fd00::1"}]), "rangeEnd fd00::1"),
            (
                serde_json::json!([{"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.9", "rangeEnd": "10.0.0.8"}]),
                "before",
            ),
            (serde_json::json!([{"subnet": "10.0.0.0/24"}, {"subnet": "fd00::/64"}]), "mixes"),
            (serde_json::json!([{"subnet": "10.0.0.0/16"}, {"subnet": "10.0.3.0/24"}]), "overlap"),
        ] {
            let error = set(ranges).unwrap_err();
            assert!(error.to_string().contains(why) && error.code() == 7, "{error}");
        }
    }

    proptest! {
        #[test]
        fn every_address_comes_once(prefix in 22u8..=30, offset in 0u32..1024) {
            let subnet = ipnet::Ipv4Net::new(Ipv4Addr::new(10, 9, 0, 0), prefix).unwrap();
            let set = set(serde_json::json!([{"subnet": subnet}])).unwrap();
            let last = Ipv4Addr::from(u32::from(subnet.network()) + offset % (1 << (32 - prefix)));
            let found: Vec<IpAddr> = set.candidates(Some(last.into())).map(|(address, _)| address).collect();
            let distinct: BTreeSet<_> = found.iter().copied().collect();
            prop_assert_eq!(found.len(), distinct.len());
            let expected: BTreeSet<IpAddr> = subnet.hosts().skip(1).map(IpAddr::from).collect();
            prop_assert_eq!(distinct, expected);
        }
    }
}
