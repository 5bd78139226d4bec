//! The manifest: lab.toml as its author wrote it, carried by the lab in a custom section.

use std::collections::BTreeMap;

use knetsim_model::untrusted;
use serde::Deserialize;

use crate::error::{LabError, Result};
use crate::grants::Grant;
use crate::limits::Limit;

/// The name of a lab that carries no manifest.
pub(crate) const UNNAMED: &str = "unnamed";

/// What a lab says of itself.
///
/// ```toml
/// name = "first-steps"
/// version = "0.1.0"
///
/// [grants]                # by name, each with a reason for the person who is asked
/// clusters = "makes the two clusters that it looks at"
///
/// [limits]                # by name, where ours do not fit
/// workers = 6
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// 1 to 63 lower case letters, digits and `-`.
    pub name: String,
    /// As its author counts: at most 32 letters, digits, `.`, `-` and `+`.
    pub version: String,
    /// What it asks for, and why, in one line of plain words.
    pub grants: BTreeMap<Grant, String>,
    /// Limits that differ from ours.
    pub limits: BTreeMap<Limit, u64>,
}

/// The file's form; names are checked afterwards.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    version: String,
    #[serde(default)]
    grants: BTreeMap<String, String>,
    #[serde(default)]
    limits: BTreeMap<String, u64>,
}

impl Manifest {
    /// The manifest of a lab that carries none: no name of its own, and it asks for nothing.
    pub fn unnamed() -> Self {
        Manifest { name: UNNAMED.to_owned(), version: String::new(), grants: BTreeMap::new(), limits: BTreeMap::new() }
    }

    /// Reads lab.toml.
    ///
    /// # Errors
    /// It is no TOML, or a name, reason or limit is not as it should be.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |what: String| LabError::Manifest(what);
        let file: File = toml::from_str(text).map_err(|error| bad(untrusted::text(error.to_string().trim_end())))?;
        if !is_name(&file.name) {
            return Err(bad(format!("name: 1 to 63 lower case letters, digits and `-`, not {:?}", file.name)));
        }
        if file.name == UNNAMED {
            return Err(bad(format!("name: `{UNNAMED}` is that of labs without a manifest")));
        }
        if !is_version(&file.version) {
            return Err(bad(format!("version: such as `0.1.0`, not {:?}", file.version)));
        }
        let mut grants = BTreeMap::new();
        for (name, reason) in file.grants {
            let grant: Grant = name.parse().map_err(|error| bad(format!("[grants]: {error}")))?;
            let reason = self::reason(&reason).map_err(|wrong| bad(format!("[grants] {grant}: {wrong}")))?;
            grants.insert(grant, reason);
        }
        let mut limits = BTreeMap::new();
        for (name, value) in file.limits {
            let limit: Limit = name.parse().map_err(|error| bad(format!("[limits]: {error}")))?;
            limit.check(value).map_err(|error| bad(format!("[limits]: {error}")))?;
            limits.insert(limit, value);
        }
        Ok(Manifest { name: file.name, version: file.version, grants, limits })
    }
}

fn is_name(name: &str) -> bool {
    (1..=63).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn is_version(version: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b".-+".contains(&b);
    (1..=32).contains(&version.len()) && version.bytes().all(inner)
}

/// A person reads it on a terminal before they decide: words in one line, with one space between two, and nothing that
/// hides or moves the cursor.
fn reason(given: &str) -> std::result::Result<String, String> {
    let is_line = given.chars().count() <= 200 && !given.contains(['\n', '\t']);
    if !is_line || !given.chars().any(char::is_alphanumeric) {
        return Err("give a reason of one line, at most 200 letters".to_owned());
    }
    match untrusted::flaw(given) {
        Some(flaw) => Err(format!("its reason: {flaw}")),
        None => Ok(untrusted::words(given)),
    }
}
