//! Section 7: a service of the learner's own.

use course_scene::look;
use knetsim_sdk::{Lab, Result, Section, ServiceOptions, Task, Verdict};

use crate::address::answers;
use crate::backends::ping;
use crate::{INSIDE, WIRE, pod};

const VIP: &str = "100.64.10.9";
/// The workers that c1 reaches by the wire, where replies are seen.
const WORKERS: [&str; 2] = ["C0w2", "C0w3"];
/// What the chapter makes, and what this task is not about.
const SCENE: [&str; 5] = ["c2", "c3", "shop", "web1", "web2"];

pub(crate) fn section() -> Section {
    Section::new("A service of your own", include_str!("../text/7-own.md")).task(expose())
}

fn expose() -> Task {
    let text = "Make two new containers, on `C0w2` or `C0w3` or one on each, and expose them under 100.64.10.9. Then ping \
                that address from c1, in several runs, until each of the two has answered.";
    Task::new("own", "Expose containers", text)
        .hint("First the containers, `knetsim create container C0w2.a1`, then a service over them.")
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
            lab.create_service("C0.mine", options)?;
            ping(lab, VIP, 40)
        })
}

fn check(lab: &Lab) -> Result<Verdict> {
    let asked = answers(lab, INSIDE, VIP)?;
    let mut new = 0;
    let mut reached = 0;
    for worker in WORKERS {
        for namespace in look(worker)?.namespaces()? {
            let place = format!("{worker}/{}", namespace.name);
            if SCENE.contains(&namespace.name.as_str()) || look(&place)?.link("eth0")?.is_none() {
                continue;
            }
            new += 1;
            // On the wire it is addressed to the container; by its id and number it is the same echo.
            let mut seen = answers(lab, WIRE, &pod(&place)?)?;
            seen.retain(|there| there.answered && asked.iter().any(|ping| ping.answered && ping.echo == there.echo));
            reached += usize::from(!seen.is_empty());
        }
    }
    Ok(Verdict::passed()
        .require(new >= 2, format!("C0w2 and C0w3 have {new} new containers between them: make two"))
        .require(!asked.is_empty(), format!("c1 has sent no echo request to {VIP}"))
        .require(reached >= 2, format!("{reached} new containers have answered pings of c1 to {VIP}: two should")))
}
