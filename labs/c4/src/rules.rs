//! Section 2: an ingress for both services.

use std::time::{Duration, Instant};

use course_scene::look;
use knetsim_sdk::{Command, Error, IngressOptions, Lab, Place, Result, Section, Task, Verdict};

use crate::PORT;

pub(crate) fn section() -> Section {
    Section::new("One door for all services", include_str!("../text/2-rules.md")).task(ingress())
}

fn ingress() -> Task {
    let text = "Make an ingress on `C0w1`, at port 8001: requests for `/svc1` go to service one, those for `/svc2` to \
                service two, both at port 8000.";
    Task::new("ingress", "Make an ingress", text)
        .probes()
        .hint("`knetsim create ingress --help` says what it takes: a name, `--worker`, `--port`, and `--path` for each path.")
        .hint(
            "`knetsim create ingress C0.grp1 --worker C0w1 --port 8001 --path /svc1=one:8000 --path /svc2=two:8000`, \
             in a second terminal. Is there one already, and a wrong one? `--replace` changes it.",
        )
        .check(both_paths)
        .solve(|lab| open(lab, &[]))
}

/// Whether `/svc1` and `/svc2` are answered by pods of service one and two.
pub(crate) fn both_paths(lab: &Lab) -> Result<Verdict> {
    if !listens("C0w1", PORT)? {
        return Ok(Verdict::missing(format!("nobody listens at port {PORT} of C0w1")));
    }
    Ok(answers(lab, "/svc1", "S1-")?.and(answers(lab, "/svc2", "S2-")?))
}

/// Whether somebody listens at a TCP port.
pub(crate) fn listens(place: &str, port: u16) -> Result<bool> {
    let end = format!(":{port}");
    let sockets = look(place)?.sockets()?;
    Ok(sockets.iter().any(|it| it.protocol == "tcp" && it.state == "listen" && it.local.ends_with(&end)))
}

/// Whether the answer to a path begins so.
pub(crate) fn answers(lab: &Lab, path: &str, begin: &str) -> Result<Verdict> {
    let reply = lab.place("C0w1.c1").http_get("C0w1", PORT, path);
    Ok(match reply {
        Err(error) => Verdict::missing(format!("a request for {path} gets no answer: {}", error.message())),
        Ok(reply) if reply.status != 200 => {
            Verdict::missing(format!("a request for {path} is answered {}", reply.status))
        }
        Ok(reply) => {
            let said = reply.text();
            let said = said.lines().next().unwrap_or_default();
            Verdict::passed().require(said.starts_with(begin), format!("{path} is answered by {said}"))
        }
    })
}

/// The chapter's ingress, with these paths besides the two, in place of what the learner has made.
pub(crate) fn open(lab: &Lab, more: &[(&str, &str)]) -> Result<()> {
    for there in lab.ingresses()? {
        lab.ingress(there.name)?.delete()?;
    }
    free_port(lab)?;
    let options = IngressOptions::new("C0w1", PORT).path("/svc1", "one:8000").path("/svc2", "two:8000");
    let options = more.iter().fold(options, |options, (path, backend)| options.path(*path, *backend));
    lab.create_ingress("C0.grp1", options).map(drop)
}

/// Ends whoever listens at the ingress's port: a learner may have started a proxy by hand.
fn free_port(lab: &Lab) -> Result<()> {
    let end = format!("kill $(ss -Hltnp 'sport = :{PORT}' | grep -o 'pid=[0-9]*' | cut -d= -f2)");
    let begin = Instant::now();
    while listens("C0w1", PORT)? {
        if begin.elapsed() > Duration::from_secs(5) {
            return Err(Error::new(format!("whoever listens at port {PORT} of C0w1 does not end")));
        }
        lab.place("C0w1").run(Command::new(["sh", "-c", &end]).with_namespaces())?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
