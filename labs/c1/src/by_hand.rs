//! Section 4: a network namespace made, used and deleted by hand.

use course_scene::{device, has_been, look};
use knetsim_sdk::{AnswerKind, Command, Lab, Place, Result, Section, Task, Verdict};

pub(crate) fn section() -> Section {
    Section::new("A network namespace by hand", include_str!("../text/4-by-hand.md"))
        .task(make())
        .task(loopback())
        .task(counters())
        .task(delete())
}

fn make() -> Task {
    Task::new("make-ns", "Make a network namespace", "Make a network namespace called `myns` on `box`.")
        .hint("The commands above did it with another name. They ran on `box`: open a shell there.")
        .hint("`ip netns add myns`")
        // It counts too when it was there and is deleted already.
        .check(|lab| match is_there()? || has_been("box", "namespace", "new", "myns")? {
            true => Ok(Verdict::passed()),
            false => Ok(Verdict::missing(what_is_there_instead(lab)?)),
        })
        .solve(|lab| on_box(lab, ["ip", "netns", "add", "myns"]))
}

fn what_is_there_instead(lab: &Lab) -> Result<String> {
    for node in lab.nodes()? {
        if look(&node.name)?.namespaces()?.iter().any(|namespace| namespace.name == "myns") {
            return Ok(format!("`myns` is on {}: make it on box", node.name));
        }
    }
    let names: Vec<_> = look("box")?.namespaces()?.into_iter().map(|namespace| namespace.name).collect();
    Ok(match names.as_slice() {
        [] => "box has no network namespace with a name".to_owned(),
        names => format!("box has no network namespace `myns`, only {}", names.join(", ")),
    })
}

fn loopback() -> Task {
    let text = "Bring up `lo` in `myns`, and have `myns` ping itself, by 127.0.0.1 or ::1, *inside* `myns`.";
    Task::new("lo-up", "Let it talk to itself", text)
        .after("make-ns")
        .hint("`ip link set lo up` brings up a loopback. It has to run inside `myns`.")
        .hint("`ip netns exec myns ip link set lo up`, and then the ping the same way.")
        .hint("`ip netns exec myns ping -c 3 127.0.0.1`")
        .check(|_| {
            if !is_there()? {
                return Ok(Verdict::missing("there is no `myns` on box any more: make it again"));
            }
            let lo = device("box/myns", "lo")?;
            if !lo.up {
                return Ok(Verdict::missing("lo in `myns` is down"));
            }
            let mut what = "lo in `myns` is up, and no packet has passed it".to_owned();
            let outside = device("box", "lo")?.counters.rx_packets;
            if outside > 0 {
                what += &format!("; lo of box itself has received {outside}: that ping was not sent inside `myns`");
            }
            Ok(Verdict::passed().require(lo.counters.rx_packets > 0, what))
        })
        .solve(|lab| {
            on_box(lab, ["ip", "netns", "exec", "myns", "ip", "link", "set", "lo", "up"])?;
            on_box(lab, ["ip", "netns", "exec", "myns", "ping", "-c", "3", "-i", "0.1", "127.0.0.1"])
        })
}

fn counters() -> Task {
    let text = "Now ping 127.0.0.1 on `box` itself, another number of times than in `myns`. Compare what `ifconfig lo` \
                counts in both places. How many packets has `lo` *of `myns`* received (`RX packets`)?";
    Task::question("counters", "Two loopbacks, two counters", text, AnswerKind::Number)
        .after("lo-up")
        .hint("The same command twice: `ifconfig lo` on box, `ip netns exec myns ifconfig lo` for the other.")
        .hint("A ping to oneself counts twice: the request comes in by `lo`, and so does the reply.")
        .answer(|_| Ok(device("box/myns", "lo")?.counters.rx_packets))
        .accept(|_, given| {
            let (inside, outside) = (device("box/myns", "lo")?.counters, device("box", "lo")?.counters);
            let is = |number: u64| number.to_string() == given;
            Ok(if is(inside.rx_packets) && inside.rx_packets == outside.rx_packets {
                Verdict::missing("both have received as many, so this could be either: ping on box once more")
            } else if is(inside.rx_packets) {
                Verdict::passed()
            } else if is(outside.rx_packets) {
                Verdict::missing(format!("{given} is what lo of box itself has received: `myns` has a lo of its own"))
            } else if is(inside.rx_bytes) {
                Verdict::missing(format!("{given} are bytes; the packets stand before them"))
            } else {
                Verdict::missing(format!("lo of `myns` doesn't count {given}. Each ping adds to it: look again"))
            })
        })
}

fn delete() -> Task {
    Task::new("delete-ns", "Delete it", "Delete `myns`.")
        .after("lo-up")
        .hint("`ip netns help` lists what can be done with network namespaces that have a name.")
        .hint("`ip netns del myns`")
        // In the end box looks as it did in the beginning: what the kernel announced tells the difference.
        .check(|_| {
            Ok(Verdict::passed()
                .require(!is_there()?, "`myns` is still there")
                .require(has_been("box", "namespace", "new", "myns")?, "box has had no `myns` yet that could go"))
        })
        .solve(|lab| on_box(lab, ["ip", "netns", "del", "myns"]))
}

fn is_there() -> Result<bool> {
    Ok(look("box")?.namespaces()?.iter().any(|namespace| namespace.name == "myns"))
}

fn on_box<const N: usize>(lab: &Lab, argv: [&str; N]) -> Result<()> {
    lab.place("box").run(Command::new(argv).with_namespaces())?.text()?;
    Ok(())
}
