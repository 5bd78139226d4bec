//! Supervises real daemons on the node side: `systemctl start`, with `Restart=always`.
//!
//! Invariant: a daemon's process group is either this daemon's, or gone: whenever its first process ends, by
//! whatever cause, the node side's init ends the rest of the group before anything else can start.

mod error;
mod keep;
mod log;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use knetsim_model::{Event, NodeName};
use knetsim_sandbox::{Exit, Node, Sandbox};
use tokio::sync::broadcast;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::keep::{Shared, State};

pub use error::{DaemonError, Who};
pub use log::Log;

/// Between two tries of a probe: at first, and at most.
const POLL: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(50));
/// How much of a log's end an error cites, in bytes.
const LAST_WORDS: u64 = 1024;

/// A daemon to run.
#[derive(Clone, Debug)]
pub struct DaemonSpec {
    /// Its name, as events and `logs` say it: `etcd`. Its log is `/var/log/<name>.log` on its node.
    pub name: String,
    /// Its node.
    pub node: NodeName,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Added to the environment.
    pub env: BTreeMap<String, String>,
    /// What happens when it ends by itself.
    pub restart: Restart,
}

/// What happens when a daemon ends though nobody asked it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// It stays down; the event says so.
    Never,
    /// It is started again, after 0.1 s; after double the time, up to 5 s, each time that it ran for less than 10 s.
    Always,
}

/// The path of a daemon's log in its node's folder.
pub fn log_path(daemon: &str) -> String {
    format!("var/log/{daemon}.log")
}

/// A daemon that runs, or is started again. [`Daemon::stop`] ends it. When this is dropped it runs on, as long as its
/// node does, but is not started again.
#[derive(Debug)]
pub struct Daemon {
    shared: Arc<Shared>,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.shared.stopping.send_replace(true);
    }
}

impl Daemon {
    /// Starts a daemon and watches over it; its ends are said to `events` as [`Event::DaemonEnded`].
    ///
    /// # Errors
    /// Its program can't be started, or its log can't be opened.
    pub async fn start(
        sandbox: &Sandbox,
        node: &Node,
        spec: DaemonSpec,
        events: broadcast::Sender<Event>,
    ) -> Result<Daemon, DaemonError> {
        let shared = Arc::new(Shared::new(sandbox, node, spec, events)?);
        let child = shared.spawn().await?;
        shared.state.send_replace(State::Up(Arc::clone(&child)));
        tokio::spawn(keep::keep(Arc::clone(&shared), child));
        Ok(Daemon { shared })
    }

    /// Polls `probe` until it returns Ok, or the daemon ends, or the time is over.
    ///
    /// # Errors
    /// With the end of its log, or the last state that `probe` returned.
    pub async fn ready<F>(&self, within: Duration, mut probe: impl FnMut() -> F) -> Result<(), DaemonError>
    where
        F: Future<Output = Result<(), String>>,
    {
        let until = Instant::now() + within;
        let mut last = "its first probe did not return".to_owned();
        let mut pause = POLL.0;
        let polling = async {
            while let Err(state) = probe().await {
                last = state;
                sleep(pause).await;
                pause = (pause * 3 / 2).min(POLL.1);
            }
        };
        let mut state = self.shared.state.subscribe();
        let ended = state.wait_for(|state| !matches!(state, State::Up(_)));
        tokio::select! {
            polled = timeout_at(until, polling) => match polled {
                Ok(()) => Ok(()),
                Err(_) => Err(DaemonError::NotReady { who: self.shared.who(), within, last }),
            },
            ended = ended => {
                let exit = ended.map_or(Exit::Lost, |state| state.exit());
                Err(DaemonError::Ended { who: self.shared.who(), exit, tail: self.last_words() })
            }
        }
    }

    /// Its process now, as `ps` on the node side shows it; none while it is down.
    pub fn pid(&self) -> Option<i32> {
        self.shared.child().map(|child| child.pid)
    }

    /// The end of its log, in one line.
    pub fn last_words(&self) -> String {
        let bytes = self.shared.log.end(LAST_WORDS);
        let text = String::from_utf8_lossy(&bytes);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Its log.
    pub fn log(&self) -> &Log {
        &self.shared.log
    }

    /// Sends a signal to its process group, such as SIGHUP. Nothing happens while it is down.
    ///
    /// # Errors
    /// The node side has ended.
    pub async fn signal(&self, signal: i32) -> Result<(), DaemonError> {
        match self.shared.child() {
            Some(child) => {
                child.signal(signal).await.map_err(|source| DaemonError::Signal { who: self.shared.who(), source })
            }
            None => Ok(()),
        }
    }

    /// Ends it: SIGTERM to its process group, SIGKILL after `deadline`. Returns when it is gone. Can be repeated.
    ///
    /// # Errors
    /// The node side has ended.
    pub async fn stop(&self, deadline: Duration) -> Result<(), DaemonError> {
        self.shared.stopping.send_replace(true);
        let mut state = self.shared.state.subscribe();
        let mut gone = async || {
            // The sender lives as long as `self`.
            let _ = state.wait_for(|state| matches!(state, State::Gone(_))).await;
        };
        self.signal(ending::TERM).await?;
        if timeout(deadline, gone()).await.is_err() {
            self.signal(ending::KILL).await?;
            gone().await;
        }
        Ok(())
    }
}

/// The two signals that end a daemon, signal(7); the same numbers on every architecture.
mod ending {
    pub(crate) const KILL: i32 = 9;
    pub(crate) const TERM: i32 = 15;
}
