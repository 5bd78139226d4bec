//! Sections 3 and 4: a service of C0 in C1, and one of C1 in C0.

use course_scene::owner_of_address;
use knetsim_sdk::{AnswerKind, Lab, Place, Result, Section, Servers, Task, Verdict};

use crate::linking::until;
use crate::{BACKEND, PORT, REPORTS, Shared};

pub(crate) fn there() -> Section {
    Section::new("A service crosses", include_str!("../text/3-crosses.md")).task(expose()).task(says()).task(client())
}

pub(crate) fn and_back() -> Section {
    Section::new("And one the other way", include_str!("../text/4-other-way.md")).task(other_way())
}

fn expose() -> Task {
    let text = "Give the cluster C1 what `c4` serves at its port 8090: every container of C1 reaches it at port 1028 of C1w1. The \
                routing key is `backend:8080`.";
    Task::new("expose", "A service of C0 in C1", text)
        .after("link")
        .probes()
        .hint("A connector in C0 says where the server is, a listener in C1 where clients come. They find each other by the routing key.")
        .hint("`knetsim create connector C0.backend -k backend:8080 --container c4 --port 8090`")
        .hint("`knetsim create listener C1.backend -k backend:8080`: its port is 1028, where nothing else is said.")
        .check(|lab| reached(lab, &BACKEND))
        .solve(|lab| share(lab, &BACKEND))
}

fn other_way() -> Task {
    let text = "Now the other way: what `c5` of C1 serves at port 8090 is reached at port 1028 of C0w1, by the routing key \
                `reports:8080`. The link stays as it is.";
    Task::new("other-way", "A service of C1 in C0", text)
        .after("link")
        .probes()
        .hint("The same two commands, with connector and listener in the other cluster each.")
        .hint(
            "`knetsim create connector C1.reports -k reports:8080 --container c5 --port 8090`, and \
             `knetsim create listener C0.reports -k reports:8080`.",
        )
        .check(|lab| reached(lab, &REPORTS))
        .solve(|lab| share(lab, &REPORTS))
}

/// Whether containers on each worker of the other cluster are answered by the service.
pub(crate) fn reached(lab: &Lab, shared: &Shared) -> Result<Verdict> {
    let (door, says) = (format!("{}w1", shared.to), shared.says(lab)?);
    for worker in 1..=3 {
        let from = format!("{}w{worker}.c{worker}", shared.to);
        let said = match lab.place(&from).http_get(&door, PORT, "/") {
            Err(error) => format!("gives no answer: {}", error.message()),
            Ok(reply) if reply.text().trim() == says => continue,
            Ok(reply) => format!("answers {}", reply.text().lines().next().unwrap_or_default()),
        };
        return Ok(Verdict::missing(format!("beside {from}, {door}:{PORT} {said}")));
    }
    Ok(Verdict::passed())
}

/// The service in the other cluster, in place of what the learner has made there.
pub(crate) fn share(lab: &Lab, shared: &Shared) -> Result<()> {
    let (of, to) = (lab.site(shared.of)?, lab.site(shared.to)?);
    let short = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let by_name = |name: &str| short(name) == shared.name;
    for there in of.info()?.connectors.iter().filter(|it| it.spec.routing_key == shared.key || by_name(&it.name)) {
        of.delete_connector(&short(&there.name))?;
    }
    for there in to.info()?.listeners.iter().filter(|it| it.spec.port == PORT || by_name(&it.name)) {
        to.delete_listener(&short(&there.name))?;
    }
    let container = shared.container.rsplit('.').next().unwrap_or_default();
    of.add_connector(shared.name, shared.key, Servers::container(container), 8090)?;
    to.add_listener(shared.name, shared.key, PORT)?;
    until("the service does not cross", || reached(lab, shared))
}

fn says() -> Task {
    let text = "What does c4 say? Ask it from a container of C1.";
    Task::question("says", "Who answers", text, AnswerKind::Text)
        .after("expose")
        .hint("In a shell of `C1w2.c2`: `curl` and the name and port of the listener's worker.")
        .hint("`curl C1w1:1028`")
        .answer(|lab| BACKEND.says(lab))
        .accept(|lab, given| {
            let what = format!("`{given}` is not what c4 says");
            Ok(Verdict::passed().require(given == BACKEND.says(lab)?, what))
        })
}

fn client() -> Task {
    let text = "Which address does c4 take for its client, when a container of C1 asks?";
    Task::question("client", "Who asks c4", text, AnswerKind::Address)
        .after("expose")
        .hint("With `?echo`, the server says by whom it was asked: `curl 'C1w1:1028/?echo'` in a container of C1.")
        .hint("The line is `client ADDRESS:PORT`; it is the address alone that is asked for.")
        .answer(|_| asker())
        .accept(|_, given| {
            let what = match owner_of_address(given)? {
                Some(owner) => format!("{given} is {owner}: who connects to c4 stands in its own cluster"),
                None => format!("nothing here has the address {given}"),
            };
            Ok(Verdict::passed().require(given == asker()?, what))
        })
}

/// The router runs on C0w1 and c4 on C0w2, so it asks from its end of the tunnel.
fn asker() -> Result<String> {
    Ok(course_scene::address("C0w1", "flannel.100")?.map(|(address, _)| address.to_string()).unwrap_or_default())
}
