//! Supervises real daemons on the node side: `systemctl start`, with `Restart=on-failure`.

use std::collections::BTreeMap;
use std::time::Duration;

use knetsim_model::{Event, NodeName};
use knetsim_sandbox::{Exit, Node, Sandbox, SandboxError};
use tokio::sync::broadcast;

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
    /// It is started again, at once after it ran for ten seconds, else after 0.1 s, doubled each time up to 5 s.
    Always,
}

/// What can go wrong with a daemon.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// It can't be started.
    #[error("starting {daemon} on {node}: {source}")]
    Start {
        /// Its name.
        daemon: String,
        /// Its node.
        node: NodeName,
        /// Why.
        source: SandboxError,
    },
    /// Its log can't be made.
    #[error("opening the log of {daemon} on {node}: {source}")]
    Log {
        /// Its name.
        daemon: String,
        /// Its node.
        node: NodeName,
        /// Why.
        source: std::io::Error,
    },
    /// It ended before it was ready.
    #[error("{daemon} on {node} ended with {exit:?} before it was ready; its last words: {tail}")]
    Ended {
        /// Its name.
        daemon: String,
        /// Its node.
        node: NodeName,
        /// How.
        exit: Exit,
        /// The end of its log.
        tail: String,
    },
    /// It was not ready in time.
    #[error("{daemon} on {node} was not ready within {within:?}: {last}")]
    NotReady {
        /// Its name.
        daemon: String,
        /// Its node.
        node: NodeName,
        /// How long it had.
        within: Duration,
        /// The last state seen.
        last: String,
    },
    /// It would not go.
    #[error("stopping {daemon} on {node}: {source}")]
    Stop {
        /// Its name.
        daemon: String,
        /// Its node.
        node: NodeName,
        /// Why.
        source: SandboxError,
    },
}

/// A daemon that runs, or is started again. Dropping this does not end it; [`Daemon::stop`] does.
#[derive(Debug)]
pub struct Daemon {
    _private: (),
}

impl Daemon {
    /// Starts a daemon and watches over it; its ends are said to `events` as [`Event::DaemonEnded`].
    ///
    /// # Errors
    /// Its program or its log can't be opened.
    pub async fn start(
        _sandbox: &Sandbox,
        _node: &Node,
        _spec: DaemonSpec,
        _events: broadcast::Sender<Event>,
    ) -> Result<Daemon, DaemonError> {
        todo!()
    }

    /// Polls `probe` until it returns Ok, or the daemon ends, or the time is over.
    ///
    /// # Errors
    /// With the end of its log, or the last state that `probe` returned.
    pub async fn ready<F>(&self, _within: Duration, _probe: impl FnMut() -> F) -> Result<(), DaemonError>
    where
        F: Future<Output = Result<(), String>>,
    {
        todo!()
    }

    /// Its process now, as `ps` on the node side shows it; none while it is down.
    pub fn pid(&self) -> Option<i32> {
        todo!()
    }

    /// Sends a signal to its process group, such as SIGHUP.
    ///
    /// # Errors
    /// The node side has ended.
    pub async fn signal(&self, _signal: i32) -> Result<(), DaemonError> {
        todo!()
    }

    /// Ends it: SIGTERM to its process group, SIGKILL after `deadline`. Returns when it is gone. Can be repeated.
    ///
    /// # Errors
    /// The node side has ended.
    pub async fn stop(&self, _deadline: Duration) -> Result<(), DaemonError> {
        todo!()
    }
}
