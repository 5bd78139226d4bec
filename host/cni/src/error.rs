//! Why a plugin or the runtime failed, and the error object of the specification that says so.

use std::error::Error as _;
use std::io;

use knetsim_kernel::KernelError;
use serde::{Deserialize, Serialize};

use crate::version::Version;

/// Why an operation failed. Each kind has a code of the specification ("Section 5: Error").
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 1: the configuration is of a version that is not spoken here.
    #[error("incompatible CNI versions: the configuration says {config:?}, supported are {}", Version::LIST.join(", "))]
    Version {
        /// The configuration's.
        config: String,
    },
    /// 2: a field asks for something that is not done here.
    #[error("unsupported field in the network configuration: {key} = {value}: {why}")]
    Unsupported {
        /// The field.
        key: &'static str,
        /// Its value, as JSON.
        value: String,
        /// What is supported instead.
        why: &'static str,
    },
    /// 3: the container is not there; nothing needs to be cleaned up.
    #[error("{0}")]
    UnknownContainer(String),
    /// 4: a parameter of the call is missing or wrong.
    #[error("{0}")]
    Parameter(String),
    /// 5: a file could not be read or written.
    #[error("{doing}: {source}")]
    Io {
        /// The operation and the file.
        doing: String,
        /// The error number.
        source: io::Error,
    },
    /// 6: what was read is not what it should be.
    #[error("{what} can't be decoded: {why}")]
    Decode {
        /// What was read.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// 7: the configuration makes no sense.
    #[error("{0}")]
    Config(String),
    /// 11: not now.
    #[error("{0}; try again later")]
    Busy(String),
    /// 50: the network can't take containers.
    #[error("{0}")]
    Unavailable(String),
    /// 999: the kernel refused.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// 999: anything else that makes the operation impossible.
    #[error("{0}")]
    Failed(String),
    /// What a plugin that was executed answered, with its own code.
    #[error("plugin {plugin}: {report}")]
    Plugin {
        /// Its type.
        plugin: String,
        /// Its answer.
        report: Report,
    },
}

impl Error {
    /// The code of the specification: 1 to 99 are well known, 999 is any other failure.
    pub fn code(&self) -> u32 {
        match self {
            Error::Version { .. } => 1,
            Error::Unsupported { .. } => 2,
            Error::UnknownContainer(_) => 3,
            Error::Parameter(_) => 4,
            Error::Io { .. } => 5,
            Error::Decode { .. } => 6,
            Error::Config(_) => 7,
            Error::Busy(_) => 11,
            Error::Unavailable(_) => 50,
            Error::Kernel(_) | Error::Failed(_) => 999,
            Error::Plugin { report, .. } => report.code,
        }
    }

    /// The object that a plugin prints.
    pub fn report(&self, version: Version) -> Report {
        if let Error::Plugin { report, .. } = self {
            return report.clone();
        }
        let message = self.to_string();
        let details = self.source().map(ToString::to_string).filter(|cause| !message.contains(cause));
        Report {
            cni_version: version.as_str().to_owned(),
            code: self.code(),
            msg: message,
            details: details.unwrap_or_default(),
        }
    }

    /// Names the file that an error of configuration comes from.
    pub(crate) fn of(self, file: &str) -> Self {
        match self {
            Error::Config(why) => Error::Config(format!("{file}: {why}")),
            Error::Decode { what, why } => Error::Decode { what: format!("{file}: {what}"), why },
            other => other,
        }
    }

    /// For `map_err` on what was done to a file.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Error::Io { doing: doing.into(), source }
    }

    pub(crate) fn decode(what: impl Into<String>) -> impl FnOnce(serde_json::Error) -> Self {
        move |why| Error::Decode { what: what.into(), why: why.to_string() }
    }
}

/// The error object of the specification ("Section 5: Error").
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{msg}{}{details} (code {code})", if .details.is_empty() { "" } else { "; " })]
pub struct Report {
    /// The version spoken. Plugins that were built on the reference library leave it out.
    #[serde(rename = "cniVersion", default)]
    pub cni_version: String,
    /// See [`Error::code`].
    #[serde(default)]
    pub code: u32,
    /// What happened, in short.
    #[serde(default)]
    pub msg: String,
    /// And at length.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}
