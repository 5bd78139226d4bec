//! Section 7: another flannel configuration, and all that follows from it.

use course_scene::{address, is_container, look, network};
use knetsim_sdk::{AnswerKind, Error, Lab, Result, Section, Task, Verdict};

use crate::leases::leases_of;

/// Each worker of C1 with its address on the underlay and its container.
const WORKERS: [(&str, &str, &str); 3] =
    [("C1w1", "10.0.0.8", "c1"), ("C1w2", "10.0.0.9", "c2"), ("C1w3", "10.0.0.10", "c3")];

const OTHER: &str = r#"{ "Network": "11.0.0.0/8", "SubnetLen": 24, "SubnetMin": "11.100.0.0", "SubnetMax": "11.199.0.0",
  "Backend": { "Type": "vxlan", "VNI": 200, "Port": 8472 } }"#;

pub(crate) fn section() -> Section {
    Section::new("Another configuration", include_str!("../text/7-configuration.md"))
        .task(new_configuration())
        .task(new_subnet())
}

fn new_configuration() -> Task {
    let text = "Give cluster `C1` a configuration with the VNI 200 and subnets of /24, on all its workers.";
    Task::new("new-config", "Another VNI, other subnets", text)
        .hint("Write the configuration above to a file on your own machine, and in the second terminal: `knetsim flannel C1 FILE`.")
        .hint("`knetsim flannel C1 -` reads it from what you paste, up to Ctrl-D on a line of its own.")
        .hint("`etcdctl put` changes only the key; who has read it before doesn't look again.")
        .check(|lab| {
            let key = lab.etcd_keys("C1", "/coreos.com/network/config")?.into_iter().next();
            let config: String = key.map(|key| key.value.split_whitespace().collect()).unwrap_or_default();
            let mut verdict = Verdict::passed()
                .require(config.contains("\"VNI\":200"), "etcd's configuration of C1 has no VNI 200")
                .require(config.contains("\"SubnetLen\":24"), "etcd's configuration of C1 has no SubnetLen 24");
            for (worker, underlay, container) in WORKERS {
                // One worker at a time is enough to read.
                if verdict == Verdict::passed() {
                    verdict = follows(lab, worker, underlay)?.and(is_container(worker, container)?);
                }
            }
            Ok(verdict)
        })
        .solve(|lab| lab.cluster("C1")?.set_flannel(OTHER))
}

/// Whether a worker does what the configuration says: its tunnel, its subnet, its lease.
fn follows(lab: &Lab, worker: &str, underlay: &str) -> Result<Verdict> {
    let links = look(worker)?.links()?;
    let tunnels: Vec<_> = links.iter().filter_map(|link| Some((&link.name, link.vxlan.as_ref()?.vni))).collect();
    let names: Vec<_> = tunnels.iter().map(|(name, _)| name.as_str()).collect();
    let subnet = address(worker, "cni0")?.map(network).unwrap_or_default();
    let leased = leases_of(lab, "C1", underlay)?;
    let leased = leased.iter().any(|lease| lease.subnet == subnet && lease.value.contains("\"VNI\":200"));
    let tunnel = matches!(tunnels.as_slice(), [(_, 200)]);
    Ok(Verdict::passed()
        .require(tunnel, format!("{worker}: {} is not one tunnel with the VNI 200", names.join(" and ")))
        .require(subnet.ends_with("/24"), format!("{worker}: its containers have addresses of {subnet}"))
        .require(leased, format!("{worker}: etcd has no lease of the VNI 200 for {subnet}")))
}

fn new_subnet() -> Task {
    let text = "Which subnet has `C1w2` now? Write it as address and prefix length.";
    Task::question("new-subnet", "The new subnet", text, AnswerKind::Address)
        .after("new-config")
        .hint("Where did you find such a thing before? In etcd, in subnet.env, in the routes of other workers.")
        .hint("`cat /run/flannel/subnet.env` on C1w2 has its first usable address; the subnet ends with `.0/24`.")
        .answer(subnet)
        .accept(|lab, given| {
            let right = subnet(lab)?;
            let what = match given {
                _ if given.split('/').next() == address("C1w2", "cni0")?.map(|it| it.0.to_string()).as_deref() => {
                    format!("{given} is cni0's address; the subnet is named by its first one")
                }
                _ => format!("{given} is not the subnet of C1w2; its address on the underlay is 10.0.0.9"),
            };
            Ok(Verdict::passed().require(given == right, what))
        })
}

/// By the bridge that gives its containers their gateway.
fn subnet(_: &Lab) -> Result<String> {
    address("C1w2", "cni0")?.map(network).ok_or_else(|| Error::new("cni0 of C1w2 has no address"))
}
