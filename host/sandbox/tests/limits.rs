//! What takes all that it can get is held or ended, while the supervisor goes on answering.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use common::*;
use knetsim_kernel::files;
use knetsim_sandbox::{Exit, Happened, Limits, NodeSpec, Options, Profile, Sandbox, Stdio};
use rustix::pipe::{PipeFlags, pipe_with};

fn main() -> ExitCode {
    run(&[
        ("a_fork_bomb_leaves_room_for_daemons", a_fork_bomb_leaves_room_for_daemons),
        ("a_memory_hog_is_ended", a_memory_hog_is_ended),
        ("what_is_shared_counts_once", what_is_shared_counts_once),
        ("many_small_hogs_are_ended", many_small_hogs_are_ended),
        ("a_full_disk_is_held", a_full_disk_is_held),
        ("a_flood_of_output_goes_nowhere", a_flood_of_output_goes_nowhere),
    ])
}

/// The longest that the supervisor and the node side's init take to answer.
const PROMPT: Duration = Duration::from_millis(100);

/// Asks again and again for that long; nearly every answer must come in time, whatever else this machine does.
async fn answers_promptly(sandbox: &Sandbox, during: Duration) {
    let until = Instant::now() + during;
    let mut times = Vec::new();
    while Instant::now() < until {
        let begin = Instant::now();
        tokio::task::yield_now().await;
        drop(sandbox.create_netns().await.unwrap());
        times.push(begin.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    times.sort();
    let (median, most, late) = (times[times.len() / 2], times[times.len() * 95 / 100], times[times.len() - 1]);
    println!("{} answers, median {median:?}, 95 % within {most:?}, the last {late:?}", times.len());
    assert!(most < PROMPT, "median {median:?}, 95 % within {most:?}, the last {late:?}");
}

fn a_fork_bomb_leaves_room_for_daemons() {
    let limits = Limits { processes: 1000, ..Limits::default() };
    in_sandbox(&Options { limits, ..options() }, |sandbox| async move {
        sandbox.create_node(spec("C0w1")).await.unwrap();
        for profile in [Profile::Plain, Profile::Node] {
            let netns = sandbox.create_netns().await.unwrap();
            let mut bomb = spawn(profile, Some("C0w1"), &["bash", "-c", "b() { b | b & b; }; b"]);
            bomb.netns = Some(netns.clone());
            sandbox.spawn(bomb).await.unwrap();
            let list = || knetsim_kernel::processes::list(knetsim_kernel::processes::Within::All, 1).unwrap().len();
            while list() < 700 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            answers_promptly(&sandbox, Duration::from_secs(1)).await;
            assert!(list() <= 760, "{}", list());
            // A daemon finds room, with its own children; a command can still be started to look at it all.
            let daemon = spawn(
                Profile::Daemon,
                Some("C0w1"),
                &["bash", "-c", "for i in $(seq 100); do sleep 0.01; done; exit 9"],
            );
            assert_eq!(sandbox.spawn(daemon).await.unwrap().wait().await, Exit::Code(9));
            assert_eq!(sandbox.spawn(spawn(profile, None, &["true"])).await.unwrap().wait().await, Exit::Code(0));
            sandbox.kill_in(&netns).await.unwrap();
        }
    });
}

/// A program that takes that many MiB, says so, and keeps them.
fn hog(mebibytes: u32) -> [String; 3] {
    let script =
        format!("x = bytearray({mebibytes} << 20); x[::4096] = b'x' * len(x[::4096]); import time; time.sleep(1000)");
    ["python3".into(), "-c".into(), script]
}

fn a_memory_hog_is_ended() {
    let limits = Limits { memory: 300 << 20, address_space: 500 << 20, ..Limits::default() };
    in_sandbox(&Options { limits, ..options() }, |sandbox| async move {
        let mut events = sandbox.events();
        let start = async |profile, mebibytes| {
            let argv = hog(mebibytes);
            sandbox.spawn(spawn(profile, None, &argv.each_ref().map(String::as_str))).await.unwrap()
        };
        // More than one process may: it can't have it.
        assert_eq!(start(Profile::Plain, 600).await.wait().await, Exit::Code(1));
        let daemon = start(Profile::Daemon, 150).await;
        let small = start(Profile::Node, 20).await;
        let big = start(Profile::Node, 200).await;
        assert_eq!(big.wait().await, Exit::Signal(9));
        let Happened::OverMemory(over) = events.recv().await.unwrap() else { panic!() };
        let message = over.to_string();
        assert!(message.contains(&format!("process {} (python3) was ended", big.pid)), "{message}");
        assert!(message.starts_with("`python3 -c") && message.contains("the 300 MiB that"), "{message}");
        assert_eq!(big.over_memory_until_now(), [over]);
        answers_promptly(&sandbox, Duration::from_millis(600)).await;
        for child in [daemon, small] {
            child.signal(15).await.unwrap();
            assert_eq!(child.wait().await, Exit::Signal(15), "it lived until now");
        }
    });
}

/// Memory that a process shares with its children is there once, however many they are.
fn what_is_shared_counts_once() {
    let limits = Limits { memory: 300 << 20, ..Limits::default() };
    in_sandbox(&Options { limits, ..options() }, |sandbox| async move {
        let script = "import os, sys, time
x = bytearray(int(sys.argv[3]) << 20)
x[::4096] = b'x' * len(x[::4096])
for _ in range(int(sys.argv[1])):
    if os.fork() == 0: time.sleep(1000)
if sys.argv[2] == 'write': x[::4096] = b'y' * len(x[::4096])
if sys.argv[2] == 'all':
    for _ in range(4):
        if os.fork() == 0:
            y = bytearray(40 << 20)
            y[::4096] = b'y' * len(y[::4096])
            time.sleep(1000)
    time.sleep(1000)
time.sleep(2)";
        let start = async |children: &str, then: &str, size: &str| {
            let command = ["python3", "-c", script, children, then, size];
            sandbox.spawn(spawn(Profile::Plain, None, &command)).await.unwrap()
        };
        // Eleven processes that have 100 MiB each, and 100 or 200 MiB together.
        for then in ["sleep", "write"] {
            let shared = start("10", then, "100").await;
            assert_eq!(shared.wait().await, Exit::Code(0), "{then}: {:?}", shared.over_memory_until_now());
            ok(&sandbox, None, "pkill -9 python3").await;
        }
        // Really more: six processes that share 200 MiB, and four of them have 40 MiB of their own.
        let greedy = start("1", "all", "200").await;
        let over = greedy.over_memory(0).await;
        // What is shared is not counted whole for each: that would be more than 200 MiB.
        assert!((30 << 20..=120 << 20).contains(&over[0].used), "{over:?}");
        ok(&sandbox, None, "pkill -9 python3 || true").await;
    });
}

fn many_small_hogs_are_ended() {
    let limits = Limits { memory: 300 << 20, ..Limits::default() };
    in_sandbox(&Options { limits, ..options() }, |sandbox| async move {
        let mut events = sandbox.events();
        let [_, _, script] = hog(40);
        let many = format!("for i in $(seq 20); do python3 -c \"{script}\" & done; wait");
        let many = sandbox.spawn(spawn(Profile::Plain, None, &["bash", "-c", &many])).await.unwrap();
        // What it started is its own.
        let over = many.over_memory(0).await;
        assert!(matches!(events.recv().await.unwrap(), Happened::OverMemory(first) if first == over[0]));
        answers_promptly(&sandbox, Duration::from_millis(600)).await;
        let used = || {
            knetsim_kernel::processes::list(knetsim_kernel::processes::Within::All, 1)
                .unwrap()
                .iter()
                .map(|process| process.memory)
                .sum::<u64>()
        };
        while used() > 450 << 20 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        many.signal(9).await.unwrap();
    });
}

fn a_full_disk_is_held() {
    let limits = Limits { disk: 64 << 20, ..Limits::default() };
    in_sandbox(&Options { limits, ..options() }, |sandbox| async move {
        let node = sandbox.create_node(spec("C0w1")).await.unwrap();
        sandbox.create_node(NodeSpec { name: common::node("C0e1"), etcd: true }).await.unwrap();
        for place in ["/tmp", "/var", "/run", "/root", "/dev/shm", "/dev", "/etc/cni"] {
            let script = format!("cat /dev/zero >{place}/fill");
            let (exit, text) = shell(&sandbox, Profile::Plain, Some("C0w1"), &script).await;
            assert!(exit == Exit::Code(1) && text.contains("No space left on device"), "{place}: {exit:?} {text}");
        }
        let (_, text) =
            shell(&sandbox, Profile::Node, Some("C0w1"), "while : >/tmp/knetsim/$((i++)); do :; done").await;
        assert!(text.contains("No space left on device"), "{text}");
        // etcd's data have a place of their own, and the supervisor an error.
        ok(&sandbox, Some("C0e1"), "head -c 10M /dev/zero >/var/lib/etcd/data").await;
        assert_eq!(files::write(&node.files, "var/lib/x", "x").unwrap_err().kind(), std::io::ErrorKind::StorageFull);
        let error = sandbox.create_node(spec("C0w2")).await.unwrap_err().to_string();
        assert!(error.contains("No space left on device"), "{error}");
        answers_promptly(&sandbox, Duration::from_millis(300)).await;
        ok(
            &sandbox,
            Some("C0w1"),
            "rm -f /tmp/fill /var/fill /run/fill; find /tmp/knetsim -maxdepth 1 -type f -delete",
        )
        .await;
        sandbox.create_node(spec("C0w2")).await.unwrap();
    });
}

fn a_flood_of_output_goes_nowhere() {
    let limits = Limits { disk: 64 << 20, ..Limits::default() };
    in_sandbox(&Options { limits, ..options() }, |sandbox| async move {
        let mut flood = spawn(Profile::Plain, None, &["yes"]);
        flood.stdio = Stdio::Log(files::append(sandbox.files(), "log").unwrap().into_std().into());
        assert_eq!(sandbox.spawn(flood).await.unwrap().wait().await, Exit::Code(1));
        // Nobody reads.
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let mut flood = spawn(Profile::Plain, None, &["yes"]);
        flood.stdio = Stdio::Fds([std::fs::File::open("/dev/null").unwrap().into(), write.try_clone().unwrap(), write]);
        let flood = sandbox.spawn(flood).await.unwrap();
        let mut terminal = spawn(Profile::Node, None, &["yes"]);
        terminal.stdio = Stdio::Pty(24, 80);
        let terminal = sandbox.spawn(terminal).await.unwrap();
        answers_promptly(&sandbox, Duration::from_millis(500)).await;
        drop(read);
        assert_eq!(flood.wait().await, Exit::Signal(13));
        terminal.signal(9).await.unwrap();
        assert_eq!(terminal.wait().await, Exit::Signal(9));
    });
}
