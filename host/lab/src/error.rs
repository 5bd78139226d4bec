//! What can be wrong with a lab before it runs.

use std::io;
use std::path::PathBuf;

use knetsim_model::{Code, Failure};

/// Why a lab can't be read, built or prepared.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// lab.toml, or the copy of it that a lab carries, is not as it should be; with line and column.
    #[error("lab.toml: {0}")]
    Manifest(String),
    /// The bytes are no WebAssembly, or none that can be a lab.
    #[error("this is no lab: {0}")]
    NotALab(String),
    /// It imports what this knetsim has not.
    #[error("this lab can't run on knetsim {}: {lacks}", env!("CARGO_PKG_VERSION"))]
    Lacks {
        /// Which import, in the engine's words.
        lacks: String,
    },
    /// A grant or limit that was given by hand does not exist or is out of range.
    #[error("{0}")]
    Option(String),
    /// The engine can't be made on this machine.
    #[error("the WebAssembly engine: {0}")]
    Engine(String),
    /// A file or program that building needs.
    #[error("{doing} {}: {source}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// The errno.
        source: io::Error,
    },
    /// The crate does not compile, or something that compiling needs is missing.
    #[error("{0}")]
    Build(String),
}

impl From<LabError> for Failure {
    fn from(error: LabError) -> Self {
        let code = match &error {
            LabError::Manifest(_) | LabError::NotALab(_) | LabError::Option(_) => Code::Invalid,
            LabError::Lacks { .. } | LabError::Engine(_) => Code::Unavailable,
            LabError::File { .. } | LabError::Build(_) => Code::Failed,
        };
        Failure::new(code, error.to_string())
    }
}

/// The result of this layer's functions.
pub(crate) type Result<T, E = LabError> = std::result::Result<T, E>;
