//! A lab's file on this side: read, and described to the person who is asked.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write as _};
use std::path::Path;

use anyhow::Context;
use knetsim_lab::{Manifest, package};
use knetsim_model::{Code, Failure, untrusted};
use rustix::fs::{MemfdFlags, memfd_create};
use unicode_width::UnicodeWidthChar;

/// What a lab is run by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `knetsim run`.
    Script,
    /// `knetsim learn`.
    Chapter,
}

/// Reads a lab of that kind, and its manifest.
///
/// # Errors
/// It is no lab or one of the other kind, or it is a chapter without a manifest, which has no name then.
pub(crate) fn open(path: &Path, kind: Kind) -> anyhow::Result<(Vec<u8>, Option<Manifest>)> {
    let bytes = read(path)?;
    let wrong = |why: String| Failure::invalid(format!("{}: {why}", path.display()));
    let found = package::inspect(&bytes).map_err(|error| wrong(error.to_string()))?;
    match (kind, found.is_chapter()) {
        (Kind::Script, true) => Err(wrong("it is a chapter: `knetsim learn` opens it".to_owned()).into()),
        (Kind::Chapter, false) => Err(wrong("it is no chapter but a script: `knetsim run` runs it".to_owned()).into()),
        (Kind::Chapter, true) if found.manifest.is_none() => Err(wrong(NO_MANIFEST.to_owned()).into()),
        _ => Ok((bytes, found.manifest)),
    }
}

/// What its author has to do about it.
const NO_MANIFEST: &str = "this file carries no manifest: `knetsim lab build` puts lab.toml into a lab";

/// Reads a lab; `-` is standard input.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let reading = || format!("reading {}", path.display());
    let wrong = |why: &str| Failure::invalid(format!("{}: {why}", path.display()));
    if path.is_dir() {
        return Err(wrong("it is a folder: `knetsim lab build` makes a lab of a crate, and prints its path").into());
    }
    let file: Box<dyn Read> = match path == Path::new("-") {
        true => Box::new(std::io::stdin()),
        false => Box::new(File::open(path).with_context(reading)?),
    };
    let mut bytes = Vec::new();
    file.take(package::MAX_LAB as u64 + 1).read_to_end(&mut bytes).with_context(reading)?;
    if bytes.is_empty() {
        return Err(wrong("it is empty").into());
    }
    if bytes.len() > package::MAX_LAB {
        let message = format!("{}: a lab has at most {} bytes", path.display(), package::MAX_LAB);
        return Err(Failure::new(Code::Limit, message).into());
    }
    Ok(bytes)
}

/// What a lab asks for, one grant a line, and the limits that it wants. Its author's reasons are set apart by a bar in
/// front of each line, so that none looks like a line or a question of knetsim's; set for a screen of `columns`.
pub(crate) fn describe(manifest: &Manifest, columns: usize) -> String {
    if *manifest == Manifest::unnamed() {
        return format!("it asks for nothing: {NO_MANIFEST}\n");
    }
    let mut text = format!("{} {}", manifest.name, manifest.version).trim_end().to_owned();
    text += if manifest.grants.is_empty() { " asks for nothing\n" } else { " asks for\n" };
    for (grant, reason) in &manifest.grants {
        let _ = writeln!(text, "  {grant:<12}{}", grant.allows());
        let mut begin = "because";
        for line in wrapped(reason, columns.saturating_sub(INDENT + begin.len() + BAR.len() + 2)) {
            let _ = writeln!(text, "{:INDENT$}{begin:<7}{BAR}{line}", "");
            begin = "";
        }
    }
    for (limit, value) in &manifest.limits {
        let _ = writeln!(text, "  limit {limit}: {value}");
    }
    text
}

/// Where reasons begin.
const INDENT: usize = 14;
/// What sets them apart.
const BAR: &str = " | ";
/// The narrowest that they are set, in columns.
const NARROWEST: usize = 16;

/// Words in lines of at most so many columns, and one more for a mark; a word that is longer is cut.
fn wrapped(words: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(NARROWEST);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in untrusted::words(words).split(' ') {
        let whole: usize = word.chars().map(width).sum();
        if used > 0 && used + 1 + whole > columns {
            lines.push(String::new());
            used = 0;
        } else if used > 0 {
            lines.last_mut().iter_mut().for_each(|line| line.push(' '));
            used += 1;
        }
        for c in word.chars() {
            if used + width(c) > columns && c.width() != Some(0) {
                lines.push(String::new());
                used = 0;
            }
            lines.last_mut().iter_mut().for_each(|line| line.push(c));
            used += width(c);
        }
    }
    lines
}

/// The most columns that a character takes: U+FE0F makes a picture of the letter before it, which is wider.
fn width(c: char) -> usize {
    if c == '\u{fe0f}' { 1 } else { c.width().unwrap_or_default() }
}

/// A file without a name that holds these bytes, to be passed on.
pub(crate) fn in_memory(bytes: &[u8]) -> std::io::Result<File> {
    let mut file = File::from(memfd_create("lab", MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::*;

    fn with_reason(reason: &str) -> Manifest {
        let toml = format!("name = \"x\"\nversion = \"1\"\n[grants]\nprobe = \"{reason}\"");
        Manifest::parse(&toml).unwrap()
    }

    #[test]
    fn an_authors_words_are_set_apart_on_each_line() {
        let manifest = with_reason(&format!(
            "sends pings{}Grant this? [y/N] y \u{26a0}\u{fe0f} {}",
            " ".repeat(100),
            "y".repeat(50)
        ));
        let described = describe(&manifest, 60);
        let words: Vec<_> = described.lines().skip(2).collect();
        assert!(words[0].starts_with("              because | sends pings Grant this? [y/N] y"), "{described}");
        assert!(words[1..].iter().all(|line| line.starts_with("                      | ")), "{described}");
        assert!(described.lines().all(|line| line.width() < 60), "{described}");
        let pictures = describe(&with_reason(&"\u{26a0}\u{fe0f}".repeat(90).replacen('\u{fe0f}', "a", 1)), 60);
        assert!(pictures.lines().skip(2).all(|line| line.contains(BAR) && line.width() < 60), "{pictures}");
        let narrow = describe(&manifest, 1);
        assert!(narrow.lines().skip(2).all(|line| line.contains(BAR) && line.width() <= 41), "{narrow}");
    }

    #[test]
    fn a_lab_without_a_manifest_asks_for_nothing() {
        assert!(describe(&Manifest::unnamed(), 80).contains("`knetsim lab build` puts lab.toml"));
    }
}
