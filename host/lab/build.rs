//! Takes the crate `knetsim-sdk` into this program, for `knetsim lab new`: a lab carries its own copy, so that it
//! builds wherever its folder lies.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let sdk = root.join("guest-sdk");
    println!("cargo::rerun-if-changed={}", sdk.display());
    println!("cargo::rerun-if-changed={}", root.join("Cargo.toml").display());
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    fs::write(out.join("Cargo.toml"), standalone(&sdk.join("Cargo.toml"), &root.join("Cargo.toml"))?)?;
    let mut files = vec![("Cargo.toml".to_owned(), out.join("Cargo.toml"))];
    for folder in ["src", "wit", "wit/deps"] {
        for entry in fs::read_dir(sdk.join(folder))? {
            let path = entry?.path();
            if path.is_file() {
                files.push((path.strip_prefix(&sdk)?.display().to_string(), path));
            }
        }
    }
    files.sort();
    let mut code = "[".to_owned();
    for (name, path) in files {
        write!(code, "({name:?}, include_str!({path:?})),")?;
    }
    fs::write(out.join("sdk.rs"), code + "]")?;
    Ok(())
}

/// A crate's manifest with what it has from its workspace written out.
fn standalone(manifest: &Path, workspace: &Path) -> Result<String> {
    let read = |path| -> Result<toml::Table> { Ok(fs::read_to_string(path)?.parse()?) };
    let (mut own, shared) = (read(manifest)?, read(workspace)?);
    own.remove("lints");
    for table in ["package", "dependencies"] {
        let Some(own) = own.get_mut(table).and_then(toml::Value::as_table_mut) else { continue };
        for (key, value) in own {
            if value.get("workspace").is_some() {
                let whole = shared.get("workspace").and_then(|it| it.get(table)?.get(key));
                *value = whole.ok_or_else(|| format!("the workspace has no {key}"))?.clone();
            }
        }
    }
    Ok(toml::to_string(&own)?)
}
