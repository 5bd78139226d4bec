//! What can go wrong with a site's router.

use std::io;

use knetsim_daemon::DaemonError;

/// What can go wrong with a site's router.
#[derive(Debug, thiserror::Error)]
pub enum InterconnectError {
    /// It does not run, or does not take its configuration over.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// There is no skrouterd.
    #[error(
        "there is no skrouterd on PATH: install skupper-router, give it by `knetsim up --program FILE`, or use \
         `interconnect: embedded`"
    )]
    NoSkrouterd,
    /// A file of the node's can't be read or written.
    #[error("{path} on its worker")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A certificate can't be made.
    #[error("making a certificate for {name}")]
    Certificate {
        /// For whom.
        name: String,
        /// Why.
        source: rcgen::Error,
    },
}
