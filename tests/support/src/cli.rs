//! Drives the real `knetsim` binary, each sandbox in a state folder of the test's own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A place for sandboxes of one test. What is left in it is taken down when it is dropped.
pub struct Knetsim {
    binary: PathBuf,
    runtime: tempfile::TempDir,
}

impl Knetsim {
    /// Uses that binary: `Knetsim::new(env!("CARGO_BIN_EXE_knetsim"))`.
    pub fn new(binary: &str) -> Self {
        // Short, because a socket's path may have 107 bytes; not in /tmp, which tests compare.
        let base = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/var/tmp" };
        let runtime = tempfile::Builder::new().prefix("kn").tempdir_in(base).expect("a folder for state");
        std::fs::create_dir(runtime.path().join("tmp")).expect("a folder for temporary files");
        Knetsim { binary: binary.into(), runtime }
    }

    /// The folder under which state folders are made.
    pub fn state(&self) -> PathBuf {
        self.runtime.path().join("s")
    }

    /// The folder for its temporary files.
    pub fn temporary(&self) -> PathBuf {
        self.runtime.path().join("tmp")
    }

    /// A command of it, with standard input closed.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(args).stdin(Stdio::null());
        command.env("KNETSIM_STATE_DIR", self.state()).env("XDG_CACHE_HOME", self.runtime.path());
        command.env("NO_COLOR", "1").env("TMPDIR", self.temporary());
        command
    }

    /// Runs it to its end, whatever that is.
    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap_or_else(|error| panic!("{}: {error}", self.binary.display()))
    }

    /// Runs it, expects success, and gives what it wrote to standard output.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "knetsim {}: {}\n{error}", args.join(" "), output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs it, expects that exit status, and gives what it wrote to standard error.
    pub fn fails(&self, status: i32, args: &[&str]) -> String {
        let output = self.run(args);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "knetsim {}: {error}", args.join(" "));
        error
    }

    /// `inspect -o json` of a sandbox.
    pub fn inspect(&self, name: &str) -> Value {
        serde_json::from_str(&self.ok(&["inspect", "--name", name, "-o", "json"])).expect("inspect prints JSON")
    }

    /// Starts it and leaves it running.
    pub fn spawn(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.binary.display()))
    }
}

impl Drop for Knetsim {
    fn drop(&mut self) {
        let Ok(entries) = std::fs::read_dir(self.state()) else { return };
        for entry in entries.flatten() {
            // The test may have failed half-way: what it left must not outlive it.
            let _ = self.command(&["down", "--name", &entry.file_name().to_string_lossy()]).output();
        }
    }
}

/// Polls `probe` until it gives something, and panics with `what` after `within`.
pub fn until<T>(what: &str, within: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + within;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within {within:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
