//! Section 2: two routers, and the link that makes them neighbours.

use std::time::{Duration, Instant};

use knetsim_sdk::{AnswerKind, Error, Lab, Result, Section, Task, Verdict};

use course_scene::{address, look};

use crate::ROUTERS;

pub(crate) fn section() -> Section {
    Section::new("Two routers, one link", include_str!("../text/2-routers.md")).task(link()).task(port())
}

fn link() -> Task {
    let text = "Link the two sites: C1 redeems a token of C0, so that its router connects to that of C0.";
    Task::new("link", "Link the clusters", text)
        .hint("`knetsim create token --help` and `knetsim create link --help`, in a second terminal.")
        .hint(
            "`knetsim create token C0.t1 > /tmp/t1`, and then `knetsim create link C1.c0 --token /tmp/t1`. \
             `knetsim inspect links` says how it stands.",
        )
        .check(linked)
        .solve(|lab| {
            if linked(lab)? == Verdict::passed() {
                return Ok(());
            }
            // What was tried before, and does not work.
            for site in lab.sites()? {
                let cluster = lab.site(&site.cluster)?;
                for link in site.links {
                    cluster.unlink(link.name.rsplit('.').next().unwrap_or_default())?;
                }
            }
            for token in lab.sites()?.into_iter().flat_map(|site| site.tokens).filter(|it| it.name == "C0.course") {
                lab.site("C0")?.delete_token(token.name.trim_start_matches("C0."))?;
            }
            let token = lab.site("C0")?.issue_token("course", Duration::from_secs(60))?;
            lab.site("C1")?.link_by_token("c0", "C0", &token)?;
            until("the routers are no neighbours", || linked(lab))
        })
}

/// Whether the routers know each other.
pub(crate) fn linked(lab: &Lab) -> Result<Verdict> {
    let sites = lab.sites()?;
    let mut verdict = Verdict::passed();
    for (from, to) in [("C0", "C1"), ("C1", "C0")] {
        let Some(site) = sites.iter().find(|site| site.cluster == from) else {
            return Ok(Verdict::missing(format!("{from} has no site: reset the chapter")));
        };
        let reaches = site.reaches.iter().any(|other| other == to);
        let why = site.links.iter().find_map(|link| Some(format!(": link {}, {}", link.name, link.pending.as_ref()?)));
        let why = why.unwrap_or_default();
        verdict = verdict.require(reaches, format!("the router of {from} doesn't reach that of {to}{why}"));
    }
    Ok(verdict)
}

fn port() -> Task {
    let text = "One connection joins the two routers. From which port does it come?";
    Task::question("port", "The one connection", text, AnswerKind::Number)
        .after("link")
        .hint("`ss -tn` on C1w1 lists connections with both their ends.")
        .hint("`ss -tn dst :55671` on C1w1: the port of the first end is asked for.")
        .answer(|_| Ok(ports()?.first().copied().unwrap_or_default()))
        .accept(|_, given| {
            let what = match given.parse() {
                Ok(ROUTERS) => "that is the port that it leads to; each connection has two".to_owned(),
                _ => format!("no connection to port {ROUTERS} comes from port {given}"),
            };
            Ok(Verdict::passed().require(ports()?.iter().any(|port| port.to_string() == given), what))
        })
}

/// The ports from which one router has connected to the other one.
fn ports() -> Result<Vec<u16>> {
    let mut found = Vec::new();
    for (from, to) in [("C1w1", "C0w1"), ("C0w1", "C1w1")] {
        let Some((there, _)) = address(to, "eth0")? else { continue };
        let door = format!("{there}:{ROUTERS}");
        let sockets = look(from)?.sockets()?.into_iter().filter(|it| it.state == "established" && it.remote == door);
        found.extend(sockets.filter_map(|it| it.local.rsplit(':').next()?.parse::<u16>().ok()));
    }
    Ok(found)
}

/// Waits for what routers tell each other.
pub(crate) fn until(otherwise: &str, what: impl Fn() -> Result<Verdict>) -> Result<()> {
    let begin = Instant::now();
    while what()? != Verdict::passed() {
        if begin.elapsed() > Duration::from_secs(20) {
            return Err(Error::new(otherwise));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
