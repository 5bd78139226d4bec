//! Permissions and confinements of this machine and user.

use std::path::Path;

use super::{Check, State};

const KIND: &str = "permission";

const DOCKER: &str = "docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined ...";
const APPARMOR: &str = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
const CLONE: &str = "/proc/sys/kernel/unprivileged_userns_clone";

pub(super) fn look() -> Vec<Check> {
    let mut checks = vec![limit("user"), limit("net"), limit("mnt"), limit("pid")];
    if !rustix::process::geteuid().is_root() {
        checks.push(sub_ids());
        checks.extend(switch(CLONE, '1', "user namespaces for ordinary users"));
        checks.extend(switch(APPARMOR, '0', "user namespaces in spite of AppArmor"));
    }
    checks.push(open_files());
    checks.push(memory_in_total());
    checks
}

/// What may stand behind a refused namespace, and what to do about it.
pub(super) fn what_confines() -> String {
    if read("/proc/sys/user/max_user_namespaces").is_some_and(|number| number == "0") {
        return "sysctl -w user.max_user_namespaces=10000".to_owned();
    }
    if in_a_container() {
        return format!("this is a container that forbids it; start it by {DOCKER}");
    }
    if !rustix::process::geteuid().is_root() {
        if read(CLONE).is_some_and(|value| value == "0") {
            return "sysctl -w kernel.unprivileged_userns_clone=1".to_owned();
        }
        if read(APPARMOR).is_some_and(|value| value == "1") {
            return "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0".to_owned();
        }
    }
    if read("/proc/self/status").is_some_and(|status| status.contains("Seccomp:\t2")) {
        return "a seccomp filter of whatever started this shell forbids it; start it without".to_owned();
    }
    "a kernel with CONFIG_USER_NS, CONFIG_PID_NS, CONFIG_NET_NS, CONFIG_UTS_NS and CONFIG_IPC_NS".to_owned()
}

fn in_a_container() -> bool {
    ["/.dockerenv", "/run/.containerenv"].iter().any(|path| Path::new(path).exists())
}

/// How many namespaces of a kind there may be.
fn limit(kind: &str) -> Check {
    let name = format!("user.max_{kind}_namespaces");
    let check = Check::there(KIND, &name, "a namespace or more for each node and container");
    let remedy = format!("sysctl -w {name}=10000");
    match read(&format!("/proc/sys/user/max_{kind}_namespaces")).and_then(|text| text.parse::<u64>().ok()) {
        None => check.lacks(State::Weaker, "can't be read", "a kernel of at least 4.9"),
        Some(0) => check.lacks(State::Missing, "0", remedy),
        Some(few @ ..200) => check.lacks(State::Weaker, few.to_string(), remedy),
        Some(number) => Check { seen: Some(number.to_string()), ..check },
    }
}

/// A switch of some distributions that ordinary users' namespaces depend on; nothing where there is no such switch.
fn switch(path: &str, good: char, purpose: &'static str) -> Option<Check> {
    let value = read(path)?;
    let name = path.trim_start_matches("/proc/sys/").replace('/', ".");
    let check = Check::there(KIND, &name, purpose);
    if value.starts_with(good) {
        return Some(Check { seen: Some(value), ..check });
    }
    let remedy = format!("sysctl -w {name}={good} (for good: in a file of /etc/sysctl.d)");
    Some(check.lacks(State::Missing, value, remedy))
}

/// Ranges of ids in /etc/subuid and /etc/subgid.
fn sub_ids() -> Check {
    let check = Check::there(KIND, "sub-ids", "users inside that are not yours, such as tcpdump's");
    let user = rustix::process::geteuid().as_raw();
    let name = nix::unistd::User::from_uid(user.into()).ok().flatten().map(|user| user.name);
    let name = name.unwrap_or_else(|| user.to_string());
    let has = |path| {
        let text = read(path).unwrap_or_default();
        text.lines().any(|line| {
            let mut parts = line.split(':');
            let owner = parts.next();
            let count = parts.nth(1).and_then(|count| count.parse().ok()).unwrap_or(0);
            (owner == Some(&name) || owner == Some(&user.to_string())) && count >= 65_536
        })
    };
    if has("/etc/subuid") && has("/etc/subgid") {
        return check;
    }
    let remedy = format!("usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}");
    check.lacks(State::Weaker, "no range of 65536 ids: one id only will be mapped", remedy)
}

/// How many files a process may open.
fn open_files() -> Check {
    let check = Check::there(KIND, "open files", "several for each node and container");
    let most = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    match most {
        Some(most @ ..1024) => check.lacks(State::Missing, most.to_string(), OPEN_FILES),
        Some(most @ ..16384) => check.lacks(State::Weaker, most.to_string(), OPEN_FILES),
        most => Check { seen: Some(most.map_or("no limit".to_owned(), |most| most.to_string())), ..check },
    }
}

const OPEN_FILES: &str = "ulimit -Hn 65536 (for good: nofile in a file of /etc/security/limits.d)";

/// What bounds the memory of a sandbox in total. knetsim makes no cgroup for that: its folder would be seen on the
/// host, and outlive a sandbox that was killed. One that was made for it holds whatever is started in it.
fn memory_in_total() -> Check {
    let check = Check::there(KIND, "memory in total", "a bound on what all processes of a sandbox use together");
    let own = read("/proc/self/cgroup").unwrap_or_default();
    match memory_max(&own, Path::new("/sys/fs/cgroup")) {
        Some(most) => Check { seen: Some(format!("{} MiB, by this program's cgroup", most >> 20)), ..check },
        None => {
            let seen =
                "by a watch only: it ends the biggest commands, but sees no file system that a learner's shell fills";
            let whose = if rustix::process::geteuid().is_root() { "" } else { "--user " };
            check.lacks(State::Weaker, seen, format!("systemd-run {whose}--scope -p MemoryMax=6G knetsim up"))
        }
    }
}

/// The least `memory.max` of a process's cgroup and those above it, in bytes, by cgroups(7): `membership` is its
/// /proc/PID/cgroup, and `mount` where version 2 is mounted. None without a limit.
fn memory_max(membership: &str, mount: &Path) -> Option<u64> {
    let own = membership.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let limit = |path: &Path| std::fs::read_to_string(mount.join(path).join("memory.max")).ok()?.trim().parse().ok();
    Path::new(own).ancestors().filter_map(limit).min()
}

fn read(path: &str) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_limit_of_a_cgroup_and_those_above_counts() {
        let mount = tempfile::tempdir().unwrap();
        let set = |cgroup: &str, most: &str| {
            std::fs::create_dir_all(mount.path().join(cgroup)).unwrap();
            std::fs::write(mount.path().join(cgroup).join("memory.max"), most).unwrap();
        };
        let most = |membership: &str| memory_max(membership, mount.path());
        assert_eq!(most("0::/\n"), None);
        set("user.slice/run.scope", "max\n");
        assert_eq!(most("4:memory:/a\n0::/user.slice/run.scope\n"), None);
        set("user.slice", "6442450944\n");
        assert_eq!(most("0::/user.slice/run.scope\n"), Some(6 << 30));
        set("user.slice/run.scope", "1048576\n");
        assert_eq!(most("0::/user.slice/run.scope\n"), Some(1 << 20));
        assert_eq!(most("4:memory:/user.slice\n"), None, "version 1");
    }
}
