//! `knetsim lab build`: compiles a lab's crate for WebAssembly and puts lab.toml into it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::{embed, trials};
use crate::componentize::componentize;
use crate::error::{LabError, Result};
use crate::manifest::Manifest;

/// What labs are compiled for.
const TARGET: &str = "wasm32-wasip2";
/// Names a folder with a compiler for it: `bin/rustc` and the standard library.
const SYSROOT: &str = "KNETSIM_WASM_SYSROOT";

/// A lab that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// Its file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub size: usize,
    /// What it carries.
    pub manifest: Manifest,
}

/// Builds the crate in `dir` with cargo, whose messages go to the standard error, and writes the lab
/// to `output`; left out, to `labs/<name>.wasm` in the crate's target folder.
///
/// # Errors
/// There is no good lab.toml in it, the standard library for WebAssembly is missing, or it does not compile.
pub fn build(dir: &Path, output: Option<&Path>) -> Result<Built> {
    let lab_toml = read(&dir.join("lab.toml"))?;
    let manifest = Manifest::parse(&lab_toml)?;
    let target_dir = target_dir(dir)?;
    let module = compile(dir, &target_dir)?;
    let module = fs::read(&module).map_err(|source| LabError::File { doing: "read", path: module, source })?;
    let mut lab = embed(&componentize(&module)?, &lab_toml)?;
    trials::embed(&mut lab, dir)?;
    let path = output.map_or_else(|| target_dir.join(format!("{}.wasm", manifest.name)), Path::to_owned);
    write_whole(&path, &lab).map_err(|source| LabError::File { doing: "write", path: path.clone(), source })?;
    Ok(Built { path, size: lab.len(), manifest })
}

/// Beside it first, so that a lab that was there is not lost where the disk is full or somebody ends this.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if path.symlink_metadata().is_ok_and(|there| !there.is_file()) {
        // A device, a pipe or a link is meant itself.
        return fs::write(path, bytes);
    }
    let beside = path.with_added_extension("new");
    let written = fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, path));
    written.inspect_err(|_| drop(fs::remove_file(&beside)))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|source| LabError::File { doing: "read", path: path.to_owned(), source })
}

/// Where cargo puts what it makes for labs: apart from what the same workspace makes for this machine,
/// which another compiler may have made.
fn target_dir(dir: &Path) -> Result<PathBuf> {
    #[derive(Deserialize)]
    struct Metadata {
        target_directory: PathBuf,
    }
    let output = cargo(dir, &["metadata", "--no-deps", "--format-version=1"])
        .output()
        .map_err(|source| LabError::File { doing: "run", path: "cargo".into(), source })?;
    let metadata: Metadata = serde_json::from_slice(&output.stdout)
        .map_err(|_| LabError::Build(String::from_utf8_lossy(&output.stderr).trim_end().to_owned()))?;
    Ok(metadata.target_directory.join("labs"))
}

/// Compiles the crate; the path of its program or, of a chapter, its library.
fn compile(dir: &Path, target_dir: &Path) -> Result<PathBuf> {
    /// What cargo says of each thing that it made (the Cargo book, "External tools"): of a program its path also
    /// as `executable`, of a `cdylib` only among all files.
    #[derive(Deserialize)]
    struct Message {
        filenames: Vec<PathBuf>,
    }
    let mut command = cargo(dir, &["build", "--release", "--target", TARGET, "--target-dir"]);
    command.arg(target_dir).arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    if let Some(rustc) = compiler(target_dir)? {
        command.env("RUSTC", rustc);
    }
    let output = command.output().map_err(|source| LabError::File { doing: "run", path: "cargo".into(), source })?;
    if !output.status.success() {
        return Err(LabError::Build(format!("the crate in {} does not build for {TARGET}", dir.display())));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let programs: Vec<PathBuf> = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .flat_map(|message| message.filenames)
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .collect();
    match <[PathBuf; 1]>::try_from(programs) {
        Ok([program]) => Ok(program),
        Err(several) => Err(LabError::Build(format!(
            "a lab is a crate with one program or, for a chapter, one `cdylib`; the one in {} has {}",
            dir.display(),
            several.len()
        ))),
    }
}

/// Which compiler has the target's standard library: none for the active one.
fn compiler(target_dir: &Path) -> Result<Option<PathBuf>> {
    let asked = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc")))
        .args(["--print", "target-libdir", "--target", TARGET])
        .output();
    let folder = asked.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end()));
    let has_std = |folder: &Path| {
        let mut entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
    };
    if folder.is_ok_and(|folder| has_std(&folder)) {
        return Ok(None);
    }
    let named = std::env::var_os(SYSROOT).map(PathBuf::from);
    // `scripts/wasm-target.sh` leaves one in a checkout's target folder, and ours is `target/labs`.
    let ours = target_dir.parent().map(|target| target.join("wasm-sysroot"));
    // A lab outside of the checkout still finds that of the checkout this program was built in.
    let built_in =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(|root| root.join("target/wasm-sysroot"));
    let mut compilers = [named, ours, built_in].into_iter().flatten().map(|sysroot| sysroot.join("bin/rustc"));
    compilers.find(|rustc| rustc.is_file()).map(Some).ok_or_else(|| {
        LabError::Build(format!(
            "Rust's standard library for {TARGET} is not installed. Run `rustup target add {TARGET}`, \
             or `scripts/wasm-target.sh` in knetsim's checkout (Debian)"
        ))
    })
}

/// Cargo in the lab's folder, without what a cargo that runs us left in the environment.
fn cargo(dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.args(arguments).current_dir(dir);
    for variable in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
        command.env_remove(variable);
    }
    command
}
