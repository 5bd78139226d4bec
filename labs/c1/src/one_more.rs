//! Section 6: a container that comes and goes.

use course_scene::{has_been, is_container, look, nothing_left, take_away};
use knetsim_sdk::{Section, Task};

pub(crate) fn section() -> Section {
    Section::new("One more container", include_str!("../text/6-one-more.md")).task(make()).task(delete())
}

fn make() -> Task {
    Task::new("c10", "Make a container", "Make a container `c10` on `C0w1`, and look at its addresses.")
        .hint("In a second terminal: `knetsim create container WORKER.NAME`.")
        .hint("By hand it takes two steps: a namespace, then `cnitool add`. On C0w1 the network is called `C0w1`.")
        .hint(
            "`knetsim create container C0w1.c10`; or on C0w1 `ip netns add c10`, and then \
             `CNI_PATH=/opt/cni/bin NETCONFPATH=/tmp/knetsim/C0w1 cnitool add C0w1 /var/run/netns/c10`",
        )
        .check(|_| is_container("C0w1", "c10"))
        .solve(|lab| {
            take_away(lab, "C0w1", "c10")?;
            lab.create_container("C0w1.c10").map(drop)
        })
}

fn delete() -> Task {
    let text = "Delete `c10` again, so that nothing of it stays: no namespace, no cable, no address.";
    Task::new("c10-gone", "Delete it, all of it", text)
        .after("c10")
        .hint("`ip netns del` alone takes away a name. Cable and address were made by a plugin.")
        .hint("What `knetsim create` made, `knetsim delete container C0w1.c10` deletes.")
        .hint("Made by `cnitool add`: the same line with `del` in place of `add`, and then `ip netns del c10`.")
        .check(|_| {
            let there = look("C0w1")?.namespaces()?.iter().any(|namespace| namespace.name == "c10");
            let came = has_been("C0w1", "namespace", "new", "c10")?;
            Ok(nothing_left("C0w1")?
                .require(!there, "`c10` is still on C0w1")
                .require(came, "C0w1 has had no `c10` yet that could go"))
        })
        .solve(|lab| take_away(lab, "C0w1", "c10"))
}
