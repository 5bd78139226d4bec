//! What can go wrong with an ingress.

use std::io;

use knetsim_daemon::DaemonError;
use knetsim_sandbox::SandboxError;

/// What can go wrong with an ingress.
#[derive(Debug, thiserror::Error)]
pub enum IngressError {
    /// nginx does not run, or does not answer.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// `nginx -t` can't be run.
    #[error("testing nginx's configuration; `knetsim doctor` says what is missing")]
    Test(#[source] SandboxError),
    /// `nginx -t` does not accept its configuration.
    #[error("nginx refuses its configuration: {0}")]
    Refused(String),
    /// `nginx -t` does not accept one of its regular expressions.
    #[error("path `{path}`: nginx refuses the regular expression: {why}")]
    Expression {
        /// Which.
        path: String,
        /// nginx's own words.
        why: String,
    },
    /// A file of the node's can't be read or written.
    #[error("{path} on its worker")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
}
