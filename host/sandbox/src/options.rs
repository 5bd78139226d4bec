//! What a sandbox is launched with.

use std::path::{Component, PathBuf};
use std::str::FromStr;

use crate::error::SandboxError;

/// How to launch a sandbox.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Its name: 1 to 32 letters, digits, `-` and `_`.
    pub name: String,
    /// Where its state folder is made; none for the user's usual place ([`crate::StateFolder::base`]).
    pub base: Option<PathBuf>,
    /// Tied to nothing: it lives on when the launcher ends. Its messages go to `log` in the state folder.
    pub detached: bool,
    /// One id only inside, even where more could be mapped.
    pub single_id: bool,
    /// What it may use.
    pub limits: Limits,
    /// Folders and files of the user's, `--mount SRC:DST[:ro]`.
    pub mounts: Vec<BindMount>,
    /// Programs of the user's, each bound read-only as `/opt/knetsim/bin/<its file name>`.
    pub programs: Vec<PathBuf>,
    /// CNI plugins of the user's, each bound read-only as `/opt/cni/bin/<its file name>`.
    pub plugins: Vec<PathBuf>,
}

/// What a sandbox may use, in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Processes on the node side. Commands get three quarters of them, so that daemons always find room.
    pub processes: u64,
    /// Address space of one command, in bytes. Daemons have no such limit.
    pub address_space: u64,
    /// Resident memory of all processes on the node side, in bytes. Over it, the biggest commands are ended.
    pub memory: u64,
    /// Size of the file system that all nodes' folders share, in bytes; etcd's data have one of the same size.
    pub disk: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { processes: 4096, address_space: 4 << 30, memory: 4 << 30, disk: 1 << 30 }
    }
}

/// A file or folder of the host's that is to be seen inside, `--mount SRC:DST[:ro]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindMount {
    /// The path on the host.
    pub source: PathBuf,
    /// The absolute path inside.
    pub target: PathBuf,
    /// Whether it can't be written to.
    pub read_only: bool,
}

impl FromStr for BindMount {
    type Err = SandboxError;
    fn from_str(text: &str) -> Result<Self, SandboxError> {
        let wrong =
            || SandboxError::Invalid(format!("`{text}` is no mount: write SRC:DST or SRC:DST:ro, DST absolute"));
        let (text, read_only) = match text.strip_suffix(":ro") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let (source, target) = text.rsplit_once(':').ok_or_else(wrong)?;
        let target = PathBuf::from(target);
        let plain = target.components().skip(1).all(|part| matches!(part, Component::Normal(_)));
        let ok = !source.is_empty() && target.is_absolute() && plain;
        ok.then(|| BindMount { source: source.into(), target, read_only }).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read() {
        let mount: BindMount = "a:b:/mnt/x:ro".parse().unwrap();
        assert_eq!(mount, BindMount { source: "a:b".into(), target: "/mnt/x".into(), read_only: true });
        assert!(!"/srv:/mnt".parse::<BindMount>().unwrap().read_only);
        for text in ["", "/srv", ":/mnt", "/srv:mnt", "/srv:/mnt/../etc", "/srv:", "/srv:ro"] {
            assert!(text.parse::<BindMount>().is_err(), "{text}");
        }
    }
}
