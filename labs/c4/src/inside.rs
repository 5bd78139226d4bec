//! Section 1: two services with two pods each, asked from inside the cluster.

use course_scene::exchanges;
use knetsim_sdk::{Place, Section, Task, Verdict};

use crate::{TUNNEL, address_of};

pub(crate) fn section() -> Section {
    Section::new("Inside is not outside", include_str!("../text/1-inside.md")).task(both())
}

fn both() -> Task {
    let text = "From `C0w1.c1`, ask service one at 100.64.11.1:8000 until each of its two pods has answered.";
    Task::new("both", "Both pods answer", text)
        .hint("`curl` makes a connection each time, and each may come to another pod: `curl 100.64.11.1:8000`.")
        .hint("In a shell of `C0w1.c1`: `for i in 1 2 3 4 5 6 7 8; do curl -s 100.64.11.1:8000; done`")
        .check(|lab| {
            let c1 = address_of("C0w1.c1")?;
            let asked: Vec<_> = exchanges(lab, TUNNEL)?.into_iter().filter(|it| it.client == c1).collect();
            let mut verdict = Verdict::passed().require(!asked.is_empty(), "no pod has answered a request of c1 yet");
            for name in ["ic0", "ic1"] {
                let address = address_of(&format!("C0.{name}"))?;
                let answered = asked.iter().any(|it| it.server == address && it.status == 200);
                verdict = verdict.require(answered, format!("{name} has answered no request of c1 yet"));
            }
            Ok(verdict)
        })
        .solve(|lab| {
            // Each is led to either by chance: 40 times to one and the same happens once in 10^12.
            (0..40).try_for_each(|_| lab.place("C0w1.c1").http_get("100.64.11.1", 8000, "/").map(drop))
        })
}
