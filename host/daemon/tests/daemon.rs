//! Daemons are started, watched over, started again, and stopped with all that they started.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../../sandbox/tests/common/mod.rs"]
mod common;

use std::cell::Cell;
use std::process::ExitCode;
use std::time::Duration;

use common::*;
use knetsim_daemon::{Daemon, DaemonError, DaemonSpec, Restart, log_path};
use knetsim_kernel::files;
use knetsim_model::Event;
use knetsim_sandbox::{Node, NodeSpec, Sandbox};
use tokio::sync::broadcast;
use tokio::time::{Instant, sleep, timeout};

fn main() -> ExitCode {
    run(&[
        ("it_gets_ready_and_stops", it_gets_ready_and_stops),
        ("what_it_started_ends_with_it", what_it_started_ends_with_it),
        ("what_does_not_stop_is_killed", what_does_not_stop_is_killed),
        ("what_is_killed_is_started_again", what_is_killed_is_started_again),
        ("what_ends_at_once_is_started_ever_more_rarely", what_ends_at_once_is_started_ever_more_rarely),
        ("what_was_dropped_is_not_started_again", what_was_dropped_is_not_started_again),
        ("what_is_not_ready_says_why", what_is_not_ready_says_why),
        ("a_flood_of_lines_is_rotated_away", a_flood_of_lines_is_rotated_away),
        ("real_etcd_answers", real_etcd_answers),
    ])
}

const SOON: Duration = Duration::from_secs(5);

fn script(name: &str, script: &str, restart: Restart) -> DaemonSpec {
    let argv = ["bash", "-c", script].map(str::to_owned).into();
    DaemonSpec { name: name.into(), node: node("C0e1"), argv, env: [].into(), restart }
}

/// A sandbox with one node.
fn on_a_node<F: Future<Output = ()>>(work: impl FnOnce(Sandbox, Node, broadcast::Sender<Event>) -> F) {
    in_sandbox(&options(), |sandbox| async move {
        let node = sandbox.create_node(NodeSpec { name: node("C0e1"), etcd: true }).await.unwrap();
        work(sandbox.clone(), node, broadcast::Sender::new(16)).await;
    });
}

fn log(node: &Node, name: &str) -> String {
    String::from_utf8(files::read(&node.files, log_path(name), 10_000).unwrap()).unwrap()
}

fn it_gets_ready_and_stops() {
    on_a_node(|sandbox, node, events| async move {
        let mut seen = events.subscribe();
        let spec =
            script("d", "echo begun; trap 'echo ended; exit' TERM; touch /run/d; sleep 1000 & wait", Restart::Always);
        let daemon = Daemon::start(&sandbox, &node, spec, events).await.unwrap();
        let probe = || async { node.files.exists("run/d").then_some(()).ok_or_else(|| "no file yet".to_owned()) };
        daemon.ready(SOON, probe).await.unwrap();
        assert_eq!(ok(&sandbox, Some("C0e1"), "pgrep -o bash").await, daemon.pid().unwrap().to_string());
        daemon.signal(1).await.unwrap();
        let mut again = seen.recv().await.unwrap();
        assert!(
            matches!(&mut again, Event::DaemonEnded { how, .. } if how.starts_with("ended by signal 1;")),
            "{again:?}"
        );
        daemon.stop(SOON).await.unwrap();
        daemon.stop(SOON).await.unwrap();
        assert_eq!(daemon.pid(), None);
        assert!(log(&node, "d").starts_with("begun\n"), "{}", log(&node, "d"));
        assert!(seen.try_recv().is_err(), "what was asked for is no event");
    });
}

fn what_it_started_ends_with_it() {
    on_a_node(|sandbox, node, events| async move {
        let spec = script("d", "sleep 1001 & sleep 1002 & wait", Restart::Always);
        let daemon = Daemon::start(&sandbox, &node, spec, events).await.unwrap();
        poll_until(&sandbox, "pgrep -c sleep", "2").await;
        let old = daemon.pid().unwrap();
        ok(&sandbox, None, &format!("kill -9 {old}")).await;
        // Two again, and not four.
        poll_until(&sandbox, &format!("pgrep -P {old} sleep; pgrep -c sleep"), "2").await;
        daemon.stop(SOON).await.unwrap();
        poll_until(&sandbox, "pgrep -c sleep", "0").await;
    });
}

fn what_does_not_stop_is_killed() {
    on_a_node(|sandbox, node, events| async move {
        let spec = script("d", "trap '' TERM; touch /run/d; while :; do sleep 0.1; done", Restart::Always);
        let daemon = Daemon::start(&sandbox, &node, spec, events).await.unwrap();
        poll_until(&sandbox, "ls /tmp/knetsim/C0e1/run/d", "/tmp/knetsim/C0e1/run/d").await;
        let begin = Instant::now();
        timeout(SOON, daemon.stop(Duration::from_millis(100))).await.unwrap().unwrap();
        assert!(begin.elapsed() >= Duration::from_millis(100));
        assert_eq!(daemon.pid(), None);
    });
}

fn what_is_killed_is_started_again() {
    on_a_node(|sandbox, node, events| async move {
        let mut seen = events.subscribe();
        let once = script("once", "sleep 1000", Restart::Never);
        let once = Daemon::start(&sandbox, &node, once, events.clone()).await.unwrap();
        let always =
            Daemon::start(&sandbox, &node, script("always", "sleep 1000", Restart::Always), events).await.unwrap();
        let old = always.pid().unwrap();
        ok(&sandbox, None, &format!("kill -9 {} {old}", once.pid().unwrap())).await;
        let mut said = Vec::new();
        for _ in 0..2 {
            let Event::DaemonEnded { daemon, how, .. } = seen.recv().await.unwrap() else { panic!() };
            said.push(format!("{daemon}: {how}"));
        }
        said.sort();
        assert_eq!(
            said,
            ["always: ended by signal 9; it is started again in 100ms", "once: ended by signal 9; it stays down"]
        );
        while always.pid().is_none_or(|pid| pid == old) {
            sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(once.pid(), None);
        once.stop(SOON).await.unwrap();
        always.stop(SOON).await.unwrap();
    });
}

fn what_was_dropped_is_not_started_again() {
    on_a_node(|sandbox, node, events| async move {
        let mut seen = events.subscribe();
        let daemon = Daemon::start(&sandbox, &node, script("d", "sleep 1000", Restart::Always), events.clone());
        let daemon = daemon.await.unwrap();
        let pid = daemon.pid().unwrap();
        drop(daemon);
        // It runs on.
        ok(&sandbox, None, &format!("kill -0 {pid}")).await;
        // While it waits to be started again, too.
        let other = Daemon::start(&sandbox, &node, script("other", "exit 3", Restart::Always), events).await.unwrap();
        assert!(matches!(seen.recv().await.unwrap(), Event::DaemonEnded { .. }));
        drop(other);
        ok(&sandbox, None, &format!("kill -9 {pid}")).await;
        // Nobody who would say anything more is left.
        assert!(matches!(timeout(SOON, seen.recv()).await.unwrap(), Err(broadcast::error::RecvError::Closed)));
    });
}

fn what_ends_at_once_is_started_ever_more_rarely() {
    on_a_node(|sandbox, node, events| async move {
        let mut seen = events.subscribe();
        let begin = Instant::now();
        let daemon =
            Daemon::start(&sandbox, &node, script("d", "echo x; exit 3", Restart::Always), events).await.unwrap();
        for delay in ["100ms", "200ms", "400ms"] {
            let Event::DaemonEnded { how, .. } = seen.recv().await.unwrap() else { panic!() };
            assert_eq!(how, format!("exit status 3; it is started again in {delay}"));
        }
        assert!(begin.elapsed() >= Duration::from_millis(300));
        // Also while it waits.
        timeout(Duration::from_millis(300), daemon.stop(SOON)).await.unwrap().unwrap();
        assert_eq!(log(&node, "d"), "x\nx\nx\n");
    });
}

fn what_is_not_ready_says_why() {
    on_a_node(|sandbox, node, events| async move {
        let start =
            async |text: &str| Daemon::start(&sandbox, &node, script("d", text, Restart::Never), events.clone()).await;
        let never = || async { Err("connection refused".to_owned()) };
        let daemon = start("echo one; echo wrong option >&2; exit 2").await.unwrap();
        let error = daemon.ready(SOON, never).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "d on C0e1 ended (exit status 2) before it was ready; its last words: one wrong option"
        );
        let daemon = start("sleep 1000").await.unwrap();
        let tries = Cell::new(0);
        let counting = || {
            tries.set(tries.get() + 1);
            never()
        };
        let error = daemon.ready(Duration::from_millis(200), counting).await.unwrap_err();
        assert_eq!(error.to_string(), "d on C0e1 was not ready within 200ms: connection refused");
        assert!(tries.get() > 3);
        daemon.stop(SOON).await.unwrap();

        let none = DaemonSpec { argv: vec!["no-such-daemon".into()], ..script("d", "", Restart::Always) };
        let error = Daemon::start(&sandbox, &node, none, events.clone()).await.unwrap_err();
        assert!(matches!(&error, DaemonError::Start { source, .. } if source.errno() == Some(2)), "{error:?}");
        // Somebody planted a pipe in place of the log.
        ok(&sandbox, Some("C0e1"), "rm /var/log/d.log; mkfifo /var/log/d.log").await;
        assert!(matches!(timeout(SOON, start("true")).await.unwrap().unwrap_err(), DaemonError::Log { .. }));
    });
}

fn a_flood_of_lines_is_rotated_away() {
    on_a_node(|sandbox, node, events| async move {
        let mut seen = events.subscribe();
        let flood = script("d", "yes 0123456789abcde | head -c 120M; echo last", Restart::Never);
        let daemon = Daemon::start(&sandbox, &node, flood, events.clone()).await.unwrap();
        let ended = timeout(SOON * 6, seen.recv()).await.unwrap().unwrap();
        assert!(matches!(&ended, Event::DaemonEnded { how, .. } if how.starts_with("exit status 0;")), "{ended:?}");
        assert!(daemon.last_words().ends_with("0123456789abcde last"), "{}", daemon.last_words());
        let names = ["d.log", "d.log.1", "d.log.2", "d.log.3", "d.log.4"];
        assert_eq!(ok(&sandbox, Some("C0e1"), "cd /var/log; echo d.log*").await, names.join(" "));
        let size = |name: &str| node.files.metadata(format!("var/log/{name}")).unwrap().len();
        let sizes = names.map(size);
        assert!(
            sizes.iter().all(|size| *size <= 11 << 20) && sizes[1..].iter().all(|size| *size > 9 << 20),
            "{sizes:?}"
        );
        // Whatever lies there by now, the daemon doesn't wait for somebody to read it.
        ok(&sandbox, Some("C0e1"), "cd /var/log; rm d.log d.log.1; mkdir -p d.log.1/x; echo yes >d.log").await;
        let daemon =
            Daemon::start(&sandbox, &node, script("e", "sleep 0.1; yes | head -c 1M; exit 4", Restart::Never), events);
        let _daemon = daemon.await.unwrap();
        ok(&sandbox, Some("C0e1"), "cd /var/log; rm e.log; mkfifo e.log").await;
        let Event::DaemonEnded { how, .. } = timeout(SOON, seen.recv()).await.unwrap().unwrap() else { panic!() };
        assert!(how.starts_with("exit status 4"), "{how}");
    });
}

fn real_etcd_answers() {
    on_a_node(|sandbox, node, events| async move {
        let argv = ["etcd", "--data-dir", "/var/lib/etcd", "--heartbeat-interval=10", "--election-timeout=50"];
        let argv = argv.map(str::to_owned).into();
        let etcd =
            DaemonSpec { name: "etcd".into(), node: node.name.clone(), argv, env: [].into(), restart: Restart::Always };
        let daemon = Daemon::start(&sandbox, &node, etcd, events).await.unwrap();
        let probe = || async {
            match node.netns.connect("127.0.0.1:2379".parse().unwrap()).await {
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        };
        daemon.ready(SOON, probe).await.unwrap();
        ok(&sandbox, Some("C0e1"), "etcdctl put a b && etcdctl get a | grep -x b").await;
        daemon.stop(SOON).await.unwrap();
    });
}
