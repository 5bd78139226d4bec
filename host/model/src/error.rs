//! The one error that crosses from the emulator to a front end or a lab.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What kind of failure it was: the `code` that labs, `-o json` and exit statuses build on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// A grant is missing, or the phase forbids it.
    Denied,
    /// A limit on number, size, time or memory was reached.
    Limit,
    /// The thing named does not exist.
    NotFound,
    /// The thing, or one that it clashes with, exists already.
    Exists,
    /// The request makes no sense as it is written.
    Invalid,
    /// A program, a daemon or a kernel feature that it needs is not there.
    Unavailable,
    /// It was not done in time.
    Timeout,
    /// The kernel, a program or a daemon refused or failed.
    Failed,
}

impl Code {
    /// The code as WIT, JSON and messages spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::Denied => "denied",
            Code::Limit => "limit",
            Code::NotFound => "not-found",
            Code::Exists => "exists",
            Code::Invalid => "invalid",
            Code::Unavailable => "unavailable",
            Code::Timeout => "timeout",
            Code::Failed => "failed",
        }
    }
}

/// Why an operation was refused or failed: names the operation and the object, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize, JsonSchema)]
#[error("{message}")]
pub struct Failure {
    /// What kind of failure it was.
    pub code: Code,
    /// One or more sentences for a person.
    pub message: String,
}

impl Failure {
    /// A failure of that kind, with words for a person.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Failure { code, message: message.into() }
    }

    /// [`Code::NotFound`].
    pub fn not_found(message: impl Into<String>) -> Self {
        Failure::new(Code::NotFound, message)
    }

    /// [`Code::Exists`].
    pub fn exists(message: impl Into<String>) -> Self {
        Failure::new(Code::Exists, message)
    }

    /// [`Code::Invalid`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Failure::new(Code::Invalid, message)
    }

    /// [`Code::Unavailable`].
    pub fn unavailable(message: impl Into<String>) -> Self {
        Failure::new(Code::Unavailable, message)
    }

    /// [`Code::Failed`], with the whole chain of causes in one line, and what to do where that is known.
    pub fn failed(doing: impl std::fmt::Display, error: &dyn std::error::Error) -> Self {
        let words = format!("{doing}: {}", chain(error));
        let advice = advice(&words).map(|advice| format!("; {advice}"));
        Failure::new(Code::Failed, words + &advice.unwrap_or_default())
    }

    /// One for all of several things that were done whatever became of the others: the first one's code, and the words of
    /// all.
    ///
    /// # Errors
    /// One of them failed.
    pub fn all(done: impl IntoIterator<Item = Result<(), Failure>>) -> Result<(), Failure> {
        let failures: Vec<_> = done.into_iter().filter_map(Result::err).collect();
        let Some(first) = failures.first() else { return Ok(()) };
        let words: Vec<_> = failures.iter().map(|failure| failure.message.as_str()).collect();
        Err(Failure::new(first.code, words.join("; ")))
    }
}

/// What a person may do about an error whose words bear the kernel's number, as [`std::io::Error`] writes it: most
/// have crossed from another process, and words are all that is left of them.
pub fn advice(words: &str) -> Option<&'static str> {
    let (_, rest) = words.rsplit_once("(os error ")?;
    let (number, _) = rest.split_once(')')?;
    const EAGAIN: i32 = 11;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const ENOSPC: i32 = 28;
    const ENOSYS: i32 = 38;
    let advice = match number.parse::<i32>().ok()? {
        EAGAIN => "a limit on processes is reached: see `ulimit -u`, and `knetsim up --limit processes=NUMBER`",
        ENFILE | EMFILE => "a limit on open files is reached: start the sandbox after `ulimit -Hn 65536`",
        ENOSYS => "the kernel is too old, which has to be Linux 5.12 or newer, or a seccomp filter hides the call",
        ENOSPC => "a disk is full (those inside: `knetsim up --limit disk=NUMBER`), or a sysctl user.max_* reached",
        _ => return None,
    };
    (!words.contains(advice)).then_some(advice)
}

/// An error and its causes, joined by `: `, a cause that its parent already printed left out.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_failures_none_is_lost() {
        assert_eq!(Failure::all([Ok(()), Ok(())]), Ok(()));
        let all = Failure::all([
            Ok(()),
            Err(Failure::not_found("a is gone")),
            Err(Failure::failed("b", &Failure::invalid("c"))),
        ]);
        assert_eq!(all, Err(Failure::not_found("a is gone; b: c")));
    }

    #[test]
    fn what_to_do_is_said_once() {
        let error = std::io::Error::from_raw_os_error(24);
        let failure = Failure::failed("node C0w1", &error);
        let words = "node C0w1: Too many open files (os error 24); a limit on open files is reached: start the sandbox";
        assert!(failure.message.starts_with(words), "{}", failure.message);
        let around = Failure::failed("lab", &failure);
        assert_eq!(around.message, format!("lab: {}", failure.message));
        assert_eq!(
            Failure::failed("x", &std::io::Error::from_raw_os_error(2)).message,
            "x: No such file or directory (os error 2)"
        );
    }
}
