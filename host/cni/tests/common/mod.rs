//! Nodes and containers for the tests: network namespaces under names, and a folder for each node.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use knetsim_cni::{Attachment, Runtime};
use knetsim_kernel::NetNs;
use knetsim_testing::run;
use serde_json::Value;

/// Runs a test in namespaces of its own, with an empty /run and /var/lib, as root and as an ordinary user.
pub fn in_namespaces(test: impl AsyncFnOnce()) {
    knetsim_testing::in_namespaces(|| {
        for folder in ["/run", "/var/lib"] {
            run(&["mount", "-t", "tmpfs", "tmpfs", folder]);
        }
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test());
    });
}

/// A network namespace with a name, as `ip netns` makes them.
pub fn namespace(name: &str) -> NetNs {
    run(&["ip", "netns", "add", name]);
    NetNs::open(&path_of(name)).unwrap()
}

pub fn path_of(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}

/// What a program prints inside a namespace.
pub fn inside(name: &str, command: &[&str]) -> String {
    let netns = format!("--net={}", path_of(name).display());
    run(&[&["nsenter", &netns], command].concat())
}

/// A node: a namespace and a folder, with the course's subnet and network configuration.
pub struct Node {
    pub name: String,
    pub netns: NetNs,
    pub root: PathBuf,
    pub runtime: Runtime,
    _folder: tempfile::TempDir,
}

pub const SUBNET_ENV: &str = "\
FLANNEL_NETWORK=11.0.0.0/8
FLANNEL_SUBNET=11.10.128.1/20
FLANNEL_MTU=1450
FLANNEL_IPMASQ=false
";

impl Node {
    pub fn new(name: &str) -> Node {
        let netns = namespace(name);
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        write(&root.join("run/flannel/subnet.env"), SUBNET_ENV);
        write(&root.join("etc/cni/net.d/10-flannel.conflist"), &knetsim_cni::configuration(name));
        let dir = Dir::open_ambient_dir(&root, ambient_authority()).unwrap();
        let runtime = Runtime::new(netns.clone(), netns.netlink().unwrap(), dir);
        Node { name: name.to_owned(), netns, root, runtime, _folder: folder }
    }

    /// A container's attachment; its namespace is made.
    pub fn container(&self, id: &str) -> Attachment {
        let path = format!("/run/netns/{}-{id}", self.name);
        Attachment::new(id, Some(namespace(&format!("{}-{id}", self.name))), &path)
    }

    /// All files of the node with their contents.
    pub fn files(&self) -> BTreeMap<String, String> {
        files_below(&self.root)
    }
}

pub fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Files below a folder by their paths in it: mode and content.
pub fn files_below(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777;
            let key = path.strip_prefix(root).unwrap().display().to_string();
            let content = match metadata.is_dir() {
                true => String::new(),
                false => fs::read(&path)
                    .map_or_else(|error| error.to_string(), |bytes| String::from_utf8_lossy(&bytes).into()),
            };
            found.insert(key, format!("{mode:o} {content}"));
            folders.extend(metadata.is_dir().then_some(path));
        }
    }
    found
}

/// A folder with our plugins and cnitool as executables.
pub fn executables() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["flannel", "bridge", "host-local", "loopback", "cnitool"] {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_knetsim-cni"), folder.path().join(name)).unwrap();
    }
    folder
}

/// Where Debian's containernetworking-plugins are.
pub const REAL: &str = "/usr/lib/cni";

/// Runs a plugin as a runtime does, in a node's namespace.
pub fn execute(node: &str, program: &Path, environment: &[(&str, &str)], input: &str) -> Output {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net={}", path_of(node).display())).arg(program).args([] as [&str; 0]);
    command.envs(environment.iter().copied());
    execute_command(command, input)
}

pub fn execute_command(mut command: Command, input: &str) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    // A program may end without reading.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

pub fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}
