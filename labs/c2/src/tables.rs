//! Section 6: the three entries that lead to another worker; one of them deleted, and written again.

use std::time::Duration;

use course_scene::{device, look};
use knetsim_sdk::records::Packet;
use knetsim_sdk::{Command, Lab, Place, Result, Section, Task, Tries, Verdict};

use crate::addresses::pod;

/// C0w2 on the underlay.
const WORKER: &str = "10.0.0.4";
/// The kernel announces a change up to so much later than the first packet that it concerns.
const LATER_MS: u64 = 1000;

pub(crate) fn section() -> Section {
    Section::new("Three tables", include_str!("../text/6-three-tables.md")).task(cut()).task(mend())
}

/// What C0w1 has on the way to the pods of C0w2.
struct Way {
    /// C0w2's end of the tunnel.
    mac: String,
    /// Its address, the first one of its subnet: the next hop.
    hop: String,
    route: bool,
    neighbour: bool,
    forwarding: bool,
}

impl Way {
    fn look() -> Result<Self> {
        let mac = device("C0w2", "flannel.100")?.mac;
        let hop = course_scene::address("C0w2", "flannel.100")?;
        let hop = hop.map(|(address, _)| address.to_string()).unwrap_or_default();
        let worker = look("C0w1")?;
        let route = worker.routes()?.iter().any(|route| route.gateway.as_ref() == Some(&hop));
        let neighbour = worker.neighbours()?.iter().any(|it| it.address == hop && it.mac.as_ref() == Some(&mac));
        let forwarding = worker.fdb()?.iter().any(|entry| {
            entry.interface == "flannel.100" && entry.mac == mac && entry.destination.as_deref() == Some(WORKER)
        });
        Ok(Way { mac, hop, route, neighbour, forwarding })
    }

    /// Whether the kernel still knows the next hop and its hardware address.
    fn leads_to_tunnel(&self) -> Verdict {
        let hop = &self.hop;
        Verdict::passed()
            .require(self.route, format!("C0w1 has no route to C0w2's pods, via {hop}: put it back"))
            .require(self.neighbour, format!("C0w1 has no neighbour entry for {hop}, C0w2's flannel.100: put it back"))
    }
}

fn cut() -> Task {
    let text = "On `C0w1`, delete the FDB entry that leads to `C0w2`, and only that. Then ping c2 from c1 \
                and watch how it fails. (c3 can still be reached.)";
    Task::new("cut", "Cut the way", text)
        .hint("Which entry leads to C0w2? Its `dst` is 10.0.0.4.")
        .hint("`bridge fdb del MAC dev flannel.100 dst 10.0.0.4`, on C0w1, with the MAC of that entry.")
        .hint("Then, in a shell of `C0w1.c1`: `ping -c 2 ADDRESS`, with the address of c2.")
        .check(|lab| {
            let way = Way::look()?;
            // What has failed for want of the entry has failed, though it may be mended already.
            if way.leads_to_tunnel() == Verdict::passed() && failed_at(lab, &way)?.is_some() {
                return others_lead();
            }
            let what = match way.forwarding {
                true => format!("C0w1 still has the entry {} dev flannel.100 dst {WORKER}", way.mac),
                false => {
                    "c1 has not pinged c2 since the entry is gone: ping, and see that nothing comes back".to_owned()
                }
            };
            Ok(way.leads_to_tunnel().and(others_lead()?).and(Verdict::missing(what)))
        })
        .solve(|lab| {
            write_all(lab)?;
            on_worker(lab, &["bridge", "fdb", "del", &Way::look()?.mac, "dev", "flannel.100", "dst", WORKER])?;
            ping(lab)
        })
}

/// Whether C0w1 still knows the way to the third worker.
fn others_lead() -> Result<Verdict> {
    let others = look("C0w1")?.fdb()?.iter().any(|entry| entry.destination.as_deref() == Some("10.0.0.5"));
    Ok(Verdict::passed().require(others, "the entry for C0w3, dst 10.0.0.5, is gone too: put it back"))
}

fn mend() -> Task {
    let text = "Write the entry again, and ping c2 from c1 until it answers as before.";
    Task::new("mend", "Mend it", text)
        .after("cut")
        .hint("The hardware address that belongs in there stands in two other places: the neighbour table, and etcd.")
        .hint("`bridge fdb add MAC dev flannel.100 dst 10.0.0.4`, on C0w1. MAC is C0w2's `VtepMAC`.")
        .hint("Then, in a shell of `C0w1.c1`: `ping -c 2 ADDRESS`, with the address of c2.")
        .check(|lab| {
            let way = Way::look()?;
            let Some(failed) = failed_at(lab, &way)? else {
                return Ok(Verdict::missing("no ping of c1 to c2 has failed yet: cut the way first, and ping"));
            };
            if pings(lab)?.iter().any(|ping| ping.answered && ping.at_ms > failed) {
                return Ok(Verdict::passed());
            }
            let entries = look("C0w1")?.fdb()?;
            let wrong = entries.iter().find(|entry| {
                entry.interface == "flannel.100" && entry.destination.as_deref() == Some(WORKER) && entry.mac != way.mac
            });
            let what = match wrong {
                _ if way.forwarding => "c2 has answered no ping of c1 since the last one failed: ping again".to_owned(),
                Some(entry) => format!("{} leads to {WORKER}, but C0w2's flannel.100 is {}", entry.mac, way.mac),
                None => format!("C0w1 has no entry that leads {} to {WORKER}", way.mac),
            };
            Ok(way.leads_to_tunnel().and(Verdict::missing(what)))
        })
        .solve(|lab| {
            write_all(lab)?;
            ping(lab)
        })
}

/// A ping of c1 to c2, as c1 sees it.
struct Ping {
    at_ms: u64,
    answered: bool,
}

fn pings(lab: &Lab) -> Result<Vec<Ping>> {
    let (c1, c2) = (pod("C0w1.c1")?, pod("C0w2.c2")?);
    let seen = lab.kept_capture("inside")?.packets()?;
    let echo = |packet: &Packet| packet.icmp().map(|icmp| (icmp.id, icmp.sequence));
    let answered = |asked: &Packet| seen.iter().any(|it| it.is_pong(&c2, &c1) && echo(it) == echo(asked));
    let asked = seen.iter().filter(|packet| packet.is_ping(&c1, &c2));
    Ok(asked.map(|packet| Ping { at_ms: packet.at_us / 1000, answered: answered(packet) }).collect())
}

/// When c1's last ping failed that was sent while the FDB of C0w1 did not lead to C0w2, by what the kernel announced.
fn failed_at(lab: &Lab, way: &Way) -> Result<Option<u64>> {
    let leads = format!("{} dev flannel.100 dst {WORKER}", way.mac);
    let entries = lab.history(0)?.entries.into_iter().filter(|entry| {
        entry.place == "C0w1" && entry.change.subject == "fdb" && entry.change.detail.starts_with(&way.mac)
    });
    let changes: Vec<_> = entries.map(|it| (it.at_ms, it.change.verb != "gone" && it.change.detail == leads)).collect();
    let cut = |at_ms: u64| {
        let mended = |from: u64| changes.iter().any(|(at, leads)| *leads && (from..=at_ms).contains(at));
        changes.iter().any(|(at, leads)| !leads && *at <= at_ms + LATER_MS && !mended(*at))
    };
    let failed = pings(lab)?.into_iter().filter(|ping| !ping.answered && cut(ping.at_ms));
    Ok(failed.map(|ping| ping.at_ms).max())
}

/// One ping of c1 to c2. That nobody answers is no error.
fn ping(lab: &Lab) -> Result<()> {
    let tries = Tries { count: 1, timeout: Duration::from_millis(500) };
    lab.place("C0w1.c1").probe()?.ping(pod("C0w2.c2")?, tries).map(drop)
}

/// All three entries for C0w2, as flannel writes them.
fn write_all(lab: &Lab) -> Result<()> {
    let Way { mac, hop, .. } = Way::look()?;
    let subnet = format!("{hop}/20");
    on_worker(lab, &["ip", "neighbour", "replace", &hop, "lladdr", &mac, "dev", "flannel.100", "nud", "permanent"])?;
    on_worker(lab, &["bridge", "fdb", "replace", &mac, "dev", "flannel.100", "dst", WORKER, "self", "permanent"])?;
    on_worker(lab, &["ip", "route", "replace", &subnet, "via", &hop, "dev", "flannel.100", "onlink"])
}

fn on_worker(lab: &Lab, argv: &[&str]) -> Result<()> {
    lab.place("C0w1").run(Command::from(argv).with_namespaces())?.text()?;
    Ok(())
}
