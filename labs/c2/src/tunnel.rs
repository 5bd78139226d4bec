//! Section 5: a ping across two workers, and what it looks like on the wire.

use course_scene::{address, device, owner_of_mac};
use knetsim_sdk::records::Packet;
use knetsim_sdk::{AnswerKind, Lab, Place, Result, Section, Task, Verdict};

use crate::addresses::pod;

/// Pings between the workers are seen here, those in the tunnel too.
pub(crate) const WATCHED: &str = "C0w2:eth0";

pub(crate) fn section() -> Section {
    Section::new("Across workers: VXLAN", include_str!("../text/5-vxlan.md")).task(ping_across()).task(inner_mac())
}

fn ping_across() -> Task {
    let text = "Ping `C0w2.c2` from `C0w1.c1`, and watch it on both nodes: on `flannel.100`, and on `eth0`.";
    Task::new("ping-across", "From pod to pod across workers", text)
        .hint("The address is the one that you found at the beginning of this chapter.")
        .hint("It has to come from c1: a shell of `C0w1.c1`, then `ping ADDRESS -c 5`.")
        .check(|lab| {
            let (c1, c2) = (pod("C0w1.c1")?, pod("C0w2.c2")?);
            let seen = lab.kept_capture("wire")?.packets()?;
            let packed = seen.iter().filter(|packet| packet.vni() == Some(100));
            let answered = packed.clone().any(|packet| packet.is_pong(&c2, &c1));
            if answered {
                return Ok(Verdict::passed());
            }
            let is_request = |packet: &&Packet| packet.icmp().is_some_and(|icmp| icmp.kind == "echo-request");
            let other = seen.iter().rev().find(is_request).and_then(Packet::inner);
            Ok(Verdict::missing(if packed.clone().any(|packet| packet.is_ping(&c1, &c2)) {
                "an echo request of c1 came to C0w2 in the tunnel, and no reply of c2 left".to_owned()
            } else if let Some(ip) = other {
                let (from, to) = (&ip.source, &ip.destination);
                format!("eth0 of C0w2 has seen pings, the last one from {from} to {to}, and none from {c1} to {c2}")
            } else {
                format!("no ping has come by eth0 of C0w2 yet, neither by itself nor in the tunnel to {}", worker()?)
            }))
        })
        .solve(|lab| lab.place("C0w1.c1").ping(pod("C0w2.c2")?).map(drop))
}

fn worker() -> Result<String> {
    Ok(address("C0w2", "eth0")?.map(|(address, _)| address.to_string()).unwrap_or_default())
}

fn inner_mac() -> Task {
    let text = "A ping from c1 to c2 goes over the wire from C0w1 to C0w2: an Ethernet frame, and in its VXLAN packet \
                another one. To which hardware address is the *inner* frame sent?";
    Task::question("inner-mac", "Deeper inside", text, AnswerKind::Mac)
        .after("ping-across")
        .hint("Let a ping run from c1 to c2, and look at eth0 of C0w2 with `tcpdump -n -e -T vxlan -i eth0 port 8472`.")
        .hint("Two lines for each packet: the outer frame, then the inner one. `A > B` is from A to B.")
        .hint("`tshark -O vxlan …` prints a line `Ethernet II, Src: …, Dst: …` twice. It is the second `Dst`, of a request.")
        .answer(|_| Ok(device("C0w2", "flannel.100")?.mac))
        .accept(check_inner)
}

fn check_inner(_: &Lab, given: &str) -> Result<Verdict> {
    Ok(match owner_of_mac(given)?.as_deref() {
        Some("flannel.100 of C0w2") => Verdict::passed(),
        Some("eth0 of C0w2") => Verdict::missing(format!("{given} is eth0 of C0w2: the outer frame is sent there")),
        Some("eth0 of C0w2.c2") => Verdict::missing(format!(
            "{given} is c2 itself. C0w2 puts its address on the packet after it was unpacked; look at the wire"
        )),
        Some("flannel.100 of C0w1") => Verdict::missing(format!(
            "{given} is flannel.100 of C0w1: the inner frame comes from there. Or was it a reply?"
        )),
        Some(owner) => Verdict::missing(format!("{given} is {owner}")),
        None => Verdict::missing(format!("nothing here has the hardware address {given}")),
    })
}
