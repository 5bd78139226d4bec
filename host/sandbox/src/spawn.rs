//! A process on the node side, as it is asked for and as it is held.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use knetsim_kernel::NetNs;
use knetsim_model::{NodeName, untrusted};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::error::Result;
use crate::memory::OverMemory;
use crate::sandbox::Inner;

/// What a process may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Profile {
    /// A lab's command: no mount, unshare, setns, ptrace; few processes, low priority.
    Plain,
    /// A learner's command: namespaces, mounts and ptrace by hand are possible, on the node side only.
    Node,
    /// A daemon of ours: as `Plain`, with room of its own in number of processes and memory.
    Daemon,
}

/// Where a process's standard streams lead.
#[derive(Debug)]
pub enum Stdio {
    /// To /dev/null.
    Null,
    /// To these three: input, output, error. Pipes or files, never a terminal of the user's.
    Fds([OwnedFd; 3]),
    /// To a new terminal of that many rows and columns; its master is [`Child::terminal`].
    Pty(u16, u16),
    /// Input from /dev/null, output and error to this file.
    Log(OwnedFd),
}

/// A process to start.
#[derive(Debug)]
pub struct Spawn {
    /// Program and arguments; the program is looked up in PATH.
    pub argv: Vec<String>,
    /// Added to, or replacing, the usual environment.
    pub env: BTreeMap<String, String>,
    /// Its working folder; none for `/root`.
    pub cwd: Option<String>,
    /// Whose files, host name and network it sees; none for the node side's base.
    pub node: Option<NodeName>,
    /// Another network namespace than the node's: a container's.
    pub netns: Option<NetNs>,
    /// What it may do.
    pub profile: Profile,
    /// Its standard streams.
    pub stdio: Stdio,
    /// What messages call it, such as ``"`sleep 5` in C0w1.c1"``; none for its program and arguments, [`quoted`].
    pub label: Option<String>,
}

/// How many characters of a command are quoted.
const QUOTED: usize = 60;

/// A command as a message quotes it: in backticks, its beginning, what is not plain escaped.
pub fn quoted(argv: &[String]) -> String {
    let words = untrusted::words(&argv.join(" "));
    match words.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("`{}...`", &words[..end]),
        None => format!("`{words}`"),
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with that status.
    Code(i32),
    /// By that signal.
    Signal(i32),
    /// Unknown: the node side ended with it.
    Lost,
}

impl Exit {
    /// As a shell says it: the status, or 128 + signal.
    pub fn status(self) -> i32 {
        match self {
            Exit::Code(code) => code,
            Exit::Signal(signal) => 128 + signal,
            Exit::Lost => 128 + 9,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit status {code}"),
            Exit::Signal(signal) => write!(f, "ended by signal {signal}"),
            Exit::Lost => write!(f, "ended with the node side"),
        }
    }
}

/// What is known of a process that was started.
#[derive(Debug, Default)]
pub(crate) struct Life {
    pub(crate) exit: Option<Exit>,
    pub(crate) over_memory: Vec<OverMemory>,
}

impl Life {
    /// The most that is remembered: a command may start processes that are ended for ever.
    const MOST: usize = 16;

    pub(crate) fn add(&mut self, over: OverMemory) {
        if self.over_memory.len() < Life::MOST {
            self.over_memory.push(over);
        }
    }
}

/// A process that was started; it leads a session and process group of its own. Dropping this does
/// not end it.
#[derive(Debug)]
pub struct Child {
    /// Its id, as `ps` on the node side shows it.
    pub pid: i32,
    /// The master of its terminal, with [`Stdio::Pty`].
    pub terminal: Option<OwnedFd>,
    pub(crate) id: u64,
    pub(crate) life: watch::Receiver<Life>,
    pub(crate) inner: Arc<Inner>,
}

impl Child {
    /// Waits for its end. Can be called any number of times, and cancelled.
    pub async fn wait(&self) -> Exit {
        match self.life.clone().wait_for(|life| life.exit.is_some()).await {
            Ok(life) => life.exit.unwrap_or(Exit::Lost),
            Err(_) => Exit::Lost,
        }
    }

    /// Waits until more than `known` of its processes were ended for want of memory, and returns those beyond. Nothing
    /// more comes when it has ended: then this waits for ever. Can be cancelled.
    pub async fn over_memory(&self, known: usize) -> Vec<OverMemory> {
        let mut life = self.life.clone();
        let more = life.wait_for(|life| life.over_memory.len() > known).await;
        let more = more.ok().map(|life| life.over_memory[known..].to_vec());
        match more {
            Some(more) => more,
            None => std::future::pending().await,
        }
    }

    /// Those of its processes that were ended for want of memory until now; at most 16.
    pub fn over_memory_until_now(&self) -> Vec<OverMemory> {
        self.life.borrow().over_memory.clone()
    }

    /// Sends a signal to its process group. Nothing happens when it has ended already.
    ///
    /// # Errors
    /// The signal is no signal, or the node side has ended.
    pub async fn signal(&self, signal: i32) -> Result<()> {
        self.inner.signal(self.id, signal).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_quoted_escaped_and_cut() {
        let quoted = |words: &[&str]| quoted(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(quoted(&["ls", "-l"]), "`ls -l`");
        assert_eq!(quoted(&["echo", "\u{1b}[2J\n"]), "`echo \\u{1b}[2J\\n`");
        assert_eq!(quoted(&[&"x".repeat(1 << 20)]), format!("`{}...`", "x".repeat(60)));
    }
}
