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
    checks.push(memory_limits());
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

/// A delegated cgroup, by which memory can be limited in total.
fn memory_limits() -> Check {
    let check = Check::there(KIND, "delegated cgroup", "a limit on memory in total, kept by the kernel");
    let own = read("/proc/self/cgroup")
        .and_then(|text| Some(text.lines().find_map(|line| line.strip_prefix("0::"))?.to_owned()));
    let writable = own.is_some_and(|path| {
        let procs = format!("/sys/fs/cgroup{path}/cgroup.procs");
        rustix::fs::access(&*procs, rustix::fs::Access::WRITE_OK).is_ok()
    });
    if writable {
        return check;
    }
    let remedy = "systemd-run --user --scope -p Delegate=yes knetsim up";
    check.lacks(State::Weaker, "none: a watch ends the biggest commands instead", remedy)
}

fn read(path: &str) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.trim().to_owned())
}
