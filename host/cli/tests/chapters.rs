//! Chapters made, built and tested by the program.

#![allow(clippy::unwrap_used, reason = "these are parts of tests")]

mod common;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Home, Ran};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn lab_test(home: &Home, arguments: &[&str]) -> Ran {
    let mut command: Command = home.command(&["lab", "test"]);
    let ran = Ran::from(command.args(arguments).current_dir(root()).output().unwrap());
    assert_eq!(home.must(&["ls", "-o", "name"]), "", "a sandbox is left");
    ran
}

/// What did not hold: the task, the step, its outcome and why.
fn not_held(report: &str) -> Vec<String> {
    let report: Value = serde_json::from_str(report).unwrap();
    let tasks = report["tasks"].as_array().unwrap().iter();
    let steps = tasks.flat_map(|task| task["steps"].as_array().unwrap().iter().map(move |step| (task, step)));
    let other = steps.filter(|(_, step)| step["outcome"] != "held");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    other
        .map(|(task, step)| {
            let [name, what] = [&task["name"], &step["what"]].map(text);
            format!("{name}: {what}: {}: {}", text(&step["outcome"]), text(&step["why"]))
        })
        .collect()
}

#[test]
fn a_good_chapter_holds() {
    let home = Home::new();
    let junit = home.0.path().join("junit.xml");
    let ran = lab_test(&home, &["tests/lesson", "-o", "json", "--junit", junit.to_str().unwrap()]);
    assert_eq!((ran.status, not_held(&ran.out)), (0, vec![]), "{}", ran.err);
    let junit = std::fs::read_to_string(junit).unwrap();
    // The last one gives its commands in a terminal outside.
    for step in ["near-miss stays red", "second turns it green", "solution turns it green"] {
        assert!(junit.contains(&format!("<testcase name=\"{step}\"")), "{step}: {junit}");
    }
    assert!(junit.contains("failures=\"0\""), "{junit}");
}

#[test]
fn a_bad_chapter_does_not() {
    let home = Home::new();
    let tasks = ["tests/hostile", "-o", "json", "--task", "always-green", "--task", "wrong-scripts"];
    let ran = lab_test(&home, &tasks);
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert_eq!(
        not_held(&ran.out),
        [
            "always-green: the check fails before: failed: the check passes",
            "always-green: near-miss stays red: failed: there is no tasks/always-green/near-miss.sh",
            "always-green: a reset turns it red: failed: the check passes",
            "always-green: second turns it green: left-out: it is green anyhow",
            "wrong-scripts: near-miss stays red: failed: the check passes",
            "wrong-scripts: second turns it green: failed: it ended with status 3; it wrote: some words",
        ]
    );
    let table = lab_test(&home, &["tests/hostile", "--task", "wrong-scripts"]);
    assert!(table.out.contains("✗ wrong-scripts") && table.out.contains("0 of 1 good"), "{}", table.out);
}

#[test]
fn when_it_is_ended_all_its_sandboxes_are() {
    let home = Home::new();
    let built = Ran::from(home.command(&["lab", "build", "tests/lesson"]).current_dir(root()).output().unwrap());
    let mut command = home.command(&["lab", "test", "--jobs", "2", built.out.trim()]);
    command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null());
    let mut test = command.spawn().unwrap();
    let sandboxes = || home.must(&["ls", "-o", "name"]).lines().count();
    common::eventually("two tasks are tried", || sandboxes() == 2);
    // As a terminal does: to all that run there.
    knetsim_testing::run(&["kill", "-s", "INT", "--", &format!("-{}", test.id())]);
    assert_eq!(common::ended(&mut test), Some(130));
    assert_eq!((sandboxes(), std::fs::read_dir(home.state()).unwrap().count()), (0, 0));
}

#[test]
fn what_is_not_there_is_named() {
    let home = Home::new();
    let unknown = lab_test(&home, &["tests/lesson", "--task", "other"]);
    assert_eq!(unknown.status, 3);
    assert!(unknown.err.contains("no task `other`"), "{}", unknown.err);
    assert_eq!(lab_test(&home, &["no-such-chapter"]).status, 3);
}

#[test]
fn a_new_chapter_holds() {
    let home = Home::new();
    let folder = home.0.path().join("mine");
    home.must(&["lab", "new", "--chapter", folder.to_str().unwrap()]);
    // What the checkout's own labs are built of is not built again.
    std::fs::copy(root().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let mut command = home.command(&["lab", "test", "-o", "json"]);
    let ran = Ran::from(command.arg(&folder).env("CARGO_TARGET_DIR", root().join("target")).output().unwrap());
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(not_held(&ran.out).is_empty(), "{}", ran.out);
}

/// The course: every check fails before its solution and after a near miss, passes after both solutions, and every
/// command in the text ends as the text says.
fn course(chapter: &str) {
    let home = Home::new();
    // Some chapters are tried beside each other.
    let ran = lab_test(&home, &[chapter, "-o", "json", "--jobs", "2"]);
    assert_eq!((ran.status, not_held(&ran.out)), (0, vec![]), "{}", ran.err);
}

#[test]
fn workers_and_containers() {
    course("labs/c1");
}

#[test]
fn container_to_container() {
    course("labs/c2");
}

#[test]
fn services() {
    course("labs/c3");
}

#[test]
fn ingress() {
    course("labs/c4");
}

#[test]
fn linked_clusters() {
    course("labs/c5");
}
