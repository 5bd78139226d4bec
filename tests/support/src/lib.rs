//! Helpers for tests: each kernel test runs in namespaces of its own, as root and as an ordinary user.

use std::process::Command;

pub mod cli;
pub mod host;

/// Set in the environment of a test that runs in its own namespaces.
const INSIDE: &str = "KNETSIM_TEST_INSIDE";

/// Runs `test` in fresh user, network and mount namespaces where the caller is root.
///
/// A process with several threads can't enter a user namespace, and a test harness has several:
/// so this executes the test binary anew under `unshare`, for the one test that calls it, and
/// passes on whether it passed. The test's name is that of its thread, as the harness sets it.
///
/// # Panics
/// When the test fails inside, or `unshare` can't be run.
pub fn in_namespaces(test: impl FnOnce()) {
    in_spaces(&[], test);
}

/// As [`in_namespaces`], in a PID namespace too, with a `/proc` of its own.
///
/// # Panics
/// When the test fails inside, or `unshare` can't be run.
pub fn in_pid_namespace(test: impl FnOnce()) {
    in_spaces(&["--pid", "--fork", "--mount-proc"], test);
}

fn in_spaces(more: &[&str], test: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    let name = std::thread::current().name().map(str::to_owned).expect("the harness names a test's thread");
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--mount"])
        .args(more)
        .arg("--")
        .arg(std::env::current_exe().expect("the test binary's path"))
        .args(["--exact", &name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare (package util-linux) runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{name} in its own namespaces: {}\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Runs a program to its end and returns what it wrote to its standard output.
///
/// # Panics
/// When it can't be started or fails, with what it wrote to its standard error.
pub fn run(command: &[&str]) -> String {
    let (program, arguments) = command.split_first().expect("a program");
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    String::from_utf8(output.stdout).expect("text")
}
