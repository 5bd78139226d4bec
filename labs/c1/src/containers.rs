//! Section 5: what a container is, what differs in it, and where a certain one is.

use std::hash::{BuildHasher, RandomState};

use course_scene::{look, owner_of_address};
use knetsim_sdk::{AnswerKind, Error, Lab, Result, Section, Task, Verdict};

const WORKERS: [&str; 3] = ["C1w1", "C1w2", "C1w3"];

/// What may be compared between a worker and its container, and whether it differs.
const COMPARED: [(&str, bool); 6] = [
    ("hostname", false),
    ("ip -brief address", true),
    ("id", false),
    ("ip route", true),
    ("ls /run", false),
    ("readlink /proc/self/ns/net", true),
];

pub(crate) fn section() -> Section {
    Section::new("Containers", include_str!("../text/5-containers.md")).task(differs()).task(lost())
}

fn differs() -> Task {
    let text = "Which of these commands print something else in `C0w1.c1` than on `C0w1`? Try them in both.";
    let kind = AnswerKind::choices(COMPARED.map(|(command, _)| command));
    Task::question("differs", "What differs in a container", text, kind)
        .hint("Open two shells, one on C0w1 and one in C0w1.c1, and run each command in both.")
        .hint("Only one kind of namespace differs. Which of the commands ask about it?")
        .answer(|_| {
            let right = COMPARED.iter().filter(|(_, differs)| *differs).map(|(command, _)| *command);
            Ok(right.collect::<Vec<_>>().join("\n"))
        })
        .accept(|_, given| {
            let chosen: Vec<_> = given.lines().collect();
            let mut verdict = Verdict::passed();
            for (command, _) in COMPARED.iter().filter(|(command, differs)| !differs && chosen.contains(command)) {
                verdict = verdict.and(Verdict::missing(format!("`{command}` prints the same in both")));
            }
            let left_out = COMPARED.iter().filter(|(command, differs)| *differs && !chosen.contains(command)).count();
            Ok(verdict.require(left_out == 0, format!("{left_out} more of them differ")))
        })
}

fn lost() -> Task {
    let text = "Find the container `lost` in cluster `C1`. Which address does it have?";
    Task::question("lost", "A container was lost", text, AnswerKind::Address)
        .hint("A worker knows its containers by name: `ip netns list`. Cluster C1 has three workers.")
        .hint("On the worker where it is: `ip netns exec lost hostname -I`")
        .answer(|_| address_of_lost())
        .accept(|_, given| {
            let what = match owner_of_address(given)? {
                Some(owner) => format!("{given} is {owner}"),
                None => format!("nothing here has the address {given}"),
            };
            Ok(Verdict::passed().require(given == address_of_lost()?, what))
        })
}

/// Puts the container `lost` on a worker of C1, another one each time.
pub(crate) fn lose_one(lab: &Lab) -> Result<()> {
    let dice = RandomState::new().hash_one("lost");
    let worker = WORKERS[usize::try_from(dice % 3).unwrap_or_default()];
    lab.create_container(format!("{worker}.lost"))?;
    Ok(())
}

fn address_of_lost() -> Result<String> {
    for worker in WORKERS {
        if look(worker)?.namespaces()?.iter().any(|namespace| namespace.name == "lost") {
            let address = course_scene::address(&format!("{worker}/lost"), "eth0")?;
            return Ok(address.map(|(address, _)| address.to_string()).unwrap_or_default());
        }
    }
    Err(Error::new("no worker of C1 has a container `lost`: reset the chapter to have it again"))
}
