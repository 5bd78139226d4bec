//! Chapter 5: clusters that are linked. A module for each section with tasks; the text is in `text/`.

use std::hash::{BuildHasher, RandomState};

use knetsim_sdk::{Chapter, Error, Lab, NewContainer, Outline, Result, Section, ServiceOptions};

mod cables;
mod crossing;
mod linking;
mod quiz;

struct C5;

knetsim_sdk::chapter!(C5);

/// Where routers connect to each other.
pub(crate) const ROUTERS: u16 = 55671;
/// Where clients of a service of the other cluster connect to: that port of worker 1.
pub(crate) const PORT: u16 = 1028;
/// The services that cross.
pub(crate) const BACKEND: Shared =
    Shared { name: "backend", container: "C0w2.c4", key: "backend:8080", of: "C0", to: "C1" };
pub(crate) const REPORTS: Shared =
    Shared { name: "reports", container: "C1w2.c5", key: "reports:8080", of: "C1", to: "C0" };

/// A service of one cluster that the other one is to have.
pub(crate) struct Shared {
    pub(crate) name: &'static str,
    pub(crate) container: &'static str,
    pub(crate) key: &'static str,
    /// Whose it is.
    pub(crate) of: &'static str,
    /// Who is to have it.
    pub(crate) to: &'static str,
}

impl Shared {
    /// What its server says: another thing each time.
    pub(crate) fn says(&self, lab: &Lab) -> Result<String> {
        let missing = || Error::new("what it says was not remembered: reset the chapter");
        lab.recall(self.name)?.ok_or_else(missing)
    }
}

impl Chapter for C5 {
    fn outline() -> Outline {
        Outline::new("Linked clusters", 75)
            .prerequisite("c4")
            .section(Section::new("Two clusters", include_str!("../text/1-two.md")))
            .section(linking::section())
            .section(crossing::there())
            .section(crossing::and_back())
            .section(cables::section())
            .section(Section::new("What it costs", include_str!("../text/6-cost.md")))
            .section(quiz::section())
    }

    fn setup(lab: &Lab) -> Result<()> {
        course_scene::set_up(lab)?;
        for (shared, vip) in [(BACKEND, "100.64.12.1"), (REPORTS, "100.64.12.2")] {
            let says = format!("{}-{:06x}", shared.name.to_uppercase(), RandomState::new().hash_one(0) & 0xff_ffff);
            lab.remember(shared.name, &says)?;
            let server = NewContainer::new(shared.container).label("app", shared.name);
            lab.create_container(server.command(["knetsim", "serve", says.as_str(), "-p", "8090"]))?;
            let options = ServiceOptions::new().vip(vip).port(8090, 8090).select("app", shared.name);
            lab.create_service(format!("{}.{}", shared.of, shared.name), options)?;
            lab.create_site(shared.of)?;
        }
        Ok(())
    }
}
