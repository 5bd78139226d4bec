//! The program with a home of its own, for tests.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are parts of tests")]
#![allow(dead_code, reason = "each test program uses some of them")]

pub(crate) mod terminal;

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A folder for state of its own, in which every sandbox ends with the test.
pub(crate) struct Home(pub(crate) tempfile::TempDir);

impl Home {
    pub(crate) fn new() -> Home {
        Home(tempfile::tempdir().unwrap())
    }

    /// With a sandbox in the background that has the scratch node `box`.
    pub(crate) fn with_sandbox() -> Home {
        let home = Home::new();
        home.apply("scratch: [box]\n", &["up", "-d"]);
        home
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        // A shell has what it starts by `&` ignore SIGINT, and that is inherited: a test run so would wait for ever.
        let mut command = Command::new("env");
        command.args(["--default-signal=INT,HUP", env!("CARGO_BIN_EXE_knetsim")]);
        command.args(arguments).env_remove("KNETSIM_NAME").stdin(Stdio::null());
        command.env("KNETSIM_STATE_DIR", self.state()).env("XDG_CACHE_HOME", self.0.path().join("cache"));
        command.env("XDG_DATA_HOME", self.0.path().join("data"));
        command
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.0.path().join("state")
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.command(arguments).output().unwrap())
    }

    /// Runs a command that must succeed, and returns what it printed.
    pub(crate) fn must(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.status, 0, "{arguments:?}: {}", ran.err);
        ran.out
    }

    pub(crate) fn apply(&self, topology: &str, up: &[&str]) -> Ran {
        let file = self.0.path().join("lab.yaml");
        std::fs::write(&file, topology).unwrap();
        let ran = Ran::from(self.command(up).arg("-t").arg(file).output().unwrap());
        assert_eq!(ran.status, 0, "{}", ran.err);
        ran
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let ran = self.run(&["down", "--all"]);
        if !std::thread::panicking() {
            assert_eq!(ran.status, 0, "{}", ran.err);
        }
    }
}

pub(crate) struct Ran {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ran { status: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// Polls until it holds; what it stands for is in the caller's message.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends a signal to a process that this test started.
pub(crate) fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
}

/// Waits for the end of a process that this test started, and returns its status; none where a signal ended it.
pub(crate) fn ended(child: &mut Child) -> Option<i32> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if start.elapsed() > Duration::from_secs(20) {
            child.kill().unwrap();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}
