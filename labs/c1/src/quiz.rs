//! The last section: questions about what was seen.

use course_scene::Choice::{Right, Wrong};
use course_scene::choose;
use knetsim_sdk::{Section, Task};

pub(crate) fn section() -> Section {
    Section::new("What you have learned", include_str!("../text/7-learned.md"))
        .task(unreachable())
        .task(what_keeps_it())
        .task(real_container())
}

fn unreachable() -> Task {
    let text = "In a new network namespace, `ping 10.0.0.3` says `Network is unreachable`. Why?";
    choose(
        "quiz-unreachable",
        "Why it was unreachable",
        text,
        &[
            Wrong("C0w1 is down", "the same ping from another place is answered; this one never got as far as C0w1"),
            Right("It has no route to anywhere"),
            Wrong("Commands in a namespace may not ping", "once its `lo` was up, a ping inside was answered"),
            Wrong("The switch C0s0 doesn't know it", "no packet left the namespace, so no switch was asked"),
        ],
    )
}

fn what_keeps_it() -> Task {
    let text = "Nothing runs in `C0w1.c1`, and yet it stays. What keeps its network namespace alive?";
    choose(
        "quiz-keeps",
        "What keeps it alive",
        text,
        &[
            Wrong("Its address, which is reserved", "an address doesn't hold a namespace; it goes with it"),
            Wrong("The cable into the bridge", "it is the other way round: when the namespace goes, the cable goes"),
            Right("Something that holds it: its file in /run/netns, for one"),
            Wrong("Nothing: the kernel keeps them all", "`demo` was gone as soon as its file was"),
        ],
    )
}

fn real_container() -> Task {
    let text = "Which of these holds for a container of a real cluster, and not for `C0w1.c1`?";
    choose(
        "quiz-real",
        "What a real container has besides",
        text,
        &[
            Right("It doesn't see the processes of other containers"),
            Wrong("It has interfaces and routes of its own", "c1 has that too: it is what a network namespace is"),
            Wrong("It runs on a kernel of its own", "no container does; a virtual machine would"),
            Wrong("It can be reached by an address of its own", "c1 has that too"),
        ],
    )
}
