//! Section 1: the address of a pod, and whose the others are.

use course_scene::owner_of_address;
use knetsim_sdk::{AnswerKind, Error, Result, Section, Task, Verdict};

pub(crate) fn section() -> Section {
    Section::new("Every pod has an address", include_str!("../text/1-addresses.md")).task(addresses())
}

fn addresses() -> Task {
    let text = "Find the addresses of `C0w1.c1` and of `C0w2.c2`. Which one has `C0w2.c2`?";
    Task::question("addresses", "Two addresses", text, AnswerKind::Address)
        .hint("A shell of `C0w2.c2` is inside of the container. `ip -brief address` or `hostname -I` there.")
        .hint("On C0w2 itself: `ip netns exec c2 hostname -I`. Without `ip netns exec c2` you see the worker's own.")
        .answer(|_| pod("C0w2.c2"))
        .accept(|_, given| {
            let what = match owner_of_address(given)?.as_deref() {
                Some("cni0 of C0w2") => format!("{given} is cni0 of C0w2: the worker's own end, c2's gateway"),
                Some("flannel.100 of C0w2") => {
                    format!("{given} is flannel.100 of C0w2, the worker's end of the tunnel")
                }
                Some(owner) => format!("{given} is {owner}"),
                None => format!("nothing here has the address {given}"),
            };
            Ok(Verdict::passed().require(given == pod("C0w2.c2")?, what))
        })
}

/// The address of a container's `eth0`.
pub(crate) fn pod(container: &str) -> Result<String> {
    let address = course_scene::address(container, "eth0")?;
    let none = || Error::new(format!("eth0 of {container} has no address"));
    Ok(address.ok_or_else(none)?.0.to_string())
}
