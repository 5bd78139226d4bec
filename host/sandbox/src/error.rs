//! What can go wrong, by the step that it happened in.

use std::io;

use knetsim_kernel::KernelError;
use serde::{Deserialize, Serialize};

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
    Kernel(#[from] KernelError),
}

/// The result of this layer's functions.
pub(crate) type Result<T, E = SandboxError> = std::result::Result<T, E>;

/// For `map_err`: names the step that failed.
pub(crate) fn step<S: Into<String>, E: Into<io::Error>>(doing: impl FnOnce() -> S) -> impl FnOnce(E) -> SandboxError {
    move |source| SandboxError::Step { step: doing().into(), source: source.into() }
}

impl SandboxError {
    /// The errno, where there is one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            SandboxError::Step { source, .. } => source.raw_os_error(),
            SandboxError::Kernel(error) => error.errno(),
            _ => None,
        }
    }
}

/// A failure as it is told from one process to another.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    step: String,
    errno: Option<i32>,
}

impl Told {
    /// What a failure takes at most as JSON, where every character may take six bytes: so it fits in one write to a pipe.
    pub(crate) const MOST_BYTES: usize = 4096;
    const MOST_CHARACTERS: usize = 600;
}

impl From<SandboxError> for Told {
    fn from(error: SandboxError) -> Self {
        let errno = error.errno();
        let (mut step, errno) = match error {
            SandboxError::Step { step, .. } | SandboxError::Kernel(KernelError::Refused { doing: step, .. })
                if errno.is_some() =>
            {
                (step, errno)
            }
            other => (other.to_string(), None),
        };
        step.truncate(step.floor_char_boundary(Told::MOST_CHARACTERS));
        Told { step, errno }
    }
}

impl From<Told> for SandboxError {
    fn from(told: Told) -> Self {
        match told.errno {
            Some(errno) => SandboxError::Step { step: told.step, source: io::Error::from_raw_os_error(errno) },
            None => SandboxError::Refused(told.step),
        }
    }
}
