//! Section 3: the ingress asked from its node and from outside, and the way of a request.

use course_scene::{exchanges, owner_of_address};
use knetsim_sdk::{AnswerKind, Lab, Place, Result, Section, Task, Verdict};

use crate::{FRONT, PORT};

/// C0e1, on which nothing of the cluster's network is programmed.
const OUTSIDE: &str = "10.1.0.1";

pub(crate) fn section() -> Section {
    Section::new("From outside", include_str!("../text/3-outside.md")).task(asked()).task(client())
}

fn asked() -> Task {
    let text = "From `C0e1`, which stands outside of the pods' network, ask for both paths: /svc1 and /svc2 of C0w1, port 8001.";
    Task::new("outside", "Ask from outside", text)
        .after("ingress")
        .hint("In a shell of `C0e1`: `curl`, and then address, port and path as one word.")
        .hint("`curl 10.0.0.3:8001/svc1`")
        .check(|lab| {
            let mut verdict = Verdict::passed();
            let asked: Vec<_> = exchanges(lab, FRONT)?.into_iter().filter(|it| it.client == OUTSIDE).collect();
            for path in ["/svc1", "/svc2"] {
                let last = asked.iter().rev().find(|it| it.path.starts_with(path));
                verdict = verdict.and(match last {
                    None => Verdict::missing(format!("C0e1 has asked for no {path} yet, or got no answer")),
                    Some(it) => {
                        let what = format!("C0e1's last request for {path} was answered {}", it.status);
                        Verdict::passed().require(it.status == 200, what)
                    }
                });
            }
            Ok(verdict)
        })
        .solve(|lab| ask(lab, &["/svc1", "/svc2"]))
}

/// Asks for these paths from outside.
pub(crate) fn ask(lab: &Lab, paths: &[&str]) -> Result<()> {
    paths.iter().try_for_each(|path| lab.place("C0e1").http_get("C0w1", PORT, path).map(drop))
}

fn client() -> Task {
    let text = "Ask for `/svc1?echo` from `C0e1`, through the ingress. Which address does the pod take for its client?";
    Task::question("client", "Who asks the pod", text, AnswerKind::Address)
        .after("ingress")
        .hint("`curl '10.0.0.3:8001/svc1?echo'` on C0e1. With `?echo` the server says what it was asked, and by whom.")
        .hint("The line is `client ADDRESS:PORT`. It's the address alone that is asked for here.")
        .answer(|_| tunnel_end())
        .accept(|_, given| {
            let what = match owner_of_address(given)?.as_deref() {
                Some("eth0 of C0e1") => {
                    "that is who has asked nginx; nginx tells the pod of it in `x-real-ip`, but the \
                                         pod's own connection comes from elsewhere"
                        .to_owned()
                }
                Some("eth0 of C0w1") => {
                    format!("{given} is C0w1, but its requests to pods leave by another of its interfaces")
                }
                Some(owner) => format!("{given} is {owner}"),
                None => format!("nothing here has the address {given}"),
            };
            Ok(Verdict::passed().require(given == tunnel_end()?, what))
        })
}

/// The pods are on other workers, so C0w1 asks them by its end of the tunnel.
fn tunnel_end() -> Result<String> {
    Ok(course_scene::address("C0w1", "flannel.100")?.map(|(address, _)| address.to_string()).unwrap_or_default())
}
