//! Section 5: servers end while their pods stay, and come again.

use std::time::{Duration, Instant};

use course_scene::{exchanges, take_away};
use knetsim_sdk::{Command, Error, Lab, Place, Result, Section, Task, Verdict};

use crate::outside::ask;
use crate::rules::{answers, listens, open};
use crate::{FRONT, pod};

/// The pods of service two: container, worker, and what it says.
const TWO: [(&str, &str, &str); 2] = [("C0w2", "ic2", "S2-W2"), ("C0w3", "ic3", "S2-W3")];

pub(crate) fn section() -> Section {
    Section::new("When a backend breaks", include_str!("../text/5-breaks.md")).task(broken()).task(mended())
}

fn broken() -> Task {
    let text = "End the servers in `ic2` and `ic3`, and leave the containers as they are. Then ask for /svc2 from `C0e1`, \
                and see which status nginx answers.";
    Task::new("broken", "A bad gateway", text)
        .after("outside")
        .hint(
            "A server is a process, and its command line tells it from the others: `ps ax | grep serve`, in any shell.",
        )
        .hint("`pkill -f 'serve S2-W2'` ends one of them, `pkill -f 'serve S2-W3'` the other.")
        .hint("Then, on C0e1: `curl -i 10.0.0.3:8001/svc2`")
        .check(|lab| {
            let mut verdict = Verdict::passed();
            for (_, name, _) in TWO {
                let listens = listens(&format!("C0.{name}"), 8000)?;
                verdict = verdict.require(!listens, format!("somebody still listens at port 8000 of {name}"));
            }
            let refused = exchanges(lab, FRONT)?.iter().any(|it| it.path.starts_with("/svc2") && it.status == 502);
            Ok(verdict.require(refused, "nginx has answered nobody outside with 502 for /svc2 yet"))
        })
        .solve(|lab| {
            for (worker, name, says) in TWO {
                end_server(lab, worker, name, says)?;
            }
            open(lab, &[])?;
            ask(lab, &["/svc2"])
        })
}

fn end_server(lab: &Lab, worker: &str, name: &str, says: &str) -> Result<()> {
    let place = format!("{worker}.{name}");
    // All processes of the sandbox are to be seen everywhere, so its name tells which one.
    lab.place(&place).run(Command::new(["pkill", "-f", &format!("serve {says}")]).with_namespaces())?;
    let begin = Instant::now();
    while listens(&place, 8000)? {
        if begin.elapsed() > Duration::from_secs(5) {
            return Err(Error::new(format!("the server of {name} does not end")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn mended() -> Task {
    let text = "Have service two answer again by two servers, S2-W2 on C0w2 and S2-W3 on C0w3, in the old containers or in \
                new ones.";
    Task::new("mended", "All is well again", text)
        .after("broken")
        .probes()
        .hint("Whatever has the label `app=two` is a pod of service two.")
        .hint(
            "As Kubernetes does it: delete the container, and create it again with its label and command, \
             `knetsim create container C0w2.ic2 -l app=two -- knetsim serve S2-W2`.",
        )
        .check(|lab| Ok(answers(lab, "/svc2", "S2-")?.and(both_serve()?)))
        .solve(|lab| {
            for (worker, name, says) in TWO {
                take_away(lab, worker, name)?;
                lab.create_container(pod(&format!("{worker}.{name}"), "two", says))?;
            }
            until_both_serve()
        })
}

/// Whether both workers have a container, of whatever name, that serves and is no other service's.
fn both_serve() -> Result<Verdict> {
    let mut verdict = Verdict::passed();
    for (worker, _, _) in TWO {
        let mut serves = false;
        for namespace in course_scene::look(worker)?.namespaces()? {
            let others = ["ic0", "ic1", "ic4"].contains(&namespace.name.as_str());
            serves |= !others && listens(&format!("{worker}/{}", namespace.name), 8000)?;
        }
        verdict = verdict.require(serves, format!("no container of service two on {worker} listens at port 8000"));
    }
    Ok(verdict)
}

fn until_both_serve() -> Result<()> {
    let begin = Instant::now();
    while both_serve()? != Verdict::passed() {
        if begin.elapsed() > Duration::from_secs(10) {
            return Err(Error::new("the new servers do not listen"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
