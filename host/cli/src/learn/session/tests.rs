//! A learner's way through the chapter of [`sample`].

use super::*;
use crate::learn::sample;

#[test]
fn what_is_done_turns_green_and_the_next_is_chosen() {
    let mut session = sample::session();
    assert_eq!(session.due(Scope::Section), ["make", "address"]);
    assert_eq!(session.task().map(|task| task.name.as_str()), Some("make"));
    session.judge("make", Verdict::Missing(vec!["box has no namespace `blue`".to_owned()]));
    assert_eq!(session.missing("make"), ["box has no namespace `blue`"]);
    assert!(session.judge("make", Verdict::Passed));
    assert!(!session.judge("make", Verdict::Passed), "it was solved before");
    assert_eq!((session.missing("make").len(), session.count()), (0, (1, 4)));
    assert_eq!(session.task().map(|task| task.name.as_str()), Some("address"));
    assert_eq!(session.due(Scope::Section), ["address"]);
    assert_eq!(session.due(Scope::Chapter), ["address", "delete"], "questions wait for an answer");
}

#[test]
fn a_task_waits_for_those_before_it_unless_they_are_skipped() {
    let mut session = sample::session();
    let delete = session.outline.task("delete").unwrap().clone();
    assert_eq!(session.standing(&delete), Standing::Waits(vec!["Make a namespace".to_owned()]));
    session.skip();
    assert_eq!(session.standing(&delete), Standing::Open);
    session.go_to("make");
    assert_eq!(session.due(Scope::Chapter), ["make", "address", "delete"], "asked for, skipped tasks count");
    session.skip();
    assert_eq!(session.standing(&delete), Standing::Waits(vec!["Make a namespace".to_owned()]));
}

#[test]
fn a_solution_that_was_asked_for_is_shown_as_an_answer_or_as_commands() {
    let files = |name: &str, text: &str| BTreeMap::from([(name.to_owned(), text.to_owned())]);
    let trials = [
        ("make".to_owned(), files("second.sh", "# on: box\n\u{1b}[2J\u{202e}ip netns add blue\n")),
        ("address".to_owned(), files("near-miss.sh", "true")),
    ];
    let mut session = sample::session().with_ways(&trials.into());
    assert_eq!(session.solution("make"), None, "nobody has asked");
    session.reveal("make", None);
    session.reveal("address", None);
    session.reveal("devices", Some("1".to_owned()));
    let commands = "# on: box\n[2Jip netns add blue".to_owned();
    assert_eq!(session.solution("make"), Some(&Solution::Way(commands)));
    assert_eq!(session.solution("address"), None, "the author gave no other way");
    assert_eq!(session.solution("devices"), Some(&Solution::Answer(vec!["1. 1".to_owned()])));
}

#[test]
fn hints_come_one_at_a_time() {
    let mut session = sample::session();
    let shown = |session: &Session| session.task().map(|task| session.hints(task).len());
    assert_eq!(shown(&session), Some(0));
    assert!(session.hint() && session.hint() && !session.hint());
    assert_eq!(shown(&session), Some(2));
}

#[test]
fn sections_end_at_both_ends() {
    let mut session = sample::session();
    assert!(!session.back());
    assert!(session.next() && !session.next() && session.back());
    assert_eq!(session.progress.section, 0);
    session.go(99);
    assert_eq!(session.progress.section, 1);
}

#[test]
fn progress_of_another_version_does_no_harm() {
    let mut progress = Progress { section: 7, ..Progress::default() };
    progress.tasks.insert("gone".to_owned(), Outcome::Solved);
    progress.tasks.insert("make".to_owned(), Outcome::Solved);
    progress.hints.insert("make".to_owned(), 9);
    let session = Session::new("sample", sample::outline(), progress);
    assert_eq!((session.progress.section, session.count()), (1, (1, 4)));
    assert_eq!(session.hints(session.outline.task("make").unwrap()).len(), 2);
    assert!(session.progress.tasks.contains_key("gone"), "an older version may have it yet");
}

fn names(tasks: &[Task]) -> Vec<&str> {
    tasks.iter().map(|task| task.name.as_str()).collect()
}

#[test]
fn a_fresh_sandbox_lacks_what_solved_tasks_made() {
    let mut session = sample::session();
    assert!(session.to_make_again().is_empty());
    session.judge("address", Verdict::Passed);
    session.judge("devices", Verdict::Passed);
    session.skip();
    assert_eq!(names(&session.to_make_again()), ["address"], "a question left nothing, nothing builds on `make`");
    session.judge("delete", Verdict::Passed);
    assert_eq!(names(&session.to_make_again()), ["make", "address", "delete"], "it was skipped and is needed");
}

#[test]
fn tasks_are_done_again_after_those_they_come_after() {
    let mut session = sample::session();
    session.outline.sections.reverse();
    for task in ["delete", "make"] {
        session.judge(task, Verdict::Passed);
    }
    assert_eq!(names(&session.to_make_again()), ["make", "delete"]);
}

#[test]
fn what_could_not_be_made_again_is_open() {
    let mut session = sample::session();
    session.judge("make", Verdict::Passed);
    session.judge("devices", Verdict::Passed);
    session.lose("make", "there is no box");
    session.lose("address", "it was never solved");
    assert_eq!((session.count(), session.due(Scope::Section)), ((1, 4), vec!["make".to_owned(), "address".to_owned()]));
    assert!(session.missing("make")[0].ends_with("there is no box") && session.missing("address").is_empty());
    assert_eq!(session.progress.tasks["make"], Outcome::Solved, "another sandbox may have it");
    let delete = session.outline.task("delete").unwrap().clone();
    assert_eq!(session.standing(&delete), Standing::Waits(vec!["Make a namespace".to_owned()]));
    assert!(session.judge("make", Verdict::Passed), "it is newly solved here");
    assert_eq!((session.count(), session.lost().count()), ((2, 4), 0));
}
