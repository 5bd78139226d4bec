//! Section 3: the runtime's part of CNI, done by the learner.

use course_scene::{is_container, look, take_away};
use knetsim_sdk::{Command, Place, Section, Task};

pub(crate) fn section() -> Section {
    Section::new("Who plugs the cables in: CNI", include_str!("../text/3-cni.md")).task(by_hand())
}

fn by_hand() -> Task {
    let text = "Be the runtime: make a network namespace `hand` on `C0w1`, and have CNI plug it in. Leave it there.";
    Task::new("cni-by-hand", "Be the runtime", text)
        .hint("Two steps, both in the text above with another name: the namespace, then `cnitool add`.")
        .hint("CNI_PATH says where plugins are, NETCONFPATH where the configuration is. Both on the line of `cnitool`.")
        .hint(
            "`ip netns add hand`, then \
             `CNI_PATH=/opt/cni/bin NETCONFPATH=/tmp/knetsim/C0w1 cnitool add C0w1 /var/run/netns/hand`",
        )
        .check(|_| {
            let namespaces = look("C0w1")?.namespaces()?;
            let ours = namespaces.iter().any(|namespace| namespace.name == "hand" && namespace.container);
            let what = "`hand` was made by `knetsim create`: delete it, and do by hand what that does";
            Ok(is_container("C0w1", "hand")?.require(!ours, what))
        })
        .solve(|lab| {
            take_away(lab, "C0w1", "hand")?;
            let worker = lab.place("C0w1");
            worker.run(Command::new(["ip", "netns", "add", "hand"]).with_namespaces())?.text()?;
            let add = Command::new(["cnitool", "add", "C0w1", "/var/run/netns/hand"]).with_namespaces();
            let add = add.env("CNI_PATH", "/opt/cni/bin").env("NETCONFPATH", "/tmp/knetsim/C0w1");
            worker.run(add)?.text()?;
            Ok(())
        })
}
