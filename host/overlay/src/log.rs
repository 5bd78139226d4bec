//! The agent's log, in the form of flanneld's (klog): `I1121 03:05:07.123456       1 session.rs:84] Running backend`.

use std::panic::Location;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use cap_std::fs::Dir;
use knetsim_kernel::log_file::LogFile;
use knetsim_model::NodeName;

use crate::agent::AgentError;

const LOG: &str = "var/log/flanneld.log";

/// Writes a node's `/var/log/flanneld.log`.
pub(crate) struct Log {
    node: NodeName,
    file: Mutex<LogFile>,
}

impl Log {
    pub(crate) fn new(node: &NodeName, files: &Dir) -> Result<Self, AgentError> {
        let files = files.try_clone().map_err(|source| AgentError::File { path: "/var/log/flanneld.log", source })?;
        Ok(Log { node: node.clone(), file: Mutex::new(LogFile::new(files, LOG.to_owned())) })
    }

    #[track_caller]
    pub(crate) fn info(&self, line: &str) {
        self.write('I', line, Location::caller());
    }

    #[track_caller]
    pub(crate) fn warning(&self, line: &str) {
        self.write('W', line, Location::caller());
    }

    #[track_caller]
    pub(crate) fn error(&self, line: &str) {
        self.write('E', line, Location::caller());
    }

    /// A full disk costs the line, not the agent.
    fn write(&self, level: char, line: &str, from: &Location<'_>) {
        tracing::debug!(node = %self.node, "{line}");
        let file = from.file().rsplit('/').next().unwrap_or_default();
        let line = format!("{level}{} {:>7} {file}:{}] {line}\n", stamp(SystemTime::now()), 1, from.line());
        let added = self.file.lock().unwrap_or_else(PoisonError::into_inner).add(line.as_bytes());
        if let Err(error) = added {
            tracing::warn!(node = %self.node, "{LOG}: {error}");
        }
    }
}

/// `1121 03:05:07.123456`, UTC.
fn stamp(time: SystemTime) -> String {
    // 2026-11-21T03:05:07.123456Z
    let text = humantime::format_rfc3339_micros(time).to_string();
    format!("{}{} {}", &text[5..7], &text[8..10], &text[11..26])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_time_is_written_as_klog_writes_it() {
        assert_eq!(
            stamp(SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_230_307_000_042)),
            "1121 03:05:07.000042"
        );
    }
}
