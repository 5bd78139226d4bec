//! The last section: questions about what was seen.

use course_scene::Choice::{Right, Wrong};
use course_scene::choose;
use knetsim_sdk::{Section, Task};

pub(crate) fn section() -> Section {
    Section::new("What you have learned", include_str!("../text/8-learned.md"))
        .task(where_is_it())
        .task(one_connection())
}

fn where_is_it() -> Task {
    let text =
        "c1 on C0w1 connects to 100.64.10.1, and c3 on C0w3 answers. Where is 100.64.10.1 replaced by c3's address?";
    choose(
        "quiz-where",
        "Where it happens",
        text,
        &[
            Right("On C0w1, by the client's own worker"),
            Wrong("On C0w3, by the container's worker", "on the wire the packet is addressed to c3 already"),
            Wrong(
                "In a proxy that runs on one of the workers",
                "no program sees the packet; each worker has the rules",
            ),
            Wrong("In c1", "c1's own packets are addressed to 100.64.10.1, as tcpdump in c1 shows"),
        ],
    )
}

fn one_connection() -> Task {
    let text =
        "A single `ping 100.64.10.1` runs for an hour, over a service with two endpoints that both live. Who answers?";
    choose(
        "quiz-one",
        "One long ping",
        text,
        &[
            Wrong(
                "Both, in turns",
                "the coin is thrown for new connections only; this one is known after its first packet",
            ),
            Wrong("Each packet by chance", "the rules of nat see a connection's first packet only"),
            Right("One of them, the whole time"),
            Wrong("The one that is nearer", "kube-proxy's rules don't know distances"),
        ],
    )
}
