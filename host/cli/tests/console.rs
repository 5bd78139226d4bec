//! The console, as a script and as a person at a terminal has it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are parts of tests")]

mod common;

use std::io::Write;
use std::process::Stdio;

use common::terminal::Terminal;
use common::{Home, Ran, eventually};

fn script(home: &Home, lines: &str) -> Ran {
    let mut console = home.command(&["console"]);
    let console = console.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut console = console.spawn().unwrap();
    // It may have ended before it has read all.
    let _ = console.stdin.take().unwrap().write_all(lines.as_bytes());
    Ran::from(console.wait_with_output().unwrap())
}

fn two_boxes() -> Home {
    let home = Home::new();
    home.apply("scratch: [box, other]\n", &["up", "-d"]);
    home
}

/// Where a node is.
fn address(home: &Home, node: &str) -> String {
    let inventory: serde_json::Value = serde_json::from_str(&home.must(&["inspect", "-o", "json"])).unwrap();
    let nodes = inventory["nodes"].as_array().unwrap().clone();
    let node = nodes.into_iter().find(|it| it["name"] == node).unwrap();
    node["address"].as_str().unwrap().to_owned()
}

#[test]
fn a_script_runs_up_to_its_first_error() {
    let home = two_boxes();
    let ran =
        script(&home, "# a comment\n\nbox echo other 'a b'\nbox echo one | tr o 0\ncreate scratch third\nnodes\n");
    assert_eq!(ran.status, 0, "{}", ran.err);
    let words = format!("{} a b\n0ne\nnode/box\nnode/other\nnode/third\n", address(&home, "other"));
    assert_eq!(ran.out, words);
    for (lines, status, words) in [
        ("box sh -c 'exit 7'\nbox echo not this\n", 7, "line 1 failed with status 7: box sh -c"),
        ("box true\ncreate scratch third\nbox echo not this\n", 4, "line 2 failed with status 4"),
        ("dance\nbox echo not this\n", 2, "`dance` is neither a command nor a node"),
        ("py box.create_container(\"c1\")\nbox echo not this\n", 2, "no worker"),
        ("exit\nbox echo not this\n", 0, ""),
    ] {
        let ran = script(&home, lines);
        assert_eq!((ran.status, ran.out.as_str()), (status, ""), "{lines}: {}", ran.err);
        assert!(ran.err.contains(words), "{lines}: {}", ran.err);
    }
}

#[test]
fn a_file_is_read_up_to_its_first_error() {
    let home = two_boxes();
    let file = |name: &str, text: &str| {
        let path = home.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = file("good", "box echo from the file\n");
    let ran = script(&home, &format!("source {good}\nbox echo after\n"));
    assert_eq!((ran.status, ran.out.as_str()), (0, "from the file\nafter\n"), "{}", ran.err);
    let bad = file("bad", "box true\nbox false\nbox echo not this\n");
    let ran = script(&home, &format!("source {bad}\nbox echo nor this\n"));
    assert_eq!((ran.status, ran.out.as_str()), (1, ""), "{}", ran.err);
    assert!(ran.err.contains("bad:2 failed with status 1: box false"), "{}", ran.err);
    let own = file("own", &format!("source {}\n", home.0.path().join("own").display()));
    let ran = script(&home, &format!("source {own}\n"));
    assert_eq!(ran.status, 2);
    assert!(ran.err.contains("files that read each other"), "{}", ran.err);
}

#[test]
fn what_is_joined_and_what_passes_is_seen() {
    let home = two_boxes();
    let ran = script(&home, "net\nlinks\npingall\nlink other t0 down\nlinks\npingall\n");
    for line in [
        "box eth0:t0:box\n",
        "t0 box:box:eth0 other:other:eth0\n",
        "other:eth0 <-> t0:other (UP UP)\n",
        "box -> other\nother -> box\n*** Results: 0% dropped (2/2 received)\n",
        "other:eth0 <-> t0:other (DOWN UP)\n",
        "box -> X\nother -> X\n*** Results: 100% dropped (0/2 received)\n",
    ] {
        assert!(ran.out.contains(line), "{line}: {}{}", ran.out, ran.err);
    }
    // A container is joined to its worker's bridge by a port whose name the kernel knows.
    let made = script(&home, "create cluster C0 --workers 1\ncreate container C0w1.c1\ncreate service C0.web c1\n");
    assert_eq!(made.status, 0, "{}", made.err);
    let wired = script(&home, "net\nlinks\nC0w1.c1 ping -c1 C0.web\n");
    let port = wired.out.lines().find_map(|line| line.strip_prefix("C0w1.c1 eth0:C0w1.cni0:")).unwrap_or_default();
    let joined = [format!("C0w1.cni0 {port}:C0w1.c1:eth0"), format!("C0w1.c1:eth0 <-> C0w1.cni0:{port} (UP UP)")];
    assert!(!port.is_empty() && joined.iter().all(|line| wired.out.contains(line)), "{}{}", wired.out, wired.err);
    assert!(wired.out.contains("1 received"), "{}{}", wired.out, wired.err);
    // Pings that were lost are a failure.
    assert_eq!(ran.status, 1);
    let none = script(&home, "link box other down\n");
    assert_eq!(none.status, 3);
    assert!(none.err.contains("no one link joins box and other"), "{}", none.err);
}

#[test]
fn what_goes_through_is_measured() {
    let home = two_boxes();
    let ran = script(&home, "iperf\n");
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.out.starts_with("*** Iperf: TCP from box to other: "), "{}", ran.out);
    assert!(!ran.out.contains(" 0.00 Gbit/s received"), "{}", ran.out);
}

#[test]
fn a_person_has_completion_history_and_ctrl_c() {
    let home = two_boxes();
    let mut person = Terminal::open(&home, &["console"]);
    person.sees("knetsim> ");
    person.press("oth\t echo typed\r");
    person.sees("\ntyped");
    person.sees("knetsim> ");
    // Ctrl-C ends what runs, and at the prompt only the line.
    person.press("box sh -c 'echo started; sleep 1000'\r");
    person.sees("\nstarted");
    person.press("\u{3}");
    person.sees("knetsim> ");
    person.press("box echo not this\u{3}");
    person.sees("knetsim> ");
    person.press("box true\r");
    person.sees("knetsim> ");
    // What does not work is said, and the prompt comes again.
    person.press("dance\r");
    person.sees("`dance` is neither");
    person.sees("knetsim> ");
    person.press("\u{4}");
    assert_eq!(person.ended(), Some(0));
    let history = std::fs::read_to_string(home.0.path().join("data/knetsim/history")).unwrap();
    assert!(history.contains("other echo typed") && !history.contains("not this"), "{history}");
    // The next console has them.
    let mut person = Terminal::open(&home, &["console"]);
    person.sees("knetsim> ");
    person.press("\u{1b}[A\u{1b}[A");
    person.sees("box true");
    person.press("\u{15}exit\r");
    assert_eq!(person.ended(), Some(0));
}

#[test]
fn a_console_ends_with_its_sandbox_and_by_a_signal() {
    let home = two_boxes();
    let mut person = Terminal::open(&home, &["console"]);
    person.sees("knetsim> ");
    person.signal("TERM");
    assert_eq!(person.ended(), Some(143));
    let mut person = Terminal::open(&home, &["console"]);
    person.sees("knetsim> ");
    home.must(&["down"]);
    person.sees("the sandbox has ended");
    assert_eq!(person.ended(), Some(0));
    home.apply("scratch: [box]\n", &["up", "-d"]);
}

#[test]
fn up_on_a_terminal_is_a_console_whose_sandbox_ends_with_it() {
    let home = Home::new();
    let file = home.0.path().join("lab.yaml");
    std::fs::write(&file, "scratch: [box]\n").unwrap();
    let mut person = Terminal::open(&home, &["up", "-t", file.to_str().unwrap()]);
    person.sees("knetsim> ");
    person.press("box sh -c 'echo started; sleep 1000'\r");
    person.sees("\nstarted");
    person.press("\u{3}");
    person.sees("knetsim> ");
    assert_eq!(home.must(&["ls", "-o", "name"]), "default\n");
    person.press("\u{4}");
    person.sees("default is down");
    assert_eq!(person.ended(), Some(0));
    eventually("nothing is left", || home.must(&["ls", "-o", "name"]).is_empty());
}
