//! `knetsim lab new`: the crate of a lab, ready to be built.

use std::fs;
use std::path::Path;

use crate::error::{LabError, Result};
use crate::manifest::Manifest;

/// Makes the folder `dir` with a script in it, named `name`, that depends on the crate `knetsim-sdk` in
/// the folder `sdk`.
///
/// # Errors
/// The name is no lab's, `sdk` is not that crate, `dir` exists, or can't be written.
pub fn create(dir: &Path, name: &str, sdk: &Path) -> Result<()> {
    let lab_toml = LAB_TOML.replace("NAME", name);
    Manifest::parse(&lab_toml)?;
    let at = |doing: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source| LabError::File { doing, path, source }
    };
    let manifest = sdk.join("Cargo.toml");
    let is_sdk = fs::read_to_string(&manifest).map_err(at("read", &manifest))?.contains("\"knetsim-sdk\"");
    if !is_sdk {
        return Err(LabError::Build(format!("{} is not the crate knetsim-sdk", sdk.display())));
    }
    let sdk = fs::canonicalize(sdk).map_err(at("find", sdk))?;
    let cargo_toml = CARGO_TOML.replace("NAME", name).replace("SDK", &toml_string(&sdk.to_string_lossy()));
    fs::create_dir(dir).map_err(at("make", dir))?;
    let fill = || {
        fs::create_dir(dir.join("src")).map_err(at("make", dir))?;
        let files = [("Cargo.toml", &*cargo_toml), ("lab.toml", &lab_toml), ("src/main.rs", MAIN_RS)];
        files.into_iter().chain([(".gitignore", "/target\n")]).try_for_each(|(file, content)| {
            let path = dir.join(file);
            fs::write(&path, content).map_err(at("write", &path))
        })
    };
    fill().inspect_err(|_| {
        // The disk may be full. What is left of the folder can be seen, and the first error is the one to tell.
        let _ = fs::remove_dir_all(dir);
    })
}

/// A text as TOML quotes it.
fn toml_string(text: &str) -> String {
    toml::Value::from(text).to_string()
}

const CARGO_TOML: &str = r#"[package]
name = "NAME"
version = "0.1.0"
edition = "2024"

[dependencies]
knetsim-sdk = { path = SDK }

# A crate of its own, wherever its folder lies.
[workspace]

[profile.release]
opt-level = "s"
strip = true
"#;

const LAB_TOML: &str = r#"name = "NAME"
version = "0.1.0"

# What the lab may use, each with a reason: the person who runs it is asked.
[grants]
clusters = "makes a cluster"
containers = "makes two containers in it"
probe = "pings from one to the other"
"#;

const MAIN_RS: &str = r#"use knetsim_sdk::{Lab, Place, Result};

fn main() -> Result<()> {
    let lab = Lab::new();
    lab.create_cluster("C0", 2)?;
    let here = lab.create_container("C0w1.c1")?;
    let there = lab.create_container("C0w2.c2")?;

    let ping = here.ping(there.name())?;
    println!("{} -> {}: {} of {} replies", here.name(), there.name(), ping.received, ping.sent);
    Ok(())
}
"#;
