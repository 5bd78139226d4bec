//! Section 3: a virtual address, whom pings to it come to, and what worker and container see of each other.

use course_scene::owner_of_address;
use knetsim_sdk::records::Packet;
use knetsim_sdk::{AnswerKind, Lab, Result, Section, Task, Verdict};

use crate::backends::ping;
use crate::{FIXED, INSIDE, WIRE, pod};

pub(crate) fn section() -> Section {
    Section::new("One address for two pods", include_str!("../text/3-address.md")).task(both()).task(who())
}

fn both() -> Task {
    let text = "Ping 100.64.10.1 from `C0w1.c1`, in several runs, until both `c2` and `c3` have answered.";
    Task::new("ping-vip", "Both of them answer", text)
        .hint("Each run of `ping` is a connection of its own, and may come to another container: `ping -c 1 100.64.10.1`.")
        .hint("In a shell of `C0w1.c1`: `for i in 1 2 3 4 5 6 7 8; do ping -c 1 100.64.10.1; done`")
        .check(|lab| {
            let c1 = pod("C0w1.c1")?;
            let asked = lab.kept_capture(INSIDE)?.packets()?.iter().any(|packet| packet.is_ping(&c1, FIXED));
            if !asked {
                return Ok(Verdict::missing(format!("c1 has sent no echo request to {FIXED}")));
            }
            let wire = lab.kept_capture(WIRE)?.packets()?;
            let mut verdict = Verdict::passed();
            for name in ["c2", "c3"] {
                let address = pod(&format!("C0.{name}"))?;
                let answered = wire.iter().any(|packet| packet.is_pong(&address, &c1));
                verdict = verdict.require(answered, format!("{name} has answered none of c1's pings yet"));
            }
            Ok(verdict)
        })
        .solve(|lab| {
            // Each is led to either by chance: 40 times to one and the same happens once in 10^12.
            ping(lab, FIXED, 40)
        })
}

fn who() -> Task {
    let text = "Ping 100.64.10.1 from the worker `C0w1` itself, a few times, while `tcpdump` runs in `C0w3.c3`. Which \
                address do the requests come from that c3 gets?";
    Task::question("masqueraded", "Who is asking", text, AnswerKind::Address)
        .after("ping-vip")
        .hint("In c3: `tcpdump -n -l -i eth0 icmp`. In another terminal, on C0w1: `ping -c 1 100.64.10.1`, several times.")
        .hint("The line is `IP A > B: ICMP echo request`. It is A. Which interface of C0w1 has it?")
        .answer(|_| tunnel_end("C0w1"))
        .accept(|_, given| {
            let what = match owner_of_address(given)?.as_deref() {
                Some("eth0 of C0w1") => format!("{given} is eth0 of C0w1. Its own requests leave by the tunnel: look in c3"),
                Some("eth0 of C0w1.c1") => format!("{given} is c1; send from the worker C0w1 itself"),
                Some("eth0 of C0w3.c3") => format!("{given} is c3: the requests are sent to it"),
                Some(owner) => format!("{given} is {owner}"),
                None if given == FIXED => format!("{FIXED} is nobody's own address: c3 never sees it"),
                None => format!("nothing here has the address {given}"),
            };
            Ok(Verdict::passed().require(given == tunnel_end("C0w1")?, what))
        })
}

fn tunnel_end(worker: &str) -> Result<String> {
    let address = course_scene::address(worker, "flannel.100")?;
    Ok(address.map(|(address, _)| address.to_string()).unwrap_or_default())
}

/// An echo request that was seen.
pub(crate) struct Ping {
    /// What tells it from others, on whichever way it was seen.
    pub(crate) echo: Echo,
    pub(crate) at_ms: u64,
    pub(crate) answered: bool,
}

/// The id and the number of an echo request, which its reply bears too.
pub(crate) type Echo = Option<(Option<u16>, Option<u16>)>;

fn echo(packet: &Packet) -> Echo {
    packet.icmp().map(|icmp| (icmp.id, icmp.sequence))
}

/// What a capture has seen of c1's pings to an address, in order.
pub(crate) fn answers(lab: &Lab, capture: &str, to: &str) -> Result<Vec<Ping>> {
    let c1 = pod("C0w1.c1")?;
    let packets = lab.kept_capture(capture)?.packets()?;
    let answered = |asked: &Packet| packets.iter().any(|it| it.is_pong(to, &c1) && echo(it) == echo(asked));
    let asked = packets.iter().filter(|packet| packet.is_ping(&c1, to));
    Ok(asked
        .map(|packet| Ping { echo: echo(packet), at_ms: packet.at_us / 1000, answered: answered(packet) })
        .collect())
}
