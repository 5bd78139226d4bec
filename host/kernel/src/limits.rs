//! What one process may use, and how it stands back behind others.
//!
//! As commands: `ulimit`, `nice`, `choom`.

use rustix::process::{Resource, Rlimit};

use crate::error::KernelError;

type Result<T, E = KernelError> = std::result::Result<T, E>;

/// Sets a limit, soft and hard, of this process and those that it will start; never above the hard limit it has.
pub fn set(resource: Resource, most: u64) -> Result<()> {
    let had = rustix::process::getrlimit(resource);
    let most = had.maximum.map_or(most, |maximum| most.min(maximum));
    rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
        .map_err(KernelError::doing(format!("limit {resource:?} to {most}")))
}

/// Raises the soft limit on open files to the hard one.
pub fn raise_open_files() -> Result<()> {
    let had = rustix::process::getrlimit(Resource::Nofile);
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: had.maximum, maximum: had.maximum })
        .map_err(KernelError::doing("raise the limit on open files"))
}
