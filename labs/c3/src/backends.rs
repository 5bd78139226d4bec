//! Section 6: a container is deleted, once under a fixed list and once under a selector.

use std::time::Duration;

use course_scene::{look, take_away};
use knetsim_sdk::{Lab, Place, Result, Section, Task, Tries, Verdict};

use crate::address::answers;
use crate::{CHOSEN, FIXED, INSIDE, WIRE, pod, recall};

/// So many pings in a row tell the difference between all and half of them.
const ENOUGH: usize = 5;

pub(crate) fn section() -> Section {
    Section::new("A pod dies", include_str!("../text/6-backends.md")).task(fixed()).task(chosen())
}

/// The addresses of those that are deleted later.
pub(crate) fn remember(lab: &Lab) -> Result<()> {
    for name in ["c2", "web1"] {
        lab.remember(name, pod(&format!("C0w2.{name}"))?)?;
    }
    Ok(())
}

fn fixed() -> Task {
    let text = "Delete the container `c2`, an endpoint of 100.64.10.1. Then ping 100.64.10.1 from c1, in several runs, \
                until one has failed and one has been answered.";
    Task::new("fixed", "Under a fixed list", text)
        .after("ping-vip")
        .hint("`knetsim delete container C0w2.c2`, in a second terminal.")
        .hint("In c1: `for i in 1 2 3 4 5 6; do ping -c 1 100.64.10.1; done`. Those that fail take three seconds, an early one ten.")
        .check(|lab| {
            if is_there("c2")? {
                return Ok(Verdict::missing("C0w2 still has the container `c2`"));
            }
            let to_dead = answers(lab, WIRE, &recall(lab, "c2")?)?;
            let lost = to_dead.iter().any(|ping| !ping.answered);
            let begin = gone_at(lab, "c2")?;
            let to_living = answers(lab, WIRE, &pod("C0.c3")?)?;
            let answered = to_living.iter().any(|ping| ping.answered && ping.at_ms >= begin);
            Ok(Verdict::passed()
                .require(lost, format!("no ping of c1 to {FIXED} was led to the dead c2 yet: once more"))
                .require(answered, format!("c3 has answered no ping of c1 to {FIXED} since c2 is gone: once more")))
        })
        .solve(|lab| {
            take_away(lab, "C0w2", "c2")?;
            ping(lab, FIXED, 30)
        })
}

fn chosen() -> Task {
    let text = "Delete the container `web1`, an endpoint of 100.64.10.2. Then ping 100.64.10.2 from c1, in at least five \
                runs, and see how many fail.";
    Task::new("chosen", "Under a selector", text)
        .hint("`knetsim delete container C0w2.web1`, in a second terminal.")
        .hint("In c1: `for i in 1 2 3 4 5; do ping -c 1 100.64.10.2; done`")
        .hint(
            "Did you delete it by `ip netns del`? Then nobody has told the cluster: it is like a worker that lost its \
             power. `knetsim delete container C0w2.web1` tells it.",
        )
        .check(|lab| {
            if is_there("web1")? {
                return Ok(Verdict::missing("C0w2 still has the container `web1`"));
            }
            let dead = recall(lab, "web1")?;
            let leads = look("C0w1")?
                .ruleset_text()?
                .lines()
                .any(|line| line.contains("/chosen/") && line.contains("goto") && line.contains(&format!("__{dead}/")));
            let begin = gone_at(lab, "web1")?;
            let mut since = answers(lab, INSIDE, CHOSEN)?;
            since.retain(|ping| ping.at_ms >= begin);
            let last = &since[since.len().saturating_sub(ENOUGH)..];
            let answered = last.iter().all(|ping| ping.answered);
            let what = format!("of {ENOUGH} pings to {CHOSEN}, c1 has sent {} since `web1` is gone", last.len());
            Ok(Verdict::passed()
                .require(!leads, format!("the rules of C0w1 still lead to {dead}, which was web1"))
                .require(last.len() == ENOUGH, what)
                .require(answered, format!("not all of the last pings of c1 to {CHOSEN} were answered")))
        })
        .solve(|lab| {
            take_away(lab, "C0w2", "web1")?;
            ping(lab, CHOSEN, 10)
        })
}

/// So many pings of c1, each a connection of its own.
pub(crate) fn ping(lab: &Lab, to: &str, times: u32) -> Result<()> {
    let prober = lab.place("C0w1.c1").probe()?;
    for _ in 0..times {
        prober.ping(to, Tries { count: 1, timeout: Duration::from_millis(100) })?;
    }
    Ok(())
}

fn is_there(name: &str) -> Result<bool> {
    Ok(look("C0w2")?.namespaces()?.iter().any(|namespace| namespace.name == name))
}

/// When the kernel announced that the namespace of that name went, in milliseconds.
fn gone_at(lab: &Lab, name: &str) -> Result<u64> {
    let entries = lab.history(0)?.entries;
    let gone = entries.iter().rev().find(|entry| {
        let change = &entry.change;
        entry.place == "C0w2" && change.subject == "namespace" && change.verb == "gone" && change.detail == name
    });
    Ok(gone.map(|entry| entry.at_ms).unwrap_or_default())
}
