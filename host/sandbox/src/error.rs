//! What can go wrong, by the step that it happened in.

use std::io;

/// A step of launching a sandbox, or a request to its node side, that failed.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// A system call, with what it was for.
    #[error("{step}: {source}")]
    Step {
        /// What was being done, and to which object.
        step: String,
        /// The errno.
        source: io::Error,
    },
    /// The kernel or a confinement forbids what a sandbox needs; the words say which and what to do.
    #[error("{0}")]
    Refused(String),
    /// A sandbox of that name is up.
    #[error("a sandbox named `{0}` is running; choose another name, or end it with `knetsim down --name {0}`")]
    Running(String),
    /// There is none of that name.
    #[error("no sandbox named `{0}` is running; `knetsim up --name {0}` makes one")]
    NotRunning(String),
    /// The request makes no sense as it is written.
    #[error("{0}")]
    Invalid(String),
    /// The node side's init is gone, and with it every node and process.
    #[error("{0}: the node side has ended")]
    Ended(String),
    /// A call of the layer below.
    #[error(transparent)]
    Kernel(#[from] knetsim_kernel::KernelError),
}

/// The result of this layer's functions.
pub(crate) type Result<T, E = SandboxError> = std::result::Result<T, E>;
