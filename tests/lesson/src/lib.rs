//! A chapter with one of everything.

use knetsim_sdk::{AnswerKind, Chapter, Command, Lab, Outline, Place, Result, Section, Task, Verdict};

struct Lesson;
knetsim_sdk::chapter!(Lesson);

impl Chapter for Lesson {
    fn outline() -> Outline {
        Outline::new("A namespace by hand", 10).prerequisite("How to type").section(
            Section::new("Namespaces", include_str!("../text/namespaces.md"))
                .task(make())
                .task(loopback())
                .task(inode()),
        )
    }

    fn setup(lab: &Lab) -> Result<()> {
        lab.create_scratch("box")?;
        Ok(())
    }
}

fn make() -> Task {
    Task::new("make", "Make a namespace", "Make a network namespace `mine` on `box`.")
        .hint("`ip netns` makes them.")
        .check(|lab| {
            let there = lab.place("box").observe()?.namespaces()?;
            Ok(Verdict::passed().require(there.iter().any(|n| n.name == "mine"), "box has no namespace `mine` yet"))
        })
        .solve(|lab| {
            let make = Command::new(["ip", "netns", "add", "mine"]).with_namespaces();
            lab.place("box").run(make)?.text()?;
            lab.remember("solved", "make")
        })
}

fn loopback() -> Task {
    Task::new("loopback", "Bring its loopback up", "Bring `lo` up in `mine`.")
        .after("make")
        .check(|lab| {
            let lo = lab.place("box/mine").observe()?.link("lo")?;
            Ok(Verdict::passed().require(lo.is_some_and(|lo| lo.up), "`lo` is down in `mine`"))
        })
        .solve(|lab| {
            lab.place("box/mine").run(Command::new(["ip", "link", "set", "lo", "up"]).with_namespaces())?.text()?;
            Ok(())
        })
}

fn inode() -> Task {
    Task::question("inode", "Its number", "Which inode has the namespace `mine`?", AnswerKind::Number)
        .after("make")
        .answer(|lab| {
            let there = lab.place("box").observe()?.namespaces()?;
            Ok(there.iter().find(|n| n.name == "mine").map(|n| n.inode).unwrap_or_default())
        })
}
