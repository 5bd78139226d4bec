//! What one process may use, and how it stands back behind others.
//!
//! As commands: `ulimit`, `nice`, `capsh --drop`.

use rustix::process::Rlimit;
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

use crate::error::KernelError;

pub use rustix::process::Resource;

type Result<T, E = KernelError> = std::result::Result<T, E>;

/// Sets a limit, soft and hard, of this process and those that it will start; never above the hard limit it has.
pub fn set(resource: Resource, most: u64) -> Result<()> {
    let had = rustix::process::getrlimit(resource);
    let most = had.maximum.map_or(most, |maximum| most.min(maximum));
    rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })
        .map_err(KernelError::doing(format!("limit {resource:?} to {most}")))
}

/// The limits on open files.
#[derive(Clone, Debug)]
pub struct OpenFiles(Rlimit);

/// Raises the soft limit on open files to the hard one. Returns what there was.
pub fn raise_open_files() -> Result<OpenFiles> {
    let had = rustix::process::getrlimit(Resource::Nofile);
    OpenFiles(Rlimit { current: had.maximum, maximum: had.maximum }).set()?;
    Ok(OpenFiles(had))
}

impl OpenFiles {
    /// Sets them, for programs that rely on the usual ones.
    pub fn set(&self) -> Result<()> {
        rustix::process::setrlimit(Resource::Nofile, self.0)
            .map_err(KernelError::doing("limit the number of open files"))
    }
}

/// Lets this process get less of the processors than others, 1 to 19, where it does not get less already. It can't
/// be taken back without privileges.
pub fn stand_back(nice: i32) -> Result<()> {
    let stands_at = rustix::process::getpriority_process(None);
    let lower = |now| if now < nice { rustix::process::setpriority_process(None, nice) } else { Ok(()) };
    stands_at.and_then(lower).map_err(KernelError::doing("lower the priority"))
}

/// Takes away for good, from this process and those that it will start, the capabilities that none but
/// who works on namespaces and mounts by hand needs.
pub fn drop_capabilities() -> Result<()> {
    let dropped = CapabilitySet::SYS_ADMIN
        | CapabilitySet::SYS_PTRACE
        | CapabilitySet::SYS_MODULE
        | CapabilitySet::SYS_BOOT
        | CapabilitySet::SYS_RAWIO
        | CapabilitySet::SYS_TIME
        | CapabilitySet::SYS_PACCT
        | CapabilitySet::SYS_TTY_CONFIG
        | CapabilitySet::SYSLOG
        | CapabilitySet::MAC_ADMIN
        | CapabilitySet::MAC_OVERRIDE
        | CapabilitySet::AUDIT_CONTROL
        | CapabilitySet::AUDIT_READ
        | CapabilitySet::BPF
        | CapabilitySet::PERFMON
        | CapabilitySet::CHECKPOINT_RESTORE;
    dropped.iter().try_for_each(remove_capability_from_bounding_set).map_err(KernelError::doing("drop capabilities"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_is_never_raised() {
        // To Linux it is the thread's.
        let thread = std::thread::spawn(|| {
            let now = || rustix::process::getpriority_process(None).unwrap();
            let low = (now() + 3).min(19);
            for nice in [low, 1] {
                stand_back(nice).unwrap();
                assert_eq!(now(), low);
            }
        });
        thread.join().unwrap();
    }
}
