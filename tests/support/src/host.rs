//! What the host looks like: to be compared before, during and after.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

/// Links, addresses, routes, rules, the nft ruleset, sysctls, mounts, /tmp and cgroups, each as text. Of /tmp, which
/// others write to, what a sandbox could have left there.
///
/// What an ordinary user may not list is compared by its refusal.
pub fn snapshot() -> BTreeMap<&'static str, String> {
    let mut seen = BTreeMap::new();
    seen.insert("links", output("ip", &["-d", "-o", "link"]));
    seen.insert("addresses", output("ip", &["-o", "address"]));
    seen.insert("routes", output("ip", &["route", "show", "table", "all"]));
    seen.insert("rules", output("ip", &["rule"]));
    seen.insert("neighbours", output("ip", &["neighbour", "show", "nud", "permanent"]));
    seen.insert("named namespaces", names(Path::new("/run/netns")));
    seen.insert("nft ruleset", output("nft", &["list", "ruleset"]));
    seen.insert("mounts", fs::read_to_string("/proc/self/mounts").unwrap_or_default());
    seen.insert("/tmp", from_a_sandbox(Path::new("/tmp")));
    seen.insert("cgroups", output("find", &["/sys/fs/cgroup", "-xdev", "-type", "d"]));
    seen.insert("sysctls", sysctls());
    seen
}

/// Every sysctl but those that the kernel itself changes all the time.
fn sysctls() -> String {
    const VOLATILE: [&str; 14] = [
        "kernel.random",
        "kernel.ns_last_pid",
        "kernel.pty.nr",
        "fs.dentry-state",
        "fs.file-nr",
        "fs.inode-",
        "fs.quota",
        "fs.aio-nr",
        "net.netfilter.nf_conntrack_count",
        "vm.stat_refresh",
        "debug.",
        "kernel.sched_domain",
        "kernel.tainted",
        "net.ipv4.tcp_fastopen_key",
    ];
    let all = output("sysctl", &["-a", "--ignore"]);
    let stays = |line: &&str| !VOLATILE.iter().any(|volatile| line.starts_with(volatile));
    all.lines().filter(stays).collect::<Vec<_>>().join("\n")
}

/// Entries named as knetsim or its nodes are, and those of an owner that only a sandbox has: root's maps a range of
/// ids up there.
fn from_a_sandbox(folder: &Path) -> String {
    const FIRST_OF_NOBODY: u32 = 1 << 30;
    let node = |name: &str| name.starts_with('C') && name[1..].starts_with(|digit: char| digit.is_ascii_digit());
    let owned = |name: &str| folder.join(name).symlink_metadata().is_ok_and(|it| it.uid() >= FIRST_OF_NOBODY);
    let all = names(folder);
    let ours = all.lines().filter(|name| name.contains("knetsim") || node(name) || owned(name));
    ours.collect::<Vec<_>>().join("\n")
}

fn names(folder: &Path) -> String {
    let mut names: Vec<_> = match fs::read_dir(folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect(),
        Err(error) => return error.to_string(),
    };
    names.sort();
    names.join("\n")
}

fn output(program: &str, args: &[&str]) -> String {
    let run = Command::new(program).args(args).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    String::from_utf8_lossy(&[run.stdout, run.stderr].concat()).into_owned()
}

/// Fails with the lines that differ.
///
/// # Panics
/// When anything differs.
pub fn assert_same(before: &BTreeMap<&'static str, String>, after: &BTreeMap<&'static str, String>) {
    for (what, was) in before {
        let is = &after[what];
        let gone: Vec<_> = was.lines().filter(|line| !is.lines().any(|other| other == *line)).collect();
        let new: Vec<_> = is.lines().filter(|line| !was.lines().any(|other| other == *line)).collect();
        assert!(gone.is_empty() && new.is_empty(), "the host's {what} changed:\n- {gone:?}\n+ {new:?}");
    }
}
