//! Section 4: the rules of the virtual address, read from the live ruleset.

use course_scene::{look, owner_of_address};
use knetsim_sdk::{AnswerKind, Error, Result, Section, Task, Verdict};

use crate::FIXED;

pub(crate) fn section() -> Section {
    Section::new("Which rules make it", include_str!("../text/4-rules.md")).task(first()).task(ports())
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

fn ports() -> Task {
    let text = "100.64.10.3 serves one port, and `ping` gets `Destination Port Unreachable` from it. In which chain of \
                `C0w1`'s table is the rule that says so?";
    Task::question("refuses", "Who says no", text, AnswerKind::Text)
        .hint("What refuses is called `reject`. Two chains have such a rule; to which of them does a ping come?")
        .hint("A ping has no port, so `service-endpoints-check` finds nothing. What do packets to a `cluster-ip` meet then?")
        .answer(|_| Ok("cluster-ips-check"))
        .accept(|_, given| {
            let chains = look("C0w1")?.ruleset()?.chains;
            let is_there = chains.iter().any(|chain| chain.table == "kube-proxy" && chain.name == given);
            let what = match given {
                "reject-chain" => "that one is for services without endpoints, and 100.64.10.3 has two".to_owned(),
                "service-endpoints-check" => "that one looks up address and port, and a ping has no port".to_owned(),
                _ if is_there => format!("`{given}` has no rule that rejects"),
                _ => format!("C0w1's table has no chain `{given}`"),
            };
            Ok(Verdict::passed().require(given == "cluster-ips-check", what))
        })
}
