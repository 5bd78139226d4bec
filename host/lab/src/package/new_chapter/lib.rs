//! A chapter: its text is in `text/`, and each task says itself when it is done.

use knetsim_sdk::{AnswerKind, Chapter, Lab, Outline, Place, Result, Section, Task, Verdict};

struct New;
knetsim_sdk::chapter!(New);

impl Chapter for New {
    fn outline() -> Outline {
        Outline::new("A bridge by hand", 10).prerequisite("typing commands into a shell").section(
            Section::new("A bridge", include_str!("../text/bridge.md")).task(make_bridge()).task(its_address()),
        )
    }

    fn setup(lab: &Lab) -> Result<()> {
        lab.create_scratch("box")?;
        Ok(())
    }
}

fn make_bridge() -> Task {
    Task::new("make-bridge", "Make a bridge", "Make a bridge `br0` on `box`, and bring it up.")
        .hint("`ip link add` makes devices. A bridge is a `type` of them.")
        .hint("`ip link add br0 type bridge`, then `ip link set br0 up`")
        .check(|lab| {
            let Some(link) = lab.place("box").observe()?.link("br0")? else {
                return Ok(Verdict::missing("box has no interface `br0` yet"));
            };
            Ok(Verdict::passed()
                .require(link.kind == "bridge", format!("`br0` is of type {}, not a bridge", link.kind))
                .require(link.up, "`br0` is down"))
        })
        .solve(|lab| {
            let node = lab.place("box");
            node.run(["ip", "link", "add", "br0", "type", "bridge"])?.text()?;
            node.run(["ip", "link", "set", "br0", "up"])?.text()?;
            Ok(())
        })
}

fn its_address() -> Task {
    Task::question("mac", "Its hardware address", "Which hardware address has `br0`?", AnswerKind::Mac)
        .after("make-bridge")
        .hint("`ip link show br0` prints it after `link/ether`.")
        .answer(|lab| {
            let link = lab.place("box").observe()?.link("br0")?;
            Ok(link.map(|link| link.mac).unwrap_or_default())
        })
}
