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

/// Makes the folder `dir` with a lab in it, named `name`, that depends on the crate `knetsim-sdk` in
/// the folder `sdk`.
///
/// # Errors
/// The name is no lab's, `sdk` is not that crate, `dir` exists, or can't be written.
pub fn create(dir: &Path, name: &str, sdk: &Path, template: Template) -> Result<()> {
    Manifest::parse(&LAB_TOML.replace("NAME", name))?;
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
    let cargo_toml = CARGO_TOML.replace("TARGET", template.target()).replace("NAME", name);
    let cargo_toml = cargo_toml.replace("SDK", &toml_string(&sdk.to_string_lossy()));
    fs::create_dir(dir).map_err(at("make", dir))?;
    let fill = || {
        let files = [("Cargo.toml", &*cargo_toml), (".gitignore", "/target\n")]
            .into_iter()
            .chain(template.files().iter().copied());
        files.into_iter().try_for_each(|(file, content)| {
            let path = dir.join(file);
            let content = if file == "lab.toml" { content.replace("NAME", name) } else { content.to_owned() };
            fs::create_dir_all(path.parent().unwrap_or(dir)).map_err(at("make", &path))?;
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
