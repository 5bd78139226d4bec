//! Chapter 1: workers and containers. A module for each section that has tasks; the text is in `text/`.

use knetsim_sdk::{Chapter, Lab, NewCapture, Outline, Result, Section};

mod by_hand;
mod containers;
mod namespaces;
mod one_more;
mod quiz;
mod workers;

struct C1;

knetsim_sdk::chapter!(C1);

impl Chapter for C1 {
    fn outline() -> Outline {
        Outline::new("Workers and containers", 45)
            .prerequisite("typing commands into a shell and reading what they print")
            .section(Section::new("A cluster on one machine", include_str!("../text/1-cluster.md")))
            .section(workers::section())
            .section(namespaces::section())
            .section(by_hand::section())
            .section(containers::section())
            .section(one_more::section())
            .section(quiz::section())
    }

    fn setup(lab: &Lab) -> Result<()> {
        course_scene::set_up(lab)?;
        lab.create_scratch("box")?;
        containers::lose_one(lab)?;
        for worker in workers::WATCHED {
            lab.capture(NewCapture::new(format!("{worker}:eth0")).protocol("icmp"))?.keep(worker)?;
        }
        Ok(())
    }
}
