//! `knetsim lab new`: the crate of a lab, ready to be built.

use std::fs;
use std::path::Path;

use crate::error::{LabError, Result};
use crate::manifest::Manifest;

/// What a new lab is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Template {
    /// A program that does something.
    Script,
    /// Text and tasks.
    Chapter,
}

impl Template {
    /// Its files but Cargo.toml; `NAME` stands for its name in lab.toml.
    fn files(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Template::Script => &[("lab.toml", LAB_TOML), ("src/main.rs", MAIN_RS)],
            Template::Chapter => &[
                ("lab.toml", include_str!("new_chapter/lab.toml")),
                ("src/lib.rs", include_str!("new_chapter/lib.rs")),
                ("text/bridge.md", include_str!("new_chapter/bridge.md")),
                ("tasks/make-bridge/near-miss.sh", include_str!("new_chapter/near-miss.sh")),
                ("tasks/make-bridge/second.sh", include_str!("new_chapter/second.sh")),
                ("tasks/mac/wrong.txt", include_str!("new_chapter/wrong.txt")),
            ],
        }
    }

    /// What its Cargo.toml has besides.
    fn target(self) -> &'static str {
        match self {
            Template::Script => "",
            Template::Chapter => "[lib]\ncrate-type = [\"cdylib\"]\n\n",
        }
    }
}

/// The crate `knetsim-sdk`, as this program was built with it: paths and contents.
const SDK: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/sdk.rs"));
/// Where a lab's copy of it lies.
const SDK_FOLDER: &str = "knetsim-sdk";

/// Makes the folder `dir` with a lab in it, named `name`, and a copy of the crate `knetsim-sdk`; with `sdk`, it
/// depends on the one in that folder instead.
///
/// # Errors
/// The name is no lab's, `sdk` is not that crate, `dir` exists, or can't be written; nothing is left then.
pub fn create(dir: &Path, name: &str, sdk: Option<&Path>, template: Template) -> Result<()> {
    Manifest::parse(&LAB_TOML.replace("NAME", name))?;
    let sdk_place = sdk.map_or_else(|| Ok(SDK_FOLDER.to_owned()), there)?;
    let cargo_toml = CARGO_TOML.replace("TARGET", template.target()).replace("NAME", name);
    let cargo_toml = cargo_toml.replace("SDK", &toml_string(&sdk_place));
    fs::create_dir(dir).map_err(failed("make", dir))?;
    let own = [("Cargo.toml", &*cargo_toml), (".gitignore", "/target\n")];
    let own = own.into_iter().chain(template.files().iter().copied()).map(|(file, content)| (dir.join(file), content));
    let copied = if sdk.is_none() { SDK } else { &[] };
    let copied = copied.iter().map(|(file, content)| (dir.join(SDK_FOLDER).join(file), *content));
    let lab_toml = dir.join("lab.toml");
    let filled = own.chain(copied).try_for_each(|(path, content)| {
        let content = if path == lab_toml { content.replace("NAME", name) } else { content.to_owned() };
        let written = fs::create_dir_all(path.parent().unwrap_or(dir)).and_then(|()| fs::write(&path, content));
        written.map_err(failed("write", &path))
    });
    filled.inspect_err(|_| {
        // The disk may be full. What is left of the folder can be seen, and the first error is the one to tell.
        let _ = fs::remove_dir_all(dir);
    })
}

/// The absolute path of the crate `knetsim-sdk` in a folder.
fn there(sdk: &Path) -> Result<String> {
    let manifest = sdk.join("Cargo.toml");
    let is_sdk = fs::read_to_string(&manifest).map_err(failed("read", &manifest))?.contains("\"knetsim-sdk\"");
    if !is_sdk {
        return Err(LabError::Build(format!("{} is not the crate knetsim-sdk", sdk.display())));
    }
    Ok(fs::canonicalize(sdk).map_err(failed("find", sdk))?.to_string_lossy().into_owned())
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> LabError {
    let path = path.to_owned();
    move |source| LabError::File { doing, path, source }
}

/// A text as TOML quotes it.
fn toml_string(text: &str) -> String {
    toml::Value::from(text).to_string()
}

const CARGO_TOML: &str = r#"[package]
name = "NAME"
version = "0.1.0"
edition = "2024"

TARGET[dependencies]
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
