//! Section 4: the rules of the virtual address, read from the live ruleset.

use course_scene::{look, owner_of_address};
use knetsim_sdk::{AnswerKind, Error, Result, Section, Task, Verdict};

use crate::{FIXED, PORTS};

pub(crate) fn section() -> Section {
    Section::new("Which rules make it", include_str!("../text/4-rules.md")).task(first()).task(refuses())
}

fn first() -> Task {
    let text = "On `C0w1`, the rule of 100.64.10.1 throws a coin, `numgen random mod 2`. Which address does a connection \
                get when the coin says 0?";
    Task::question("zero", "Heads", text, AnswerKind::Address)
        .hint("The chain's name begins with `service-` and has `slides` in it: `nft list table ip kube-proxy` on C0w1.")
        .hint("`vmap { 0 : goto CHAIN, … }`: read on in that chain, up to `dnat to`.")
        .answer(|_| backend_of_zero())
        .accept(|_, given| {
            let what = match owner_of_address(given)? {
                None if given == FIXED => format!("{FIXED} is what is replaced, not what it is replaced by"),
                Some(owner) if owner == "eth0 of C0w2.c2" || owner == "eth0 of C0w3.c3" => {
                    format!("{given} is {owner}: it gets what the coin's other side says")
                }
                Some(owner) => format!("{given} is {owner}, and no container of this service"),
                None => format!("nothing here has the address {given}"),
            };
            Ok(Verdict::passed().require(given == backend_of_zero()?, what))
        })
}

fn backend_of_zero() -> Result<String> {
    let rules = look("C0w1")?.ruleset_text()?;
    let mut lines = rules.lines().map(str::trim).filter(|line| line.contains("/slides/") && line.contains("numgen"));
    let chain = lines.next().and_then(|line| line.split_once(" 0 : goto ")).and_then(|(_, rest)| rest.split_once("__"));
    let address = chain.and_then(|(_, rest)| rest.split_once('/'));
    let none = || Error::new("C0w1 has no rule that chooses for the service slides: was it changed?");
    Ok(address.ok_or_else(none)?.0.to_owned())
}

fn refuses() -> Task {
    let text = "100.64.10.3 serves one port, and `ping` gets `Destination Port Unreachable`. Which address does that come \
                from, when c1 pings?";
    Task::question("refuses", "Who says no", text, AnswerKind::Address)
        .hint("In a shell of `C0w1.c1`: `ping -c 1 100.64.10.3`. The line begins with `From`.")
        .hint("It is no pod that refuses. Whose address is it? `ip -brief address` on C0w1.")
        .answer(|_| gateway())
        .accept(|_, given| {
            let what = match owner_of_address(given)?.as_deref() {
                Some("eth0 of C0w2.web1" | "eth0 of C0w3.web2") => {
                    format!("{given} is one of the pods behind it: the ping never comes that far")
                }
                Some(owner) => format!("{given} is {owner}, and refuses nothing"),
                None if given == PORTS => format!("{PORTS} is nobody's own address, so nobody sends from it"),
                None => format!("nothing here has the address {given}"),
            };
            Ok(Verdict::passed().require(given == gateway()?, what))
        })
}

/// The worker rejects what c1 sends where it comes in, and answers by its address there.
fn gateway() -> Result<String> {
    let address = course_scene::address("C0w1", "cni0")?;
    let none = || Error::new("cni0 of C0w1 has no address: was it changed?");
    Ok(address.ok_or_else(none)?.0.to_string())
}
