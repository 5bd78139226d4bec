//! A harness whose tests launch sandboxes: each runs in a process of its own with one thread, as root, as a user
//! with ids in /etc/subuid, and as a user without, as far as the caller can become them.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio as StdStdio};
use std::time::{Duration, Instant};

use knetsim_model::NodeName;
use knetsim_sandbox::{Exit, NodeSpec, Options, Profile, Sandbox, Seat, Spawn, Stdio, launch};

/// Who runs a test.
const ROOT: &str = "root";
const WITH_IDS: &str = "user with sub-ids";
const WITHOUT_IDS: &str = "user without";
/// A user that no system has.
const USER: u32 = 54_321;
const CASE: &str = "KNETSIM_TEST_CASE";
const WHO: &str = "KNETSIM_TEST_WHO";

pub type Case = (&'static str, fn());

/// Runs the tests whose names contain one of the arguments, or all.
pub fn run(cases: &[Case]) -> ExitCode {
    if let Ok(name) = std::env::var(CASE) {
        cases.iter().find(|case| case.0 == name).expect("a test of that name").1();
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    // Another user may not reach the place where this program was built.
    let program = folder.path().join("test");
    std::fs::copy("/proc/self/exe", &program).unwrap();
    let who: &[&str] = if nix::unistd::geteuid().is_root() { &[ROOT, WITH_IDS, WITHOUT_IDS] } else { &[WITHOUT_IDS] };
    let (mut passed, mut failed) = (0, 0);
    for (name, _) in cases.iter().filter(|case| wanted.is_empty() || wanted.iter().any(|part| case.0.contains(part))) {
        for who in who {
            let state = folder.path().join("state");
            std::fs::create_dir(&state).unwrap();
            std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o1777)).unwrap();
            let begin = Instant::now();
            let mut command = as_user(who, &program);
            let output =
                command.env(CASE, name).env(WHO, who).env("STATE", &state).stdin(StdStdio::null()).output().unwrap();
            let ok = output.status.success();
            println!(
                "test {name}, {who} ... {} ({} ms)",
                if ok { "ok" } else { "FAILED" },
                begin.elapsed().as_millis()
            );
            passed += usize::from(ok);
            failed += usize::from(!ok);
            if !ok || std::env::var_os("VERBOSE").is_some() {
                println!(
                    "{}{}{}",
                    output.status,
                    String::from_utf8_lossy(&output.stdout),
                    String::from_utf8_lossy(&output.stderr)
                );
            }
            std::fs::remove_dir_all(&state).unwrap();
        }
    }
    // As the usual harness says it, for whoever counts.
    println!(
        "\ntest result: {}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out\n",
        if failed == 0 { "ok" } else { "FAILED" }
    );
    ExitCode::from(u8::from(failed > 0))
}

fn as_user(who: &str, program: &Path) -> Command {
    let ids = format!("--reuid={USER} --regid={USER} --clear-groups");
    let mut command = Command::new(if who == WITH_IDS { "unshare" } else { "setpriv" });
    match who {
        ROOT => return Command::new(program),
        _ if !nix::unistd::geteuid().is_root() => return Command::new(program),
        // A name and sub-ids for that user, only where this test can see them.
        WITH_IDS => {
            let folder = program.parent().unwrap();
            let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
            std::fs::write(folder.join("passwd"), format!("{passwd}annette:x:{USER}:{USER}::/:/bin/sh\n")).unwrap();
            std::fs::write(folder.join("ids"), "annette:1900000000:65536\n").unwrap();
            let script = "cd \"$(dirname \"$0\")\"
                mount --bind passwd /etc/passwd
                mount --bind ids /etc/subuid
                mount --bind ids /etc/subgid";
            command.args(["--mount", "sh", "-ec"]).arg(format!("{script}\nexec setpriv {ids} \"$0\"")).arg(program)
        }
        _ => command.args(ids.split(' ')).arg(program),
    };
    command
}

pub fn has_one_id() -> bool {
    std::env::var(WHO).unwrap() == WITHOUT_IDS
}

pub fn state() -> PathBuf {
    std::env::var_os("STATE").unwrap().into()
}

pub fn options() -> Options {
    Options { name: "test".into(), base: Some(state()), ..Options::default() }
}

/// Runs `work` in a sandbox's supervisor, and waits for the sandbox's end.
pub fn in_sandbox<F: Future<Output = ()>>(options: &Options, work: impl FnOnce(Sandbox) -> F) {
    let launched = launch(options, |seat| supervise(seat, work)).unwrap();
    for warning in launched.warnings() {
        assert!(has_one_id(), "{warning}");
    }
    assert_eq!(launched.wait().unwrap(), 0, "the supervisor's status");
}

pub fn supervise<F: Future<Output = ()>>(seat: Seat, work: impl FnOnce(Sandbox) -> F) -> i32 {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (sandbox, _listener) = seat.open().unwrap();
        work(sandbox).await;
    });
    0
}

pub fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

pub fn spec(name: &str) -> NodeSpec {
    NodeSpec { name: node(name), etcd: false }
}

/// A command of a profile, with its streams at /dev/null.
pub fn spawn(profile: Profile, on: Option<&str>, argv: &[&str]) -> Spawn {
    Spawn {
        argv: argv.iter().map(|argument| (*argument).to_owned()).collect(),
        env: [].into(),
        cwd: None,
        node: on.map(node),
        netns: None,
        profile,
        stdio: Stdio::Null,
        label: None,
    }
}

/// Runs a command to its end; its status and what it wrote.
pub async fn output(sandbox: &Sandbox, mut spawn: Spawn) -> (Exit, String) {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    spawn.stdio = Stdio::Fds([null.into(), write.try_clone().unwrap(), write]);
    let child = sandbox.spawn(spawn).await.unwrap();
    let text = tokio::task::spawn_blocking(move || std::io::read_to_string(std::fs::File::from(read)).unwrap());
    let exit = child.wait().await;
    (exit, text.await.unwrap())
}

/// Runs a shell script to its end.
pub async fn shell(sandbox: &Sandbox, profile: Profile, on: Option<&str>, script: &str) -> (Exit, String) {
    output(sandbox, spawn(profile, on, &["bash", "-c", script])).await
}

/// Runs a learner's script that has to succeed; what it wrote, without the last line's end.
pub async fn ok(sandbox: &Sandbox, on: Option<&str>, script: &str) -> String {
    let (exit, text) = shell(sandbox, Profile::Node, on, &format!("set -e\n{script}")).await;
    assert_eq!(exit, Exit::Code(0), "{script}: {text}");
    text.trim_end().to_owned()
}

/// Runs a script again and again until it writes that.
pub async fn poll_until(sandbox: &Sandbox, script: &str, wanted: &str) {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let (_, text) = shell(sandbox, Profile::Node, None, script).await;
        if text.trim_end() == wanted {
            return;
        }
        assert!(Instant::now() < until, "{script}: {text}, not {wanted}");
    }
}
