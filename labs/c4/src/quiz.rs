//! The last section: questions about what was seen.

use course_scene::Choice::{Right, Wrong};
use course_scene::choose;
use knetsim_sdk::{Section, Task};

pub(crate) fn section() -> Section {
    Section::new("What you have learned", include_str!("../text/6-learned.md"))
        .task(who_decides())
        .task(which_status())
        .task(which_path())
}

fn who_decides() -> Task {
    let text = "C0e1 asks for http://10.0.0.3:8001/svc1, and pod ic1 answers. Who has decided on ic1, and not ic0?";
    choose(
        "quiz-decides",
        "Who decides",
        text,
        &[
            Wrong("nginx, by the path", "the path says which service; nginx here knows no pods"),
            Right("The rules of nftables on C0w1, when nginx connected to the service's address"),
            Wrong("C0w3, by its bridge", "when a packet is there, it is addressed to ic1 already"),
            Wrong("C0e1's kernel", "C0e1 has no rules, and knows no address of any pod"),
        ],
    )
}

fn which_status() -> Task {
    let text =
        "A pod takes connections and then says nothing. What does somebody get who asks for it through the ingress?";
    choose(
        "quiz-silent",
        "A silent pod",
        text,
        &[
            Wrong("404 at once", "that is for paths that no rule has"),
            Wrong("502 at once", "that is for pods that refuse: this one has taken the connection"),
            Right("504 after a minute"),
            Wrong("Nothing, ever", "nginx waits for a minute, and then says so"),
        ],
    )
}

fn which_path() -> Task {
    let text =
        "An ingress has the paths /shop and /shop/admin, both Prefix. Which requests go to the backend of /shop?";
    choose(
        "quiz-path",
        "Which path",
        text,
        &[
            Wrong("/shop alone", "a prefix goes for what is below it, too"),
            Right("/shop and /shop/cart, but neither /shop/admin nor /shopping"),
            Wrong("Whatever begins with /shop", "prefixes go by whole elements, and the longest one counts"),
            Wrong("/shop, /shop/cart and /shop/admin", "the longest path that fits counts"),
        ],
    )
}
