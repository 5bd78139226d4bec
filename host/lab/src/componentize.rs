//! Core modules become components here, in process: what toolchains without a component linker make.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as PREVIEW1, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER as COMMAND,
    WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as REACTOR,
};
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::error::{LabError, Result};
use crate::package::binary;

/// The WIT package, as one text: its files may stand in any order, the package's name first.
const WIT: &str = concat!(
    include_str!("../../../guest-sdk/wit/world.wit"),
    include_str!("../../../guest-sdk/wit/types.wit"),
    include_str!("../../../guest-sdk/wit/clusters.wit"),
    include_str!("../../../guest-sdk/wit/workers.wit"),
    include_str!("../../../guest-sdk/wit/containers.wit"),
    include_str!("../../../guest-sdk/wit/exec.wit"),
    include_str!("../../../guest-sdk/wit/probe.wit"),
    include_str!("../../../guest-sdk/wit/observe.wit"),
    include_str!("../../../guest-sdk/wit/captures.wit"),
    include_str!("../../../guest-sdk/wit/services.wit"),
    include_str!("../../../guest-sdk/wit/ingresses.wit"),
    include_str!("../../../guest-sdk/wit/links.wit"),
    include_str!("../../../guest-sdk/wit/state.wit"),
    include_str!("../../../guest-sdk/wit/lesson.wit"),
);
/// What the names of a chapter's functions begin with.
const LESSON: &str = "knetsim:lab/lesson@";
const WASI_CLI: &str = include_str!("../../../guest-sdk/wit/deps/cli.wit");

/// The component in a file that may be a component, a core module, or the text of one.
///
/// A module that exports `_start` is a program of WASI 0.1, as wasi-libc makes it; one that exports functions of
/// `knetsim:lab/lesson` is a chapter; any other exports `wasi:cli/run@0.2.12#run` itself.
///
/// # Errors
/// It is none of these, or imports what neither WASI nor knetsim has.
pub fn componentize(lab: &[u8]) -> Result<Vec<u8>> {
    let mut module = binary(lab)?.into_owned();
    if Parser::is_component(&module) {
        return Ok(module);
    }
    let Traits { program, chapter, typed } = traits(&module)?;
    let mut encode = || -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        if !typed {
            let (resolve, world) = world(match (program, chapter) {
                (true, _) => "imports",
                (false, true) => "chapter",
                (false, false) => "script",
            })?;
            embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
        }
        let adapter = if program { COMMAND } else { REACTOR };
        // Go's allocator can't be called before its runtime runs, which memory.grow does not mind.
        let encoder = ComponentEncoder::default().module(&module)?.realloc_via_memory_grow(true);
        Ok(encoder.adapter(PREVIEW1, adapter)?.validate(true).encode()?)
    };
    encode().map_err(|error| {
        LabError::NotALab(format!("this module can't become a component: {}", knetsim_model::error::chain(&*error)))
    })
}

/// What of a module decides how it becomes a component.
struct Traits {
    /// It exports `_start`.
    program: bool,
    /// It exports a chapter's functions.
    chapter: bool,
    /// It says itself, in a custom section, which world it was made for.
    typed: bool,
}

fn traits(module: &[u8]) -> Result<Traits> {
    let broken = |error: wasmparser::BinaryReaderError| LabError::NotALab(error.to_string());
    let mut traits = Traits { program: false, chapter: false, typed: false };
    for payload in Parser::new(0).parse_all(module) {
        match payload.map_err(broken)? {
            Payload::ExportSection(exports) => {
                for export in exports {
                    let name = export.map_err(broken)?.name;
                    traits.program |= name == "_start";
                    traits.chapter |= name.starts_with(LESSON);
                }
            }
            Payload::CustomSection(section) => traits.typed |= section.name().starts_with("component-type"),
            _ => {}
        }
    }
    Ok(traits)
}

fn world(name: &str) -> Result<(Resolve, wit_parser::WorldId), Box<dyn std::error::Error + Send + Sync>> {
    let mut resolve = Resolve::default();
    resolve.push_source("cli.wit", WASI_CLI)?;
    let package = resolve.push_source("lab.wit", WIT)?;
    let world = resolve.select_world(&[package], Some(name))?;
    Ok((resolve, world))
}
