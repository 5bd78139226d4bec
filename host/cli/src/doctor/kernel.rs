//! Kernel features, each tried in a child in new namespaces: `unshare --user ...`, then `ip link add`, `nft -f -`.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, Stdio};

use knetsim_kernel::KernelError;
use knetsim_kernel::mounts::{INERT, READ_ONLY, Tree};
use knetsim_kernel::namespaces::{Forked, IdRange, Spaces, become_root, fork_into, write_id_maps};
use knetsim_kernel::netlink::{Bridge, Netlink, Veth, VxlanSpec};
use serde::{Deserialize, Serialize};

use super::{Check, State, machine, programs};

const KIND: &str = "kernel";

/// Kinds of namespaces, and what knetsim keeps apart with them.
const SPACES: [(&str, Spaces, &str); 6] = [
    ("user namespaces", Spaces::CLONE_NEWUSER, "being root inside without being root outside"),
    ("process id namespaces", Spaces::CLONE_NEWPID, "ending everything with the sandbox"),
    ("mount namespaces", Spaces::CLONE_NEWNS, "each node's own files"),
    ("network namespaces", Spaces::CLONE_NEWNET, "nodes and containers"),
    ("UTS namespaces", Spaces::CLONE_NEWUTS, "each node's own host name"),
    ("IPC namespaces", Spaces::CLONE_NEWIPC, "keeping the host's shared memory apart"),
];

const USER_FIRST: &str = "user namespaces first";

pub(super) fn look() -> Vec<Check> {
    let mut checks: Vec<Check> = Vec::new();
    for (name, kind, purpose) in SPACES {
        // An ordinary user needs the first kind to make any of the others.
        match checks.first().is_none_or(|user| user.state == State::There) {
            true => checks.push(space(name, kind, purpose)),
            false => checks.push(Check::there(KIND, name, purpose).lacks(State::Missing, "not tried", USER_FIRST)),
        }
    }
    if checks.iter().all(|check| check.state == State::There) {
        match in_new_namespaces(features) {
            Ok(found) => checks.extend(found.into_iter().zip(FEATURES).map(|(seen, feature)| feature.check(seen))),
            Err(error) => {
                let check = Check::there(KIND, "the features inside", "the emulator");
                checks.push(check.lacks(State::Missing, error.to_string(), machine::what_confines()));
            }
        }
    }
    checks
}

/// Whether a child can be put into a new namespace of that kind.
fn space(name: &str, kind: Spaces, purpose: &'static str) -> Check {
    let check = Check::there(KIND, name, purpose);
    match fork_into(Spaces::CLONE_NEWUSER | kind) {
        Ok(Forked::Child) => std::process::exit(0),
        Ok(Forked::Parent { pid, .. }) => match nix::sys::wait::waitpid(pid, None) {
            Ok(_) => check,
            Err(error) => check.lacks(State::Missing, format!("waiting for the child: {error}"), "try again"),
        },
        Err(error) => check.lacks(State::Missing, error.to_string(), machine::what_confines()),
    }
}

/// A feature of the kernel that is tried inside.
struct Feature {
    name: &'static str,
    purpose: &'static str,
    state: State,
    remedy: &'static str,
}

impl Feature {
    fn check(&self, seen: Result<(), String>) -> Check {
        let check = Check::there(KIND, self.name, self.purpose);
        match seen {
            Ok(()) => check,
            Err(error) => check.lacks(self.state, error, self.remedy),
        }
    }
}

const fn feature(name: &'static str, purpose: &'static str, state: State, remedy: &'static str) -> Feature {
    Feature { name, purpose, state, remedy }
}

const IN_DOCKER: &str = "in Docker: docker run --security-opt seccomp=unconfined --security-opt systempaths=unconfined";

/// In the order of [`features`].
const FEATURES: [Feature; 10] = [
    feature("proc inside", "processes of its own", State::Missing, IN_DOCKER),
    feature("sysfs inside", "reading /sys/class/net in a shell", State::Weaker, IN_DOCKER),
    feature(
        "bridge",
        "switches, and cni0 on workers",
        State::Missing,
        "modprobe bridge, or a kernel with CONFIG_BRIDGE",
    ),
    feature("veth", "every link", State::Missing, "modprobe veth, or a kernel with CONFIG_VETH"),
    feature("vxlan", "the overlay", State::Missing, "modprobe vxlan, or a kernel with CONFIG_VXLAN"),
    feature("nftables", "rules", State::Missing, "modprobe nf_tables, or a kernel with CONFIG_NF_TABLES"),
    feature("nftables nat", "services", State::Missing, "modprobe nft_chain_nat, or a kernel with CONFIG_NFT_NAT"),
    feature(
        "nftables numgen",
        "services' random choice",
        State::Missing,
        "modprobe nft_numgen, or a kernel with CONFIG_NFT_NUMGEN",
    ),
    feature(
        "bridge-nf-call-iptables",
        "a service whose backend is on the client's own bridge",
        State::Weaker,
        "modprobe br_netfilter (at each start: echo br_netfilter > /etc/modules-load.d/knetsim.conf)",
    ),
    feature(
        "/dev/net/tun",
        "tunnels made by hand",
        State::Absent,
        "modprobe tun; chmod 0666 /dev/net/tun; in Docker: --device /dev/net/tun",
    ),
];

/// What one child found, in the order of [`FEATURES`].
fn features() -> Vec<Result<(), String>> {
    let mut found = vec![mounted("proc"), mounted("sysfs")];
    found.extend(devices().unwrap_or_else(|error| vec![Err(error); 3]));
    found.extend([
        nft("add table ip t"),
        nft("add table ip t; add chain ip t c { type nat hook prerouting priority 0; }"),
        nft("add table ip t; add chain ip t c; add rule ip t c numgen random mod 2 0 accept"),
        bridge_netfilter(),
        opened("/dev/net/tun"),
    ]);
    found
}

fn mounted(kind: &str) -> Result<(), String> {
    // Where the old one is read-only, as sysfs in Docker, a new one has to be, too.
    let new = |attributes| Tree::new(kind, &[], attributes).map(drop);
    let made = new(INERT).or_else(|error| if kind == "sysfs" { new(READ_ONLY) } else { Err(error) });
    made.map_err(|error| error.to_string())
}

fn devices() -> Result<Vec<Result<(), String>>, String> {
    let netlink = Netlink::here().map_err(|error| error.to_string())?;
    let made = [bridge(&netlink), veth(&netlink), vxlan(&netlink)];
    Ok(made.into_iter().map(|made| made.map_err(|error| error.to_string())).collect())
}

fn bridge(netlink: &Netlink) -> Result<(), KernelError> {
    netlink.add_bridge(&Bridge { name: "b0", ..Bridge::default() }).map(drop)
}

fn veth(netlink: &Netlink) -> Result<(), KernelError> {
    netlink.add_veth(&Veth { name: "v0", peer_name: "v1", ..Veth::default() }).map(drop)
}

fn vxlan(netlink: &Netlink) -> Result<(), KernelError> {
    let local = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let spec = VxlanSpec {
        name: "x0",
        index: None,
        vni: 1,
        local,
        device: 1,
        port: 8472,
        learning: false,
        mac: None,
        mtu: None,
    };
    netlink.add_vxlan(&spec).map(drop)
}

fn nft(script: &str) -> Result<(), String> {
    let program = programs::find("nft").ok_or("the program nft is not installed")?;
    let output = Command::new(program).args(["--check", script]).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("nft: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(said.lines().next().unwrap_or("nft failed").to_owned()) }
}

fn bridge_netfilter() -> Result<(), String> {
    let path = Path::new("/proc/sys/net/bridge/bridge-nf-call-iptables");
    if path.exists() { Ok(()) } else { Err("the module br_netfilter is not loaded".to_owned()) }
}

fn opened(path: &str) -> Result<(), String> {
    let opened = std::fs::File::options().read(true).write(true).open(path);
    opened.map(drop).map_err(|error| format!("{path}: {error}"))
}

/// Runs `work` as root of a child in new namespaces of all kinds, and brings back what it returns.
fn in_new_namespaces<T: Serialize + for<'a> Deserialize<'a>>(work: impl FnOnce() -> T) -> anyhow::Result<T> {
    let (mut mapped, mut map) = std::io::pipe()?;
    let (mut result, mut report) = std::io::pipe()?;
    let all = SPACES.iter().fold(Spaces::empty(), |all, (_, kind, _)| all | *kind);
    match fork_into(all)? {
        Forked::Child => {
            drop((map, result));
            let mut go = [0];
            // Without an answer the parent has gone, or could not map ids: it says so itself.
            if mapped.read_exact(&mut go).is_ok() && become_root(false).is_ok() {
                let text = serde_json::to_vec(&work()).unwrap_or_default();
                let _ = report.write_all(&text);
            }
            std::process::exit(0)
        }
        Forked::Parent { pid, .. } => {
            drop((mapped, report));
            let one = |outside| [IdRange { inside: 0, outside, count: 1 }];
            let (user, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            let mapping = write_id_maps(pid, &one(user), &one(group), true);
            if mapping.is_ok() {
                map.write_all(&[1])?;
            }
            drop(map);
            let mut text = Vec::new();
            result.read_to_end(&mut text)?;
            nix::sys::wait::waitpid(pid, None)?;
            mapping?;
            Ok(serde_json::from_slice(&text)?)
        }
    }
}
