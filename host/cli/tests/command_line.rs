//! The program as a person or a script sees it, as far as no sandbox is needed: help, mistakes, exit statuses.

#![allow(clippy::unwrap_used, reason = "these are parts of tests")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The program, with a home of its own where no sandbox runs.
fn knetsim(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_knetsim"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", home).env("KNETSIM_STATE_DIR", home.join("state")).env("XDG_CACHE_HOME", home.join("cache"));
    command.stdin(Stdio::null());
    command
}

struct Ran {
    status: i32,
    out: String,
    err: String,
}

fn run(arguments: &[&str]) -> Ran {
    let home = tempfile::tempdir().unwrap();
    ran(knetsim(home.path()).args(arguments).output().unwrap())
}

fn ran(output: Output) -> Ran {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { status: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs with a file's path as the last argument.
fn with_file(arguments: &[&str], text: &str) -> Ran {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("lab.yaml");
    std::fs::write(&file, text).unwrap();
    ran(knetsim(home.path()).args(arguments).arg(file).output().unwrap())
}

const VERBS: [&str; 20] = [
    "up",
    "down",
    "ls",
    "inspect",
    "create",
    "delete",
    "link",
    "repair",
    "flannel",
    "exec",
    "shell",
    "console",
    "logs",
    "router",
    "run",
    "lab",
    "validate",
    "schema",
    "doctor",
    "completion",
];

#[test]
fn every_verb_has_help_with_examples() {
    for verb in VERBS {
        let help = run(&[verb, "--help"]);
        assert_eq!(help.status, 0, "{verb}");
        assert!(help.out.contains("Examples:\n"), "{verb}: {}", help.out);
    }
    let help = run(&["--help"]);
    assert!(help.out.contains("Exit statuses:\n"));
    assert!(VERBS.iter().all(|verb| help.out.contains(&format!("\n  {verb} "))), "{}", help.out);
}

#[test]
fn without_a_verb_it_prints_help_and_fails() {
    let help = run(&[]);
    assert_eq!(help.status, 2);
    assert!(help.err.contains("Usage: knetsim"), "{}", help.err);
}

#[test]
fn a_wrong_command_line_is_status_2_and_says_what_was_wrong() {
    for (arguments, words) in [
        (&["dance"][..], "unrecognized subcommand 'dance'"),
        (&["exec", "C0w1"], "<COMMAND>"),
        (&["exec", "C0 w1", "ls"], "is not a node's name"),
        (&["create", "worker", "C0w01"], "`C0w01` is not a node's name"),
        (&["create", "container", "c1"], "write `<worker>.<name>`"),
        (&["create", "container", "C0w1.c1", "--label", "app"], "write KEY=VALUE"),
        (&["link", "C0w1", "up"], "write `<node or container>:<interface>`"),
        (&["inspect", "-o", "xml"], "[possible values: table, wide, json, yaml, name, skupper]"),
        (&["up", "--mount", "nonsense"], "--mount"),
        (&["exec", "-d", "-t", "C0w1", "ls"], "cannot be used with"),
    ] {
        let ran = run(arguments);
        assert_eq!(ran.status, 2, "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains(words), "{arguments:?}: {}", ran.err);
        assert!(ran.out.is_empty(), "{arguments:?}: {}", ran.out);
    }
}

#[test]
fn without_a_sandbox_it_says_how_to_make_one() {
    for (arguments, status) in [
        (&["inspect"][..], 3),
        (&["down"], 3),
        (&["create", "worker", "C0w4"], 3),
        (&["logs", "C0e1"], 3),
        (&["exec", "C0w1", "ls"], 125),
        (&["shell", "C0w1"], 125),
    ] {
        let ran = run(arguments);
        assert_eq!(ran.status, status, "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains("knetsim up"), "{arguments:?}: {}", ran.err);
    }
    let named = run(&["inspect", "--name", "mine"]);
    assert_eq!(named.status, 3);
    assert!(named.err.contains("`mine`"), "{}", named.err);
    let list = run(&["ls"]);
    assert_eq!((list.status, list.out.as_str()), (0, "NAME   CLUSTERS   NODES   CONTAINERS\n"));
    assert_eq!(run(&["ls", "-o", "json"]).out, "[]\n");
}

#[test]
fn a_wrong_topology_file_is_status_2_with_its_place() {
    for (text, words) in [
        ("clusters:\n  C0:\n    worker: 3\n", "lab.yaml:3:5"),
        ("clusters:\n  C0: {workers: 99999}\n", "workers are too many"),
        ("clusters:\n  C0: {workers: 1, containers: {c1: {worker: C0w2}}}\n", "no worker C0w2"),
        (
            "clusters:\n  C0: {workers: 1, flannel: {Network: 10.0.0.0/8, Backend: {Type: vxlan}}}\n",
            "overlaps 10.0.0.0/16",
        ),
    ] {
        for verb in ["validate", "up"] {
            let ran = with_file(if verb == "up" { &["up", "-t"] } else { &["validate"] }, text);
            assert_eq!(ran.status, 2, "{verb} {text}: {}", ran.err);
            assert!(ran.err.contains("lab.yaml") && ran.err.contains(words), "{verb} {text}: {}", ran.err);
        }
    }
    let missing = run(&["validate", "/nonexistent/lab.yaml"]);
    assert_eq!(missing.status, 1);
    assert!(missing.err.contains("reading /nonexistent/lab.yaml"), "{}", missing.err);
}

#[test]
fn a_right_topology_file_is_status_0_also_from_standard_input() {
    let text = "clusters:\n  C0:\n    workers: 2\n    containers:\n      c1: {worker: C0w1}\nscratch: [box]\n";
    let ran = with_file(&["validate"], text);
    assert_eq!(ran.status, 0, "{}", ran.err);
    let home = tempfile::tempdir().unwrap();
    let mut child = knetsim(home.path()).args(["validate", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
fn output_that_nobody_reads_is_no_panic() {
    let home = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = knetsim(home.path()).arg("schema").stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn colour_is_for_terminals_only() {
    let help = run(&["--help"]);
    assert!(!help.out.contains('\x1b'));
    assert!(!run(&["inspect"]).err.contains('\x1b'));
}

#[test]
fn doctor_agrees_with_itself() {
    let report = run(&["doctor", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&report.out).unwrap();
    let checks = json["checks"].as_array().unwrap();
    let missing: Vec<_> = checks.iter().filter(|check| check["state"] == "missing").collect();
    assert_eq!(json["ok"], missing.is_empty());
    assert_eq!(report.status, i32::from(!missing.is_empty()), "{missing:?}");
    assert!(missing.iter().all(|check| check["remedy"].is_string() && check["seen"].is_string()));
    for name in ["user namespaces", "network namespaces", "vxlan", "bridge", "veth", "nftables nat", "nft", "etcd"] {
        assert!(checks.iter().any(|check| check["name"] == name), "{name}");
    }
}

#[test]
fn doctor_sees_what_is_missing() {
    let home = tempfile::tempdir().unwrap();
    let mut inside = Command::new("unshare");
    inside.args(["--user", "--map-root-user", "--mount", "sh", "-c"]);
    inside.arg("echo 0 > /proc/sys/user/max_user_namespaces && exec \"$0\" doctor -o json");
    let output = inside.arg(env!("CARGO_BIN_EXE_knetsim")).env("HOME", home.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["ok"], false);
    let user = json["checks"].as_array().unwrap().iter().find(|check| check["name"] == "user namespaces").unwrap();
    assert_eq!(user["state"], "missing");
    assert_eq!(user["remedy"], "sysctl -w user.max_user_namespaces=10000");
}

#[test]
fn completion_scripts_ask_this_program() {
    for shell in ["bash", "zsh", "fish", "elvish"] {
        let script = run(&["completion", shell]);
        assert_eq!(script.status, 0);
        assert!(script.out.contains("KNETSIM_COMPLETE"), "{shell}: {}", script.out);
    }
}

#[test]
fn it_answers_by_the_name_of_a_plugin() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("host-local");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_knetsim"), &plugin).unwrap();
    let output = Command::new(plugin).env("CNI_COMMAND", "VERSION").output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("supportedVersions"));
}
