//! What a sandbox does when nobody attacks it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use common::*;
use knetsim_kernel::files;
use knetsim_kernel::mounts;
use knetsim_kernel::namespaces::{IdRange, Spaces, enter_new, write_id_maps};
use knetsim_kernel::seccomp::Filter;
use knetsim_sandbox::{BindMount, Exit, Limits, NodeSpec, Options, Profile, SandboxError, StateFolder, Stdio, launch};
use rustix::pipe::{PipeFlags, pipe_with};

fn main() -> ExitCode {
    run(&[
        ("it_comes_and_goes", it_comes_and_goes),
        ("nodes_have_files_of_their_own", nodes_have_files_of_their_own),
        ("namespaces_have_names", namespaces_have_names),
        ("each_network_has_its_own_sys", each_network_has_its_own_sys),
        ("processes_end_and_say_how", processes_end_and_say_how),
        ("programs_that_are_not_there", programs_that_are_not_there),
        ("terminals_work", terminals_work),
        ("everything_in_a_namespace_is_killed", everything_in_a_namespace_is_killed),
        ("a_killed_pause_process_is_replaced", a_killed_pause_process_is_replaced),
        ("the_tools_of_the_course_work", the_tools_of_the_course_work),
        ("what_the_user_brings_is_there", what_the_user_brings_is_there),
        ("what_cannot_be_brought_is_named", what_cannot_be_brought_is_named),
        ("names_are_taken_once", names_are_taken_once),
        ("detached_it_outlives_its_launcher", detached_it_outlives_its_launcher),
        ("a_confinement_is_named", a_confinement_is_named),
        ("a_masked_proc_is_named", a_masked_proc_is_named),
        ("abandoned_requests_are_undone", abandoned_requests_are_undone),
    ])
}

fn it_comes_and_goes() {
    in_sandbox(&options(), |sandbox| async move {
        let node = sandbox.create_node(spec("C0w1")).await.unwrap();
        assert_eq!(shell(&sandbox, Profile::Plain, Some("C0w1"), "hostname").await, (Exit::Code(0), "C0w1\n".into()));
        assert_eq!(shell(&sandbox, Profile::Node, None, "hostname; exit 3").await, (Exit::Code(3), "base\n".into()));
        let title = format!("ps -o args= -p {}", node.pid);
        assert_eq!(ok(&sandbox, None, &title).await, "knetsim: C0w1");
    });
    assert_eq!(std::fs::read_dir(state()).unwrap().count(), 0, "the state folder is gone");
    let launched = launch(&options(), |_| panic!("expected: a supervisor that panics")).unwrap();
    assert_eq!(launched.wait().unwrap(), 101);
    let launched = launch(&options(), |_| 7).unwrap();
    assert_eq!(launched.wait().unwrap(), 7);
}

fn nodes_have_files_of_their_own() {
    in_sandbox(&options(), |sandbox| async move {
        let one = sandbox.create_node(spec("C0w1")).await.unwrap();
        sandbox.create_node(spec("C0w2")).await.unwrap();
        sandbox.create_node(NodeSpec { name: node("C0e1"), etcd: true }).await.unwrap();
        ok(&sandbox, Some("C0w1"), "echo one >/run/mine; echo two >/var/lib/cni/x; echo three >/etc/cni/net.d/y").await;
        assert_eq!(files::read(&one.files, "run/mine", 10).unwrap(), b"one\n");
        assert_eq!(ok(&sandbox, None, "cat /tmp/knetsim/C0w1/{var/lib/cni/x,etc/cni/net.d/y}").await, "two\nthree");
        assert_eq!(ok(&sandbox, Some("C0w2"), "ls /run/mine /var/lib/cni/x 2>&1 || true").await.lines().count(), 2);
        files::write(&one.files, "etc/hosts", "10.0.0.4 C0w2\n").unwrap();
        assert_eq!(ok(&sandbox, Some("C0w1"), "cat /etc/hosts; getent hosts C0w2").await.lines().count(), 2);
        assert_eq!(ok(&sandbox, Some("C0w2"), "cat /etc/hostname").await, "C0w2");
        // etcd's data do not lie where a full /tmp/knetsim would harm them.
        ok(&sandbox, Some("C0e1"), "echo data >/var/lib/etcd/x").await;
        assert_eq!(ok(&sandbox, None, "cat /var/lib/etcd/C0e1/x; ls /tmp/knetsim/C0e1/var/lib/etcd").await, "data");

        assert!(sandbox.create_node(spec("C0w1")).await.is_err(), "it exists");
        let child = sandbox.spawn(spawn(Profile::Plain, Some("C0w1"), &["sleep", "1000"])).await.unwrap();
        sandbox.delete_node(&node("C0w1")).await.unwrap();
        assert_eq!(child.wait().await, Exit::Signal(9));
        sandbox.delete_node(&node("C0w1")).await.unwrap();
        sandbox.delete_node(&node("C0e1")).await.unwrap();
        assert_eq!(ok(&sandbox, None, "ls /tmp/knetsim /var/lib/etcd").await, "/tmp/knetsim:\nC0w2\n\n/var/lib/etcd:");
        assert!(sandbox.spawn(spawn(Profile::Plain, Some("C0w1"), &["true"])).await.is_err(), "it is gone");
        // At once, before the old pause process is reaped.
        for _ in 0..20 {
            sandbox.create_node(spec("C0w9")).await.unwrap();
            sandbox.delete_node(&node("C0w9")).await.unwrap();
        }
        // Whatever somebody planted there: it can be made again.
        ok(&sandbox, None, "ln -s /root /tmp/knetsim/C0w1; mkdir -p /tmp/knetsim/C0w3/x").await;
        sandbox.create_node(spec("C0w1")).await.unwrap();
        sandbox.create_node(spec("C0w3")).await.unwrap();
    });
}

fn namespaces_have_names() {
    in_sandbox(&options(), |sandbox| async move {
        let node = sandbox.create_node(spec("C0w1")).await.unwrap();
        let netns = sandbox.create_named_netns(&node.name, "c1").await.unwrap();
        assert!(sandbox.create_named_netns(&node.name, "c1").await.is_err(), "the name is taken");
        for name in ["", ".", "..", "a/b", "../x"] {
            assert!(sandbox.create_named_netns(&node.name, name).await.is_err(), "{name:?}");
        }
        assert!(sandbox.create_named_netns(&"C0w9".parse().unwrap(), "c1").await.is_err(), "no such node");
        ok(&sandbox, Some("C0w1"), "ip netns add by-hand && ip netns exec by-hand ip link set lo up").await;
        assert_eq!(ok(&sandbox, Some("C0w1"), "ip netns list | cut -d' ' -f1 | sort").await, "by-hand\nc1");
        let inode = ok(&sandbox, Some("C0w1"), "ip netns exec c1 readlink /proc/self/ns/net").await;
        assert_eq!(inode, format!("net:[{}]", netns.inode()));
        let found = knetsim_kernel::processes::named_namespaces(std::os::fd::AsFd::as_fd(&node.root)).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        // Without the descriptor, the name keeps it.
        drop(netns);
        assert_eq!(ok(&sandbox, Some("C0w1"), "ip netns exec c1 readlink /proc/self/ns/net").await, inode);
        for name in ["c1", "c1", "by-hand"] {
            sandbox.detach(&node.name, name).await.unwrap();
        }
        assert_eq!(ok(&sandbox, Some("C0w1"), "ip netns list; ls /run/netns").await, "");
    });
}

fn each_network_has_its_own_sys() {
    in_sandbox(&options(), |sandbox| async move {
        sandbox.create_node(spec("C0w1")).await.unwrap();
        let netns = sandbox.create_netns().await.unwrap();
        ok(&sandbox, Some("C0w1"), "ip link add of-node type bridge").await;
        let inside = async |script: &str| {
            let mut request = spawn(Profile::Node, Some("C0w1"), &["sh", "-c", script]);
            request.netns = Some(netns.clone());
            assert_eq!(sandbox.spawn(request).await.unwrap().wait().await, Exit::Code(0), "{script}");
        };
        inside("ip link add of-container type bridge && test -e /sys/class/net/of-container").await;
        inside("! test -e /sys/class/net/of-node").await;
        assert_eq!(ok(&sandbox, Some("C0w1"), "ls /sys/class/net").await, "lo\nof-node");
        assert_eq!(ok(&sandbox, None, "ls /sys/class/net").await, "lo");
    });
}

fn processes_end_and_say_how() {
    in_sandbox(&options(), |sandbox| async move {
        let begin =
            async |script: &str| sandbox.spawn(spawn(Profile::Plain, None, &["sh", "-c", script])).await.unwrap();
        assert_eq!(begin("exit 7").await.wait().await, Exit::Code(7));
        assert_eq!(begin("kill -SEGV $$").await.wait().await, Exit::Signal(11));
        // The whole group gets a signal, and a program can handle it.
        let child = begin("trap 'exit 5' TERM; sleep 1000 & sleep 1000 & wait").await;
        poll_until(&sandbox, "pgrep -c sleep", "2").await;
        child.signal(15).await.unwrap();
        assert_eq!((child.wait().await, child.wait().await), (Exit::Code(5), Exit::Code(5)));
        poll_until(&sandbox, "pgrep -c sleep", "0").await;
        assert!(begin("true").await.signal(999).await.is_err());
        let mut all = Vec::new();
        for number in 0..50 {
            all.push((number, begin(&format!("exit {number}")).await));
        }
        for (number, child) in all {
            assert_eq!(child.wait().await, Exit::Code(number));
            child.signal(15).await.unwrap();
        }

        // Streams, environment, folder.
        let mut cat =
            spawn(Profile::Plain, None, &["sh", "-c", "pwd; echo $HOME $X; cat; echo err >&2; ls /proc/self/fd"]);
        (cat.cwd, cat.env) = (Some("/usr".into()), [("X".to_owned(), "y z".to_owned())].into());
        let ((input, write), (read, output)) =
            (pipe_with(PipeFlags::CLOEXEC).unwrap(), pipe_with(PipeFlags::CLOEXEC).unwrap());
        cat.stdio = Stdio::Fds([input, output.try_clone().unwrap(), output]);
        let child = sandbox.spawn(cat).await.unwrap();
        std::fs::File::from(write).write_all(b"hello\n").unwrap();
        let text = std::io::read_to_string(std::fs::File::from(read)).unwrap();
        // `ls` has its three streams, and the folder that it reads.
        assert_eq!(text, "/usr\n/root y z\nhello\nerr\n0\n1\n2\n3\n");
        assert_eq!(child.wait().await, Exit::Code(0));

        let mut logged = spawn(Profile::Plain, None, &["sh", "-c", "echo out; echo err >&2"]);
        logged.stdio = Stdio::Log(files::append(sandbox.files(), "log").unwrap().into_std().into());
        sandbox.spawn(logged).await.unwrap().wait().await;
        assert_eq!(files::read(sandbox.files(), "log", 100).unwrap(), b"out\nerr\n");
    });
}

fn programs_that_are_not_there() {
    in_sandbox(&options(), |sandbox| async move {
        let why = async |argv: &[&str], cwd: Option<&str>| {
            let mut spawn = spawn(Profile::Plain, None, argv);
            spawn.cwd = cwd.map(str::to_owned);
            sandbox.spawn(spawn).await.unwrap_err()
        };
        let error = why(&["no-such-program"], None).await;
        assert_eq!(error.to_string(), "executing `no-such-program`: No such file or directory (os error 2)");
        assert_eq!(error.errno(), Some(2));
        assert_eq!(why(&["/etc/passwd"], None).await.errno(), Some(13));
        assert_eq!(
            why(&["true"], Some("/none")).await.to_string(),
            "entering /none: No such file or directory (os error 2)"
        );
        assert!(matches!(why(&[], None).await, SandboxError::Refused(_)));
        assert!(matches!(why(&["a\0b"], None).await, SandboxError::Refused(_)));
        let long = "\u{1}".repeat(20 << 10);
        assert_eq!(why(&[&long], None).await.errno(), Some(36), "file name too long");
        let long = "x".repeat(200 << 10);
        assert!(why(&["echo", &long], None).await.to_string().contains("longer than 128 KiB"));
        let mut netns = spawn(Profile::Plain, Some("nowhere"), &["true"]);
        netns.env = [("A".to_owned(), "b\0".to_owned())].into();
        assert!(sandbox.spawn(netns).await.is_err());
        // And it still works.
        ok(&sandbox, None, "true").await;
    });
}

fn terminals_work() {
    in_sandbox(&options(), |sandbox| async move {
        sandbox.create_node(spec("C0w1")).await.unwrap();
        let mut shell = spawn(Profile::Node, Some("C0w1"), &["bash", "--norc", "-i"]);
        shell.stdio = Stdio::Pty(24, 100);
        let mut child = sandbox.spawn(shell).await.unwrap();
        let mut master = std::fs::File::from(child.terminal.take().unwrap());
        // Ctrl-C ends the foreground job, not the shell.
        master.write_all(b"PS1='>'; tty; stty size; sleep 1000\n").unwrap();
        poll_until(&sandbox, "pgrep -c sleep", "1").await;
        master.write_all(b"\x03").unwrap();
        master.write_all(b"echo still $((40+2)); exit 4\n").unwrap();
        let mut text = Vec::new();
        // A terminal without a process answers EIO.
        let end = master.read_to_end(&mut text);
        assert_eq!(end.unwrap_err().raw_os_error(), Some(5));
        let text = String::from_utf8_lossy(&text);
        assert!(text.contains("/dev/pts/0") && text.contains("24 100") && text.contains("still 42"), "{text}");
        assert_eq!(child.wait().await, Exit::Code(4));
    });
}

fn everything_in_a_namespace_is_killed() {
    let limits = Limits { processes: 400, ..Limits::default() };
    in_sandbox(&Options { limits, ..options() }, |sandbox| async move {
        sandbox.create_node(spec("C0w1")).await.unwrap();
        let outside = sandbox.spawn(spawn(Profile::Plain, Some("C0w1"), &["sleep", "1000"])).await.unwrap();
        let netns = sandbox.create_netns().await.unwrap();
        sandbox.kill_in(&netns).await.unwrap();
        // A fork bomb, of processes that ignore what can be ignored and leave their session.
        let script = "trap '' TERM HUP INT; b() { setsid sh -c 'trap \"\" TERM; sleep 1000' & b & b; }; b";
        let mut bomb = spawn(Profile::Node, Some("C0w1"), &["bash", "-c", script]);
        bomb.netns = Some(netns.clone());
        let bomb = sandbox.spawn(bomb).await.unwrap();
        let count = async || {
            knetsim_kernel::processes::list(knetsim_kernel::processes::Within::Network(netns.inode()), 1).unwrap().len()
        };
        while count().await < 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        sandbox.kill_in(&netns).await.unwrap();
        assert_eq!(count().await, 0);
        // 254: it was at the limit, where bash gives up by itself. Other sandboxes of the same user share that limit.
        let ended = bomb.wait().await;
        assert!([Exit::Signal(9), Exit::Code(254)].contains(&ended), "{ended:?}");
        outside.signal(9).await.unwrap();
        assert_eq!(outside.wait().await, Exit::Signal(9), "it lived until now");
    });
}

fn a_killed_pause_process_is_replaced() {
    in_sandbox(&options(), |sandbox| async move {
        let node = sandbox.create_node(spec("C0w1")).await.unwrap();
        ok(&sandbox, None, &format!("kill {0}; kill -INT {0}", node.pid)).await;
        assert_eq!(ok(&sandbox, None, "pgrep -f '^knetsim: C0w1'").await, node.pid.to_string());
        ok(&sandbox, None, &format!("kill -9 {}", node.pid)).await;
        poll_until(&sandbox, "pgrep -c -f '^knetsim: C0w1'", "1").await;
        let script = "nsenter -m -u -n -t $(pgrep -f '^knetsim: C0w1') readlink /proc/self/ns/net";
        // The new one has another mount namespace's proc behind it, and the same network.
        poll_until(&sandbox, script, &format!("net:[{}]", node.netns.inode())).await;
        let now = sandbox.pause_of(&node.name).unwrap().to_string();
        assert_eq!(ok(&sandbox, None, "pgrep -f '^knetsim: C0w1'").await, now);
        sandbox.delete_node(&node.name).await.unwrap();
        poll_until(&sandbox, "pgrep -c -f '^knetsim: C0w1'", "0").await;
        // A core dump runs a program of the host's, unless the limit is 1.
        assert_eq!(ok(&sandbox, None, "grep core /proc/self/limits | tr -s ' '").await, "Max core file size 1 1 bytes");
    });
}

fn the_tools_of_the_course_work() {
    in_sandbox(&options(), |sandbox| async move {
        for name in ["C0w1", "C0w2"] {
            sandbox.create_node(spec(name)).await.unwrap();
        }
        // By hand, from the base: a wire between two nodes.
        ok(
            &sandbox,
            None,
            "one=$(pgrep -f '^knetsim: C0w1') two=$(pgrep -f '^knetsim: C0w2')
             ip link add wire1 netns $one type veth peer name wire2 netns $two
             nsenter -t $one -n ip address add 10.0.0.1/8 dev wire1; nsenter -t $one -n ip link set wire1 up
             nsenter -t $two -n ip address add 10.0.0.2/8 dev wire2; nsenter -t $two -n ip link set wire2 up
             lsns -t net -o PID,COMMAND | grep -q C0w1",
        )
        .await;
        for profile in [Profile::Plain, Profile::Node] {
            for script in [
                "ping -c1 -W1 10.0.0.2",
                "ip -br address | grep 10.0.0.1/8",
                "ss -tln; ifconfig wire1; tcpdump --version; ps aux | grep -q 'knetsim: C0w2'",
                "sysctl -w net.ipv4.ip_forward=1; sysctl net.ipv4.conf.wire1.forwarding",
                "nft add table ip t && nft list ruleset | grep -q t && nft delete table ip t",
                "timeout 5 tcpdump -Z root -c1 -i wire1 icmp & sleep 0.3; ping -c3 -i 0.2 10.0.0.2; wait $!",
            ] {
                let (exit, text) = shell(&sandbox, profile, Some("C0w1"), &format!("set -e; {script}")).await;
                assert_eq!(exit, Exit::Code(0), "{profile:?} {script}: {text}");
            }
        }
        let by_hand = "unshare -n true && unshare -p -f --mount-proc ps ax | wc -l && unshare -m mount -t tmpfs x /mnt && strace -f true 2>/dev/null || which strace";
        ok(&sandbox, Some("C0w1"), by_hand).await;
    });
}

fn what_the_user_brings_is_there() {
    let folder = state().join("data");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("file"), "content").unwrap();
    let mode =
        |path: &std::path::Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(&folder, 0o777);
    let program = state().join("tool");
    std::fs::write(&program, "#!/bin/sh\necho tool\n").unwrap();
    mode(&program, 0o755);
    let mount = |target: &str, read_only| BindMount { source: folder.clone(), target: target.into(), read_only };
    let options = Options {
        mounts: vec![mount("/mnt/rw", false), mount("/data/deep/ro", true)],
        programs: vec![program.clone()],
        plugins: vec![program.clone()],
        ..options()
    };
    in_sandbox(&options, |sandbox| async move {
        for on in [None, Some("C0w1")] {
            if let Some(name) = on {
                sandbox.create_node(spec(name)).await.unwrap();
            }
            assert_eq!(
                ok(&sandbox, on, "cat /mnt/rw/file /data/deep/ro/file; tool; /opt/cni/bin/tool").await,
                "contentcontenttool\ntool"
            );
            ok(&sandbox, on, "echo x >/mnt/rw/new && rm /mnt/rw/new").await;
            let refused = "echo x 2>&1 >/data/deep/ro/new || mount -o remount,rw,bind /data/deep/ro 2>&1 || echo x 2>&1 >/opt/cni/bin/tool";
            assert_ne!(shell(&sandbox, Profile::Node, on, refused).await.0, Exit::Code(0));
            let own = "readlink -f /opt/cni/bin/{flannel,bridge,host-local,loopback} $(which cnitool) | uniq; test -x /opt/knetsim/bin/knetsim";
            assert_eq!(ok(&sandbox, on, own).await, "/opt/knetsim/bin/knetsim");
        }
    });
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
}

fn what_cannot_be_brought_is_named() {
    for (source, target, words) in [
        ("/none", "/mnt", "open /none: No such file"),
        ("/usr", "/proc/x", "belongs to the sandbox"),
        ("/usr", "/", "belongs to the sandbox"),
        ("/etc/passwd", "/usr", "mount on"),
        ("/usr", "/usr/none", "mounting on /usr/none: No such file or directory"),
    ] {
        let mounts = vec![BindMount { source: source.into(), target: target.into(), read_only: true }];
        let error = launch(&Options { mounts, ..options() }, |_| 0).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    assert_eq!(std::fs::read_dir(state()).unwrap().count(), 0, "nothing is left");
}

fn names_are_taken_once() {
    let base = state();
    in_sandbox(&options(), |_| async {
        assert!(launch(&options(), |_| 0).is_err(), "a process with threads launches nothing");
    });
    let (hold, held) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let held = std::fs::File::from(held);
    let launched = launch(&options(), move |_| {
        drop(held);
        0
    });
    drop(hold);
    launched.unwrap().wait().unwrap();
    let (wait, go) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let until_told = || {
        let wait = wait.try_clone().unwrap();
        move |_| i32::from(std::fs::File::from(wait).read_exact(&mut [0]).is_err())
    };
    let one = launch(&options(), until_told()).unwrap();
    assert!(matches!(launch(&options(), |_| 0), Err(SandboxError::Running(name)) if name == "test"));
    let two = launch(&Options { name: "two".into(), ..options() }, until_told()).unwrap();
    assert_eq!(StateFolder::running(&base).unwrap(), ["test", "two"]);
    StateFolder::open(&base, "two").unwrap().connect().unwrap();
    std::fs::File::from(go).write_all(b"xx").unwrap();
    assert_eq!((one.wait().unwrap(), two.wait().unwrap()), (0, 0));
    assert!(StateFolder::running(&base).unwrap().is_empty());
}

fn detached_it_outlives_its_launcher() {
    use knetsim_kernel::namespaces::fork;
    let (wait, go) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let options = Options { detached: true, ..options() };
    let Some(launcher) = fork().unwrap() else {
        drop(go);
        launch(&options, |_| {
            println!("words for the log");
            i32::from(std::fs::File::from(wait).read_exact(&mut [0]).is_err())
        })
        .unwrap();
        std::process::exit(0);
    };
    drop(wait);
    nix::sys::wait::waitpid(launcher, None).unwrap();
    let folder = StateFolder::open(&state(), "test").unwrap();
    folder.connect().unwrap();
    let log = folder.path().join("log");
    while std::fs::read_to_string(&log).unwrap() != "words for the log\n" {
        std::thread::yield_now();
    }
    std::fs::File::from(go).write_all(b"x").unwrap();
    folder.wait_and_remove().unwrap();
    assert_eq!(std::fs::read_dir(state()).unwrap().count(), 0);
}

fn a_confinement_is_named() {
    // As in a container with Docker's filter: it answers ENOSYS to clone3.
    Filter::new(false, false).unwrap().apply().unwrap();
    let error = launch(&options(), |_| 0).unwrap_err().to_string();
    assert!(error.contains("clone3") && error.contains("--security-opt seccomp=unconfined"), "{error}");
    assert_eq!(std::fs::read_dir(state()).unwrap().count(), 0, "nothing is left");
}

fn a_masked_proc_is_named() {
    // As in a container of Docker's: it covers parts of /proc.
    let me = nix::unistd::Pid::this();
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    if user.is_root() {
        enter_new(Spaces::CLONE_NEWNS).unwrap();
    } else {
        let one = |outside| [IdRange { inside: 0, outside, count: 1 }];
        enter_new(Spaces::CLONE_NEWNS | Spaces::CLONE_NEWUSER).unwrap();
        write_id_maps(me, &one(user.as_raw()), &one(group.as_raw()), true).unwrap();
    }
    mounts::make_private().unwrap();
    mounts::bind("/dev/null".as_ref(), "/proc/uptime".as_ref()).unwrap();
    let error = launch(&options(), |_| 0).unwrap_err().to_string();
    assert!(error.contains("/proc") && error.contains("--security-opt systempaths=unconfined"), "{error}");
    assert_eq!(std::fs::read_dir(state()).unwrap().count(), 0, "nothing is left");
}

fn abandoned_requests_are_undone() {
    in_sandbox(&options(), |sandbox| async move {
        // Given up as soon as they are sent.
        for _ in 0..20 {
            tokio::select! {
                biased;
                _ = sandbox.spawn(spawn(Profile::Plain, None, &["sleep", "1000"])) => {}
                () = tokio::task::yield_now() => {}
            }
            tokio::select! {
                biased;
                _ = sandbox.create_node(spec("C0w1")) => {}
                () = tokio::task::yield_now() => {}
            }
        }
        poll_until(&sandbox, "pgrep -c sleep", "0").await;
        let until = Instant::now() + Duration::from_secs(10);
        while let Err(error) = sandbox.create_node(spec("C0w1")).await {
            assert!(Instant::now() < until, "{error}");
        }
        assert_eq!(ok(&sandbox, None, "pgrep -c -f '^knetsim: '").await, "2", "the init and one pause process");
    });
}
