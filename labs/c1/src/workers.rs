//! Section 2: a worker's own interfaces, and pings from worker to worker.

use course_scene::{device, owner_of_mac};
use knetsim_sdk::{AnswerKind, Lab, Place, Result, Section, Task, Verdict};

/// To be pinged from each other; the first of each pair is watched.
const PAIRS: [(&str, &str); 3] = [("C0w1", "C0w2"), ("C0w1", "C0w3"), ("C0w2", "C0w3")];
/// On whose `eth0` all pings are captured from the beginning on.
pub(crate) const WATCHED: [&str; 2] = ["C0w1", "C0w2"];

pub(crate) fn section() -> Section {
    Section::new("Workers", include_str!("../text/2-workers.md")).task(mac()).task(pings())
}

fn mac() -> Task {
    Task::question("mac", "A hardware address", "Which hardware address has `eth0` of `C0w2`?", AnswerKind::Mac)
        .hint("Ask on C0w2 itself: open a shell there.")
        .hint("`ifconfig eth0` prints it after `ether`, `ip link show eth0` after `link/ether`.")
        .answer(|_| Ok(device("C0w2", "eth0")?.mac))
        .accept(|_, given| {
            if device("C0w2", "eth0")?.mac.eq_ignore_ascii_case(given) {
                return Ok(Verdict::passed());
            }
            Ok(Verdict::missing(match owner_of_mac(given)?.as_deref() {
                Some("C0w2 of base") => format!(
                    "{given} is the other end of the cable: the port named C0w2, at the switch. Ask on C0w2 itself"
                ),
                Some(owner) => format!("{given} is {owner}"),
                None => format!("nothing here has {given}; was it copied as it was printed, after `ether`?"),
            }))
        })
}

fn pings() -> Task {
    let text = "Ping the workers of cluster `C0` from each other, so that each of the three pairs has talked: \
                C0w1 and C0w2, C0w1 and C0w3, C0w2 and C0w3.";
    Task::new("ping-workers", "From each worker to each other", text)
        .hint("`ping -c 2 C0w2` in a shell of C0w1 does one of the three. `-c 2` stops after two.")
        .hint("The pair C0w2 and C0w3 can't be done from C0w1: open a shell on one of them.")
        .hint("On C0w1: `ping -c 2 C0w2` and `ping -c 2 C0w3`. On C0w2: `ping -c 2 C0w3`.")
        .check(|lab| {
            let mut verdict = Verdict::passed();
            for (one, other) in PAIRS {
                verdict = verdict.and(have_talked(lab, one, other)?);
            }
            Ok(verdict)
        })
        .solve(|lab| {
            for (one, other) in PAIRS {
                lab.place(one).ping(other)?;
            }
            Ok(())
        })
}

/// Whether a reply passed `eth0` of `one`, whoever of the two had asked.
fn have_talked(lab: &Lab, one: &str, other: &str) -> Result<Verdict> {
    let seen = lab.kept_capture(one)?.packets()?;
    let (near, far) = (address(one)?, address(other)?);
    let answered = seen.iter().any(|packet| packet.is_pong(&near, &far) || packet.is_pong(&far, &near));
    let asked = seen.iter().any(|packet| packet.is_ping(&near, &far) || packet.is_ping(&far, &near));
    Ok(Verdict::passed().require(
        answered,
        match asked {
            true => format!("{one} and {other}: an echo request went out, and no reply came"),
            false => format!("{one} and {other}: no echo request has passed between them"),
        },
    ))
}

fn address(worker: &str) -> Result<String> {
    Ok(course_scene::address(worker, "eth0")?.map(|(address, _)| address.to_string()).unwrap_or_default())
}
