//! The two syntaxes of skrouterd's configuration files: JSON, `[["section", {"attribute": value, …}], …]`, with lines
//! that start with `#` left out; and an older one:
//!
//! ```text
//! section {
//!     attribute: value
//!     attribute: {          # a map of attributes
//!     }
//! }
//! ```

use serde_json::{Map, Value};

use super::ConfigError;

/// Kind and attributes of a section, as written.
pub(super) type Section = (String, Map<String, Value>);

/// Attributes of which a `#` is a part: what follows a blank is a comment nevertheless.
const WITH_HASHES: &[&str] = &["pattern", "bindingKey", "hostname"];

pub(super) fn json(text: &str) -> Result<Vec<Section>, ConfigError> {
    let lines: Vec<&str> =
        text.lines().map(|line| if line.trim_start().starts_with('#') { "" } else { line }).collect();
    let sections: Vec<(String, Map<String, Value>)> =
        serde_json::from_str(&lines.join("\n")).map_err(|error| ConfigError::Syntax(error.to_string()))?;
    Ok(sections.into_iter().map(|(kind, attributes)| (camel_case(&kind), camel_cased(attributes))).collect())
}

pub(super) fn conf(text: &str) -> Result<Vec<Section>, ConfigError> {
    let mut sections = Vec::new();
    let mut open: Vec<(String, Map<String, Value>)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let wrong = |what: &str| ConfigError::Syntax(format!("line {}: {what}: {}", number + 1, line.trim()));
        let content = without_comment(line.trim());
        if content.is_empty() {
            continue;
        }
        if content == "}" {
            let (name, attributes) = open.pop().ok_or_else(|| wrong("nothing to close"))?;
            match open.last_mut() {
                Some((_, outer)) => drop(outer.insert(name, Value::Object(attributes))),
                None => sections.push((name, attributes)),
            }
        } else if let Some(name) = content.strip_suffix('{') {
            let name = name.trim_end();
            let key = name.strip_suffix(':').map(str::trim_end);
            if key.is_some() == open.is_empty() {
                return Err(wrong("a section is `name {`, and a map in one `name: {`"));
            }
            open.push((camel_case(key.unwrap_or(name)), Map::new()));
        } else {
            let (key, value) = content.split_once(':').ok_or_else(|| wrong("`attribute: value` is expected"))?;
            let (_, attributes) = open.last_mut().ok_or_else(|| wrong("an attribute outside of a section"))?;
            attributes.insert(camel_case(key.trim()), Value::String(value.trim().to_owned()));
        }
    }
    match open.pop() {
        Some((name, _)) => Err(ConfigError::Syntax(format!("{name} isn't closed"))),
        None => Ok(sections),
    }
}

fn without_comment(line: &str) -> &str {
    if line.starts_with('#') {
        return "";
    }
    let key = line.split(':').next().unwrap_or_default().trim();
    let comment = if WITH_HASHES.contains(&key) { " #" } else { "#" };
    line.split(comment).next().unwrap_or_default().trim_end()
}

/// `ssl-profile` as `sslProfile`.
fn camel_case(name: &str) -> String {
    let mut words = name.split(['-', '_']);
    let mut out = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        out.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        out.push_str(letters.as_str());
    }
    out
}

fn camel_cased(attributes: Map<String, Value>) -> Map<String, Value> {
    attributes.into_iter().map(|(name, value)| (camel_case(&name), value)).collect()
}
