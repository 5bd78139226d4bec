//! Which subnet a node gets: flannel's rules (`pkg/subnet/etcd/local_manager.go`), as a pure function.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use knetsim_model::flannel::{FlannelConfig, Lease};

/// How many free subnets are looked at before one of them is drawn.
const CANDIDATES: usize = 100;

/// What to do for a subnet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The node has one already: write it again.
    Keep(Ipv4Net),
    /// Take this one, if nobody was faster.
    Take(Ipv4Net),
    /// All are leased.
    Full,
}

/// Chooses: the lease of the same node; else the subnet that it had; else one of the first hundred
/// free ones that nobody works with, by `draw`, which gets their number and gives an index below it.
pub(crate) fn choose(
    config: &FlannelConfig,
    leases: &[Lease],
    held: &BTreeSet<Ipv4Net>,
    public_ip: Ipv4Addr,
    previous: Option<Ipv4Net>,
    draw: impl FnOnce(usize) -> usize,
) -> Choice {
    let own = leases.iter().find(|lease| lease.value.public_ip == public_ip);
    if let Some(own) = own.filter(|lease| allowed(config, lease.subnet)) {
        return Choice::Keep(own.subnet);
    }
    let taken: BTreeSet<Ipv4Net> = leases.iter().map(|lease| lease.subnet).collect();
    let clear =
        |of: &BTreeSet<Ipv4Net>, subnet: &Ipv4Net| !of.iter().any(|it| it.contains(subnet) || subnet.contains(it));
    let free = |subnet: &Ipv4Net| clear(&taken, subnet);
    if let Some(previous) = previous.filter(|subnet| allowed(config, *subnet) && free(subnet)) {
        return Choice::Take(previous);
    }
    let len = config.effective_subnet_len();
    let (first, last) = (u32::from(config.effective_subnet_min()), u32::from(config.effective_subnet_max()));
    let all = (first..=last).step_by(1 << (32 - len)).map(|address| Ipv4Net::new_assert(address.into(), len));
    let candidates: Vec<_> = all.filter(|subnet| free(subnet) && clear(held, subnet)).take(CANDIDATES).collect();
    match candidates.len() {
        0 => Choice::Full,
        number => candidates.get(draw(number)).map_or(Choice::Full, |subnet| Choice::Take(*subnet)),
    }
}

/// Whether the configuration would lease that subnet.
fn allowed(config: &FlannelConfig, subnet: Ipv4Net) -> bool {
    let range = config.effective_subnet_min()..=config.effective_subnet_max();
    subnet.prefix_len() == config.effective_subnet_len() && range.contains(&subnet.network())
}

#[cfg(test)]
mod tests {
    use super::*;
    use knetsim_model::flannel::LeaseValue;
    use proptest::prelude::*;

    fn lease(subnet: &str, node: u8) -> Lease {
        let value = LeaseValue {
            public_ip: Ipv4Addr::new(10, 0, 0, node),
            public_ipv6: None,
            backend_type: "vxlan".into(),
            backend_data: None,
        };
        Lease { subnet: subnet.parse().unwrap(), value }
    }

    const NODE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
    const NOBODY: BTreeSet<Ipv4Net> = BTreeSet::new();

    #[test]
    fn a_node_keeps_what_it_has() {
        let leases = [lease("11.20.0.0/20", 9), lease("11.30.0.0/20", 3)];
        let previous = Some("11.40.0.0/20".parse().unwrap());
        let choice = choose(&FlannelConfig::default(), &leases, &NOBODY, NODE, previous, |_| 0);
        assert_eq!(choice, Choice::Keep("11.20.0.0/20".parse().unwrap()));
    }

    #[test]
    fn else_what_it_had_unless_somebody_has_it_now_or_the_configuration_changed() {
        let config = FlannelConfig::default();
        let had = "11.40.0.0/20".parse().unwrap();
        let previous = Some(had);
        assert_eq!(choose(&config, &[], &NOBODY, NODE, previous, |_| 0), Choice::Take(had));
        let first = Choice::Take("11.10.0.0/20".parse().unwrap());
        assert_eq!(choose(&config, &[lease("11.40.0.0/20", 3)], &NOBODY, NODE, previous, |_| 0), first);
        assert_eq!(choose(&config, &[], &NOBODY, NODE, Some("11.40.0.0/24".parse().unwrap()), |_| 0), first);
        assert_eq!(choose(&config, &[], &NOBODY, NODE, Some("12.40.0.0/20".parse().unwrap()), |_| 0), first);
    }

    #[test]
    fn what_somebody_works_with_is_theirs_though_etcd_forgot_it() {
        let config = FlannelConfig { subnet_max: Some(Ipv4Addr::new(11, 10, 16, 0)), ..FlannelConfig::default() };
        let (first, last): (Ipv4Net, Ipv4Net) = ("11.10.0.0/20".parse().unwrap(), "11.10.16.0/20".parse().unwrap());
        let held = BTreeSet::from([first]);
        assert_eq!(choose(&config, &[], &held, NODE, None, |_| 0), Choice::Take(last));
        // Its own, too, which it takes again.
        assert_eq!(choose(&config, &[], &held, NODE, Some(first), |_| 0), Choice::Take(first));
    }

    #[test]
    fn a_full_network_is_said() {
        let config = FlannelConfig { subnet_max: Some(Ipv4Addr::new(11, 10, 16, 0)), ..FlannelConfig::default() };
        let leases = [lease("11.10.0.0/20", 3), lease("11.10.16.0/20", 4)];
        assert_eq!(choose(&config, &leases, &NOBODY, NODE, None, |_| 0), Choice::Full);
    }

    proptest! {
        #[test]
        fn what_is_taken_is_free_and_allowed(nodes in prop::collection::btree_set(0u32..200, 0..150), index in 0usize..100) {
            let config = FlannelConfig::default();
            let base = u32::from(config.effective_subnet_min());
            let subnet = |number: &u32| Ipv4Net::new_assert((base + (number << 12)).into(), 20);
            let leases: Vec<_> = nodes.iter().map(|number| lease(&subnet(number).to_string(), 1)).collect();
            match choose(&config, &leases, &NOBODY, NODE, None, |number| index % number) {
                Choice::Take(taken) => {
                    prop_assert!(allowed(&config, taken));
                    prop_assert!(leases.iter().all(|lease| lease.subnet != taken));
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
