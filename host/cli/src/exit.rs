//! Exit statuses, as `knetsim --help` lists them.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use knetsim_model::{Code, Failure};
use knetsim_sandbox::SandboxError;

use crate::fresh::Interrupted;

/// Whose statuses a command returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// Its own.
    Own,
    /// A program's: its own failures are 125, 126 and 127, as `docker exec` has them.
    Program,
    /// A lab's: its own failures are 125.
    Lab,
}

/// The status of an error.
pub(crate) fn status(error: &anyhow::Error, numbers: Numbers) -> u8 {
    if let Some(Interrupted(signal)) = error.downcast_ref() {
        return 128 + signal;
    }
    match (code(error), numbers) {
        (Code::Unavailable, Numbers::Program) => 127,
        (Code::Denied, Numbers::Program) => 126,
        (_, Numbers::Program | Numbers::Lab) => 125,
        (Code::Invalid, Numbers::Own) => 2,
        (Code::NotFound, Numbers::Own) => 3,
        (Code::Exists, Numbers::Own) => 4,
        (Code::Denied, Numbers::Own) => 5,
        (Code::Limit, Numbers::Own) => 6,
        (Code::Unavailable | Code::Timeout | Code::Failed, Numbers::Own) => 1,
    }
}

/// The status of a process, as shells have it.
pub(crate) fn of_process(status: ExitStatus) -> u8 {
    let number = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    number.and_then(|number| u8::try_from(number).ok()).unwrap_or(u8::MAX)
}

fn code(error: &anyhow::Error) -> Code {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failure.code;
    }
    match error.downcast_ref::<SandboxError>() {
        Some(SandboxError::Running(_)) => Code::Exists,
        Some(SandboxError::NotRunning(_)) => Code::NotFound,
        Some(SandboxError::Invalid(_)) => Code::Invalid,
        _ => Code::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_failure_keeps_its_status_under_context() {
        let failed = || Err::<(), _>(Failure::not_found("there is no node C9w1"));
        let error = failed().context("exec").unwrap_err();
        assert_eq!(status(&error, Numbers::Own), 3);
        assert_eq!(status(&error, Numbers::Lab), 125);
        let missing = Failure::unavailable("no such program").into();
        assert_eq!((status(&missing, Numbers::Program), status(&missing, Numbers::Lab)), (127, 125));
        assert_eq!(status(&anyhow::anyhow!("other"), Numbers::Own), 1);
        assert_eq!(status(&SandboxError::NotRunning("a".into()).into(), Numbers::Own), 3);
    }
}
