//! Scripts of a chapter's author: in parts, each of which runs in a place of its own.

use knetsim_model::Target;

/// Where a part runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// `# on: TARGET`: in a shell there.
    On(Target),
    /// `# in: a second terminal`: where `knetsim` reaches the sandbox.
    Terminal,
}

/// The lines from a line that says where they run up to the next such line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) place: Place,
    pub(super) commands: String,
}

/// A script's parts. What stands before the first of them runs on `base`.
///
/// # Errors
/// A line names no place; in words.
pub(super) fn parts(script: &str) -> Result<Vec<Part>, String> {
    let mut parts = vec![Part { place: Place::On(Target::Base), commands: String::new() }];
    for line in script.lines() {
        if let Some(target) = line.strip_prefix("# on:") {
            let target = target.trim().parse().map_err(|error| format!("`{line}`: {error}"))?;
            parts.push(Part { place: Place::On(target), commands: String::new() });
        } else if let Some(place) = line.strip_prefix("# in:") {
            if place.trim() != "a second terminal" {
                return Err(format!("`{line}`: write `# in: a second terminal`, or `# on:` and a node or container"));
            }
            parts.push(Part { place: Place::Terminal, commands: String::new() });
        } else if let Some(part) = parts.last_mut() {
            part.commands += line;
            part.commands.push('\n');
        }
    }
    parts.retain(|part| !part.commands.trim().is_empty());
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_begin_where_a_line_says_where_they_run() {
        let part = |place, commands: &str| Part { place, commands: commands.to_owned() };
        let on = |target: &str| Place::On(target.parse().unwrap());
        let script = "# on: C0w1\nping C0w2\n\n# in: a second terminal\n# Why.\nknetsim ls\n# on: box/myns\nls\n";
        let expected = [
            part(on("C0w1"), "ping C0w2\n\n"),
            part(Place::Terminal, "# Why.\nknetsim ls\n"),
            part(on("box/myns"), "ls\n"),
        ];
        assert_eq!(parts(script).unwrap(), expected);
        assert_eq!(parts("true").unwrap(), [part(on("base"), "true\n")]);
        assert!(parts("# on: C0w1 now\n").unwrap_err().contains("`# on: C0w1 now`"));
        assert!(parts("# in: bed\n").unwrap_err().contains("a second terminal"));
    }
}
