//! What commands and daemons say, and what happens to them: logs, warnings, and what a terminal shows of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are parts of tests")]

mod common;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use common::terminal::Terminal;
use common::{Home, ended, eventually};

/// With a worker.
fn with_worker() -> Home {
    let home = Home::new();
    home.apply("clusters:\n  C0:\n    workers: 1\n", &["up", "-d"]);
    home
}

#[test]
fn a_log_is_rotated_and_goes_with_its_container() {
    let home = with_worker();
    let flood = "echo begin; yes 0123456789abcde | head -c 120M; echo end; sleep 1000";
    home.must(&["create", "container", "C0w1.c1", "--", "sh", "-c", flood]);
    let last = || home.run(&["logs", "C0w1.c1", "-n", "1"]).out;
    eventually("the last line is not in the log", || last() == "end\n");
    let on_node = |script: &str| home.must(&["exec", "C0w1", "--", "sh", "-c", script]);
    let files = on_node("cd /var/log/containers; ls");
    assert_eq!(files, "c1.log\nc1.log.1\nc1.log.2\nc1.log.3\nc1.log.4\n");
    let used: u64 = on_node("du -sm /var/log/containers | cut -f 1").trim().parse().unwrap();
    assert!((40..=52).contains(&used), "{used} MiB");
    // All that is kept is one log.
    let kept = home.must(&["logs", "C0w1.c1"]);
    assert!(kept.len() > 40 << 20 && kept.lines().all(|line| ["0123456789abcde", "end"].contains(&line)));
    let several = home.must(&["logs", "C0w1.c1", "-n", "700000"]);
    assert_eq!(several.lines().count(), 700_000);

    let mut follow = home.command(&["logs", "-f", "-n", "1", "C0w1.c1"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "end");
    home.must(&["exec", "-d", "C0w1.c1", "--", "sh", "-c", "yes 0123456789abcde | head -c 25M; echo more"]);
    // It goes on with the files that are begun meanwhile.
    let followed: Vec<_> = lines.by_ref().map(Result::unwrap).take_while(|line| line != "more").collect();
    assert!(followed.len() > 1_000_000 && followed.iter().all(|line| line == "0123456789abcde"), "{}", followed.len());
    home.must(&["delete", "container", "C0w1.c1"]);
    home.must(&["create", "container", "C0w1.c1", "--", "sh", "-c", "echo another; sleep 1000"]);
    assert_eq!(ended(&mut follow), Some(0));
    assert_eq!(lines.map(Result::unwrap).collect::<Vec<_>>(), [""; 0], "nothing of the namesake");
    eventually("the new log is empty but for its line", || home.run(&["logs", "C0w1.c1"]).out == "another\n");
    assert_eq!(on_node("ls /var/log/containers"), "c1.log\n");
}

#[test]
fn what_is_put_in_a_logs_place_does_no_harm() {
    let home = with_worker();
    let on_node = |script: &str| home.must(&["exec", "C0w1", "--", "sh", "-c", script]);
    // Before: it is not what this container has logged.
    on_node("mkdir -p /var/log/containers; mkfifo /var/log/containers/c1.log");
    home.must(&["create", "container", "C0w1.c1", "--", "sh", "-c", "while echo line; do sleep 0.05; done"]);
    eventually("it logs", || home.run(&["logs", "C0w1.c1"]).out.starts_with("line\n"));
    // Afterwards: the container goes on, and whoever asks is told.
    for put in ["mkfifo c1.log", "mkdir c1.log", "ln -s /etc/passwd c1.log"] {
        // The container writes on, and may be the first to make its log anew.
        on_node(&format!("cd /var/log/containers; until rm -rf c1.log; {put} 2>/dev/null; do :; done"));
        let refused = home.run(&["logs", "C0w1.c1"]);
        assert!(refused.status != 0 && refused.err.contains("/var/log/containers/c1.log"), "{put}: {}", refused.err);
        let running = on_node("pgrep -fc 'while echo line'");
        assert_ne!(running.trim(), "0", "{put}");
    }
    on_node("cd /var/log/containers; rm -rf c1.log");
    eventually("it logs again", || home.run(&["logs", "C0w1.c1"]).out.starts_with("line\n"));
    home.must(&["delete", "container", "C0w1.c1"]);
    assert_eq!(on_node("ls /var/log/containers"), "");
}

/// Takes more memory than the sandbox has.
const HOG: &str = "x = bytearray(400 << 20); x[::4096] = b'x' * len(x[::4096]); import time; time.sleep(1000)";

#[test]
fn who_runs_out_of_memory_is_told() {
    let home = Home::new();
    home.apply("scratch: [box]\n", &["up", "-d", "--limit", "memory=300M"]);
    let ran = home.run(&["exec", "box", "python3", "-c", HOG]);
    assert_eq!(ran.status, 137, "{}", ran.err);
    let warning = format!("warning: `python3 -c {}...` in box: process ", &HOG[..60 - "python3 -c ".len()]);
    assert!(ran.err.starts_with(&warning), "{}\n{warning}", ran.err);
    assert!(ran.err.contains("(python3) was ended: it used ") && ran.err.contains("the 300 MiB that"), "{}", ran.err);
    // What a command has started is its own; so is what nobody waits for.
    let ran = home.run(&["exec", "box", "--", "sh", "-c", &format!("python3 -c \"{HOG}\"; echo still here")]);
    assert_eq!((ran.status, ran.out.as_str()), (0, "still here\n"));
    assert!(ran.err.contains("warning: `sh -c "), "{}", ran.err);
    home.must(&["exec", "-d", "box", "--", "sh", "-c", &format!("setsid python3 -c \"{HOG}\"; true")]);
    let inspected = || home.must(&["inspect"]);
    eventually("inspect has no warning", || inspected().contains("`sh -c setsid python3"));
    let inspected = inspected();
    assert_eq!(inspected.matches(" was ended: it used ").count(), 3, "{inspected}");
    let log = home.must(&["logs"]);
    assert_eq!(log.matches(" was ended: it used ").count(), 3, "{log}");
    let json: serde_json::Value = serde_json::from_str(&home.must(&["inspect", "-o", "json"])).unwrap();
    assert_eq!(json["warnings"].as_array().unwrap().len(), 3);

    // In a terminal, where a program inside has the keys.
    let mut terminal = Terminal::open(&home, &["exec", "-it", "box", "python3", "-i"]);
    terminal.sees(">>> ");
    terminal.press("x = bytearray(400 << 20); x[::4096] = b'x' * len(x[::4096])\r");
    let warned = terminal.sees("warning: `python3 -i` in box");
    assert_eq!(terminal.ended(), Some(137), "{warned}");
}

/// A script that runs the hog in the base, and prints what that has written to its standard error.
fn hog_of_a_lab() -> String {
    let length = HOG.len();
    format!(
        r#"(module
          (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
          (import "knetsim:lab/exec@0.1.0" "open" (func $open (param i32 i32 i32)))
          (import "knetsim:lab/exec@0.1.0" "[method]place.run"
            (func $run (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
          (memory (export "memory") 3)
          (data (i32.const 0) "basepython3-c{HOG}")
          (global $free (mut i32) (i32.const 65536))
          (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
            (global.set $free (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
            (global.get $free)
            (global.set $free (i32.add (global.get $free) (local.get $size))))
          (func (export "_start")
            (call $open (i32.const 0) (i32.const 4) (i32.const 1024))
            (i32.store (i32.const 2048) (i32.const 4)) (i32.store (i32.const 2052) (i32.const 7))
            (i32.store (i32.const 2056) (i32.const 11)) (i32.store (i32.const 2060) (i32.const 2))
            (i32.store (i32.const 2064) (i32.const 13)) (i32.store (i32.const 2068) (i32.const {length}))
            (call $run (i32.load (i32.const 1028)) (i32.const 2048) (i32.const 3) (i32.const 0) (i32.const 0)
              (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1040))
            (drop (call $write (i32.const 1) (i32.const 1056) (i32.const 1) (i32.const 8)))))"#
    )
}

#[test]
fn who_runs_a_lab_whose_command_runs_out_of_memory_is_told() {
    let home = Home::new();
    home.apply("scratch: [box]\n", &["up", "-d", "--limit", "memory=300M"]);
    let lab = home.0.path().join("lab.wasm");
    std::fs::write(&lab, hog_of_a_lab()).unwrap();
    let ran = home.run(&["run", "--name", "default", "--allow", "exec", lab.to_str().unwrap()]);
    assert_eq!(ran.status, 0, "{}", ran.err);
    // The lab, as a shell's user would be, and the person.
    assert!(ran.out.contains("(python3) was ended: it used "), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("warning: `python3 -c x = ") && ran.err.contains("` in base: process "), "{}", ran.err);
}

/// Sets the title, clears the screen, and hides what follows.
const SEQUENCES: &str = "\u{1b}]0;title\u{7}\u{1b}[2J\u{1b}[8m\u{9b}31mwords\u{202e}";

/// What a terminal got of them.
fn shown(home: &Home, arguments: &[&str]) -> String {
    let mut terminal = Terminal::open(home, arguments);
    terminal.sees("words");
    terminal.ended();
    let raw = terminal.raw();
    for part in ["\u{1b}]", "\u{1b}[2J", "\u{1b}[8m", "\u{9b}", "\u{202e}", "\u{7}"] {
        assert!(!raw.contains(part), "{arguments:?} writes {part:?}: {raw:?}");
    }
    raw
}

#[test]
fn a_terminal_shows_somebody_elses_words_and_does_not_heed_them() {
    let home = with_worker();
    home.must(&["exec", "-d", "C0w1", "--", "printf", "%s\\n", SEQUENCES]);
    eventually("it is logged", || home.run(&["logs", "C0w1"]).out.contains("words"));
    assert!(home.must(&["logs", "C0w1"]).contains(SEQUENCES), "raw into a pipe");
    shown(&home, &["logs", "C0w1"]);
    // A command, where it is listed, and in an error.
    let name = format!("evil{SEQUENCES}\nC9w9   worker");
    home.must(&["create", "container", "C0w1.c1", "--", "sh", "-c", "sleep 1000", &name]);
    let raw = shown(&home, &["inspect"]);
    assert!(raw.contains("evil\\u{1b}]0;title\\u{7}"), "{raw}");
    assert!(!raw.lines().any(|line| line.starts_with("C9w9   worker")), "{raw}");
    shown(&home, &["inspect", "-o", "yaml"]);
    shown(&home, &["exec", "C0w1", &format!("'no-{SEQUENCES}'")]);
    // A name that is none.
    shown(&home, &["exec", &format!("'C0w1{SEQUENCES}'"), "true"]);
}
