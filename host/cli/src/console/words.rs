//! A line taken apart as a POSIX shell does it, as far as no shell is needed.

use std::ops::Range;

/// A word of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// What it says, without quotes.
    pub(super) text: String,
    /// Where it stands in the line.
    pub(super) at: Range<usize>,
}

/// A line's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) words: Vec<Word>,
    /// Whether only a shell can do what it says: a pipe, a redirection, a pattern, a variable.
    pub(super) shell: bool,
}

/// Takes a line apart; none where a quote is not closed.
pub(super) fn split(line: &str) -> Option<Words> {
    let mut found = Words::default();
    let mut word: Option<Word> = None;
    let mut chars = line.char_indices();
    while let Some((at, c)) = chars.next() {
        if c.is_whitespace() {
            found.words.extend(word.take());
            continue;
        }
        let into = word.get_or_insert_with(|| Word { text: String::new(), at: at..at });
        match c {
            '\'' => loop {
                match chars.next()?.1 {
                    '\'' => break,
                    c => into.text.push(c),
                }
            },
            '"' => loop {
                match chars.next()?.1 {
                    '"' => break,
                    '\\' => match chars.next()?.1 {
                        c @ ('"' | '\\' | '$' | '`') => into.text.push(c),
                        c => into.text.extend(['\\', c]),
                    },
                    c => {
                        found.shell |= "$`".contains(c);
                        into.text.push(c);
                    }
                }
            },
            '\\' => into.text.push(chars.next()?.1),
            c => {
                found.shell |= "|&;<>()$`*?[]{}~".contains(c);
                into.text.push(c);
            }
        }
        into.at.end = chars.offset();
    }
    found.words.extend(word);
    Some(found)
}

/// A word as it is typed: in quotes where it needs them.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(line: &str) -> Vec<String> {
        split(line).unwrap().words.into_iter().map(|word| word.text).collect()
    }

    #[test]
    fn words_are_those_of_a_shell() {
        assert_eq!(texts("  ping  -c1 C0w2 "), ["ping", "-c1", "C0w2"]);
        assert_eq!(texts(r#"a 'b c' "d 'e' \" \n" f\ g h"i"'j' ''"#), ["a", "b c", "d 'e' \" \\n", "f g", "hij", ""]);
        for unclosed in ["'a", "\"a", "a\\", "\"a\\"] {
            assert_eq!(split(unclosed), None, "{unclosed}");
        }
    }

    #[test]
    fn what_needs_a_shell_is_told() {
        for line in ["a | b", "a > b", "a $B", "a \"$B\"", "ls *", "a; b", "a &"] {
            assert!(split(line).unwrap().shell, "{line}");
        }
        for line in ["awk '{print $1}'", "a '|' \"&\" \\;", "curl -s 10.0.0.3:8001/svc1"] {
            assert!(!split(line).unwrap().shell, "{line}");
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_one_word(word in "\\PC{0,20}") {
            let words = split(&quoted(&word)).unwrap();
            prop_assert!(!words.shell);
            prop_assert_eq!(texts(&quoted(&word)), [word]);
        }

        #[test]
        fn words_stand_where_they_say(line in "[a-z '\"\\\\|]{0,20}") {
            for word in split(&line).map(|words| words.words).unwrap_or_default() {
                prop_assert_eq!(texts(&line[word.at]), [word.text]);
            }
        }
    }
}
