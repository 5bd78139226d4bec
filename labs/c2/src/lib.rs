//! Chapter 2: container to container. A module for each section with tasks; the text is in `text/`.

use knetsim_sdk::{Chapter, Lab, NewCapture, Outline, Result};

mod addresses;
mod by_hand;
mod configuration;
mod leases;
mod quiz;
mod same_worker;
mod tables;
mod tunnel;

struct C2;

knetsim_sdk::chapter!(C2);

impl Chapter for C2 {
    fn outline() -> Outline {
        Outline::new("Container to container", 75)
            .prerequisite("c1")
            .section(addresses::section())
            .section(same_worker::section())
            .section(by_hand::section())
            .section(leases::section())
            .section(tunnel::section())
            .section(tables::section())
            .section(configuration::section())
            .section(quiz::section())
    }

    fn setup(lab: &Lab) -> Result<()> {
        course_scene::set_up(lab)?;
        for (interface, name) in [(same_worker::WATCHED, "inside"), (tunnel::WATCHED, "wire")] {
            lab.capture(NewCapture::new(interface).protocol("icmp"))?.keep(name)?;
        }
        Ok(())
    }
}
