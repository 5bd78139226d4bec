//! Section 6: a service of the learner's own.

use std::collections::BTreeMap;

use course_scene::look;
use knetsim_sdk::{Lab, Place, Result, Section, ServiceOptions, Task, Tries, Verdict};

const VIP: &str = "100.64.10.9";
const WORKERS: [&str; 3] = ["C0w1", "C0w2", "C0w3"];
/// What the chapter makes, and what the tasks of this section are not about.
const SCENE: [&str; 6] = ["c1", "c2", "c3", "shop", "web1", "web2"];
/// Enough to meet two of three containers: it fails once in 10^11, of two once in 10^15.
const PINGS: u32 = 50;

pub(crate) fn section() -> Section {
    Section::new("A service of your own", include_str!("../text/6-own.md")).task(expose())
}

fn expose() -> Task {
    let text = "Make two or three new containers on workers of `C0`, and expose them under 100.64.10.9, so that it can be \
                pinged from c1 and from every worker of C0, and pings come to each of them.";
    Task::new("own", "Expose containers", text)
        .probes()
        .hint("First the containers, `knetsim create container C0w1.a1`, then a service over them.")
        .hint("`knetsim create service --help` says what it takes: a name, `--vip`, and which containers.")
        .hint("`knetsim create service C0.mine --vip 100.64.10.9 a1 a2`")
        .check(check)
        .solve(|lab| {
            for name in ["C0w2.mine1", "C0w3.mine2"] {
                if lab.container(name).is_err() {
                    lab.create_container(name)?;
                }
            }
            // Only one service can have the address.
            for service in lab.services()? {
                if service.spec.vip.as_deref() == Some(VIP) {
                    lab.service(service.name)?.delete()?;
                }
            }
            let options = ServiceOptions::new().vip(VIP).endpoint("mine1").endpoint("mine2");
            lab.create_service("C0.mine", options).map(drop)
        })
}

fn check(lab: &Lab) -> Result<Verdict> {
    let before = received()?;
    if before.len() < 2 {
        return Ok(Verdict::missing(format!("the workers of C0 have {} new containers: make two", before.len())));
    }
    let mut verdict = Verdict::passed();
    for worker in WORKERS {
        let result = lab.place(worker).probe()?.ping(VIP, Tries::default())?;
        verdict = verdict.require(result.all_answered(), format!("{VIP} doesn't answer {worker}"));
    }
    // Each is a connection of its own.
    let prober = lab.place("C0w1.c1").probe()?;
    for _ in 0..PINGS {
        if !prober.ping(VIP, Tries::default())?.all_answered() {
            return Ok(verdict.and(Verdict::missing(format!("{VIP} doesn't answer each ping of c1"))));
        }
    }
    let after = received()?;
    let grown = |name: &String| after.get(name).unwrap_or(&0).saturating_sub(before[name]);
    // Some packets come to everybody: neighbours that say hello.
    let reached = before.keys().filter(|name| grown(name) >= u64::from(PINGS / 10)).count();
    let what = format!("of {} new containers, {reached} got pings that c1 sent to {VIP}: two should", before.len());
    Ok(verdict.require(reached >= 2, what))
}

/// How many packets each container has received that isn't of the scene.
fn received() -> Result<BTreeMap<String, u64>> {
    let mut received = BTreeMap::new();
    for worker in WORKERS {
        for namespace in look(worker)?.namespaces()? {
            if SCENE.contains(&namespace.name.as_str()) {
                continue;
            }
            let place = format!("{worker}/{}", namespace.name);
            if let Some(eth0) = look(&place)?.link("eth0")? {
                received.insert(place, eth0.counters.rx_packets);
            }
        }
    }
    Ok(received)
}
