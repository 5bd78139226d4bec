//! `knetsim lab inspect`: what a file says of itself, without running or compiling it.

use wasmparser::{Parser, Payload};

use super::{MAX_MANIFEST, SECTION, binary, digest, section};
use crate::error::{LabError, Result};
use crate::manifest::Manifest;

/// What a lab's file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A component.
    Component,
    /// A core module; it becomes a component when it is run.
    Module,
    /// The text of one of both.
    Text,
}

impl Kind {
    /// `component`, `core module` or `text`.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Component => "component",
            Kind::Module => "core module",
            Kind::Text => "text",
        }
    }
}

/// What [`inspect`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// What the file is.
    pub kind: Kind,
    /// Its length in bytes.
    pub size: usize,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// The manifest that it carries.
    pub manifest: Option<Manifest>,
    /// What it imports, in order, each once: interfaces of a component, modules of a module.
    pub imports: Vec<String>,
    /// What it exports, in order.
    pub exports: Vec<String>,
}

impl Inspection {
    /// Whether it teaches: a chapter exports `lesson`, a script `main`.
    pub fn is_chapter(&self) -> bool {
        self.exports.iter().any(|name| name.starts_with("knetsim:lab/lesson"))
    }
}

/// Reads a lab's file.
///
/// # Errors
/// The bytes are no WebAssembly, or the manifest is not as it should be.
pub fn inspect(lab: &[u8]) -> Result<Inspection> {
    let binary = binary(lab)?;
    let kind = match (lab.starts_with(b"\0asm"), Parser::is_component(&binary)) {
        (false, _) => Kind::Text,
        (true, true) => Kind::Component,
        (true, false) => Kind::Module,
    };
    let manifest = section(&binary, SECTION, MAX_MANIFEST)?.map(|text| Manifest::parse(&text)).transpose()?;
    let (imports, exports) = interface(&binary).map_err(|error| LabError::NotALab(error.to_string()))?;
    Ok(Inspection { kind, size: lab.len(), sha256: digest(lab), manifest, imports, exports })
}

/// Imports and exports of the outermost component or module.
fn interface(binary: &[u8]) -> Result<(Vec<String>, Vec<String>), wasmparser::BinaryReaderError> {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(binary) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) if depth > 0 => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export?.name.name.to_owned());
                }
            }
            Payload::ImportSection(section) if depth == 0 => {
                for import in section.into_imports() {
                    imports.push(import?.module.to_owned());
                }
            }
            Payload::ExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export?.name.to_owned());
                }
            }
            _ => {}
        }
    }
    imports.dedup();
    Ok((imports, exports))
}
