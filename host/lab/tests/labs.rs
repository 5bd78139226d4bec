//! Labs that are good, broken and hostile, run in a real sandbox.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[macro_use]
mod common;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use common::*;
use knetsim_lab::{LabError, cache_key, componentize, package};
use knetsim_model::Code;

fn main() -> ExitCode {
    run(cases![
        a_module_says_hello,
        a_component_runs_as_its_module_did,
        a_status_is_passed_on,
        a_trap_is_named,
        a_stack_that_overflows_is_a_trap,
        control_characters_are_removed,
        every_grant_is_asked_for,
        grants_are_given_by_name,
        an_endless_loop_lets_others_work,
        an_endless_loop_can_be_cancelled,
        a_command_ends_with_the_run_that_waits_for_it,
        memory_is_limited,
        tables_are_limited,
        a_flood_ends_at_the_limit,
        a_flood_of_messages_ends_too,
        forged_handles_trap,
        handles_of_another_kind_trap,
        handles_are_limited,
        arguments_are_limited,
        what_is_lacking_is_named,
        garbage_is_refused,
        what_is_no_script_is_refused,
        limits_can_be_set_by_hand,
        nodes_are_counted,
        compiled_code_runs,
    ])
}

fn hello() -> String {
    text_lab("", r"hello\n", "(call $print (i32.const 0) (i32.const 6))")
}

async fn a_module_says_hello(bench: Bench) {
    assert_eq!(bench.run(hello(), Order::default()).await.ok(), "hello\n");
    let binary = wat::parse_str(hello()).unwrap();
    assert_eq!(bench.run(binary, Order::default()).await.ok(), "hello\n");
}

async fn a_component_runs_as_its_module_did(bench: Bench) {
    let component = componentize(hello().as_bytes()).unwrap();
    assert_eq!(bench.run(&component, Order::default()).await.ok(), "hello\n");
    assert_eq!(package::inspect(&component).unwrap().kind, package::Kind::Component);
}

async fn a_status_is_passed_on(bench: Bench) {
    // WASI 0.1's own way knows only 0 and 1 by the time it gets here.
    let lab = text_lab("", "", "(call $exit (i32.const 7))");
    assert_eq!(bench.run(lab, Order::default()).await.status, Ok(1));
    let exit = r#"(import "wasi:cli/exit@0.2.12" "exit-with-code" (func $exit_with_code (param i32)))"#;
    let lab = text_lab(exit, "", "(call $exit_with_code (i32.const 7))");
    assert_eq!(bench.run(lab, Order::default()).await.status, Ok(7));
    // A module that exports `run` itself, and fails.
    let lab = r#"(module (func (export "wasi:cli/run@0.2.12#run") (result i32) (i32.const 1)))"#;
    assert_eq!(bench.run(lab, Order::default()).await.status, Ok(1));
}

async fn a_trap_is_named(bench: Bench) {
    let lab = text_lab("", r"first\n", "(call $print (i32.const 0) (i32.const 6)) (unreachable)");
    let ran = bench.run(lab, Order::default()).await;
    assert_eq!(ran.stdout, "first\n");
    let message = ran.fails(Code::Failed);
    assert!(message.starts_with("`unnamed`: ") && message.contains("unreachable"), "{message}");
}

async fn a_stack_that_overflows_is_a_trap(bench: Bench) {
    let lab = text_lab("", "", "(call $deeper)");
    let lab = lab.replace("(func (export \"_start\")", "(func $deeper (call $deeper)) (func (export \"_start\")");
    let message = bench.run(lab, Order::default()).await.fails(Code::Failed);
    assert!(message.contains("stack"), "{message}");
}

async fn control_characters_are_removed(bench: Bench) {
    let lab = text_lab("", r"a\1b[2Jb\07\0d\c2\9b\09c\n", "(call $print (i32.const 0) (i32.const 13))");
    assert_eq!(bench.run(lab, Order::default()).await.ok(), "a[2Jb\tc\n");
}

/// Every function that opens, makes or lists something, what its grant is, its parameters but the last, which is
/// where the result goes, and where in that an error lies.
const DOORS: [(&str, &str, &str, &str, u32); 26] = [
    ("clusters", "clusters", "create", "(i32 i32 i32 i32 i32 i32)", 4),
    ("clusters", "clusters", "open", "(i32 i32)", 4),
    ("workers", "workers", "create", "(i32 i32)", 4),
    ("workers", "workers", "open", "(i32 i32)", 4),
    ("workers", "workers", "create-scratch", "(i32 i32)", 4),
    ("workers", "workers", "open-scratch", "(i32 i32)", 4),
    ("workers", "workers", "set-link", "(i32 i32 i32)", 4),
    ("containers", "containers", "create", "(i32 i32 i32 i32 i32 i32)", 4),
    ("containers", "containers", "open", "(i32 i32)", 4),
    ("services", "services", "open", "(i32 i32)", 4),
    ("ingresses", "ingresses", "open", "(i32 i32)", 4),
    ("links", "links", "open", "(i32 i32)", 4),
    ("exec", "exec", "open", "(i32 i32)", 4),
    ("exec-node", "exec", "open-node", "(i32 i32)", 4),
    ("probe", "probe", "open", "(i32 i32)", 4),
    ("observe", "observe", "open", "(i32 i32)", 4),
    ("observe", "observe", "clusters", "()", 4),
    ("observe", "observe", "nodes", "()", 4),
    ("observe", "observe", "containers", "()", 4),
    ("observe", "observe", "services", "()", 4),
    ("observe", "observe", "ingresses", "()", 4),
    ("observe", "observe", "sites", "()", 4),
    ("observe", "observe", "etcd-keys", "(i32 i32 i32 i32)", 4),
    ("observe", "observe", "read-history", "(i64)", 8),
    ("captures", "captures", "start", "(i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)", 4),
    ("captures", "captures", "open", "(i32 i32)", 4),
];

/// A lab that goes through one door with zeros for arguments (so an empty name), and says what came of it.
fn through(interface: &str, function: &str, params: &str, payload: u32) -> String {
    let params: Vec<_> = params.trim_matches(['(', ')']).split_whitespace().collect();
    let zeros: String = params.iter().map(|kind| format!("({kind}.const 0) ")).collect();
    let import = format!(
        r#"(import "knetsim:lab/{interface}@0.1.0" "{function}" (func $door (param {} i32)))"#,
        params.join(" ")
    );
    text_lab(
        &import,
        "",
        &format!("(call $door {zeros}(i32.const 1024)) (call $say (i32.const 1024) (i32.const {payload}))"),
    )
}

async fn every_grant_is_asked_for(bench: Bench) {
    for (grant, interface, function, params, payload) in DOORS {
        let lab = bench.compile(through(interface, function, params, payload)).unwrap();
        let others: Vec<_> =
            knetsim_lab::Grant::ALL.iter().map(|grant| grant.as_str()).filter(|name| *name != grant).collect();
        let said = bench.run_lab(&lab, Order { grants: &others, ..Order::default() }).await.ok();
        let refusal = format!(
            "denied: `unnamed` asked for `{grant}` but was not granted it. Run it with `--allow {grant}`, \
             or build it by `knetsim lab build`, which puts lab.toml into it: this file carries no manifest.\n"
        );
        assert_eq!(said, refusal, "{interface}.{function}");
        // With it, an empty name is what is wrong, or nothing.
        let said = bench.run_lab(&lab, Order { grants: &[grant], ..Order::default() }).await.ok();
        assert!(said == "ok\n" || said.starts_with("invalid: "), "{interface}.{function}: {said}");
    }
}

async fn grants_are_given_by_name(bench: Bench) {
    let ran = bench.run(hello(), Order { grants: &["everything"], ..Order::default() }).await;
    let message = ran.fails(Code::Invalid);
    assert!(message.contains("no grant `everything`") && message.contains("observe, probe"), "{message}");
}

async fn an_endless_loop_lets_others_work(bench: Bench) {
    let lab = bench.compile(text_lab("", "", "(loop $again (br $again))")).unwrap();
    // On the only thread of a runtime.
    let ran = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let others = async {
                let mut longest = Duration::ZERO;
                loop {
                    let begin = Instant::now();
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    longest = longest.max(begin.elapsed());
                    assert!(longest < Duration::from_millis(500), "a task waited for {longest:?}");
                }
            };
            tokio::select! {
                ran = bench.run_lab(&lab, Order { limits: &[("call-seconds", 1)], ..Order::default() }) => ran,
                () = others => unreachable!("it has no end"),
            }
        })
    });
    let message = ran.await.unwrap().fails(Code::Timeout);
    assert!(
        message.contains("limit of 1 seconds for one call") && message.contains("--limit call-seconds="),
        "{message}"
    );
}

async fn an_endless_loop_can_be_cancelled(bench: Bench) {
    let lab = bench.compile(text_lab("", "", "(loop $again (br $again))")).unwrap();
    let ran = tokio::time::timeout(Duration::from_millis(100), bench.run_lab(&lab, Order::default())).await;
    assert!(ran.is_err(), "{ran:?}");
}

async fn a_command_ends_with_the_run_that_waits_for_it(bench: Bench) {
    let imports = r#"
        (import "knetsim:lab/exec@0.1.0" "open" (func $open (param i32 i32 i32)))
        (import "knetsim:lab/exec@0.1.0" "[method]place.run"
            (func $run (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#;
    // `sleep 4321` in the base, with no environment, input or time.
    let body = "
        (call $open (i32.const 0) (i32.const 4) (i32.const 1024))
        (i32.store (i32.const 16) (i32.const 4)) (i32.store (i32.const 20) (i32.const 5))
        (i32.store (i32.const 24) (i32.const 9)) (i32.store (i32.const 28) (i32.const 4))
        (call $run (i32.load (i32.const 1028)) (i32.const 16) (i32.const 2) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1040))
        (call $say (i32.const 1040) (i32.const 4))";
    let lab = bench.compile(text_lab(imports, "basesleep4321", body)).unwrap();
    let running = async || {
        let processes = bench.emulator.processes(&knetsim_model::Target::Base).await.unwrap();
        processes.iter().any(|process| process.command == ["sleep", "4321"])
    };
    let until = async |wanted: bool| {
        let begin = Instant::now();
        while running().await != wanted {
            assert!(begin.elapsed() < Duration::from_secs(10), "running is not {wanted}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let run = tokio::spawn({
        let bench = bench.clone();
        async move { bench.run_lab(&lab, Order { grants: &["exec"], ..Order::default() }).await }
    });
    until(true).await;
    assert!(!run.is_finished());
    run.abort();
    until(false).await;
}

async fn memory_is_limited(bench: Bench) {
    let grow = "(loop $again (br_if $again (i32.ge_s (memory.grow (i32.const 16)) (i32.const 0))))";
    let ran = bench.run(text_lab("", "", grow), Order { limits: &[("memory-mib", 8)], ..Order::default() }).await;
    let message = ran.fails(Code::Limit);
    assert!(message.contains("limit of 8 MiB of memory"), "{message}");
    // What a memory begins with counts too.
    let ran = bench.run(hello(), Order { limits: &[("memory-mib", 0)], ..Order::default() }).await;
    ran.fails(Code::Limit);
}

async fn tables_are_limited(bench: Bench) {
    let lab = r#"(module (table $t 1 funcref)
        (func (export "wasi:cli/run@0.2.12#run") (result i32)
            (drop (table.grow $t (ref.null func) (i32.const 0x1000000))) (i32.const 0)))"#;
    bench.run(lab, Order { limits: &[("memory-mib", 8)], ..Order::default() }).await.fails(Code::Limit);
}

/// Writes a million times a KiB.
fn flood(stream: u32) -> String {
    let lab = text_lab(
        "",
        "",
        "(local $i i32)
         (memory.fill (i32.const 65536) (i32.const 120) (i32.const 1024))
         (loop $again
            (call $print (i32.const 65536) (i32.const 1024))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $i) (i32.const 1048576))))",
    );
    lab.replace("(call $fd_write (i32.const 1)", &format!("(call $fd_write (i32.const {stream})"))
}

async fn a_flood_ends_at_the_limit(bench: Bench) {
    let ran = bench.run(flood(1), Order { limits: &[("output-kib", 300)], ..Order::default() }).await;
    assert_eq!(ran.stdout.len(), 300 << 10);
    let message = ran.fails(Code::Limit);
    assert!(message.contains("limit of 300 KiB of output"), "{message}");
}

async fn a_flood_of_messages_ends_too(bench: Bench) {
    let ran = bench.run(flood(2), Order { limits: &[("output-kib", 10)], ..Order::default() }).await;
    assert_eq!((ran.stdout.len(), ran.stderr.len()), (0, 10 << 10));
    ran.fails(Code::Limit);
}

const SCRATCH_NAME: &str =
    r#"(import "knetsim:lab/workers@0.1.0" "[method]scratch-node.name" (func $name (param i32 i32)))"#;

async fn forged_handles_trap(bench: Bench) {
    for handle in [0, 1, 12345, -1] {
        let lab = text_lab(SCRATCH_NAME, "", &format!("(call $name (i32.const {handle}) (i32.const 1024))"));
        let message = bench.run(lab, Order { grants: &["workers"], ..Order::default() }).await.fails(Code::Failed);
        assert!(message.contains("handle"), "{message}");
    }
}

async fn handles_of_another_kind_trap(bench: Bench) {
    let imports =
        format!(r#"(import "knetsim:lab/observe@0.1.0" "open" (func $open (param i32 i32 i32))) {SCRATCH_NAME}"#);
    let body = "(call $open (i32.const 0) (i32.const 4) (i32.const 1024))
        (call $say (i32.const 1024) (i32.const 4))
        (call $name (i32.load (i32.const 1028)) (i32.const 1024))";
    let ran = bench.run(text_lab(&imports, "base", body), Order { grants: &["observe"], ..Order::default() }).await;
    assert_eq!(ran.stdout, "ok\n");
    let message = ran.fails(Code::Failed);
    assert!(message.contains("handle"), "{message}");
}

async fn handles_are_limited(bench: Bench) {
    let imports = r#"(import "knetsim:lab/observe@0.1.0" "open" (func $open (param i32 i32 i32)))"#;
    let body = "(loop $again
            (call $open (i32.const 0) (i32.const 4) (i32.const 1024))
            (br_if $again (i32.eqz (i32.load8_u (i32.const 1024)))))
        (call $say (i32.const 1024) (i32.const 4))";
    let ran = bench.run(text_lab(imports, "base", body), Order { grants: &["observe"], ..Order::default() }).await;
    let said = ran.ok();
    assert!(said.starts_with("limit: a lab can hold 10000 handles"), "{said}");
}

async fn arguments_are_limited(bench: Bench) {
    let imports = r#"(import "knetsim:lab/observe@0.1.0" "open" (func $open (param i32 i32 i32)))"#;
    let body = "(drop (memory.grow (i32.const 300)))
        (call $open (i32.const 0) (i32.const 0x1100000) (i32.const 1024))";
    let ran = bench.run(text_lab(imports, "base", body), Order { grants: &["observe"], ..Order::default() }).await;
    ran.fails(Code::Failed);
}

async fn what_is_lacking_is_named(bench: Bench) {
    let lacks = |lab: &str| match bench.compile(lab) {
        Err(LabError::Lacks { lacks }) => lacks,
        other => panic!("{:?}", other.map(|_| ()).map_err(|error| error.to_string())),
    };
    // An interface of a later knetsim, a function of a later knetsim, and what no lab is given.
    let said = lacks(r#"(component (import "knetsim:lab/meshes@0.1.0" (instance (export "open" (func)))))"#);
    assert!(said.contains("knetsim:lab/meshes@0.1.0"), "{said}");
    let said = lacks(r#"(component (import "knetsim:lab/observe@0.1.0" (instance (export "read-minds" (func)))))"#);
    assert!(said.contains("knetsim:lab/observe@0.1.0") && said.contains("read-minds"), "{said}");
    let said = lacks(r#"(component (import "wasi:http/outgoing-handler@0.2.0" (instance (export "handle" (func)))))"#);
    assert!(said.contains("wasi:http/outgoing-handler"), "{said}");
    // A module without types of its own can import only what is known.
    let module = r#"(module (import "knetsim:lab/meshes@0.1.0" "open" (func)) (func (export "_start")))"#;
    match bench.compile(module) {
        Err(LabError::NotALab(said)) => assert!(said.contains("knetsim:lab/meshes@0.1.0"), "{said}"),
        other => panic!("{:?}", other.map(|_| ())),
    }
}

async fn garbage_is_refused(bench: Bench) {
    for garbage in
        [&b""[..], b"\0asm", b"\0asm\x01\0\0", b"\0asm\x09\0\0\0", b"MZ\x90", b"#!/bin/sh\n", b"(", b"(module (func"]
    {
        match bench.compile(garbage) {
            Err(LabError::NotALab(_)) => {}
            other => panic!("{garbage:?}: {:?}", other.map(|_| ()).map_err(|error| error.to_string())),
        }
    }
}

async fn what_is_no_script_is_refused(bench: Bench) {
    let message = bench.run("(component)", Order::default()).await.fails(Code::Invalid);
    assert!(message.contains("wasi:cli/run"), "{message}");
}

async fn limits_can_be_set_by_hand(bench: Bench) {
    for (name, value, words) in
        [("elephants", 1, "there is no limit `elephants`"), ("memory-mib", 1 << 40, "0 to 4096")]
    {
        let ran = bench.run(hello(), Order { limits: &[(name, value)], ..Order::default() }).await;
        let message = ran.fails(Code::Invalid);
        assert!(message.contains(words), "{message}");
    }
}

async fn nodes_are_counted(bench: Bench) {
    let imports = r#"
        (import "knetsim:lab/workers@0.1.0" "create-scratch" (func $create (param i32 i32 i32)))
        (import "knetsim:lab/workers@0.1.0" "[method]scratch-node.delete" (func $delete (param i32 i32)))"#;
    // One, then another that is one too many, then another in the place of the first.
    let body = "(call $create (i32.const 0) (i32.const 4) (i32.const 1024)) (call $say (i32.const 1024) (i32.const 4))
        (call $create (i32.const 4) (i32.const 4) (i32.const 1048)) (call $say (i32.const 1048) (i32.const 4))
        (call $delete (i32.load (i32.const 1028)) (i32.const 1072)) (call $say (i32.const 1072) (i32.const 4))
        (call $create (i32.const 4) (i32.const 4) (i32.const 1048)) (call $say (i32.const 1048) (i32.const 4))
        (call $delete (i32.load (i32.const 1052)) (i32.const 1072)) (call $say (i32.const 1072) (i32.const 4))";
    let order = Order { grants: &["workers"], limits: &[("workers", 1)], ..Order::default() };
    let said = bench.run(text_lab(imports, "box1box2", body), order).await.ok();
    let lines: Vec<_> = said.lines().collect();
    assert!(lines[1].starts_with("limit: the limit of 1 workers and scratch nodes is reached"), "{said}");
    assert_eq!([lines[0], lines[2], lines[3], lines[4]], ["ok"; 4], "{said}");
    assert!(bench.emulator.inventory().nodes.is_empty());
}

async fn compiled_code_runs(bench: Bench) {
    let lab = hello();
    let compiled = bench.compile(&lab).unwrap().compiled().unwrap();
    // SAFETY: the engine has just made it.
    #[allow(unsafe_code)]
    let loaded = unsafe { bench.host.load(lab.as_bytes(), &compiled) }.unwrap();
    assert_eq!(bench.run_lab(&loaded, Order::default()).await.ok(), "hello\n");
    let key = cache_key(lab.as_bytes()).unwrap();
    assert_eq!((key.len(), &key), (64, &cache_key(lab.as_bytes()).unwrap()));
    assert_ne!(key, cache_key(b"another").unwrap());
}
