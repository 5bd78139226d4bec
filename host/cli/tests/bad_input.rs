//! What a machine or a person can do wrong: a clear error, the right exit status, and nothing left.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are parts of tests")]

mod common;

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Home, Ran, ended, eventually, signal};
use nix::libc;

/// A script that prints `hello`.
const HELLO: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "hello\n")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 16))
    (i32.store (i32.const 4) (i32.const 6))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

trait Bad {
    fn file(&self, name: &str, text: &[u8]) -> PathBuf;
    fn nothing_is_left(&self, after: &str);
    fn by_shell(&self, script: &str) -> Ran;
    fn in_mounts(&self, script: &str) -> Ran;
}

impl Bad for Home {
    fn file(&self, name: &str, text: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn nothing_is_left(&self, after: &str) {
        eventually(&format!("a sandbox is left: {after}"), || self.must(&["ls", "-o", "name"]).is_empty());
        eventually(&format!("files are left: {after}"), || {
            std::fs::read_dir(self.state()).map_or(0, Iterator::count) == 0
        });
    }

    /// `$K` is the program, `$D` a folder of the test's.
    fn by_shell(&self, script: &str) -> Ran {
        Ran::from(shell(self, Command::new("sh"), script).output().unwrap())
    }

    /// The same where a script may mount what it wants.
    fn in_mounts(&self, script: &str) -> Ran {
        let mut unshare = Command::new("unshare");
        if !nix::unistd::geteuid().is_root() {
            unshare.args(["--user", "--map-current-user", "--keep-caps"]);
        }
        unshare.args(["--mount", "sh"]);
        Ran::from(shell(self, unshare, script).output().unwrap())
    }
}

fn shell(home: &Home, mut shell: Command, script: &str) -> Command {
    shell.args(["-c", script]).env("K", env!("CARGO_BIN_EXE_knetsim")).env("D", home.0.path());
    shell.env("KNETSIM_STATE_DIR", home.state()).env("XDG_CACHE_HOME", home.0.path().join("cache"));
    shell.env_remove("KNETSIM_NAME").stdin(Stdio::null());
    shell
}

#[test]
fn too_few_open_files_say_what_to_do() {
    let home = Home::new();
    for most in [8, 16, 24, 64] {
        let ran = home.by_shell(&format!("ulimit -n {most}; exec $K up -d"));
        assert_eq!(ran.status, 1, "{most}: {}", ran.err);
        assert!(ran.err.contains("Too many open files") && ran.err.contains("ulimit -Hn"), "{most}: {}", ran.err);
        home.nothing_is_left(&format!("with {most} open files"));
    }
}

#[test]
fn too_few_processes_say_what_to_do() {
    let home = Home::new();
    for most in ["1", "5", "13"] {
        let ran = home.run(&["up", "-d", "--limit", &format!("processes={most}")]);
        assert_eq!(ran.status, 1, "{most}: {}", ran.err);
        assert!(ran.err.contains("ulimit -u") && ran.err.contains("--limit processes="), "{most}: {}", ran.err);
        home.nothing_is_left(&format!("with {most} processes"));
    }
}

#[test]
fn a_full_disk_inside_says_what_to_do() {
    let home = Home::new();
    let ran = home.run(&["up", "-d", "--limit", "disk=40K"]);
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert!(ran.err.contains("No space left") && ran.err.contains("--limit disk="), "{}", ran.err);
    home.nothing_is_left("on a full disk");
}

#[test]
fn a_full_or_read_only_state_folder_is_named() {
    let home = Home::new();
    for options in ["ro", "nr_inodes=1", "nr_inodes=2", "nr_inodes=3", "nr_inodes=4"] {
        let ran = home.in_mounts(&format!(
            "mkdir -p -m 700 $D/state && mount -t tmpfs -o mode=700,{options} none $D/state && $K up -d
             status=$?; ls -A $D/state; exit $status"
        ));
        assert_eq!((ran.status, ran.out.as_str()), (1, ""), "{options}: {}", ran.err);
        assert!(ran.err.contains(&home.state().display().to_string()), "{options}: {}", ran.err);
        let why = if options == "ro" { "Read-only file system" } else { "No space left" };
        assert!(ran.err.contains(why), "{options}: {}", ran.err);
    }
    let relative = Ran::from(home.command(&["ls"]).env("KNETSIM_STATE_DIR", "state").output().unwrap());
    assert_eq!(relative.status, 2);
    assert!(relative.err.contains("absolute"), "{}", relative.err);
}

#[test]
fn a_cache_that_can_not_be_written_or_is_spoilt_does_no_harm() {
    let home = Home::new();
    let lab = home.file("hello.wat", HELLO.as_bytes());
    for options in ["ro", "size=8k", "nr_inodes=1"] {
        let ran = home.in_mounts(&format!(
            "mkdir -p $D/cache && mount -t tmpfs -o mode=700,{options} none $D/cache
             $K run $D/hello.wat && ls -A $D/cache/knetsim/labs 2>/dev/null; true"
        ));
        assert_eq!((ran.status, ran.out.as_str()), (0, "hello\n"), "{options}: {}", ran.err);
        assert!(ran.err.contains("warning: ") && ran.err.contains("cache"), "{options}: {}", ran.err);
    }
    let run = || home.must(&["run", lab.to_str().unwrap()]);
    assert_eq!(run(), "hello\n");
    let labs = home.0.path().join("cache/knetsim/labs");
    let kept = || -> Vec<PathBuf> { std::fs::read_dir(&labs).unwrap().map(|entry| entry.unwrap().path()).collect() };
    let [file] = kept().try_into().unwrap();
    let good = std::fs::read(&file).unwrap();
    let other = String::from_utf8_lossy(&good[..64]).replace('4', "5").into_bytes();
    for spoilt in [&[][..], &good[..1000], &good[..good.len() / 2], &[b'y'; 50_000], &other] {
        std::fs::write(&file, spoilt).unwrap();
        assert_eq!(run(), "hello\n");
        assert_eq!(kept(), std::slice::from_ref(&file));
        assert!(std::fs::read(&file).unwrap() == good, "it is compiled anew, and kept");
    }
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert_eq!(run(), "hello\n");
    home.nothing_is_left("with a spoilt cache");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let home = Home::new();
    let hidden = |program: &str| {
        let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"].map(Path::new);
        let path = folders.iter().map(|folder| folder.join(program)).find(|path| path.is_file()).unwrap();
        format!(": > $D/none && mount --bind $D/none {}", path.display())
    };
    let ran = home.in_mounts(&format!("{} && exec $K up -d", hidden("etcd")));
    assert_eq!(ran.status, 1, "{}", ran.err);
    for words in ["etcd on C", "executing `etcd`", "knetsim doctor"] {
        assert!(ran.err.contains(words), "{}", ran.err);
    }
    home.nothing_is_left("without etcd");
    let ran = home.in_mounts(&format!("{} && exec $K doctor", hidden("etcd")));
    assert_eq!(ran.status, 1);
    assert!(ran.out.contains("apt-get install etcd-server"), "{}", ran.out);
    // Nobody needs nft or tunnels before they are asked for.
    let file = home.file("s.yaml", b"scratch: [box]\n");
    let ran = home.in_mounts(&format!(
        "{} && mount -t tmpfs none /dev/net; $K up -d -t {} && $K exec box true && $K down",
        hidden("nft"),
        file.display()
    ));
    assert_eq!(ran.status, 0, "{}", ran.err);
    home.nothing_is_left("without nft and /dev/net");
}

/// Answers one system call with ENOSYS, as an old kernel does, for all that a command starts.
fn without(mut command: Command, call: libc::c_long) -> Command {
    let one = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
    // seccomp(2): loads the number of the call, compares, and returns one of two answers.
    let filter = [
        one(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        one(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, call as u32),
        one(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
        one(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let install = move || {
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
        // SAFETY: the kernel copies the filter, which outlives both calls.
        #[allow(unsafe_code)]
        let done = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
                | libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
        };
        if done == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: between fork and exec it makes two system calls, and no allocation.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(install);
    }
    command
}

#[test]
fn an_old_kernel_is_named_with_what_it_lacks() {
    let home = Home::new();
    let file = home.file("s.yaml", b"scratch: [box]\n");
    for (name, call) in [
        ("clone3", libc::SYS_clone3),
        ("open_tree", libc::SYS_open_tree),
        ("move_mount", libc::SYS_move_mount),
        ("make a proc file system", libc::SYS_fsopen),
        ("mount_setattr", libc::SYS_mount_setattr),
        ("closing descriptors", libc::SYS_close_range),
        ("making /", libc::SYS_openat2),
        ("setns", libc::SYS_setns),
        ("unshare", libc::SYS_unshare),
        ("pivot_root", libc::SYS_pivot_root),
        ("opening a pidfd", libc::SYS_pidfd_open),
    ] {
        let mut up = home.command(&["up", "-t"]);
        up.arg(&file);
        let ran = Ran::from(without(up, call).output().unwrap());
        assert_eq!(ran.status, 1, "{name}: {}", ran.err);
        assert!(ran.err.contains(name) && ran.err.contains("Function not implemented"), "{name}: {}", ran.err);
        assert!(ran.err.contains("Linux 5.12") || ran.err.contains("seccomp=unconfined"), "{name}: {}", ran.err);
        home.nothing_is_left(&format!("without {name}"));
    }
}

#[test]
fn streams_that_are_closed_full_or_endless() {
    let home = Home::with_sandbox();
    let ran = home.by_shell("$K exec box -- echo hi <&- && $K exec -i box -- cat <&-");
    assert_eq!((ran.status, ran.out.as_str()), (0, "hi\n"), "{}", ran.err);
    let ran = home.by_shell("$K inspect >&-; $K exec box -- sh -c 'echo hi; exit 4' >&- 2>&-");
    assert_eq!(ran.status, 4, "{}", ran.err);
    for (command, status) in [("inspect", 1), ("schema", 1), ("exec box -- echo hi", 125)] {
        let ran = home.by_shell(&format!("$K {command} >/dev/full"));
        assert_eq!(ran.status, status, "{command}: {}", ran.err);
        assert!(ran.err.contains("writing to standard output: No space left"), "{command}: {}", ran.err);
    }
    for command in ["schema", "inspect -o json", "exec box -- yes"] {
        let ran = home.by_shell(&format!("$K {command} | head -n 1"));
        assert_eq!((ran.out.lines().count(), ran.err.as_str()), (1, ""), "{command}");
    }
    // A gigabyte comes whole, and nothing of it stays in memory or on a disk.
    let begin = Instant::now();
    assert_eq!(home.by_shell("$K exec box -- head -c 1G /dev/zero | wc -c").out.trim(), (1 << 30).to_string());
    assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", begin.elapsed());
    // Of what goes into a log the end is kept, and the sandbox goes on.
    home.must(&["exec", "-d", "box", "--", "head", "-c", "300M", "/dev/zero"]);
    eventually("it is written", || !home.must(&["exec", "base", "--", "ps", "-eo", "args"]).contains("head -c"));
    let used = home.must(&["exec", "box", "--", "sh", "-c", "du -sm /var/log | cut -f 1"]);
    assert!((40..=52).contains(&used.trim().parse::<u32>().unwrap()), "{used}");
    home.must(&["exec", "box", "true"]);
    home.must(&["down"]);
    home.nothing_is_left("by streams");
}

#[test]
fn odd_surroundings() {
    let home = Home::new();
    let file = home.file("s.yaml", b"scratch: [box]\n");
    let up = |set: fn(&mut Command) -> &mut Command| {
        let mut up = home.command(&["up", "-d", "-t"]);
        set(up.arg(&file));
        let ran = Ran::from(up.output().unwrap());
        assert_eq!(ran.status, 0, "{}", ran.err);
        home.must(&["down"]);
        home.nothing_is_left("in odd surroundings");
    };
    up(|up| up.env_remove("HOME"));
    up(|up| up.env("HOME", "/nonexistent").env("TMPDIR", "/nonexistent").env("XDG_RUNTIME_DIR", "nonsense"));
    let lab = home.file("hello.wat", HELLO.as_bytes());
    let mut run = home.command(&["run"]);
    let ran = Ran::from(run.arg(lab).env_remove("HOME").env_remove("XDG_CACHE_HOME").output().unwrap());
    assert_eq!((ran.status, ran.out.as_str()), (0, "hello\n"), "{}", ran.err);
    let mut doctor = home.command(&["doctor"]);
    let ran = Ran::from(doctor.env("TMPDIR", "/nonexistent").output().unwrap());
    assert!(ran.out.contains("TMPDIR") && ran.status == 1, "{}", ran.out);
}

#[test]
fn files_and_sizes_without_sense() {
    let home = Home::new();
    let workers = |number: &str| format!("clusters: {{C0: {{workers: {number}}}}}\n").into_bytes();
    let many = (0..400_000).map(|number| format!("n{number}, ")).collect::<String>();
    for (text, status, words) in [
        (workers("4294967295"), 2, "4294967295 workers are too many"),
        (workers("18446744073709551616"), 2, "a number of workers"),
        (workers("1e9"), 2, "a number of workers"),
        ((0..=255).collect(), 2, "it is no text"),
        (format!("clusters: {}", "[".repeat(100_000)).into_bytes(), 2, "recursion limit exceeded"),
        (format!("scratch: [{many}]\n").into_bytes(), 6, "more than 2097152 bytes"),
    ] {
        let ran = Ran::from(home.command(&["up", "-t"]).arg(home.file("bad.yaml", &text)).output().unwrap());
        assert_eq!(ran.status, status, "{}", ran.err);
        assert!(ran.err.contains(words) && ran.err.len() < 2000, "{}", ran.err);
    }
    for (arguments, status, words) in [
        (&["up", "-t", "/dev/zero"][..], 6, "more than"),
        (&["up", "-t", "/"], 1, "directory"),
        (&["run", "/dev/zero"], 125, "a lab has at most"),
        (&["run", "/"], 125, "it is a folder"),
        (&["up", "--limit", "processes=99999999999999999999"], 2, "--limit"),
        (&["up", "--name", "../x"], 2, "is not a sandbox's name"),
    ] {
        let ran = home.run(arguments);
        assert_eq!(ran.status, status, "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains(words), "{arguments:?}: {}", ran.err);
    }
    home.nothing_is_left("by nonsense");
}

#[test]
fn a_signal_at_any_time_leaves_nothing() {
    let home = Home::new();
    let lab = home.file("hello.wat", HELLO.as_bytes()).display().to_string();
    for arguments in [&["up"][..], &["up", "-d"], &["run", &lab]] {
        for (turn, after) in [1, 7, 30, 60, 90, 150, 220, 300, 400, 600].into_iter().enumerate() {
            let mut child = home.command(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(after));
            signal(&child, ["INT", "TERM"][turn % 2]);
            let status = ended(&mut child);
            // None where it was not ready to hear it; 0 where all was done, or Ctrl-C is how one ends it.
            assert!(matches!(status, None | Some(0 | 130 | 143)), "{arguments:?} after {after} ms: {status:?}");
            if arguments == ["up", "-d"] && status == Some(0) {
                home.must(&["down"]);
            }
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            assert!(!said.contains("error:") && !said.contains("panicked"), "{said}");
            home.nothing_is_left(&format!("{arguments:?} after {after} ms"));
        }
    }
}

#[test]
fn a_lab_that_can_not_be_written_whole_is_not_begun() {
    let home = Home::new();
    let ran = home.in_mounts(
        "mkdir $D/small && mount -t tmpfs -o size=8k none $D/small && $K lab new $D/small/my-lab
        status=$?; ls -A $D/small; exit $status",
    );
    assert_eq!((ran.status, ran.out.as_str()), (1, ""), "{}", ran.err);
    assert!(ran.err.contains("No space left"), "{}", ran.err);
}
