//! Why something was refused or failed.

use std::fmt;

use crate::bindings::knetsim::lab::types;

/// The result of whatever a lab does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Code {
    /// A grant is missing, or it is not allowed at this time.
    Denied,
    /// A limit on number, size, time or memory was reached.
    Limit,
    /// What was named does not exist.
    NotFound,
    /// It, or something that it clashes with, exists already.
    Exists,
    /// The request makes no sense as it is written.
    Invalid,
    /// A program, daemon or kernel feature that it needs is not there.
    Unavailable,
    /// It was not done in time.
    Timeout,
    /// The kernel, a program or a daemon refused or failed.
    Failed,
}

/// Why something was refused or failed: a code for programs, words for people.
///
/// ```no_run
/// use knetsim_sdk::{Code, Lab};
///
/// let lab = Lab::new();
/// match lab.create_container("C0w1.c1") {
///     Err(error) if error.code() == Code::Exists => println!("c1 is there already"),
///     other => drop(other.expect("a container")),
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    code: Code,
    message: String,
}

impl Error {
    /// An error of the lab's own.
    pub fn new(message: impl Into<String>) -> Self {
        Error { code: Code::Failed, message: message.into() }
    }

    /// What kind of failure it was.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What was attempted, on what, what went wrong, and what to do.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl Code {
    const ALL: [(Code, &str); 8] = [
        (Code::Denied, "denied"),
        (Code::Limit, "limit"),
        (Code::NotFound, "not-found"),
        (Code::Exists, "exists"),
        (Code::Invalid, "invalid"),
        (Code::Unavailable, "unavailable"),
        (Code::Timeout, "timeout"),
        (Code::Failed, "failed"),
    ];
}

impl From<types::Error> for Error {
    fn from(types::Error { code, message }: types::Error) -> Self {
        let known = Code::ALL.iter().find(|(_, name)| *name == code);
        Error { code: known.map_or(Code::Failed, |(code, _)| *code), message }
    }
}

impl From<Error> for types::Error {
    fn from(Error { code, message }: Error) -> Self {
        let name = Code::ALL.iter().find(|(known, _)| *known == code).map_or("failed", |(_, name)| name);
        types::Error { code: name.to_owned(), message }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// As [`fmt::Display`]: a `main` that returns an error prints this.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {}
