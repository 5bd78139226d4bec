//! Programs: those that knetsim runs, and those that a course's commands use.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Check, State};

/// Where programs are looked for inside a sandbox, of what is the host's.
const FOLDERS: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Program, Debian's package, what needs it, and how bad it is where it is not there.
const PROGRAMS: [(&str, &str, &str, State); 16] = [
    ("nft", "nftables", "rules of services, and reading them", State::Missing),
    ("etcd", "etcd-server", "each cluster's etcd", State::Missing),
    ("bash", "bash", "shells", State::Missing),
    ("etcdctl", "etcd-client", "looking at etcd's keys", State::Absent),
    ("nginx", "nginx-light", "ingresses", State::Absent),
    ("ip", "iproute2", "looking at links, addresses and routes", State::Absent),
    ("ping", "iputils-ping", "reaching nodes and containers", State::Absent),
    ("curl", "curl", "asking services", State::Absent),
    ("tcpdump", "tcpdump", "watching packets", State::Absent),
    ("tshark", "tshark", "decoding packets", State::Absent),
    ("ifconfig", "net-tools", "looking at links the old way", State::Absent),
    ("conntrack", "conntrack", "looking at connections and their addresses", State::Absent),
    ("iperf3", "iperf3", "the console's `iperf`", State::Absent),
    ("nsenter", "util-linux", "entering namespaces by hand", State::Absent),
    ("ps", "procps", "looking at processes", State::Absent),
    ("newuidmap", "uidmap", "ids of its own for a sandbox that an ordinary user starts", State::Weaker),
];

pub(super) fn look() -> Vec<Check> {
    let user = !rustix::process::geteuid().is_root();
    let wanted = PROGRAMS.iter().filter(|(program, ..)| user || *program != "newuidmap");
    wanted.map(|(program, package, purpose, state)| one(program, package, purpose, *state)).collect()
}

fn one(program: &'static str, package: &str, purpose: &'static str, state: State) -> Check {
    let check = Check::there("program", program, purpose);
    match find(program) {
        Some(path) => Check { seen: Some(path.display().to_string()), ..check },
        None => check.lacks(state, "not found", format!("apt-get install {package}")),
    }
}

/// The program's path, where it is one that can be run.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    let paths = FOLDERS.iter().map(|folder| Path::new(folder).join(program));
    paths.into_iter().find(|path| path.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0))
}
