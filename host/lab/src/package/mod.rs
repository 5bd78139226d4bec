//! A lab as one file: a WebAssembly component, or a module or text that becomes one, with its
//! manifest in the custom section `knetsim:lab`. Making, building and looking at such files.

mod build;
mod create;
mod inspect;
#[cfg(test)]
mod tests;
mod trials;

use std::borrow::Cow;

use sha2::{Digest, Sha256};
use wasm_encoder::{CustomSection, Encode, Section};
use wasmparser::{Parser, Payload};

use crate::error::{LabError, Result};
use crate::manifest::Manifest;

pub use build::{Built, build};
pub use create::{Template, create};
pub use inspect::{Inspection, Kind, inspect};
pub use trials::{Trials, shown, trials};

/// The custom section that holds lab.toml, as text.
pub const SECTION: &str = "knetsim:lab";
/// The longest manifest, in bytes.
pub const MAX_MANIFEST: usize = 64 << 10;
/// The biggest lab, in bytes: interpreters of other languages are some 20 MiB.
pub const MAX_LAB: usize = 64 << 20;

/// The manifest that a lab carries; [`Manifest::unnamed`] where it carries none.
///
/// # Errors
/// The bytes are no WebAssembly, or the manifest is not as it should be.
pub fn manifest(lab: &[u8]) -> Result<Manifest> {
    match section(&binary(lab)?, SECTION, MAX_MANIFEST)? {
        Some(text) => Manifest::parse(&text),
        None => Ok(Manifest::unnamed()),
    }
}

/// Puts lab.toml into a component or module that carries none yet.
///
/// # Errors
/// The manifest is not as it should be, or the bytes are no WebAssembly, or they carry one already.
pub fn embed(lab: &[u8], lab_toml: &str) -> Result<Vec<u8>> {
    Manifest::parse(lab_toml)?;
    if lab_toml.len() > MAX_MANIFEST {
        return Err(LabError::Manifest(format!("it is longer than {MAX_MANIFEST} bytes")));
    }
    let mut lab = binary(lab)?.into_owned();
    if section(&lab, SECTION, MAX_MANIFEST)?.is_some() {
        return Err(LabError::Manifest("this lab carries a manifest already".to_owned()));
    }
    append(&mut lab, SECTION, lab_toml);
    Ok(lab)
}

/// Adds a section of ours at the end of a binary.
fn append(lab: &mut Vec<u8>, name: &str, text: &str) {
    let custom = CustomSection { name: name.into(), data: text.as_bytes().into() };
    lab.push(custom.id());
    custom.encode(lab);
}

/// The binary form of what may be text.
pub(crate) fn binary(lab: &[u8]) -> Result<Cow<'_, [u8]>> {
    if lab.len() > MAX_LAB {
        return Err(LabError::NotALab(format!("it is longer than {} MiB", MAX_LAB >> 20)));
    }
    if Parser::is_component(lab) || Parser::is_core_wasm(lab) {
        return Ok(Cow::Borrowed(lab));
    }
    if lab.starts_with(b"\0asm") {
        return Err(LabError::NotALab("it is WebAssembly of an unknown version".to_owned()));
    }
    if !lab.trim_ascii_start().starts_with(b"(") && !lab.trim_ascii_start().starts_with(b";") {
        return Err(LabError::NotALab(
            "it is neither a WebAssembly component or module nor the text of one (`(component ...)`)".to_owned(),
        ));
    }
    wat::parse_bytes(lab).map_err(|error| LabError::NotALab(error.to_string()))
}

/// The text of the one section of ours with that name at the top level of a binary.
fn section(binary: &[u8], name: &str, most: usize) -> Result<Option<String>> {
    let broken = |error: wasmparser::BinaryReaderError| LabError::NotALab(error.to_string());
    let mut found = Vec::new();
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(binary) {
        match payload.map_err(broken)? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            // The last `End` is that of the whole file.
            Payload::End(_) if depth > 0 => depth -= 1,
            Payload::CustomSection(section) if depth == 0 && section.name() == name => found.push(section.data()),
            _ => {}
        }
    }
    let data = match found.as_slice() {
        [] => return Ok(None),
        [data] => data,
        _ => return Err(LabError::Manifest(format!("this lab carries more than one section `{name}`"))),
    };
    if data.len() > most {
        return Err(LabError::Manifest(format!("its section `{name}` is longer than {most} bytes")));
    }
    match std::str::from_utf8(data) {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(error) => Err(LabError::Manifest(error.to_string())),
    }
}

/// SHA-256 of a lab's bytes, in hexadecimal.
pub fn digest(lab: &[u8]) -> String {
    hex(&Sha256::digest(lab))
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
