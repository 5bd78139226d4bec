//! What can go wrong with a daemon.

use std::fmt;
use std::io;
use std::time::Duration;

use knetsim_model::NodeName;
use knetsim_sandbox::{Exit, SandboxError};

/// A daemon and its node, for messages: `etcd on C0e1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The daemon's name.
    pub daemon: String,
    /// Its node.
    pub node: NodeName,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.daemon, self.node)
    }
}

/// What to do where the program is not there, or is no program.
fn missing(error: &SandboxError) -> &'static str {
    use io::ErrorKind::{NotFound, PermissionDenied};
    match error.errno().map(|number| io::Error::from_raw_os_error(number).kind()) {
        Some(NotFound | PermissionDenied) => "; `knetsim doctor` says what is missing",
        _ => "",
    }
}

/// What can go wrong with a daemon.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// It can't be started.
    #[error("starting {who}: {source}{}", missing(source))]
    Start {
        /// Which.
        who: Who,
        /// Why.
        source: SandboxError,
    },
    /// Its log can't be opened.
    #[error("opening the log of {who}")]
    Log {
        /// Which.
        who: Who,
        /// Why.
        source: io::Error,
    },
    /// It ended before it was ready.
    #[error("{who} ended ({exit}) before it was ready; its last words: {tail}")]
    Ended {
        /// Which.
        who: Who,
        /// How.
        exit: Exit,
        /// The end of its log.
        tail: String,
    },
    /// It was not ready in time.
    #[error("{who} was not ready within {within:?}: {last}")]
    NotReady {
        /// Which.
        who: Who,
        /// How long it had.
        within: Duration,
        /// The last state seen.
        last: String,
    },
    /// It can't be reached by a signal.
    #[error("sending a signal to {who}")]
    Signal {
        /// Which.
        who: Who,
        /// Why.
        source: SandboxError,
    },
}
