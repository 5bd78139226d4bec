//! Memory of processes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process;

use anyhow::{Context, Result};

/// KiB of this process's descendants, each page shared out among all that have it (proc_pid_smaps(5), `Pss`). Not
/// counted: etcd, which is no part of knetsim.
pub(crate) fn of_descendants() -> Result<f64> {
    let mut parents = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let Some(pid) = path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()) else { continue };
        // A process may end meanwhile.
        if let Ok(stat) = fs::read_to_string(path.join("stat")) {
            let (name, rest) = stat.rsplit_once(") ").context("a line of /proc/PID/stat")?;
            let parent = rest.split(' ').nth(1).context("a parent in /proc/PID/stat")?.parse()?;
            parents.insert(pid, (parent, name.ends_with("(etcd")));
        }
    }
    let is_ours = |mut pid: u32| {
        while let Some((parent, _)) = parents.get(&pid) {
            if *parent == process::id() {
                return true;
            }
            pid = *parent;
        }
        false
    };
    let ours = parents.iter().filter(|(pid, (_, is_etcd))| !is_etcd && is_ours(**pid));
    ours.map(|(pid, _)| measured(&Path::new("/proc").join(pid.to_string()), "Pss:")).sum()
}

/// Resident kB of a process, all of its program's pages included (`Rss`).
pub(crate) fn resident(process: u32) -> Result<f64> {
    measured(&Path::new("/proc").join(process.to_string()), "Rss:")
}

fn measured(process: &Path, what: &str) -> Result<f64> {
    let file = process.join("smaps_rollup");
    let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let line = text.lines().find_map(|line| line.strip_prefix(what));
    let line = line.with_context(|| format!("no {what} in smaps_rollup"))?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
