//! What this machine has of what knetsim needs: kernel features, programs, permissions.
//!
//! Invariant: everything is tried in throw-away children, in namespaces of their own; nothing on the host
//! is changed, and nothing is loaded that the first sandbox would not load.

mod kernel;
mod machine;
mod programs;
mod whole;

use serde::Serialize;

/// One thing that was looked at.
#[derive(Debug, Serialize)]
pub(crate) struct Check {
    /// `kernel`, `permission`, `program` or `whole`.
    pub(crate) kind: &'static str,
    /// What it is.
    pub(crate) name: String,
    /// How it is.
    pub(crate) state: State,
    /// What needs it.
    pub(crate) purpose: &'static str,
    /// What was seen, where that says more than the state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seen: Option<String>,
    /// What to do, unless all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
}

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// There, and it works.
    There,
    /// Not as it should be; knetsim works, but weaker.
    Weaker,
    /// Not there; only some labs or commands need it.
    Absent,
    /// Not there, and knetsim needs it.
    Missing,
}

impl Check {
    fn there(kind: &'static str, name: &str, purpose: &'static str) -> Check {
        Check { kind, name: name.to_owned(), state: State::There, purpose, seen: None, remedy: None }
    }

    fn lacks(self, state: State, seen: impl Into<String>, remedy: impl Into<String>) -> Check {
        Check { state, seen: Some(seen.into()), remedy: Some(remedy.into()), ..self }
    }
}

/// Looks at everything. To be called while this process has one thread.
pub(crate) fn look() -> Vec<Check> {
    let mut checks = kernel::look();
    checks.extend(machine::look());
    checks.extend(programs::look());
    checks.push(whole::look());
    checks
}
