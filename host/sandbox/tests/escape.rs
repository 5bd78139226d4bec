//! What nothing on the node side can reach: the host, the first level, and the node side's own init.
//!
//! Each refusal stands beside something similar that works, so that it can't be refused for a wrong reason.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::process::ExitCode;

use common::*;
use knetsim_sandbox::{Exit, Profile, Sandbox, launch};

fn main() -> ExitCode {
    run(&[
        ("mounts_of_the_first_level_hold", mounts_of_the_first_level_hold),
        ("its_init_can_be_neither_seen_nor_harmed", its_init_can_be_neither_seen_nor_harmed),
        ("who_stops_all_others_does_not_stop_it", who_stops_all_others_does_not_stop_it),
        ("nothing_of_the_kernel_can_be_set", nothing_of_the_kernel_can_be_set),
        ("nothing_of_the_host_is_there", nothing_of_the_host_is_there),
        ("root_inside_is_not_root_outside", root_inside_is_not_root_outside),
        ("the_launchers_environment_stays_outside", the_launchers_environment_stays_outside),
        ("what_is_refused_by_filter", what_is_refused_by_filter),
    ])
}

const PROFILES: [Profile; 3] = [Profile::Plain, Profile::Node, Profile::Daemon];
const PLACES: [Option<&str>; 2] = [None, Some("C0w1")];

/// Runs a script in every profile, in the base and on a node; it must fail.
async fn refused(sandbox: &Sandbox, script: &str) {
    for profile in PROFILES {
        for place in PLACES {
            let (exit, text) = shell(sandbox, profile, place, script).await;
            assert_ne!(exit, Exit::Code(0), "{profile:?} {place:?}: {script}\n{text}");
        }
    }
}

fn mounts_of_the_first_level_hold() {
    in_sandbox(&options(), |sandbox| async move {
        sandbox.create_node(spec("C0w1")).await.unwrap();
        for script in [
            "mount -o remount,rw,bind /usr",
            "mount -o remount,rw /",
            "mount -o remount,rw,bind /etc/ssl",
            "mount --options-source disable -o remount,size=100g /tmp/knetsim",
            "mount --options-source disable -o remount,size=100g /tmp",
            "umount /usr",
            "umount -l /usr",
            "umount -l /proc",
            "umount -l /opt/knetsim/bin/knetsim",
            "umount -l /tmp/knetsim",
            "umount -l /",
            "mount --move /usr /mnt",
            "mount --bind / /mnt && ls /mnt/usr/bin",
            "touch /usr/x",
            "touch /x",
            "touch /opt/cni/bin/x",
            "echo >/opt/knetsim/bin/knetsim",
            "mknod /tmp/disk b 8 0",
            "mount -t cgroup2 none /mnt",
            "unshare -C mount -t cgroup2 none /mnt",
            "unshare -Ur true",
        ] {
            refused(&sandbox, script).await;
        }
        // What one mounts oneself can be remounted and unmounted.
        ok(
            &sandbox,
            Some("C0w1"),
            "mount -t tmpfs mine /mnt; mount --options-source disable -o remount,size=1m /mnt; mount -o remount,ro,bind /mnt; umount /mnt; mount --bind /usr/share /mnt; ls /mnt/doc; umount /mnt",
        )
        .await;
        // A namespace below has no more rights than this one.
        refused(&sandbox, "unshare -m mount -o remount,rw,bind /usr").await;
        refused(&sandbox, "unshare -m umount -l /usr").await;
        refused(&sandbox, "unshare -mpf --mount-proc mount -o remount,rw,bind /usr").await;
    });
}

fn its_init_can_be_neither_seen_nor_harmed() {
    in_sandbox(&options(), |sandbox| async move {
        let node = sandbox.create_node(spec("C0w1")).await.unwrap();
        for script in [
            "head -c1 /proc/1/mem",
            "cat /proc/1/maps",
            "cat /proc/1/environ",
            "ls /proc/1/fd",
            "ls /proc/1/root/",
            "ls /proc/1/cwd/",
            "readlink /proc/1/exe",
            "cat /proc/1/stack",
            "strace -p 1 -o /dev/null",
            "nsenter -t 1 -n true",
            "nsenter -t 1 -m true",
            "nsenter -t 1 -p true",
            "prlimit --pid 1 --nofile=0:0",
            "echo 1000 >/proc/1/oom_score_adj",
            "echo x >/proc/1/comm",
        ] {
            refused(&sandbox, script).await;
        }
        // The same is possible with a process of one's own.
        let own = "sleep 1000 & cat /proc/$!/maps >/dev/null; ls /proc/$!/fd /proc/$!/root/ >/dev/null; kill $!";
        ok(&sandbox, None, own).await;
        ok(&sandbox, None, &format!("nsenter -t {} -m -n -u true; strace -V >/dev/null", node.pid)).await;
        // Signals don't reach it. Those to everybody reach the pause process too, which comes again.
        for profile in PROFILES {
            for script in [
                "kill -9 1; kill -STOP 1; kill -TERM 1; kill -CHLD 1",
                "for s in $(seq 1 64); do kill -$s 1; done",
                "kill -9 -1",
            ] {
                shell(&sandbox, profile, None, script).await;
            }
        }
        assert_eq!(ok(&sandbox, Some("C0w1"), "hostname").await, "C0w1");
        poll_until(&sandbox, "pgrep -c -f '^knetsim: C0w1'", "1").await;
    });
}

fn who_stops_all_others_does_not_stop_it() {
    in_sandbox(&options(), |sandbox| async move {
        sandbox.create_node(spec("C0w1")).await.unwrap();
        let netns = sandbox.create_netns().await.unwrap();
        let mut stopper = spawn(Profile::Plain, Some("C0w1"), &["bash", "-c", "while :; do kill -STOP -1; done"]);
        stopper.netns = Some(netns.clone());
        let stopper = sandbox.spawn(stopper).await.unwrap();
        // New processes are stopped too, at any moment of their beginning; nobody waits for them.
        for _ in 0..50 {
            let start = sandbox.spawn(spawn(Profile::Plain, Some("C0w1"), &["no-such-program"]));
            let _ = tokio::time::timeout(std::time::Duration::from_millis(2), start).await;
            sandbox.create_netns().await.unwrap();
        }
        sandbox.kill_in(&netns).await.unwrap();
        assert_eq!(stopper.wait().await, Exit::Signal(9));
        ok(&sandbox, Some("C0w1"), "kill -CONT -1; true").await;
    });
}

fn nothing_of_the_kernel_can_be_set() {
    in_sandbox(&options(), |sandbox| async move {
        sandbox.create_node(spec("C0w1")).await.unwrap();
        // Opens what has a bit for writing, writes nothing, and names what could be opened.
        let script = "shopt -s nullglob; cd /
            find /sys /proc -xdev \\( -path '/proc/[0-9]*' -o -path /proc/self -o -path /proc/thread-self \\) -prune -o -type f -perm /222 -print |
            while read -r f; do { : >>\"$f\"; } 2>/dev/null && echo \"$f\"; done";
        // What belongs to the node side's own namespaces.
        let own = ["/proc/sys/net/", "/proc/sys/user/", "/proc/sys/kernel/ns_last_pid", "/proc/sys/kernel/pid_max"];
        let ipc = ["shm", "msg", "sem", "auto_msgmni"].map(|name| format!("/proc/sys/kernel/{name}"));
        let names = ["/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname", "/proc/sys/fs/mqueue/"];
        let is_own = |path: &str| {
            own.iter().chain(&names).any(|own| path.starts_with(own))
                || ipc.iter().any(|own| path.starts_with(own))
                || path.starts_with("/sys/devices/virtual/net/")
                // Where everybody may ask to be told when the machine is busy.
                || path.starts_with("/proc/pressure/")
        };
        for profile in PROFILES {
            for place in PLACES {
                let (exit, text) = shell(&sandbox, profile, place, script).await;
                assert_eq!(exit, Exit::Code(0), "{text}");
                assert!(text.contains("/proc/sys/net/ipv4/ip_forward"), "the search finds what can be opened");
                let open: Vec<_> = text.lines().filter(|path| path.starts_with('/') && !is_own(path)).collect();
                assert!(open.is_empty(), "{profile:?} {place:?}: {open:?}");
            }
        }
        for script in [
            "sysctl -w kernel.core_pattern=x",
            "sysctl -w vm.swappiness=1",
            "echo b >/proc/sysrq-trigger",
            "date -s 2001-01-01",
            "dmesg",
            "swapoff -a -v && false; swapon /dev/null",
        ] {
            refused(&sandbox, script).await;
        }
    });
}

fn nothing_of_the_host_is_there() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    let _abstract = abstract_listener();
    std::fs::write(state().join("secret"), "secret").unwrap();
    let secret = state().join("secret").display().to_string();
    in_sandbox(&options(), |sandbox| async move {
        sandbox.create_node(spec("C0w1")).await.unwrap();
        refused(&sandbox, &format!("cat {secret}")).await;
        refused(&sandbox, "ls /home || ls /root/.. | grep -x home").await;
        refused(&sandbox, "cat /etc/shadow /etc/gshadow").await;
        refused(&sandbox, "ls -A /root | grep .").await;
        refused(&sandbox, "find / \\( -path /proc -o -path /usr \\) -prune -o -name control.sock -print | grep .")
            .await;
        refused(&sandbox, &format!("exec 3<>/dev/tcp/127.0.0.1/{}", address.port())).await;
        refused(&sandbox, "socat -u ABSTRACT-CONNECT:knetsim-test - || python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"\\0knetsim-test\")'").await;
        // The first level's sockets and links are not in this network.
        assert_eq!(ok(&sandbox, None, "ss -xlH; ip -br link | wc -l").await, "1");
        // All processes: the init, the pause process, and the shell with its children.
        for profile in PROFILES {
            let (_, text) = shell(&sandbox, profile, None, "cat /proc/[0-9]*/comm | sort -u | xargs").await;
            let ours = ["C0w1", "init", "bash", "cat", "sort", "xargs"];
            assert!(text.contains("init") && text.split_whitespace().all(|name| ours.contains(&name)), "{text}");
        }
        refused(&sandbox, "ls /proc/[0-9]*/root/ 2>/dev/null | grep -x home").await;
    });
}

fn abstract_listener() -> impl Sized {
    use std::os::linux::net::SocketAddrExt as _;
    let address = std::os::unix::net::SocketAddr::from_abstract_name("knetsim-test").unwrap();
    std::os::unix::net::UnixListener::bind_addr(&address)
}

fn root_inside_is_not_root_outside() {
    let (wait, go) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let launched = launch(&options(), |seat| {
        supervise(seat, |sandbox| async move {
            sandbox.create_node(spec("C0w1")).await.unwrap();
            let child = sandbox.spawn(spawn(Profile::Node, None, &["sleep", "54321.5"])).await.unwrap();
            tokio::task::spawn_blocking(move || rustix::io::read(&wait, &mut [0; 1]).unwrap()).await.unwrap();
            child.signal(9).await.unwrap();
        })
    })
    .unwrap();
    // As this process, outside, sees those inside.
    let uid = nix::unistd::geteuid().as_raw();
    let mut seen = 0;
    while seen == 0 {
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            let read = |name: &str| std::fs::read_to_string(process.path().join(name)).unwrap_or_default();
            if read("cmdline") == "sleep\x0054321.5\0" && read("status").contains("NSpid") {
                let status = read("status");
                let line = |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
                let user: u32 = line("Uid:").split_whitespace().nth(1).unwrap().parse().unwrap();
                if uid == 0 {
                    assert!(user >= 0x7000_0000, "{user}")
                } else {
                    assert_eq!(user, uid)
                }
                assert_eq!(line("NoNewPrivs:"), "NoNewPrivs:\t1");
                assert_eq!(line("Seccomp:"), "Seccomp:\t2");
                seen += 1;
            }
        }
    }
    rustix::io::write(&go, b"x").unwrap();
    assert_eq!(launched.wait().unwrap(), 0);
}

fn the_launchers_environment_stays_outside() {
    let Some(number) = std::env::var("AGAIN").ok() else {
        let number = std::process::id().to_string();
        let mut again = std::process::Command::new("/proc/self/exe");
        again.env("SECRET", format!("QUITE-{number}-SECRET")).env("AGAIN", &number);
        assert!(again.status().unwrap().success());
        return;
    };
    in_sandbox(&options(), |sandbox| async move {
        let node = sandbox.create_node(spec("C0w1")).await.unwrap();
        // All memory of the pause process, as who may trace it sees it.
        let script = format!(
            "import re,sys\n\
             found=0; read=0\n\
             for line in open('/proc/{0}/maps'):\n\
             \x20 a,b=[int(x,16) for x in line.split()[0].split('-')]\n\
             \x20 if 'r' not in line.split()[1] or '[v' in line: continue\n\
             \x20 try:\n\
             \x20  m=open('/proc/{0}/mem','rb',0); m.seek(a); t=m.read(b-a); read+=len(t); found+=t.count(b'QUITE-{1}-'+b'SECRET')\n\
             \x20 except OSError: pass\n\
             print(read>100000, found)",
            node.pid, number
        );
        let (_, text) = output(&sandbox, spawn(Profile::Node, None, &["python3", "-c", &script])).await;
        assert_eq!(text, "True 0\n");
        assert_eq!(
            ok(&sandbox, None, &format!("tr -d '\\0' </proc/{}/environ; env | grep -c SECRET || true", node.pid)).await,
            "0"
        );
    });
}

fn what_is_refused_by_filter() {
    in_sandbox(&options(), |sandbox| async move {
        sandbox.create_node(spec("C0w1")).await.unwrap();
        let errno = async |profile, call: &str| {
            let script = format!(
                "import ctypes,socket,os\nc=ctypes.CDLL(None,use_errno=True)\n{call}\nprint(ctypes.get_errno())"
            );
            output(&sandbox, spawn(profile, Some("C0w1"), &["python3", "-c", &script])).await.1
        };
        for profile in PROFILES {
            // bpf, keyctl, perf_event_open, io_uring_setup, userfaultfd on x86-64 and by name elsewhere.
            for name in ["bpf", "keyctl", "perf_event_open", "io_uring_setup", "userfaultfd"] {
                let number = syscall_number(name);
                assert_eq!(
                    errno(profile, &format!("c.syscall({number},0,0,0,0,0)")).await,
                    "1\n",
                    "{profile:?} {name}"
                );
            }
            let vsock = errno(profile, "c.socket(40,1,0)").await;
            assert_eq!(vsock, "97\n");
        }
        for profile in [Profile::Plain, Profile::Daemon] {
            assert_eq!(errno(profile, "c.ptrace(0,0,0,0)").await, "1\n");
            assert_eq!(errno(profile, "c.unshare(0x40000000)").await, "1\n");
            assert_eq!(errno(profile, "c.setns(os.open('/proc/self/ns/net',0),0)").await, "1\n");
        }
        assert_eq!(errno(Profile::Node, "c.setns(os.open('/proc/self/ns/net',0),0)").await, "0\n");
    });
}

fn syscall_number(name: &str) -> i64 {
    use nix::libc;
    match name {
        "bpf" => libc::SYS_bpf,
        "keyctl" => libc::SYS_keyctl,
        "perf_event_open" => libc::SYS_perf_event_open,
        "io_uring_setup" => libc::SYS_io_uring_setup,
        "userfaultfd" => libc::SYS_userfaultfd,
        _ => unreachable!(),
    }
}
