//! Section 5: connections by TCP to a service with a port, and how they are spread.

use course_scene::exchanges;
use knetsim_sdk::{AnswerKind, Error, Lab, Place, Result, Section, Task, Verdict};

use crate::{ASKED, PORTS, SERVED, recall};

/// So many connections are counted.
const TEN: usize = 10;

pub(crate) fn section() -> Section {
    Section::new("A service with a port", include_str!("../text/5-ports.md")).task(ask()).task(tally())
}

fn ask() -> Task {
    let text = "From `C0w1.c1`, ask 100.64.10.3 by HTTP over ten connections, one after the other, and count whose answers \
                you get.";
    Task::new("ten", "Ten connections", text)
        .hint("Each run of `curl` makes a connection of its own. In a shell of C0w1.c1: `curl -s 100.64.10.3`")
        .hint("`for i in 1 2 3 4 5 6 7 8 9 10; do curl -s 100.64.10.3; done | sort | uniq -c`")
        .check(|lab| {
            let made = connections(lab)?.len();
            let what = format!("web1 and web2 have answered c1 over {made} connections so far, of {TEN}");
            Ok(Verdict::passed().require(made >= TEN, what))
        })
        .solve(|lab| (0..TEN).try_for_each(|_| lab.place("C0w1.c1").http_get(PORTS, 80, "/").map(drop)))
}

fn tally() -> Task {
    let text = "Of the last ten connections from c1 to 100.64.10.3, how many has `web1` answered?";
    Task::question("tally", "Heads or tails", text, AnswerKind::Number)
        .after("ten")
        .hint("Make ten more, and count: `sort | uniq -c` behind the loop says how often each line came.")
        .answer(by_web1)
        .accept(|lab, given| {
            let right = by_web1(lab)?;
            let what = if given.parse() == Ok(TEN - right) {
                "so many were answered by web2".to_owned()
            } else {
                format!("web1 has not answered {given} of them: make ten more, and count again")
            };
            Ok(Verdict::passed().require(given.parse() == Ok(right), what))
        })
}

/// How many of the last ten connections web1 has answered.
fn by_web1(lab: &Lab) -> Result<usize> {
    let web1 = recall(lab, "web1")?;
    let made = connections(lab)?;
    let last = made.len().checked_sub(TEN).and_then(|begin| made.get(begin..));
    let few = || Error::new(format!("c1 has made {} connections only: make ten", made.len()));
    Ok(last.ok_or_else(few)?.iter().filter(|server| **server == web1).count())
}

/// Who has answered c1, for each of its connections to the service in order. Requests over one connection count once.
fn connections(lab: &Lab) -> Result<Vec<String>> {
    let asked: Vec<_> = exchanges(lab, ASKED)?.into_iter().map(|it| it.client_port).collect();
    let mut made: Vec<(u16, String)> = Vec::new();
    for it in exchanges(lab, SERVED)?.into_iter().filter(|it| asked.contains(&it.client_port)) {
        if made.iter().all(|(port, _)| *port != it.client_port) {
            made.push((it.client_port, it.server));
        }
    }
    Ok(made.into_iter().map(|(_, server)| server).collect())
}
