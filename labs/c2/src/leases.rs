//! Section 4: which worker has which subnet, by etcd.

use course_scene::network;
use knetsim_sdk::{AnswerKind, Error, Lab, Result, Section, Task, Verdict};

const SUBNETS: &str = "/coreos.com/network/subnets/";

pub(crate) fn section() -> Section {
    Section::new("Who gives out the subnets: flannel and etcd", include_str!("../text/4-etcd.md")).task(lease())
}

/// A worker's subnet, as etcd has it.
pub(crate) struct Lease {
    /// `11.10.0.0/20`
    pub(crate) subnet: String,
    /// The whole value, JSON in flannel's form.
    pub(crate) value: String,
}

/// The subnets of the worker with that address: one, but for a while after another configuration.
pub(crate) fn leases_of(lab: &Lab, cluster: &str, worker: &str) -> Result<Vec<Lease>> {
    let owner = format!("\"PublicIP\":\"{worker}\"");
    let keys = lab.etcd_keys(cluster, SUBNETS)?.into_iter().filter(|key| key.value.contains(&owner));
    Ok(keys.map(|key| Lease { subnet: key.key[SUBNETS.len()..].replace('-', "/"), value: key.value }).collect())
}

fn lease() -> Task {
    let text = "Which subnet does etcd have for `C0w3`? Write it as address and prefix length: `11.0.0.0/20`.";
    Task::question("lease", "A worker's lease", text, AnswerKind::Address)
        .hint(
            "The keys don't say whose they are; the values do, by `PublicIP`. What is C0w3's address on the underlay?",
        )
        .hint("C0w3 is 10.0.0.5. On C0e1: `etcdctl get --prefix /coreos.com/network/subnets/ | grep -B1 10.0.0.5`")
        .answer(subnet)
        .accept(|lab, given| {
            let right = subnet(lab)?;
            if given == right {
                return Ok(Verdict::passed());
            }
            let key = lab.etcd_keys("C0", SUBNETS)?.into_iter().find(|key| key.key.ends_with(&given.replace('/', "-")));
            Ok(Verdict::missing(match key {
                _ if given == "10.0.0.5" => "10.0.0.5 is C0w3 itself; its subnet is in the key's name".to_owned(),
                Some(key) => format!("{given} is the subnet of another worker: etcd has {} for it", key.value),
                None if same_by_prefix(given, &right) => {
                    format!("{given} lies in it. A subnet is named by its first address, with the prefix length")
                }
                None => format!("etcd has no subnet {given}"),
            }))
        })
}

fn subnet(lab: &Lab) -> Result<String> {
    let lease = leases_of(lab, "C0", "10.0.0.5")?.into_iter().next();
    Ok(lease.ok_or_else(|| Error::new("etcd has no subnet for 10.0.0.5, C0w3"))?.subnet)
}

/// Whether an address, with or without its prefix length, lies in a subnet.
fn same_by_prefix(given: &str, subnet: &str) -> bool {
    let Some((_, prefix)) = subnet.split_once('/') else { return false };
    let address = given.split('/').next().unwrap_or(given);
    let (Ok(address), Ok(prefix)) = (address.parse(), prefix.parse()) else { return false };
    network((address, prefix)) == subnet
}
