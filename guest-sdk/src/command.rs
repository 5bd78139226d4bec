//! Commands and what they did.

use std::borrow::Cow;
use std::time::Duration;

use crate::bindings::knetsim::lab::exec;
use crate::{Code, Error, Result};

/// A program with its arguments, and how it shall run. No shell is involved: give `["sh", "-c", "..."]` for one.
///
/// ```no_run
/// use std::time::Duration;
/// use knetsim_sdk::{Command, Lab, Place};
/// # fn main() -> knetsim_sdk::Result<()> {
/// let node = Lab::new().create_scratch("box")?;
/// let count = Command::new(["wc", "-w"]).input("one two three").timeout(Duration::from_secs(5));
/// assert_eq!(node.run(count)?.text()?.trim(), "3");
///
/// node.run(Command::new(["ip", "netns", "add", "mine"]).with_namespaces())?.text()?;
/// assert!(node.observe()?.namespaces()?.iter().any(|namespace| namespace.name == "mine"));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Command {
    pub(crate) program: exec::Command,
    pub(crate) input: Vec<u8>,
    pub(crate) timeout_ms: Option<u32>,
    pub(crate) with_namespaces: bool,
}

impl Command {
    /// A program, looked up in PATH, and its arguments.
    pub fn new<T: Into<String>>(argv: impl IntoIterator<Item = T>) -> Self {
        let argv = argv.into_iter().map(Into::into).collect();
        let program = exec::Command { argv, env: Vec::new() };
        Command { program, input: Vec::new(), timeout_ms: None, with_namespaces: false }
    }

    /// Adds a variable to its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.program.env.push((name.into(), value.into()));
        self
    }

    /// What it reads from its standard input; nothing where it is started in the background.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// How long it may run before it is killed; left out, as long as the lab itself.
    #[must_use]
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout_ms = Some(millis(time));
        self
    }

    /// With the right to make and enter namespaces, as a learner has it. Grant: `exec-node`.
    #[must_use]
    pub fn with_namespaces(mut self) -> Self {
        self.with_namespaces = true;
        self
    }
}

impl<T: Into<String>, const N: usize> From<[T; N]> for Command {
    fn from(argv: [T; N]) -> Self {
        Command::new(argv)
    }
}

impl<T: Into<String> + Clone> From<&[T]> for Command {
    fn from(argv: &[T]) -> Self {
        Command::new(argv.iter().cloned())
    }
}

impl<T: Into<String>> From<Vec<T>> for Command {
    fn from(argv: Vec<T>) -> Self {
        Command::new(argv)
    }
}

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its exit status; 128 and the signal's number where a signal ended it.
    pub status: i32,
    /// What it wrote to its standard output: the first MiB of it.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error: the first MiB of it.
    pub stderr: Vec<u8>,
    /// Whether it wrote more than that.
    pub truncated: bool,
    command: String,
}

impl Output {
    pub(crate) fn new(command: &Command, output: exec::Output) -> Self {
        let exec::Output { status, stdout, stderr, truncated } = output;
        Output { status, stdout, stderr, truncated, command: command.program.argv.join(" ") }
    }

    /// Whether its exit status is 0.
    pub fn success(&self) -> bool {
        self.status == 0
    }

    /// What it wrote to its standard output, bytes that are not UTF-8 replaced.
    ///
    /// # Errors
    /// Its exit status is not 0; the error has what it wrote to its standard error.
    pub fn text(&self) -> Result<Cow<'_, str>> {
        if self.success() {
            return Ok(String::from_utf8_lossy(&self.stdout));
        }
        let words = String::from_utf8_lossy(&self.stderr);
        Err(Error::new(format!("`{}`: exit status {}: {}", self.command, self.status, words.trim_end())))
    }
}

/// A command in the background. Dropping this does not end it.
#[derive(Debug)]
pub struct Process(exec::Process);

impl Process {
    pub(crate) fn new(handle: exec::Process) -> Self {
        Process(handle)
    }

    /// Its process id, as `ps` on the node side shows it.
    pub fn pid(&self) -> i32 {
        self.0.pid()
    }

    /// Waits for its end; its exit status, or 128 and the signal's number where a signal ended it.
    ///
    /// # Errors
    /// The lab's own time is over.
    pub fn wait(&self) -> Result<i32> {
        Ok(self.0.wait(None)?)
    }

    /// Its exit status where it ends within that time; none where it goes on.
    ///
    /// # Errors
    /// The lab's own time is over.
    pub fn wait_for(&self, time: Duration) -> Result<Option<i32>> {
        match self.0.wait(Some(millis(time))).map_err(Error::from) {
            Ok(status) => Ok(Some(status)),
            Err(error) if error.code() == Code::Timeout => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a signal by its number, such as 15 (SIGTERM), to it and to what it started.
    ///
    /// # Errors
    /// There is no such signal.
    pub fn signal(&self, signal: i32) -> Result<()> {
        Ok(self.0.kill(signal)?)
    }

    /// Ends it and what it started at once, by SIGKILL.
    ///
    /// # Errors
    /// The node side has ended.
    pub fn kill(&self) -> Result<()> {
        self.signal(9)
    }
}

/// A time as calls take it: at least a millisecond.
pub(crate) fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX).max(1)
}
