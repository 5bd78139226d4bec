//! Section 5: the cable of a router's worker is cut, and mended.

use course_scene::look;
use knetsim_sdk::{Result, Section, Task, Verdict};

use crate::crossing::reached;
use crate::linking::until;
use crate::{BACKEND, PORT};

pub(crate) fn section() -> Section {
    Section::new("The cable is cut", include_str!("../text/5-cut.md")).task(cut()).task(mended())
}

fn cut() -> Task {
    let text =
        "Cut the cable of C0w1, and wait until C1's router has noticed: nobody listens at port 1028 of C1w1 any more.";
    Task::new("cut", "Cut it", text)
        .after("expose")
        .hint("`knetsim link C0w1:eth0 down` in a second terminal; or `ip link set eth0 down` on C0w1 itself.")
        .hint("`ss -ltn` on C1w1 shows who listens. It takes some seconds.")
        .check(|_| {
            let listens = listens("C1w1")?;
            Ok(Verdict::passed()
                .require(!whole()?, "the cable of C0w1 is whole")
                .require(!listens, format!("somebody listens at port {PORT} of C1w1")))
        })
        .solve(|lab| {
            lab.set_link("C0w1:eth0", false)?;
            until("the router of C1 goes on listening", || {
                Ok(Verdict::passed().require(!listens("C1w1")?, "it listens"))
            })
        })
}

fn mended() -> Task {
    let text = "Mend the cable, and wait until containers of C1 are answered again.";
    Task::new("mended", "Mend it", text)
        .after("cut")
        .probes()
        .hint("The same command with `up`. Nobody has to tell the routers.")
        .check(|lab| Ok(Verdict::passed().require(whole()?, "the cable of C0w1 is cut").and(reached(lab, &BACKEND)?)))
        .solve(|lab| {
            lab.set_link("C0w1:eth0", true)?;
            lab.set_link("base:C0w1", true)?;
            until("the service does not come back", || reached(lab, &BACKEND))
        })
}

/// Whether both ends of the cable between C0w1 and its switch are up.
fn whole() -> Result<bool> {
    let up = |place: &str, name: &str| -> Result<bool> { Ok(look(place)?.link(name)?.is_some_and(|end| end.up)) };
    Ok(up("C0w1", "eth0")? && up("base", "C0w1")?)
}

fn listens(worker: &str) -> Result<bool> {
    let end = format!(":{PORT}");
    Ok(look(worker)?.sockets()?.iter().any(|it| it.state == "listen" && it.local.ends_with(&end)))
}
