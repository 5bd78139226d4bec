//! The layers of ARCHITECTURE.md, read from the manifests and the sources: each crate uses only those below it,
//! and what reaches the kernel, starts processes or runs WebAssembly is in the one crate that owns it.

use std::fs;
use std::path::{Path, PathBuf};

/// The crates of host/, from the lowest layer to the highest. Neighbours that may not use each other share a line.
const LAYERS: &[&[&str]] = &[
    &["model"],
    &["kernel"],
    &["sandbox"],
    &["daemon"],
    &["cni", "ingress", "interconnect", "overlay", "router", "services"],
    &["emulator"],
    &["lab"],
    &["cli"],
];

/// Libraries that one layer alone may use.
const OWNED: &[(&str, &[&str])] = &[
    (
        "kernel",
        &[
            "inotify",
            "netlink-packet-core",
            "netlink-packet-route",
            "netlink-proto",
            "netlink-sys",
            "nftables",
            "procfs",
        ],
    ),
    ("kernel", &["rtnetlink", "seccompiler"]),
    ("overlay", &["etcd-client", "tonic", "tower"]),
    ("lab", &["wasmtime", "wasmtime-wasi", "wit-component"]),
    ("interconnect", &["rcgen"]),
    ("router", &["rustls"]),
    ("cli", &["clap", "comfy-table", "indicatif", "pulldown-cmark", "rustyline", "termion"]),
];

/// What starts processes: the spawner; `nft` and `newuidmap`; the user's own program, which is in no sandbox; and
/// `cnitool`, a program on the node side that runs anybody's plugins; and cargo, where a lab is written.
const STARTS_PROCESSES: &[&str] = &["sandbox", "kernel", "cli", "cni/src/exec.rs", "lab/src/package/build.rs"];

fn host() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../host")
}

/// Names of the dependencies (those of tests aside) in a crate's manifest.
fn dependencies(layer: &str) -> Vec<String> {
    let file = host().join(layer).join("Cargo.toml");
    let manifest: toml::Table = fs::read_to_string(&file).unwrap().parse().unwrap();
    ["dependencies", "build-dependencies"]
        .iter()
        .filter_map(|section| manifest.get(*section)?.as_table())
        .flat_map(|table| table.keys().cloned())
        .collect()
}

fn height(layer: &str) -> usize {
    LAYERS.iter().position(|line| line.contains(&layer)).unwrap_or_else(|| panic!("{layer} has no place in LAYERS"))
}

fn layers() -> impl Iterator<Item = &'static str> {
    LAYERS.iter().copied().flatten().copied()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

#[test]
fn every_crate_of_host_is_a_layer() {
    for entry in fs::read_dir(host()).unwrap() {
        height(entry.unwrap().file_name().to_str().unwrap());
    }
}

#[test]
fn a_layer_uses_only_layers_below_it() {
    for layer in layers() {
        for below in dependencies(layer).iter().filter_map(|name| name.strip_prefix("knetsim-")) {
            assert!(height(below) < height(layer), "{layer} uses {below}, which isn't below it");
        }
    }
}

#[test]
fn a_library_is_used_by_its_owner_alone() {
    for (owner, libraries) in OWNED {
        for layer in layers().filter(|layer| layer != owner) {
            let used = dependencies(layer).into_iter().find(|name| libraries.contains(&name.as_str()));
            assert_eq!(used, None, "used by {layer}, where only {owner} may");
        }
    }
}

#[test]
fn only_the_spawner_starts_processes() {
    let allowed: Vec<PathBuf> = STARTS_PROCESSES.iter().map(|path| host().join(path)).collect();
    for file in layers().flat_map(|layer| sources(&host().join(layer).join("src"))) {
        if allowed.iter().any(|path| file.starts_with(path)) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let program = text.split("#[cfg(test)]").next().unwrap_or_default();
        let starts =
            |line: &&str| line.contains("process::") && line.contains("Command") || line.contains("unistd::exec");
        let line = program.lines().find(starts);
        assert_eq!(line, None, "{}: processes start through the sandbox", file.display());
    }
}
