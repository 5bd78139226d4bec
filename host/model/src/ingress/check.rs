//! Texts of an ingress that end up in nginx's configuration: which are taken.

use crate::untrusted::line;

/// The longest path, in bytes.
const LONGEST: usize = 1024;
/// The longest text of somebody else's in a message, in characters.
const SHOWN: usize = 120;

/// A path as Kubernetes takes it. What a backend could take for something else is refused: escapes, because paths are
/// compared without them, and whatever nginx's configuration gives a meaning.
pub(super) fn check_path(path: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~!&'()*+,;=:@".contains(c);
    let why = if !path.starts_with('/') {
        "it begins with no `/`"
    } else if path.len() > LONGEST {
        "it is longer than 1024 bytes"
    } else if !path.chars().all(plain) {
        "take letters, digits and -._~!&'()*+,;=:@ between its slashes"
    } else if path.contains("//") || path.split('/').any(|part| matches!(part, "." | "..")) {
        "it has an empty element, `.` or `..`, which no request's path has"
    } else {
        return Ok(());
    };
    Err(format!("`{}` is no path of it: {why}", shown(path)))
}

/// A regular expression. Whether it is right, nginx says; it stands in quotes, out of which no printable character leads.
pub(super) fn check_regex(path: &str) -> Result<(), String> {
    let why = if !path.starts_with('/') {
        "it begins with no `/`"
    } else if path.len() > LONGEST {
        "it is longer than 1024 bytes"
    } else if !path.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        "take what can be printed in ASCII"
    } else if names_a_group(path) {
        "its groups are numbered: write `(...)`, because a group with a name sets nginx's variable of that name"
    } else {
        return Ok(());
    };
    Err(format!("`{}` is no regular expression of it: {why}", shown(path)))
}

/// Whether an expression names a group, by any of PCRE's ways: `(?<a>`, `(?P<a>`, `(?'a'`. Lookbehinds, `(?<=` and
/// `(?<!`, name none. An escaped `\(?<a>` counts, too: which backslash escapes what, only PCRE knows for sure.
fn names_a_group(expression: &str) -> bool {
    let named = |rest: &str| match rest.strip_prefix('<') {
        Some(name) => !name.starts_with(['=', '!']),
        None => rest.starts_with("P<") || rest.starts_with('\''),
    };
    expression.split("(?").skip(1).any(named)
}

/// What takes the place of a path that a regular expression matched, in the characters that ingress-nginx takes. A `$`
/// that stands for a variable of nginx's is refused.
pub(super) fn check_target(target: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~:$".contains(c);
    let group = |rest: &str| rest.starts_with(|c: char| matches!(c, '1'..='9'));
    let why = if !target.starts_with(['/', '$']) {
        "it begins with neither `/` nor a group"
    } else if target.len() > LONGEST {
        "it is longer than 1024 bytes"
    } else if !target.chars().all(plain) {
        "take letters, digits and -._~: between its slashes"
    } else if !target.split('$').skip(1).all(group) {
        "behind a `$` stands the number of a group, 1 to 9: nginx's variables are not to be had"
    } else {
        return Ok(());
    };
    Err(format!("`{}` is no rewrite of a regular expression: {why}", shown(target)))
}

/// Text of somebody else's in a message: cut, and without what would move a terminal's cursor.
pub(crate) fn shown(text: &str) -> String {
    line(text).chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_a_number_and_no_name() {
        for named in [
            "/a/(?<connection_upgrade>.*)",
            "/a/(?P<host>.*)",
            "/a/(?'uri'.*)",
            "/(?:a|(?<b>c))",
            "/\\c\\(?<b>c)",
            "/(?|(?<b>c))",
        ] {
            let why = check_regex(named).unwrap_err();
            assert!(why.contains("groups are numbered") && why.contains(named), "{why}");
        }
        for right in ["/a(?<=a)b", "/a(?<!b)c", "/(a)(?:b)(?i:c)(?=d)(?!e)(?>f)", "/<a>(b)'c'", "/a(?P>b)"] {
            assert_eq!(check_regex(right), Ok(()), "{right}");
        }
    }

    #[test]
    fn text_is_shown_as_it_is_but_for_what_moves_the_cursor() {
        assert_eq!(shown("/a\\d\"'(\u{1b}[31m"), "/a\\d\"'(\\u{1b}[31m");
        assert_eq!(shown(&"a".repeat(200)).len(), 120);
    }
}
