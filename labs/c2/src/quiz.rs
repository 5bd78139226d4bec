//! The last section: questions about what was seen.

use course_scene::Choice::{Right, Wrong};
use course_scene::choose;
use knetsim_sdk::{AnswerKind, Section, Task, Verdict};

pub(crate) fn section() -> Section {
    Section::new("What you have learned", include_str!("../text/8-learned.md"))
        .task(overhead())
        .task(symptom())
        .task(time_to_live())
        .task(etcd_down())
}

fn overhead() -> Task {
    let text = "In another data centre, `eth0` of the workers has an MTU of 9000. Which MTU does flannel give to its \
                VXLAN interface there?";
    Task::question("quiz-mtu", "Room for the tunnel", text, AnswerKind::Number)
        .hint("What has to fit into one packet of the underlay, besides the pod's own packet?")
        .answer(|_| Ok(8950))
        .accept(|_, given| {
            let what = match given {
                "1450" => "1450 is what is left of 1500",
                "9000" => "a packet of 9000 bytes doesn't fit once the tunnel's headers are around it",
                _ => "VXLAN takes the same number of bytes from every packet; compare eth0 and flannel.100 of C0w1",
            };
            Ok(Verdict::passed().require(given == "8950", what))
        })
}

fn symptom() -> Task {
    let text = "A ping from c1 to a pod of C0w3 gets `Destination Host Unreachable` from c1's own gateway, after three \
                seconds. Pods of C0w2 answer. Which entry of C0w1 do you suspect?";
    choose(
        "quiz-symptom",
        "Which entry is it",
        text,
        &[
            Wrong("The route to C0w3's subnet", "without a route the answer is `Destination Net Unreachable`, at once"),
            Right("The neighbour entry of C0w3's flannel.100"),
            Wrong("The FDB entry of C0w3's flannel.100", "without it nobody says anything: the packet is dropped"),
            Wrong("c1's default route", "then pods of C0w2 could not be reached either"),
        ],
    )
}

fn time_to_live() -> Task {
    let text = "c2's replies arrive at c1 with `ttl=62`. They began with 64. Who took the two away?";
    choose(
        "quiz-ttl",
        "Two less",
        text,
        &[
            Wrong("The switches C0s0 and t0", "a switch moves frames and changes nothing in them"),
            Wrong("The two ends of the cable", "a veth pair is no router: what goes in comes out"),
            Right("C0w2 and C0w1: each routes the packet between cni0 and flannel.100"),
            Wrong("VXLAN, once at each end", "the outer packet has a ttl of its own; the inner one is left as it is"),
        ],
    )
}

fn etcd_down() -> Task {
    let text = "Both etcd nodes of C0 stop. What happens to pings between the pods that are there?";
    choose(
        "quiz-etcd",
        "Without etcd",
        text,
        &[
            Right("Nothing: the entries are in the kernels, and packets don't ask etcd"),
            Wrong("They stop at once", "no packet ever goes to etcd: it was read when the entries were written"),
            Wrong("Only pods of one worker reach each other", "the tunnel needs only what is in C0w1 and C0w2 already"),
            Wrong("They go on without the tunnel", "nothing takes the routes away, and they lead into the tunnel"),
        ],
    )
}
