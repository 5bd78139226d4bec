//! Chapter 4: ingress. A module for each section with tasks; the text is in `text/`.

use std::hash::{BuildHasher, RandomState};

use knetsim_sdk::{Chapter, Lab, NewCapture, NewContainer, Outline, Result, ServiceOptions};

mod breaks;
mod inside;
mod outside;
mod paths;
mod quiz;
mod rules;

struct C4;

knetsim_sdk::chapter!(C4);

/// Where the ingress is asked: that port of C0w1.
pub(crate) const PORT: u16 = 8001;
/// The capture of what c1 sends to pods on other workers and gets from them, in the tunnel.
pub(crate) const TUNNEL: &str = "tunnel";
/// The capture of what others ask C0w1 at the ingress's port, and what they are answered.
pub(crate) const FRONT: &str = "front";
/// Pods, whose they are, and what they answer; the last one's answer is another each time.
const PODS: [(&str, &str, &str); 4] = [
    ("C0w2.ic0", "one", "S1-W2"),
    ("C0w3.ic1", "one", "S1-W3"),
    ("C0w2.ic2", "two", "S2-W2"),
    ("C0w3.ic3", "two", "S2-W3"),
];

impl Chapter for C4 {
    fn outline() -> Outline {
        Outline::new("Ingress", 60)
            .prerequisite("c3")
            .section(inside::section())
            .section(rules::section())
            .section(outside::section())
            .section(paths::section())
            .section(breaks::section())
            .section(quiz::section())
    }

    fn setup(lab: &Lab) -> Result<()> {
        course_scene::set_up(lab)?;
        let said = format!("S3-{:06x}", RandomState::new().hash_one(0) & 0xff_ffff);
        lab.remember("said", &said)?;
        for (name, app, says) in PODS.into_iter().chain([("C0w3.ic4", "three", said.as_str())]) {
            lab.create_container(pod(name, app, says))?;
        }
        for (name, vip) in [("one", "100.64.11.1"), ("two", "100.64.11.2"), ("three", "100.64.11.3")] {
            lab.create_service(
                format!("C0.{name}"),
                ServiceOptions::new().vip(vip).port(8000, 8000).select("app", name),
            )?;
        }
        // Of c1 alone: what a check asks by way of nginx is not to be seen, or each check would bring about the next.
        let of_c1 = NewCapture::new("C0w1:eth0").vni(100).protocol("tcp").port(8000).host(address_of("C0w1.c1")?);
        lab.capture(of_c1.room(500, 192))?.keep(TUNNEL)?;
        lab.capture(NewCapture::new("C0w1:eth0").protocol("tcp").port(PORT).room(500, 512))?.keep(FRONT)?;
        Ok(())
    }
}

/// A container with a web server that says its name.
pub(crate) fn pod(name: &str, app: &str, says: &str) -> NewContainer {
    NewContainer::new(name).label("app", app).command(["knetsim", "serve", says])
}

/// The address of a container's `eth0`.
pub(crate) fn address_of(container: &str) -> Result<String> {
    let address = course_scene::address(container, "eth0")?;
    let none = || knetsim_sdk::Error::new(format!("eth0 of {container} has no address"));
    Ok(address.ok_or_else(none)?.0.to_string())
}
