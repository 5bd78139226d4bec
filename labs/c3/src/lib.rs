//! Chapter 3: services. A module for each section with tasks; the text is in `text/`.

use knetsim_sdk::{Chapter, Lab, NewCapture, NewContainer, Outline, Result, ServiceOptions};

mod address;
mod backends;
mod nftables;
mod own;
mod pods;
mod ports;
mod quiz;
mod rules;

struct C3;

knetsim_sdk::chapter!(C3);

/// Over c2 and c3, whatever becomes of them.
pub(crate) const FIXED: &str = "100.64.10.1";
/// Over the containers labelled `app=web`.
pub(crate) const CHOSEN: &str = "100.64.10.2";
/// Over the same, at one port of TCP, where they serve by HTTP.
pub(crate) const PORTS: &str = "100.64.10.3";
/// The capture of what C0w1 sends to other workers and gets from them.
pub(crate) const WIRE: &str = "wire";
/// The capture of what c1 itself sends and gets.
pub(crate) const INSIDE: &str = "inside";
/// The capture of what c1 asks [`PORTS`], as it asks.
pub(crate) const ASKED: &str = "asked";
/// The capture of what c1 asks, as it comes to the containers.
pub(crate) const SERVED: &str = "served";

impl Chapter for C3 {
    fn outline() -> Outline {
        Outline::new("Services", 75)
            .prerequisite("c2")
            .section(pods::section())
            .section(nftables::section())
            .section(address::section())
            .section(rules::section())
            .section(ports::section())
            .section(backends::section())
            .section(own::section())
            .section(quiz::section())
    }

    fn setup(lab: &Lab) -> Result<()> {
        course_scene::set_up(lab)?;
        lab.create_scratch("box")?;
        lab.create_container("C0w3.shop")?;
        for name in ["C0w2.web1", "C0w3.web2"] {
            let says = &name["C0w2.".len()..];
            lab.create_container(NewContainer::new(name).label("app", "web").command(["knetsim", "serve", says]))?;
        }
        pods::remember(lab)?;
        backends::remember(lab)?;
        let by_label = || ServiceOptions::new().select("app", "web");
        lab.create_service("C0.slides", ServiceOptions::new().vip(FIXED).endpoint("c2").endpoint("c3"))?;
        lab.create_service("C0.chosen", by_label().vip(CHOSEN))?;
        lab.create_service("C0.web", by_label().vip(PORTS).port(80, 8000))?;
        for (interface, name) in [("C0w1:eth0", WIRE), ("C0w1.c1:eth0", INSIDE)] {
            lab.capture(NewCapture::new(interface).protocol("icmp"))?.keep(name)?;
        }
        let asked = NewCapture::new("C0w1.c1:eth0").protocol("tcp").host(PORTS);
        lab.capture(asked.room(500, 192))?.keep(ASKED)?;
        let served = NewCapture::new("C0w1:eth0").vni(100).protocol("tcp").host(pod("C0w1.c1")?);
        lab.capture(served.room(500, 192))?.keep(SERVED)?;
        Ok(())
    }
}

/// The address of a container's `eth0`.
pub(crate) fn pod(container: &str) -> Result<String> {
    let address = course_scene::address(container, "eth0")?;
    let none = || knetsim_sdk::Error::new(format!("eth0 of {container} has no address"));
    Ok(address.ok_or_else(none)?.0.to_string())
}

/// What was remembered in the set-up under that name.
pub(crate) fn recall(lab: &Lab, name: &str) -> Result<String> {
    lab.recall(name)?.ok_or_else(|| knetsim_sdk::Error::new(format!("{name} was not remembered: reset the chapter")))
}
