//! Exit statuses, as `knetsim --help` lists them.

use knetsim_model::{Code, Failure};
use knetsim_sandbox::SandboxError;

use crate::fresh::Interrupted;

/// The status of an error; `runs_a_program` where lower numbers are those of the program.
pub(crate) fn status(error: &anyhow::Error, runs_a_program: bool) -> u8 {
    if let Some(Interrupted(signal)) = error.downcast_ref() {
        return 128 + signal;
    }
    match (code(error), runs_a_program) {
        (Code::Unavailable, true) => 127,
        (Code::Denied, true) => 126,
        (_, true) => 125,
        (Code::Invalid, _) => 2,
        (Code::NotFound, _) => 3,
        (Code::Exists, _) => 4,
        (Code::Denied, _) => 5,
        (Code::Limit, _) => 6,
        (Code::Unavailable | Code::Timeout | Code::Failed, _) => 1,
    }
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
        assert_eq!(status(&error, false), 3);
        assert_eq!(status(&error, true), 125);
        assert_eq!(status(&anyhow::anyhow!("other"), false), 1);
        assert_eq!(status(&SandboxError::NotRunning("a".into()).into(), false), 3);
    }
}
