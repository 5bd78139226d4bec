//! A lab's file on this side: read, and described to the person who is asked.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write as _};
use std::path::Path;

use anyhow::Context;
use knetsim_lab::{Manifest, package};
use knetsim_model::{Code, Failure};
use rustix::fs::{MemfdFlags, memfd_create};

/// Reads a lab; `-` is standard input.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let reading = || format!("reading {}", path.display());
    let file: Box<dyn Read> = match path == Path::new("-") {
        true => Box::new(std::io::stdin()),
        false => Box::new(File::open(path).with_context(reading)?),
    };
    let mut bytes = Vec::new();
    file.take(package::MAX_LAB as u64 + 1).read_to_end(&mut bytes).with_context(reading)?;
    if bytes.len() > package::MAX_LAB {
        let message = format!("{}: a lab has at most {} bytes", path.display(), package::MAX_LAB);
        return Err(Failure::new(Code::Limit, message).into());
    }
    Ok(bytes)
}

/// What a lab asks for, one grant a line with its author's reason, and the limits that it wants.
pub(crate) fn describe(manifest: &Manifest) -> String {
    let mut text = format!("{} {}", manifest.name, manifest.version).trim_end().to_owned();
    text += if manifest.grants.is_empty() { " asks for nothing\n" } else { " asks for\n" };
    for (grant, reason) in &manifest.grants {
        let _ = writeln!(text, "  {grant:<12}{}\n              because: {reason}", grant.allows());
    }
    for (limit, value) in &manifest.limits {
        let _ = writeln!(text, "  limit {limit}: {value}");
    }
    text
}

/// A file without a name that holds these bytes, to be passed on.
pub(crate) fn in_memory(bytes: &[u8]) -> std::io::Result<File> {
    let mut file = File::from(memfd_create("lab", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}
