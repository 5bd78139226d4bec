//! Nothing outside a sandbox changes, and nothing outlives it, however it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use common::*;
use knetsim_kernel::namespaces::fork;
use knetsim_sandbox::{Profile, Sandbox, StateFolder, launch};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

fn main() -> ExitCode {
    run(&[
        ("the_host_stays_the_same", the_host_stays_the_same),
        ("two_with_the_same_addresses", two_with_the_same_addresses),
        ("killed_at_any_moment_it_leaves_nothing", killed_at_any_moment_it_leaves_nothing),
        ("the_end_is_quick", the_end_is_quick),
    ])
}

/// Everything of the host that a sandbox could touch.
fn host() -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    for command in [
        "ip -d address",
        "ip route show table all",
        "ip -6 route show table all",
        "ip rule",
        "ip neighbour",
        "ip netns",
        "bridge fdb",
        "nft list ruleset",
        "cat /proc/self/mountinfo",
        "find /sys/fs/cgroup -type d",
        "ls /run /var/run/netns /mnt /opt",
        "ls -d /tmp/*knetsim*",
        // Those that can be set, but for the one that says which process came last.
        "find /proc/sys -type f -perm /222 -not -name ns_last_pid -readable -exec grep -H . {} +",
    ] {
        let output = Command::new("sh").args(["-c", command]).output().unwrap();
        // Times that count down or up say nothing.
        let text = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<_> =
            text.lines().filter(|line| !line.contains("valid_lft") && !line.contains("expires")).collect();
        seen.insert(command.to_owned(), lines.join("\n"));
    }
    seen
}

fn same(before: &BTreeMap<String, String>, when: &str) {
    for (command, now) in host() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        let (old, new) = (lines(&before[&command]), lines(&now));
        let changed: Vec<_> = old.symmetric_difference(&new).collect();
        assert!(changed.is_empty(), "{when}: `{command}` changed: {changed:#?}");
    }
}

/// Nodes, wires, rules, settings and processes, as an emulator makes them.
async fn live(sandbox: &Sandbox) {
    for name in ["C0w1", "C0w2"] {
        sandbox.create_node(spec(name)).await.unwrap();
    }
    ok(
        sandbox,
        None,
        "one=$(pgrep -f '^knetsim: C0w1') two=$(pgrep -f '^knetsim: C0w2')
         ip link add br0 type bridge; ip link set br0 up
         for node in $one $two; do
             ip link add port$node type veth peer name eth0 netns $node; ip link set port$node master br0 up
             nsenter -t $node -n ip address add 10.0.0.$node/8 dev eth0; nsenter -t $node -n ip link set eth0 up
             nsenter -t $node -n sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0
             nsenter -t $node -n nft add table ip knetsim
         done
         nsenter -t $one -n ping -qc1 -W2 10.0.0.$two",
    )
    .await;
    ok(sandbox, Some("C0w1"), "ip netns add mine; mount -t tmpfs x /mnt; hostname other; sysctl -qw kernel.shmmax=1")
        .await;
    sandbox.spawn(spawn(Profile::Plain, Some("C0w2"), &["sleep", "1000"])).await.unwrap();
}

fn the_host_stays_the_same() {
    let before = host();
    let with_folder = before.clone();
    in_sandbox(&options(), |sandbox| async move {
        live(&sandbox).await;
    });
    same(&with_folder, "after");
    // The supervisor sees its own namespaces: it is this process that looks at the host meanwhile.
    let (wait, go) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let (up, is_up) = std::os::unix::net::UnixStream::pair().unwrap();
    let launched = launch(&options(), |seat| {
        supervise(seat, |sandbox| async move {
            live(&sandbox).await;
            rustix::io::write(&is_up, b"x").unwrap();
            tokio::task::spawn_blocking(move || rustix::io::read(&wait, &mut [0; 1]).unwrap()).await.unwrap();
        })
    })
    .unwrap();
    rustix::io::read(&up, &mut [0; 1]).unwrap();
    same(&before, "during");
    rustix::io::write(&go, b"x").unwrap();
    assert_eq!(launched.wait().unwrap(), 0);
    same(&before, "after");
}

fn two_with_the_same_addresses() {
    let both: Vec<_> = ["one", "two"]
        .into_iter()
        .map(|name| {
            launch(&knetsim_sandbox::Options { name: name.into(), ..options() }, |seat| {
                supervise(seat, |sandbox| async move { live(&sandbox).await })
            })
            .unwrap()
        })
        .collect();
    for launched in both {
        assert_eq!(launched.wait().unwrap(), 0);
    }
}

/// A launcher, and what it launched, by walking down from it.
fn family(root: Pid) -> Vec<(Pid, Pid, String)> {
    let mut all = Vec::new();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let read = |name: &str| std::fs::read_to_string(process.path().join(name)).unwrap_or_default();
        let stat = read("stat");
        let Some((_, fields)) = stat.rsplit_once(')') else { continue };
        let mut fields = fields.split_whitespace();
        let (state, parent) = (fields.next().unwrap(), fields.next().unwrap().parse().unwrap());
        // A process that has ended and waits for its parent holds nothing any more.
        if state != "Z" {
            all.push((Pid::from_raw(pid), Pid::from_raw(parent), read("cmdline")));
        }
    }
    let mut found = vec![root];
    let mut index = 0;
    while index < found.len() {
        let above = found[index];
        found.extend(all.iter().filter(|(_, parent, _)| *parent == above).map(|(pid, ..)| *pid));
        index += 1;
    }
    all.retain(|(pid, ..)| found.contains(pid));
    all
}

fn killed_at_any_moment_it_leaves_nothing() {
    let rounds: u32 = std::env::var("KNETSIM_KILLS").map_or(40, |text| text.parse().unwrap());
    // Orphans come to this process, so that walking down from it finds them all.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let (before, me) = (mounts(), Pid::this());
    let mut seed = u64::from(std::process::id());
    let mut random = |below: u64| {
        // Knuth's, good enough to choose moments and victims.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let mut victims = BTreeMap::<&str, u32>::new();
    for round in 0..rounds {
        let Some(launcher) = fork().unwrap() else {
            let status =
                launch(&options(), |seat| supervise(seat, busy)).map_or(1, |launched| launched.wait().unwrap_or(1));
            std::process::exit(status);
        };
        std::thread::sleep(Duration::from_micros(random(75_000)));
        // The launcher, the first level's init, the supervisor, the node side's init.
        let family = family(launcher);
        let init = family.iter().find(|(_, parent, _)| *parent == launcher).map(|(pid, ..)| *pid);
        let inner = family.iter().filter(|(_, parent, _)| Some(*parent) == init);
        let all: Vec<_> = [(launcher, "launcher")]
            .into_iter()
            .chain(init.map(|pid| (pid, "init")))
            .chain(
                inner.map(|(pid, _, line)| (*pid, if line.contains("node side") { "node side" } else { "supervisor" })),
            )
            .collect();
        let (victim, name) = all[random(all.len() as u64) as usize];
        *victims.entry(name).or_default() += 1;
        // It may have ended by itself.
        let _ = kill(victim, Signal::SIGKILL);
        let killed = Instant::now();
        loop {
            while !matches!(waitpid(None, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive) | Err(_)) {}
            let left: Vec<_> = self::family(me).into_iter().filter(|(pid, ..)| *pid != me).collect();
            if left.is_empty() && mounts() == before && StateFolder::running(&state()).unwrap().is_empty() {
                break;
            }
            assert!(killed.elapsed() < Duration::from_secs(2), "round {round}: {name} killed, and left: {left:?}");
        }
    }
    println!("{rounds} rounds, victims {victims:?}");
    // The next start removes what was left, and ends without a trace.
    in_sandbox(&options(), |_| async {});
    assert_eq!(std::fs::read_dir(state()).unwrap().count(), 0);
}

/// Makes and removes things for a while, unless it is killed.
async fn busy(sandbox: Sandbox) {
    let until = Instant::now() + Duration::from_millis(70);
    while Instant::now() < until {
        let work = async {
            let node = sandbox.create_node(spec("C0w1")).await?;
            let _netns = sandbox.create_named_netns(&node.name, "c1").await?;
            let child =
                sandbox.spawn(spawn(Profile::Node, Some("C0w1"), &["bash", "-c", "sleep 1000 & sleep 1000"])).await?;
            child.signal(15).await?;
            sandbox.delete_node(&node.name).await
        };
        if work.await.is_err() {
            return;
        }
    }
}

fn the_end_is_quick() {
    let (up, is_up) = std::os::unix::net::UnixStream::pair().unwrap();
    let launched = launch(&options(), |seat| {
        supervise(seat, |sandbox| async move {
            for number in 1..=20 {
                let name = format!("C0w{number}");
                sandbox.create_node(spec(&name)).await.unwrap();
                for _ in 0..5 {
                    sandbox.spawn(spawn(Profile::Daemon, Some(&name), &["sleep", "1000"])).await.unwrap();
                }
            }
            rustix::io::write(&is_up, b"x").unwrap();
        })
    })
    .unwrap();
    rustix::io::read(&up, &mut [0; 1]).unwrap();
    let begin = Instant::now();
    assert_eq!(launched.wait().unwrap(), 0);
    println!("20 nodes, 100 processes: gone in {:?}", begin.elapsed());
    // A bound for a busy machine; the benchmark has the figure.
    assert!(begin.elapsed() < Duration::from_secs(2));
}
