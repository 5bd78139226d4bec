//! Section 2: the cable of a container, a second container beside it, and a ping that never leaves the worker.

use course_scene::{device, is_container, look, take_away};
use knetsim_sdk::{AnswerKind, Error, Place, Result, Section, Task, Verdict};

use crate::addresses::pod;

/// Pings of c1 are seen here, as c1 sees them.
pub(crate) const WATCHED: &str = "C0w1.c1:eth0";

pub(crate) fn section() -> Section {
    Section::new("Two pods on one worker", include_str!("../text/2-same-worker.md"))
        .task(cable())
        .task(new_container())
        .task(same_node())
}

fn cable() -> Task {
    let text = "Which interface of `C0w1` is the other end of `c1`'s cable? Give its name.";
    Task::question("cable", "The other end", text, AnswerKind::Text)
        .hint("It is one of cni0's ports, on the worker, and its name is made up: `veth` and eight characters.")
        .hint("`ip -o link show master cni0` on C0w1: the line that ends with `link-netns c1`. The name goes up to the `@`.")
        .answer(|_| other_end())
        .accept(|_, given| {
            // `7: veth1234@if2: <BROADCAST,...` is how `ip` prints it.
            let number = |text: &str| text.chars().all(|c| c.is_ascii_digit());
            let name = given.split_once(": ").filter(|(before, _)| number(before)).map_or(given, |(_, name)| name);
            let name = name.split(['@', ':', ' ']).next().unwrap_or(name);
            if name == other_end()? {
                return Ok(Verdict::passed());
            }
            let link = look("C0w1")?.link(name)?;
            Ok(Verdict::missing(match link.as_ref().map(|link| link.kind.as_str()) {
                None => format!("C0w1 has no interface {name}"),
                Some("bridge") => format!("{name} is the bridge; the cable's end is one of its ports"),
                Some("veth") if name == "eth0" => "eth0 of C0w1 is the cable to the switch between the workers".to_owned(),
                Some("veth") => format!("{name} is the cable of another container"),
                Some(_) => format!("{name} isn't the end of a cable"),
            }))
        })
}

fn other_end() -> Result<String> {
    let inside = device("C0w1.c1", "eth0")?;
    let links = look("C0w1")?.links()?;
    let port = links.into_iter().find(|link| {
        link.master.is_some() && Some(link.index) == inside.link_index && link.link_index == Some(inside.index)
    });
    let none = || Error::new("no port of C0w1 is the other end of c1's eth0: was it unplugged?");
    Ok(port.ok_or_else(none)?.name)
}

fn new_container() -> Task {
    let text = "Make a container `c4` on `C0w1`, and see which address it gets.";
    Task::new("new-container", "A second container", text)
        .hint("In a second terminal: `knetsim create container C0w1.c4`.")
        .hint(
            "By hand, on C0w1: `ip netns add c4`, then \
             `CNI_PATH=/opt/cni/bin NETCONFPATH=/tmp/knetsim/C0w1 cnitool add C0w1 /var/run/netns/c4`",
        )
        .check(|_| is_container("C0w1", "c4"))
        .solve(|lab| {
            take_away(lab, "C0w1", "c4")?;
            lab.create_container("C0w1.c4").map(drop)
        })
}

fn same_node() -> Task {
    Task::new("same-node", "From pod to pod on one worker", "Ping `c4` from `C0w1.c1`.")
        .after("new-container")
        .hint("First find c4's address: on C0w1, `ip netns exec c4 hostname -I`.")
        .hint("The ping has to come from c1: a shell of `C0w1.c1`, or `ip netns exec c1 ping …` on C0w1.")
        .check(|lab| {
            let (c1, c4) = (pod("C0w1.c1")?, pod("C0w1/c4")?);
            let seen = lab.kept_capture("inside")?.packets()?;
            if seen.iter().any(|packet| packet.is_pong(&c4, &c1)) {
                return Ok(Verdict::passed());
            }
            let asked = seen.iter().any(|packet| packet.is_ping(&c1, &c4));
            Ok(Verdict::missing(match asked {
                true => format!("c1 has asked {c4}, and no reply came back"),
                false => format!("c1 has sent no echo request to {c4}"),
            }))
        })
        .solve(|lab| lab.place("C0w1.c1").ping(pod("C0w1/c4")?).map(drop))
}
