//! The program with real sandboxes: brought up, used, ended. Scratch nodes do, so it is quick.

#![allow(clippy::unwrap_used, reason = "these are parts of tests")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Home, Ran, ended, eventually, signal};

#[test]
fn a_sandbox_in_the_background_lives_until_down() {
    let home = Home::with_sandbox();
    assert_eq!(home.must(&["ls", "-o", "name"]), "default\n");
    assert_eq!(home.must(&["inspect", "-o", "name"]), "node/box\n");
    let again = home.run(&["up", "-d"]);
    assert_eq!(again.status, 4, "{}", again.err);
    assert!(again.err.contains("knetsim up -t FILE"), "{}", again.err);
    home.must(&["down"]);
    assert_eq!(home.must(&["ls", "-o", "name"]), "");
    assert_eq!(std::fs::read_dir(home.state()).unwrap().count(), 0);
    assert_eq!(home.run(&["down"]).status, 3);
}

#[test]
fn a_commands_streams_and_status_are_kept() {
    let home = Home::with_sandbox();
    let ran = home.run(&["exec", "box", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((ran.status, ran.out.as_str(), ran.err.as_str()), (7, "out\n", "err\n"));
    assert_eq!(home.run(&["exec", "box", "--", "sh", "-c", "kill -TERM $$"]).status, 143);
    assert_eq!(home.run(&["exec", "box", "nonexistent"]).status, 127);
    assert_eq!(home.run(&["exec", "box", "/etc/hosts"]).status, 126);
    assert_eq!(home.run(&["exec", "nobox", "true"]).status, 125);
    assert_eq!(home.must(&["exec", "-e", "A=b c", "box", "--", "sh", "-c", "echo $A"]), "b c\n");
    // Nothing of what was written last is lost, and what a command leaves behind does not hold it up.
    let start = Instant::now();
    let lines = home.must(&["exec", "box", "--", "sh", "-c", "sleep 60 & seq 200000"]);
    assert_eq!(lines.lines().last(), Some("200000"));
    home.must(&["exec", "box", "--", "sh", "-c", "yes & sleep 0.1"]);
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[test]
fn standard_input_is_passed_on_when_asked() {
    let home = Home::with_sandbox();
    let text = "x".repeat(300_000);
    let mut child = home.command(&["exec", "-i", "box", "wc", "-c"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert_eq!(Ran::from(child.wait_with_output().unwrap()).out, "300000\n");
    let mut without = home.command(&["exec", "box", "wc", "-c"]);
    let without = without.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    assert_eq!(Ran::from(without.wait_with_output().unwrap()).out, "0\n");
}

/// A command that says when it is ready.
fn start(home: &Home, script: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = home.command(&["exec", "box", "--", "sh", "-c", script]);
    let mut child = child.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (child, out)
}

#[test]
fn signals_are_passed_on() {
    let home = Home::with_sandbox();
    let (mut child, mut out) = start(&home, "trap 'echo got it; exit 9' INT; echo ready; while :; do sleep 0.1; done");
    signal(&child, "INT");
    assert_eq!(ended(&mut child), Some(9));
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "got it\n");
}

#[test]
fn a_killed_client_ends_its_command_and_nothing_else() {
    let home = Home::with_sandbox();
    let runs = |what: &str| home.must(&["exec", "base", "--", "ps", "-eo", "args"]).contains(what);
    home.must(&["exec", "-d", "box", "sleep", "4321"]);
    let (mut child, _out) = start(&home, "echo ready; exec sleep 1234");
    assert!(runs("sleep 1234"));
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("sleep 1234 goes on without its client", || !runs("sleep 1234"));
    assert!(runs("sleep 4321"));
}

#[test]
fn a_command_in_the_background_has_a_log() {
    let home = Home::with_sandbox();
    let pid = home.must(&["exec", "-d", "box", "--", "sh", "-c", "seq 5; echo wrong >&2"]);
    assert!(pid.trim().parse::<u32>().is_ok(), "{pid}");
    eventually("the log has all", || home.run(&["logs", "box"]).out == "1\n2\n3\n4\n5\nwrong\n");
    assert_eq!(home.must(&["logs", "box", "-n", "2"]), "5\nwrong\n");
    let mut follow = home.command(&["logs", "-f", "box"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    assert_eq!(lines.nth(5).unwrap().unwrap(), "wrong");
    home.must(&["exec", "-d", "box", "--", "echo", "more"]);
    assert_eq!(lines.next().unwrap().unwrap(), "more");
    // It ends with the sandbox.
    home.must(&["down"]);
    assert_eq!(ended(&mut follow), Some(0));
}

#[test]
fn a_terminal_is_made_inside() {
    let home = Home::with_sandbox();
    let in_terminal = |command: &str| {
        let knetsim = env!("CARGO_BIN_EXE_knetsim");
        let mut script = Command::new("script");
        script.args(["-qefc", &format!("stty rows 33 cols 77; {knetsim} {command}"), "/dev/null"]);
        Ran::from(
            script.env("KNETSIM_STATE_DIR", home.state()).env("TERM", "vt100").stdin(Stdio::null()).output().unwrap(),
        )
    };
    let ran = in_terminal("exec -t box -- sh -c 'stty size; echo $TERM; tty; exit 5'");
    assert_eq!(ran.status, 5, "{}{}", ran.out, ran.err);
    assert!(ran.out.replace('\r', "").contains("33 77\nvt100\n/dev/pts/"), "{:?}", ran.out);
    let refused = Ran::from(home.command(&["exec", "-it", "box", "true"]).output().unwrap());
    assert_eq!(refused.status, 125);
    assert!(refused.err.contains("leave -t out"), "{}", refused.err);
    // Without a terminal, a shell reads a script.
    let mut shell = home.command(&["shell", "box"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    shell.stdin.take().unwrap().write_all(b"hostname; exit 3\n").unwrap();
    let ran = Ran::from(shell.wait_with_output().unwrap());
    assert_eq!((ran.status, ran.out.as_str()), (3, "box\n"));
}

#[test]
fn a_changed_file_changes_only_the_difference() {
    let home = Home::with_sandbox();
    home.must(&["create", "scratch", "mine"]);
    home.must(&["exec", "box", "ip", "netns", "add", "kept"]);
    let changed = home.apply("scratch: [box, other]\n", &["up"]);
    assert!(changed.err.contains("other created") && changed.err.contains("mine stays"), "{}", changed.err);
    assert_eq!(home.must(&["exec", "box", "ip", "netns"]).trim(), "kept");
    home.apply("scratch: [other]\n", &["up"]);
    assert_eq!(home.must(&["inspect", "-o", "name"]), "node/mine\nnode/other\n");
    assert_eq!(home.must(&["inspect", "-o", "name", "--owner", "file"]), "node/other\n");
}

#[test]
fn a_file_that_says_nothing_deletes_nothing() {
    let home = Home::with_sandbox();
    let names = || home.must(&["inspect", "-o", "name"]);
    home.must(&["create", "scratch", "mine"]);
    for text in ["", "# a generator failed\n", "---\n", "null\n"] {
        let file = home.0.path().join("empty.yaml");
        std::fs::write(&file, text).unwrap();
        let by_pipe =
            Ran::from(home.command(&["up", "-t", "-"]).stdin(std::fs::File::open(&file).unwrap()).output().unwrap());
        let file = file.to_str().unwrap();
        let others = [&["up", "-t", file][..], &["up", "--dry-run", "-t", file], &["validate", file]];
        for ran in others.into_iter().map(|args| home.run(args)).chain([by_pipe]) {
            assert_eq!(ran.status, 2, "{text:?}: {}", ran.err);
            assert!(ran.err.contains("it is empty") && ran.err.contains("`{}`"), "{}", ran.err);
        }
        assert_eq!(names(), "node/box\nnode/mine\n", "{text:?}");
    }
    let dry = home.apply("{}\n", &["up", "--dry-run"]);
    assert_eq!(dry.out, "scratch node box deleted (dry run)\n");
    assert!(dry.err.contains("mine stays"), "{}", dry.err);
    assert_eq!(names(), "node/box\nnode/mine\n");
    home.apply("{}\n", &["up"]);
    assert_eq!(names(), "node/mine\n");
    // Where nothing runs, nothing is started for it.
    let other = home.apply("scratch: [a]\n", &["up", "--dry-run", "--name", "other"]);
    assert_eq!(other.out, "scratch node a created (dry run)\n");
    assert_eq!(home.must(&["ls", "-o", "name"]), "default\n");
    for more in ["-d", "--mount=/tmp:/srv/a", "--limit=disk=1G"] {
        let both = home.run(&["up", "--dry-run", more]);
        assert!(both.status == 2 && both.err.contains("cannot be used with"), "{more}: {}", both.err);
    }
    let flannel = home.run(&["flannel", "C0", "/dev/null"]);
    assert!(flannel.status == 2 && flannel.err.contains("it is empty"), "{}", flannel.err);
    let router = home.run(&["router", "-c", "/dev/null"]);
    assert!(router.status == 2 && router.err.contains("router"), "{}", router.err);
}

#[test]
fn what_inspect_prints_makes_the_same_again() {
    let home = Home::new();
    home.apply("scratch: [a, b]\nnumbers: {a: 7, b: 3}\n", &["up", "-d"]);
    let printed = home.must(&["inspect", "-o", "yaml"]);
    let nodes = |name: &str| {
        let json: serde_json::Value =
            serde_json::from_str(&home.must(&["inspect", "-o", "json", "--name", name])).unwrap();
        let fields = |node: &serde_json::Value| format!("{} {}", node["name"], node["address"]);
        json["nodes"].as_array().unwrap().iter().map(fields).collect::<Vec<_>>()
    };
    home.apply(&printed, &["up", "-d", "--name", "second"]);
    assert_eq!(nodes("second"), ["\"b\" \"10.0.0.3\"", "\"a\" \"10.0.0.7\""]);
    assert_eq!(nodes("default"), nodes("second"));
    assert_eq!(home.must(&["inspect", "-o", "yaml", "--name", "second"]), printed);
    let several = home.run(&["inspect"]);
    assert_eq!(several.status, 2);
    assert!(several.err.contains("default, second"), "{}", several.err);
}

/// In the foreground; its messages are in the returned reader.
fn foreground(home: &Home, topology: &Path) -> (Child, BufReader<std::process::ChildStderr>) {
    let mut up = home.command(&["up", "-t"]).arg(topology).stderr(Stdio::piped()).spawn().unwrap();
    let err = BufReader::new(up.stderr.take().unwrap());
    (up, err)
}

#[test]
fn a_signal_ends_a_sandbox_in_the_foreground_at_any_time() {
    let home = Home::new();
    let file = home.0.path().join("lab.yaml");
    std::fs::write(&file, "scratch: [a1, a2, a3, a4, a5, a6, a7, a8]\n").unwrap();
    for (name, after) in [("INT", 0), ("INT", 3), ("TERM", 10), ("HUP", 20), ("KILL", 15), ("INT", 40), ("KILL", 50)] {
        let (mut up, _err) = foreground(&home, &file);
        std::thread::sleep(Duration::from_millis(after));
        signal(&up, name);
        ended(&mut up);
        eventually("a sandbox is left", || home.must(&["ls", "-o", "name"]).is_empty());
        if name != "KILL" {
            assert!(!home.state().join("default").exists(), "{name} after {after} ms left a folder");
        }
    }
    let (mut up, err) = foreground(&home, &file);
    assert!(err.lines().any(|line| line.unwrap().contains("Ctrl-C ends it")));
    signal(&up, "INT");
    assert_eq!(ended(&mut up), Some(0));
}

#[test]
fn someone_elses_down_ends_one_in_the_foreground() {
    let home = Home::new();
    let file = home.0.path().join("lab.yaml");
    std::fs::write(&file, "scratch: [box]\n").unwrap();
    let (mut up, mut err) = foreground(&home, &file);
    let mut line = String::new();
    while !line.contains("Ctrl-C ends it") {
        line.clear();
        assert!(err.read_line(&mut line).unwrap() > 0);
    }
    home.must(&["down"]);
    assert_eq!(ended(&mut up), Some(0));
    assert!(!home.state().join("default").exists());
}

#[test]
fn a_sandbox_in_the_background_has_a_log_and_limits() {
    let home = Home::new();
    home.apply("scratch: [box]\n", &["up", "-d", "-vv", "--limit", "disk=3M"]);
    assert!(home.must(&["logs"]).contains("box"), "{}", home.must(&["logs"]));
    let full = home.run(&["exec", "box", "--", "sh", "-c", "head -c 4M /dev/zero > /var/big"]);
    assert!(full.status != 0 && full.err.contains("No space left"), "{} {}", full.status, full.err);
    let late = home.run(&["up", "--limit", "disk=9M", "-t", home.0.path().join("lab.yaml").to_str().unwrap()]);
    assert_eq!(late.status, 2, "{}", late.err);
}

#[test]
fn a_shell_completes_the_names_of_nodes() {
    let home = Home::with_sandbox();
    let mut command = home.command(&["--", "knetsim", "shell", ""]);
    let output = command.env("KNETSIM_COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", "2").output().unwrap();
    let ran = Ran::from(output);
    assert!(ran.out.lines().any(|line| line.starts_with("box")), "{}{}", ran.out, ran.err);
}

#[test]
fn packets_are_printed_as_they_pass() {
    let home = Home::with_sandbox();
    home.must(&["exec", "box", "ip", "link", "set", "lo", "up"]);
    let arguments = ["capture", "box:lo", "--protocol", "icmp", "--host", "127.0.0.1", "-c", "4"];
    let mut capture = home.command(&arguments);
    let mut capture = capture.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut err = BufReader::new(capture.stderr.take().unwrap());
    let mut listening = String::new();
    err.read_line(&mut listening).unwrap();
    assert!(listening.starts_with("listening at box:lo"), "{listening}");
    home.must(&["exec", "box", "--", "ping", "-c", "1", "127.0.0.1"]);
    // The loopback shows each packet twice: as it goes out and as it comes in.
    let ran = Ran::from(capture.wait_with_output().unwrap());
    let lines: Vec<_> = ran.out.lines().collect();
    assert_eq!((ran.status, lines.len()), (0, 4), "{lines:?}");
    assert!(lines[0].starts_with("0.000000 out 127.0.0.1 > 127.0.0.1 ICMP echo-request id "), "{lines:?}");
    assert!(lines[1].contains(" in  127.0.0.1 > 127.0.0.1 ICMP echo-request id "), "{lines:?}");
    assert!(lines[3].contains("ICMP echo-reply id "), "{lines:?}");

    let none = home.run(&["capture", "box:lo", "-c", "1", "-t", "1"]);
    assert_eq!((none.status, none.out.as_str()), (1, ""), "{}", none.err);
    assert!(none.err.ends_with("0 packets\n"), "{}", none.err);
    assert_eq!(home.run(&["capture", "box:nothing"]).status, 3);
    assert_eq!(home.run(&["capture", "box:lo", "--protocol", "ipx"]).status, 2);
}

#[test]
fn a_capture_ends_with_its_interface_and_by_a_signal() {
    let home = Home::with_sandbox();
    home.must(&["exec", "box", "ip", "link", "add", "gone0", "type", "bridge"]);
    let start = |interface: &str| {
        let mut capture = home.command(&["capture", interface]).stderr(Stdio::piped()).spawn().unwrap();
        let mut err = BufReader::new(capture.stderr.take().unwrap());
        err.read_line(&mut String::new()).unwrap();
        (capture, err)
    };
    let (mut capture, mut err) = start("box:gone0");
    home.must(&["exec", "box", "ip", "link", "delete", "gone0"]);
    assert_eq!(ended(&mut capture), Some(3));
    let mut said = String::new();
    err.read_to_string(&mut said).unwrap();
    assert!(said.contains("box:gone0 is gone"), "{said}");
    let (mut capture, _err) = start("box:lo");
    signal(&capture, "INT");
    assert_eq!(ended(&mut capture), Some(0));
}
