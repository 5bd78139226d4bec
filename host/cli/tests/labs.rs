//! Labs run by the program: what they are granted, how they end, what is left.

#![allow(clippy::unwrap_used, reason = "these are parts of tests")]

mod common;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Home, Ran, ended, eventually, signal};

/// A script that prints `hello` and exits with a status.
fn hello(status: u8) -> String {
    format!(
        r#"(module
          (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
          (memory (export "memory") 1)
          (data (i32.const 16) "hello\1b[31m\n")
          (func (export "_start")
            (i32.store (i32.const 0) (i32.const 16))
            (i32.store (i32.const 4) (i32.const 11))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
            (call $exit (i32.const {status}))))"#
    )
}

const ENDLESS: &str = r#"(module (memory (export "memory") 1) (func (export "_start") (loop br 0)))"#;
const TRAP: &str = r#"(module (memory (export "memory") 1) (func (export "_start") unreachable))"#;

trait WithLab {
    fn lab(&self, text: &str, manifest: &str) -> PathBuf;
    fn run_lab(&self, lab: &std::path::Path, arguments: &[&str]) -> Ran;
}

impl WithLab for Home {
    fn lab(&self, text: &str, manifest: &str) -> PathBuf {
        let path = self.0.path().join("lab.wasm");
        let bytes = match manifest.is_empty() {
            true => text.as_bytes().to_vec(),
            false => knetsim_lab::package::embed(text.as_bytes(), manifest).unwrap(),
        };
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn run_lab(&self, lab: &std::path::Path, arguments: &[&str]) -> Ran {
        let ran = Ran::from(self.command(&["run"]).args(arguments).arg(lab).output().unwrap());
        assert_eq!(self.must(&["ls", "-o", "name"]), "", "a sandbox is left");
        ran
    }
}

const ASKS: &str = "name = \"asker\"\nversion = \"1.0.0\"\n[grants]\nobserve = \"to look around\"\n";

#[test]
fn output_and_status_are_the_labs_with_and_without_the_cache() {
    let home = Home::new();
    let lab = home.lab(&hello(1), "");
    for _ in 0..2 {
        let ran = home.run_lab(&lab, &[]);
        assert_eq!((ran.status, ran.out.as_str()), (1, "hello[31m\n"), "{}", ran.err);
        let kept = std::fs::read_dir(home.0.path().join("cache/knetsim/labs")).unwrap();
        assert_eq!(kept.count(), 1);
    }
}

#[test]
fn nothing_is_granted_unasked() {
    let home = Home::new();
    let lab = home.lab(&hello(0), ASKS);
    let ran = home.run_lab(&lab, &[]);
    assert_eq!((ran.status, ran.out.as_str()), (125, ""));
    for words in ["asker 1.0.0 asks for", "observe", "because | to look around", "--yes", "--allow GRANT"] {
        assert!(ran.err.contains(words), "{words}: {}", ran.err);
    }
    for arguments in [&["--yes"][..], &["--allow", "observe"], &["--deny", "observe"]] {
        assert_eq!(home.run_lab(&lab, arguments).out, "hello[31m\n", "{arguments:?}");
    }
    for arguments in [&["--allow", "everything"][..], &["--limit", "time=5"], &["--limit", "workers"]] {
        assert_eq!(home.run_lab(&lab, arguments).status, 2, "{arguments:?}");
    }
}

#[test]
fn a_person_is_asked_on_the_terminal() {
    let home = Home::new();
    let lab = home.lab(&hello(0), ASKS);
    let answer = |answer: &[u8]| {
        let mut script = Command::new("script");
        let knetsim = env!("CARGO_BIN_EXE_knetsim");
        script.args(["-qefc", &format!("{knetsim} run {}", lab.display()), "/dev/null"]);
        script.env("KNETSIM_STATE_DIR", home.state()).env("XDG_CACHE_HOME", home.0.path().join("cache"));
        let mut script = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        script.stdin.take().unwrap().write_all(answer).unwrap();
        Ran::from(script.wait_with_output().unwrap())
    };
    let agreed = answer(b"y\n");
    assert!(agreed.status == 0 && agreed.out.contains("hello"), "{}", agreed.out);
    let refused = answer(b"n\n");
    assert!(refused.status == 125 && !refused.out.contains("hello"), "{}", refused.out);
}

#[test]
fn a_lab_that_does_not_end_is_ended() {
    let home = Home::new();
    let lab = home.lab(ENDLESS, "");
    let ran = home.run_lab(&lab, &["--limit", "call-seconds=1"]);
    assert_eq!(ran.status, 125);
    assert!(ran.err.contains("--limit call-seconds="), "{}", ran.err);
    for (name, status) in [("INT", Some(130)), ("TERM", Some(143)), ("KILL", None)] {
        let mut child = home.command(&["run"]).arg(&lab).stderr(Stdio::null()).spawn().unwrap();
        eventually("no sandbox comes up", || home.must(&["ls", "-o", "name"]).starts_with("run-"));
        std::thread::sleep(Duration::from_millis(50));
        signal(&child, name);
        assert_eq!(ended(&mut child), status, "{name}");
        eventually("a sandbox is left", || home.must(&["ls", "-o", "name"]).is_empty());
    }
}

#[test]
fn what_is_no_lab_or_traps_is_status_125() {
    let home = Home::new();
    for (text, words) in [
        (TRAP, "unreachable"),
        ("nonsense", "this is no lab"),
        ("(module (func (export \"_start\") (call $nowhere)))", "this is no lab"),
        (
            "(component (import \"knetsim:lab/magic@9.9.9\" (instance (export \"f\" (func)))))",
            "knetsim:lab/magic@9.9.9",
        ),
        ("(component)", "no script"),
    ] {
        let ran = home.run_lab(&home.lab(text, ""), &[]);
        assert_eq!((ran.status, ran.out.as_str()), (125, ""), "{text}");
        assert!(ran.err.contains(words), "{text}: {}", ran.err);
    }
}

#[test]
fn a_lab_runs_in_a_sandbox_that_is_there() {
    let home = Home::with_sandbox();
    let lab = home.lab(&hello(1), "");
    let ran = Ran::from(home.command(&["run", "--name", "default"]).arg(&lab).output().unwrap());
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert_eq!(home.must(&["inspect", "-o", "name"]), "node/box\n");
}

#[test]
fn a_newcomers_first_lab_is_made_built_and_run() {
    let home = Home::new();
    let folder = home.0.path().join("my-lab");
    home.must(&["lab", "new", folder.to_str().unwrap()]);
    // What it needs of the SDK is in its own folder. What cargo makes, and the compiler for labs, are this checkout's.
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let target = root.join("target");
    std::fs::copy(root.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let build = |folder: &std::path::Path| {
        let mut build = home.command(&["lab", "build"]);
        build.current_dir(folder).env("CARGO_TARGET_DIR", &target).env("CARGO_NET_OFFLINE", "true");
        Ran::from(build.args(["--file", "my-lab.wasm"]).output().unwrap())
    };
    let built = build(&folder);
    assert_eq!((built.status, built.out.as_str()), (0, "my-lab.wasm\n"), "{}", built.err);
    let mut run = home.command(&["run", "--yes", "my-lab.wasm"]);
    let ran = Ran::from(run.current_dir(&folder).output().unwrap());
    assert_eq!((ran.status, ran.out.as_str()), (0, "C0w1.c1 -> C0w2.c2: 1 of 1 replies\n"), "{}", ran.err);
    assert_eq!(home.must(&["ls", "-o", "name"]), "", "a sandbox is left");
    // A mistake in it is the compiler's to tell.
    std::fs::write(folder.join("src/main.rs"), "fn main() { knetsim_sdk::nothing() }").unwrap();
    let wrong = build(&folder);
    assert_eq!((wrong.status, wrong.out.as_str()), (1, ""));
    assert!(wrong.err.contains("nothing") && wrong.err.contains("does not build"), "{}", wrong.err);
    assert!(folder.join("my-lab.wasm").is_file(), "what was built before is still there");
}

#[test]
fn a_new_lab_is_made_and_looked_at() {
    let home = Home::new();
    let folder = home.0.path().join("my-lab");
    home.must(&["lab", "new", folder.to_str().unwrap()]);
    assert!(folder.join("lab.toml").is_file() && folder.join("src/main.rs").is_file());
    let lab = home.lab(&hello(0), ASKS);
    let json = home.must(&["lab", "inspect", "-o", "json", lab.to_str().unwrap()]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["manifest"]["grants"]["observe"], "to look around");
    assert_eq!(json["kind"], "core module");
}
