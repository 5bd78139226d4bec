//! The last section: questions about what was seen.

use course_scene::Choice::{Right, Wrong};
use course_scene::choose;
use knetsim_sdk::{Section, Task};

pub(crate) fn section() -> Section {
    Section::new("What you have learned", include_str!("../text/7-learned.md"))
        .task(which_ports())
        .task(which_addresses())
        .task(who_may())
}

fn which_ports() -> Task {
    let text =
        "Ten services of C0 are to be had in C1. Which ports does a firewall between the clusters have to leave open?";
    choose(
        "quiz-ports",
        "The firewall",
        text,
        &[
            Wrong(
                "Ten, one for each service",
                "these are ports of C1's own worker; no firewall lies between it and its clients",
            ),
            Right("55671 to C0w1, and nothing else"),
            Wrong("55671 both ways", "one connection carries both ways; who has made it does not matter"),
            Wrong("8472 for UDP, as between workers", "no packet of C1's pod network gets into that of C0"),
        ],
    )
}

fn which_addresses() -> Task {
    let text =
        "Both clusters have given a pod of theirs the same address, 11.10.0.2. What becomes of a service that crosses?";
    choose(
        "quiz-addresses",
        "Twice the same address",
        text,
        &[
            Wrong("The routers refuse to be linked", "they don't tell each other of pods' addresses at all"),
            Wrong("Its answers go to the wrong pod", "each connection ends at a router, and the next one begins there"),
            Right("Nothing: no address of a pod leaves its cluster"),
            Wrong("NAT on the workers replaces one of them", "that is how some others do it; here nobody needs to"),
        ],
    )
}

fn who_may() -> Task {
    let text = "Somebody has got hold of a token that C1 has redeemed already. What is it good for?";
    choose(
        "quiz-token",
        "A stolen token",
        text,
        &[
            Right("Nothing: each is redeemed once"),
            Wrong("For a link of their own, until it expires", "a token is redeemed once, and this one was"),
            Wrong("For reading what crosses", "each router has a key of its own, which is in no token"),
            Wrong("For C0's services, by curl", "these are reached by whoever reaches the port of C1w1, token or not"),
        ],
    )
}
