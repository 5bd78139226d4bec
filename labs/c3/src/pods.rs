//! Section 1: a pod is replaced, and its address with it.

use course_scene::{is_container, take_away};
use knetsim_sdk::{Lab, Result, Section, Task, Verdict};

use crate::{pod, recall};

pub(crate) fn section() -> Section {
    Section::new("Pods come and go", include_str!("../text/1-pods.md")).task(replace())
}

/// The address that `shop` has at first.
pub(crate) fn remember(lab: &Lab) -> Result<()> {
    lab.remember("shop", pod("C0w3.shop")?)
}

fn replace() -> Task {
    let text = "Replace the container `shop` on `C0w3`, as Kubernetes does when a pod has died: delete it, and make \
                another one of the same name. See which address it has now.";
    Task::new("replace", "A pod is replaced", text)
        .hint("Look at its address before: `ip netns exec shop hostname -I` on C0w3.")
        .hint("In a second terminal: `knetsim delete container C0w3.shop`, then `knetsim create container C0w3.shop`.")
        .check(|lab| {
            let verdict = is_container("C0w3", "shop")?;
            if verdict != Verdict::passed() {
                return Ok(verdict);
            }
            let (before, now) = (recall(lab, "shop")?, pod("C0w3/shop")?);
            Ok(Verdict::passed().require(before != now, format!("`shop` still has {now}, as in the beginning")))
        })
        .solve(|lab| {
            take_away(lab, "C0w3", "shop")?;
            lab.create_container("C0w3.shop").map(drop)
        })
}
