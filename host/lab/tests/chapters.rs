//! Chapters that are good and hostile, taught in a real sandbox.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[macro_use]
mod common;

use std::path::Path;
use std::process::ExitCode;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use common::*;
use knetsim_lab::{Chapter, package};
use knetsim_model::chapter::Verdict;
use knetsim_model::protocol::LoadChapter;
use knetsim_model::{Code, Failure, Operation, Owner, Target};

// Built before there is a sandbox: inside there are no compilers.
static LESSON: LazyLock<Vec<u8>> = LazyLock::new(|| built("tests/lesson"));
static HOSTILE: LazyLock<Vec<u8>> = LazyLock::new(|| built("tests/hostile"));

fn main() -> ExitCode {
    LazyLock::force(&LESSON);
    LazyLock::force(&HOSTILE);
    run(cases![
        a_lesson_is_taught_from_its_outline_to_its_end,
        a_check_changes_nothing,
        a_check_sends_from_a_place_of_its_own,
        an_endless_check_ends_and_can_be_cancelled,
        limits_hold_over_all_calls,
        a_panic_is_told_in_its_words,
        what_is_remembered_has_its_limit,
        answers_are_looked_at_before_the_chapter_sees_them,
        an_outline_sees_nothing,
        an_endless_outline_ends,
        a_giant_outline_is_refused,
        what_is_no_chapter_is_refused,
    ])
}

fn built(dir: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let built = package::build(&root.join(dir), None).unwrap_or_else(|error| panic!("{error}"));
    std::fs::read(built.path).unwrap()
}

/// A chapter with all that it asks for, one second for a call.
async fn load(bench: &Bench, bytes: &[u8], state: &[u8]) -> Chapter {
    let lab = bench.compile(bytes).unwrap();
    let grants = lab.manifest().grants.keys().map(ToString::to_string).collect();
    let limits = [("call-seconds".to_owned(), 5)].into();
    let order = LoadChapter { grants, limits, state: state.to_vec(), cached: false };
    lab.chapter(&bench.emulator, order).await.unwrap()
}

/// The hostile chapter in an empty sandbox, set up.
async fn hostile(bench: &Bench) -> Chapter {
    let chapter = load(bench, &HOSTILE, &[]).await;
    chapter.setup().await.unwrap();
    chapter
}

async fn clean(bench: &Bench) {
    let there = bench.emulator.inventory();
    for cluster in there.clusters {
        let operation = Operation::DeleteCluster { cluster: cluster.name, force: true };
        bench.emulator.submit(operation, Owner::User).await.unwrap();
    }
    for node in bench.emulator.inventory().nodes {
        bench.emulator.submit(Operation::DeleteScratch { node: node.name }, Owner::User).await.unwrap();
    }
}

fn missing(verdict: Result<Verdict, Failure>) -> String {
    match verdict {
        Ok(Verdict::Missing(what)) => what.join("; "),
        other => panic!("{other:?}"),
    }
}

fn refused<T: std::fmt::Debug>(result: Result<T, Failure>, code: Code) -> String {
    let failure = result.unwrap_err();
    assert_eq!(failure.code, code, "{failure}");
    failure.message
}

async fn a_lesson_is_taught_from_its_outline_to_its_end(bench: Bench) {
    let lesson = load(&bench, &LESSON, &[]).await;
    let names: Vec<_> = lesson.outline().tasks().map(|task| task.name.as_str()).collect();
    assert_eq!(names, ["make", "loopback", "inode"]);
    assert!(bench.emulator.inventory().nodes.is_empty(), "an outline makes nothing");

    lesson.setup().await.unwrap();
    assert_eq!(missing(lesson.check("make", None).await), "box has no namespace `mine` yet");
    assert!(missing(lesson.check("loopback", None).await).contains("there is no network namespace mine on box"));
    assert_eq!(lesson.solve("make").await, Ok(None));
    assert_eq!(lesson.check("make", None).await, Ok(Verdict::Passed));
    let kept = lesson.state();
    assert!(!kept.is_empty());

    let number = lesson.solve("inode").await.unwrap().unwrap();
    assert_eq!(lesson.check("inode", Some(&format!(" {number}"))).await, Ok(Verdict::Passed));
    assert_eq!(missing(lesson.check("inode", Some("1")).await), "`1` is not it");
    assert_eq!(load(&bench, &LESSON, &kept).await.state(), kept);
    clean(&bench).await;
}

async fn a_check_changes_nothing(bench: Bench) {
    let chapter = hostile(&bench).await;
    let worker = |bench: &Bench| bench.emulator.inventory().nodes.into_iter().find(|node| node.name.as_str() == "C0w1");
    assert!(!worker(&bench).unwrap().repair, "nobody mends what a learner breaks");
    let before = (bench.emulator.inventory(), chapter.state());
    assert_eq!(chapter.check("changes", None).await, Ok(Verdict::Passed));
    assert_eq!((bench.emulator.inventory(), chapter.state()), before);
    // What `setup` made in its instance counts in that of `solve`.
    let full = refused(chapter.solve("one-too-many").await, Code::Limit);
    assert!(full.contains("2 workers and scratch nodes"), "{full}");
    assert_eq!(missing(chapter.check("says-escape", None).await), "a\\u{1b}[2Jb");
    assert!(missing(chapter.check("looks-for-none", None).await).contains("no network namespace none on box"));
    clean(&bench).await;
}

async fn a_check_sends_from_a_place_of_its_own(bench: Bench) {
    let chapter = hostile(&bench).await;
    assert!(refused(chapter.check("probes", None).await, Code::Invalid).contains("box is not"));
    assert!(missing(chapter.check("probes-beside", None).await).contains("C0w1.c1"));
    assert!(refused(chapter.check("probes-everywhere", None).await, Code::Unavailable).contains("cni0"));
    let submit = async |operation| bench.emulator.submit(operation, Owner::User).await.unwrap();
    submit(Operation::CreateWorker { worker: "C0w2".parse().unwrap() }).await;
    for container in ["C0w1.c1", "C0w1.c2", "C0w2.c3"] {
        let container = container.parse().unwrap();
        submit(Operation::CreateContainer { container, labels: [].into(), command: Vec::new() }).await;
    }
    let worker: Target = "C0w1".parse().unwrap();
    let links = async || {
        let links = bench.emulator.links(&worker).await.unwrap();
        links.into_iter().map(|link| (link.index, link.name, link.mac, link.mtu, link.carrier)).collect::<Vec<_>>()
    };
    let before = links().await;
    assert_eq!(chapter.check("probes-beside", None).await, Ok(Verdict::Passed));
    assert!(refused(chapter.check("probes-everywhere", None).await, Code::Limit).contains("16 places"));
    let cancelled = tokio::time::timeout(Duration::from_millis(300), chapter.check("probes-endlessly", None)).await;
    assert!(cancelled.is_err());
    // What is gone is gone before a check returns; and nobody is told to check again, for nothing is announced.
    assert_eq!(links().await, before);
    let mut changes = bench.emulator.changes();
    submit(Operation::SetLink { interface: "C0w1:lo".parse().unwrap(), up: false }).await;
    let told = loop {
        let told: Vec<_> = bench.emulator.history().0.into_iter().filter(|entry| entry.place == "C0w1").collect();
        if told.iter().any(|entry| entry.change.detail.starts_with("lo ") && entry.change.verb == "changed") {
            break told;
        }
        changes.changed().await.unwrap();
    };
    assert!(!told.iter().any(|entry| entry.change.detail.contains("probe")), "{told:?}");

    // In a subnet of two addresses one is the bridge's and one the container's.
    for container in ["C0w1.c1", "C0w1.c2", "C0w2.c3"] {
        submit(Operation::DeleteContainer { container: container.parse().unwrap() }).await;
    }
    let small = r#"{ "Network": "11.0.0.0/8", "SubnetLen": 30, "Backend": { "Type": "vxlan", "VNI": 7 } }"#;
    let config = serde_json::from_str(small).unwrap();
    submit(Operation::SetFlannel { cluster: "C0".parse().unwrap(), config }).await;
    let container = "C0w1.c1".parse().unwrap();
    submit(Operation::CreateContainer { container, labels: [].into(), command: Vec::new() }).await;
    let full = refused(chapter.check("probes-everywhere", None).await, Code::Limit);
    assert!(full.contains("no address is free"), "{full}");
    clean(&bench).await;
}

async fn an_endless_check_ends_and_can_be_cancelled(bench: Bench) {
    let chapter = load(&bench, &HOSTILE, &[]).await;
    let cancelled = tokio::time::timeout(Duration::from_millis(300), chapter.check("endless", None)).await;
    assert!(cancelled.is_err());
    let began = Instant::now();
    let words = refused(chapter.check("endless", None).await, Code::Timeout);
    assert!(words.contains("`hostile`: check of `endless`: it took longer than 5s"), "{words}");
    assert!(began.elapsed() < Duration::from_secs(15));
}

async fn limits_hold_over_all_calls(bench: Bench) {
    let limited = async |limits: &[(&str, u64)]| {
        let lab = bench.compile(&*HOSTILE).unwrap();
        let grants = lab.manifest().grants.keys().map(ToString::to_string).collect();
        let limits = limits.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        lab.chapter(&bench.emulator, LoadChapter { grants, limits, ..LoadChapter::default() }).await.unwrap()
    };
    let chapter = limited(&[("total-seconds", 2)]).await;
    // Checks are made as long as a section is open: they use nothing up.
    let cancelled = tokio::time::timeout(Duration::from_millis(2200), chapter.check("endless", None)).await;
    assert!(cancelled.is_err());
    assert_eq!(chapter.solve("always-green").await, Ok(None));
    // Whose caller waits no longer counts, too.
    let cancelled = tokio::time::timeout(Duration::from_millis(1200), chapter.solve("endless")).await;
    assert!(cancelled.is_err());
    let began = Instant::now();
    let words = refused(chapter.solve("endless").await, Code::Timeout);
    assert!(words.contains("the limit of 2 seconds in all is reached"), "{words}");
    assert!(began.elapsed() < Duration::from_millis(1700), "{:?}", began.elapsed());
    let again = refused(chapter.solve("always-green").await, Code::Timeout);
    assert!(again.contains("seconds in all"), "{again}");
    assert_eq!(chapter.check("always-green", None).await, Ok(Verdict::Passed));
    let anew = limited(&[("total-seconds", 2)]).await;
    assert_eq!(anew.solve("always-green").await, Ok(None));

    let chapter = limited(&[("processes", 2)]).await;
    chapter.setup().await.unwrap();
    for _ in 0..2 {
        assert_eq!(chapter.solve("starts-one").await, Ok(None));
    }
    let words = refused(chapter.solve("starts-one").await, Code::Limit);
    assert!(words.contains("the limit of 2 processes at the same time is reached"), "{words}");
    clean(&bench).await;
}

async fn a_panic_is_told_in_its_words(bench: Bench) {
    let chapter = load(&bench, &HOSTILE, &[]).await;
    let words = refused(chapter.check("panics", None).await, Code::Failed);
    assert!(words.contains("these words") && words.contains("check of `panics`"), "{words}");
}

async fn what_is_remembered_has_its_limit(bench: Bench) {
    let chapter = hostile(&bench).await;
    assert!(refused(chapter.check("remembers", None).await, Code::Denied).contains("not while a check runs"));
    assert!(refused(chapter.solve("remembers").await, Code::Limit).contains("65536 bytes"));
    assert_eq!(missing(chapter.check("recalls", None).await), "since setup");
    let lab = bench.compile(&*HOSTILE).unwrap();
    let order = LoadChapter { state: vec![0; (64 << 10) + 1], ..LoadChapter::default() };
    let failure = lab.chapter(&bench.emulator, order).await.err().unwrap();
    assert_eq!(failure.code, Code::Limit);
    clean(&bench).await;
}

async fn answers_are_looked_at_before_the_chapter_sees_them(bench: Bench) {
    let chapter = load(&bench, &HOSTILE, &[]).await;
    assert_eq!(chapter.check("number", Some(" 0100\n")).await, Ok(Verdict::Passed));
    assert!(refused(chapter.check("number", Some("a lot")).await, Code::Invalid).contains("no whole number"));
    assert!(refused(chapter.check("number", None).await, Code::Invalid).contains("an answer is needed"));
    assert!(refused(chapter.check("panics", Some("1")).await, Code::Invalid).contains("no question"));
    assert!(refused(chapter.check("nothing", None).await, Code::NotFound).contains("there are: changes, endless"));
}

/// A chapter as text: its outline is made by `body`, which leaves the record's address.
fn outline(pages: u32, body: &str) -> String {
    format!(
        r#"(module
  (import "knetsim:lab/observe@0.1.0" "clusters" (func $clusters (param i32)))
  (memory (export "memory") {pages})
  (data (i32.const 512) "t")
  (global $free (mut i32) (i32.const 4096))
  (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    (global.set $free (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
    (global.get $free)
    (global.set $free (i32.add (global.get $free) (local.get $size))))
  (func (export "knetsim:lab/lesson@0.1.0#outline") (result i32)
    (i32.store (i32.const 8) (i32.const 1))
    {body}
    (i32.const 0))
  (func (export "knetsim:lab/lesson@0.1.0#setup") (result i32) unreachable)
  (func (export "knetsim:lab/lesson@0.1.0#check") (param i32 i32 i32 i32 i32) (result i32) unreachable)
  (func (export "knetsim:lab/lesson@0.1.0#solve") (param i32 i32) (result i32) unreachable))"#
    )
}

async fn an_outline_sees_nothing(bench: Bench) {
    // The title is the message of the error that the call gave.
    let looks = "(call $clusters (i32.const 256))
        (i32.store (i32.const 0) (i32.load (i32.const 268)))
        (i32.store (i32.const 4) (i32.load (i32.const 272)))";
    let title = bench.compile(outline(1, looks)).unwrap().outline().await.unwrap().title;
    assert_eq!(title, "`observe`: not while the outline is asked for: there may be no sandbox");
}

async fn an_endless_outline_ends(bench: Bench) {
    let lab = bench.compile(outline(1, "(loop br 0)")).unwrap();
    assert!(refused(lab.outline().await, Code::Timeout).contains("outline: it took longer than 5s"));
}

async fn a_giant_outline_is_refused(bench: Bench) {
    let list = |length: u32| {
        format!(
            "(i32.store (i32.const 0) (i32.const 512)) (i32.store (i32.const 4) (i32.const 1))
            (i32.store (i32.const 12) (i32.const 65536)) (i32.store (i32.const 16) (i32.const {length}))"
        )
    };
    let of = async |pages, length| bench.compile(outline(pages, &list(length))).unwrap().outline().await;
    assert!(refused(of(2, 201).await, Code::Invalid).contains("prerequisites: 201 are too many"));
    assert!(refused(of(2, 1).await, Code::Invalid).contains("a prerequisite"));
    // Lists that take the host more than they take the lab.
    refused(of(3000, 20_000_000).await, Code::Failed);
    refused(of(2, u32::MAX).await, Code::Failed);
    refused(of(5000, 1).await, Code::Limit);
}

async fn what_is_no_chapter_is_refused(bench: Bench) {
    let script = text_lab("", "", "");
    let words = refused(bench.compile(script).unwrap().outline().await, Code::Invalid);
    assert!(words.contains("it is no chapter") && words.contains("lesson"), "{words}");
    let chapter = bench.run(&*LESSON, Order::default()).await;
    assert!(chapter.fails(Code::Invalid).contains("is no script"));
}
