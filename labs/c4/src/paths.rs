//! Section 4: one more path, and who is behind it.

use knetsim_sdk::{AnswerKind, Error, Lab, Result, Section, Task, Verdict};

use crate::PORT;
use crate::rules::{answers, both_paths, open};

pub(crate) fn section() -> Section {
    Section::new("One more path", include_str!("../text/4-paths.md")).task(add()).task(says())
}

fn add() -> Task {
    let text = "Add the path `/svc3` to the ingress, for service three at port 8000. The other two stay.";
    Task::new("add-path", "Add a path", text)
        .after("ingress")
        .probes()
        .hint("The whole ingress is written again, with `--replace`: all three paths.")
        .hint(
            "`knetsim create ingress C0.grp1 --replace --worker C0w1 --port 8001 --path /svc1=one:8000 \
             --path /svc2=two:8000 --path /svc3=three:8000`",
        )
        .check(|lab| Ok(both_paths(lab)?.and(answers(lab, "/svc3", "S3-")?)))
        .solve(|lab| open(lab, &[("/svc3", "three:8000")]))
}

fn says() -> Task {
    let text = "What does the pod behind `/svc3` say?";
    Task::question("says", "Who is behind it", text, AnswerKind::Text)
        .after("add-path")
        .hint("`curl -s localhost:8001/svc3` on C0w1.")
        .answer(said)
        .accept(|lab, given| {
            let what = format!("`{given}` is not what is answered at port {PORT} for /svc3");
            Ok(Verdict::passed().require(given == said(lab)?, what))
        })
}

fn said(lab: &Lab) -> Result<String> {
    lab.recall("said")?.ok_or_else(|| Error::new("what it says was not remembered: reset the chapter"))
}
