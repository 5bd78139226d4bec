//! Section 6: the three entries that lead to another worker; one of them deleted, and written again.

use course_scene::{device, has_been, look};
use knetsim_sdk::{Command, Lab, Place, Result, Section, Task, Verdict};

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
            entry.interface == "flannel.100" && entry.mac == mac && entry.destination.as_deref() == Some("10.0.0.4")
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
        .check(|_| {
            let way = Way::look()?;
            // It may be mended already.
            let cut = !way.forwarding || was_cut(&way)?;
            let still = format!("C0w1 still has the entry {} dev flannel.100 dst 10.0.0.4", way.mac);
            let others = look("C0w1")?.fdb()?.iter().any(|entry| entry.destination.as_deref() == Some("10.0.0.5"));
            Ok(way
                .leads_to_tunnel()
                .require(cut, still)
                .require(others, "the entry for C0w3, dst 10.0.0.5, is gone too: put it back"))
        })
        .solve(|lab| {
            write_all(lab)?;
            on_worker(lab, &["bridge", "fdb", "del", &Way::look()?.mac, "dev", "flannel.100", "dst", "10.0.0.4"])
        })
}

fn mend() -> Task {
    let text = "Write the entry again, so that c1 reaches c2 as before.";
    Task::new("mend", "Mend it", text)
        .after("cut")
        .hint("The hardware address that belongs in there stands in two other places: the neighbour table, and etcd.")
        .hint("`bridge fdb add MAC dev flannel.100 dst 10.0.0.4`, on C0w1. MAC is C0w2's `VtepMAC`.")
        .check(|_| {
            let way = Way::look()?;
            let wrong = look("C0w1")?.fdb()?.into_iter().find(|entry| {
                entry.interface == "flannel.100"
                    && entry.destination.as_deref() == Some("10.0.0.4")
                    && entry.mac != way.mac
            });
            let missing = match wrong {
                Some(entry) => format!("{} leads to 10.0.0.4, but C0w2's flannel.100 is {}", entry.mac, way.mac),
                None => format!("C0w1 has no entry that leads {} to 10.0.0.4", way.mac),
            };
            Ok(way
                .leads_to_tunnel()
                .require(way.forwarding, missing)
                .require(was_cut(&way)?, "the entry for C0w2 was never deleted: cut it first"))
        })
        .solve(write_all)
}

/// By what the kernel announced.
fn was_cut(way: &Way) -> Result<bool> {
    has_been("C0w1", "fdb", "gone", &way.mac)
}

/// All three entries for C0w2, as flannel writes them.
fn write_all(lab: &Lab) -> Result<()> {
    let Way { mac, hop, .. } = Way::look()?;
    let subnet = format!("{hop}/20");
    on_worker(lab, &["ip", "neighbour", "replace", &hop, "lladdr", &mac, "dev", "flannel.100", "nud", "permanent"])?;
    on_worker(lab, &["bridge", "fdb", "replace", &mac, "dev", "flannel.100", "dst", "10.0.0.4", "self", "permanent"])?;
    on_worker(lab, &["ip", "route", "replace", &subnet, "via", &hop, "dev", "flannel.100", "onlink"])
}

fn on_worker(lab: &Lab, argv: &[&str]) -> Result<()> {
    lab.place("C0w1").run(Command::from(argv).with_namespaces())?.text()?;
    Ok(())
}
