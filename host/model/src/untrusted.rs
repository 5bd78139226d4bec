//! Somebody else's words on a person's terminal: what a lab writes, what a command prints into a log, how a stranger
//! names a thing. Two ways to show them, by what they are:
//!
//! * **Output**, of many lines ([`Cleaner`] for a stream, [`text`] for a whole): what does anything else than to be
//!   shown is removed. Line ends and tabs stay.
//! * **Words** within a line of ours, such as a title or a reason ([`line()`], [`words`]): it is shown as an escape. What is
//!   plain stays as it is.
//! * **Names** ([`escaped`]), where a person or a lab gets them: the same, and two different names never look alike, and
//!   none looks empty. A backslash is escaped, too, so that is done once, where a name is read.
//!
//! What a lab gets as data (rules of nftables with their comments, keys and values of etcd, files, logs) is left as it is,
//! for it compares it; what the lab itself writes is cleaned on its way to a terminal.
//!
//! Where words can be refused instead, because their author is there to mend them, [`flaw`] finds the first letter that
//! would not be shown as it is. Joiners (U+200C, U+200D) are among those: a terminal shows a picture that is joined of
//! several as these several, or miscounts its columns.

use std::fmt;

use unicode_width::UnicodeWidthChar;

/// The most marks on one letter: no language needs more, and a pile of them covers the lines above and below
/// (Unicode Technical Standard 39, section 5.4).
const MARKS: u8 = 4;

/// Whether a terminal shows a character and does nothing else about it: it is no control character, no line or
/// paragraph separator, doesn't reorder text, and can be seen (or is a space).
pub fn is_plain(c: char) -> bool {
    if c.is_ascii() { !c.is_ascii_control() } else { !c.is_control() && !is_hidden(c) }
}

/// Format characters (Cf), separators of lines and paragraphs (Zl, Zp) and what else nobody sees
/// (`Default_Ignorable_Code_Point`, the blank of Braille), by the Unicode Character Database 16. The variation
/// selectors U+FE00 to U+FE0F are no part of it: they choose between two pictures of the letter before them.
fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}'
        | '\u{8e2}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// A character that is not shown as it is, and where it stands in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Its line, from 1.
    pub line: usize,
    /// Which character of that line it is, from 1.
    pub letter: usize,
    /// The character.
    pub character: char,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Flaw { line, letter, character } = self;
        write!(f, "line {line}, letter {letter}: U+{:04X} is not shown as it is", u32::from(*character))
    }
}

/// The first character that [`text`] would remove: one that is not plain, or a mark without a letter to stand on, or
/// one mark too many on it.
pub fn flaw(text: &str) -> Option<Flaw> {
    text.split('\n').zip(1..).find_map(|(words, line)| {
        let mut shown = Shown::default();
        let at = words.chars().position(|c| !shown.takes(c))?;
        words.chars().nth(at).map(|character| Flaw { line, letter: at + 1, character })
    })
}

/// Output of several lines, without what is not plain but line ends and tabs.
pub fn text(output: &str) -> String {
    let mut shown = Shown::default();
    output.chars().filter(|&c| shown.takes(c)).collect()
}

/// What was shown up to here of some output.
#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    /// How many more marks the last letter bears.
    marks: u8,
}

impl Shown {
    /// Whether a character comes to be shown behind that.
    fn takes(&mut self, c: char) -> bool {
        if c == '\n' || c == '\t' {
            self.marks = 0;
            return true;
        }
        if !is_plain(c) {
            return false;
        }
        if c.width() == Some(0) {
            let fits = self.marks > 0;
            self.marks = self.marks.saturating_sub(1);
            return fits;
        }
        self.marks = if c.is_whitespace() { 0 } else { MARKS };
        true
    }
}

/// A name, in one line: what is not plain is shown as `\n`, `\t`, `\r` or `\u{1b}`, a backslash as `\\`, a space at one of
/// its ends as `\u{20}`. Two different names are never shown alike; one that is shown already is not to be shown again.
pub fn escaped(name: &str) -> String {
    let inner = name.trim_matches(char::is_whitespace);
    let start = name.len() - name.trim_start_matches(char::is_whitespace).len();
    let (before, after) = (&name[..start], &name[start + inner.len()..]);
    let ends = |spaces: &str| spaces.chars().map(end).collect::<String>();
    ends(before) + &shown_in_a_line(inner, true) + &ends(after)
}

/// A space at an end of a name.
fn end(space: char) -> String {
    match space {
        '\n' | '\t' | '\r' => space.escape_default().to_string(),
        _ => space.escape_unicode().to_string(),
    }
}

/// Words in one line, such as a cell of a table: as [`escaped`], but a backslash and spaces stay, and so does what is
/// shown already.
pub fn line(words: &str) -> String {
    shown_in_a_line(words, false)
}

fn shown_in_a_line(words: &str, backslash: bool) -> String {
    let mut text = String::with_capacity(words.len());
    let mut shown = Shown::default();
    for c in words.chars() {
        if c != '\n' && c != '\t' && !(backslash && c == '\\') && shown.takes(c) {
            text.push(c);
        } else {
            text.extend(c.escape_default());
            // A mark behind it would stand on the escape.
            shown = Shown::default();
        }
    }
    text
}

/// A sentence, such as a reason, in one line: [`line()`], with one space for each run of spaces of any kind, and
/// none at its ends.
pub fn words(sentence: &str) -> String {
    let mut shown = String::with_capacity(sentence.len());
    for word in sentence.split(|c: char| c.is_whitespace() && is_plain(c)).filter(|word| !word.is_empty()) {
        if !shown.is_empty() {
            shown.push(' ');
        }
        shown += &line(word);
    }
    shown
}

/// Cleans a stream of output that is cut anywhere, as [`text`] does. Bytes that are not UTF-8 become U+FFFD: some
/// terminals take them for control characters.
#[derive(Debug, Default)]
pub struct Cleaner {
    /// The beginning of a character, at most three bytes, whose end has not come yet.
    partial: Vec<u8>,
    shown: Shown,
}

impl Cleaner {
    /// Adds to `out` what can be shown of `input`, the next piece of the stream.
    pub fn clean(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let mut bytes = std::mem::take(&mut self.partial);
        bytes.extend_from_slice(input);
        let mut seen = 0;
        for chunk in bytes.utf8_chunks() {
            for c in chunk.valid().chars().filter(|&c| self.shown.takes(c)) {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            let bad = chunk.invalid();
            seen += chunk.valid().len() + bad.len();
            let cut = std::str::from_utf8(bad).is_err_and(|error| error.error_len().is_none());
            if cut && seen == bytes.len() {
                self.partial = bad.to_vec();
            } else if !bad.is_empty() {
                self.shown.takes(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The name that is shown so.
    fn read_back(shown: &str) -> String {
        let (mut name, mut rest) = (String::new(), shown.chars());
        while let Some(c) = rest.next() {
            name.push(match (c, if c == '\\' { rest.next() } else { None }) {
                ('\\', Some('n')) => '\n',
                ('\\', Some('t')) => '\t',
                ('\\', Some('r')) => '\r',
                ('\\', Some('u')) => {
                    let number: String = rest.by_ref().skip(1).take_while(|c| *c != '}').collect();
                    u32::from_str_radix(&number, 16).ok().and_then(char::from_u32).unwrap()
                }
                ('\\', other) => other.unwrap(),
                (c, _) => c,
            });
        }
        name
    }

    fn cleaned(pieces: &[&[u8]]) -> String {
        let (mut cleaner, mut out) = (Cleaner::default(), Vec::new());
        for piece in pieces {
            cleaner.clean(piece, &mut out);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_is_not_plain_is_removed_from_output() {
        assert_eq!(cleaned(&[b"a\x1b[2Jb\r\x07\x7f\tc\n"]), "a[2Jb\tc\n");
        assert_eq!(cleaned(&["\u{9b}31m\u{202e}x\u{2028}y\u{200b}z".as_bytes()]), "31mxyz");
        assert_eq!(cleaned(&[b"\x9b31m"]), "\u{fffd}31m");
        assert_eq!(cleaned(&[b"\xc3", b"\xa4", b"\xe2\x82", b"\xac"]), "\u{e4}\u{20ac}");
        assert_eq!(cleaned(&[b"\xe2\x82", b"x"]), "\u{fffd}x");
        assert_eq!(text("a\x1b[1mb\n\tc\u{e0041}"), "a[1mb\n\tc");
    }

    #[test]
    fn words_are_one_line_in_which_everything_can_be_seen() {
        let (name, shown) =
            ("a b\n\x1b[31m\u{9b}\u{200b}\u{e0041}ä€\\", "a b\\n\\u{1b}[31m\\u{9b}\\u{200b}\\u{e0041}ä€\\");
        assert_eq!(line(name), shown);
        assert_eq!(escaped(name), format!("{shown}\\"));
        for (name, shown) in
            [("\\n", "\\\\n"), ("\n", "\\n"), ("  ", "\\u{20}\\u{20}"), (" a b\u{3000}", "\\u{20}a b\\u{3000}")]
        {
            assert_eq!(escaped(name), shown);
        }
        assert_eq!(
            words(&format!("  looks{}Grant this? [y/N] y\u{3000}\u{a0}", " ".repeat(100))),
            "looks Grant this? [y/N] y"
        );
        assert_eq!(words("a\n b\u{2028}c"), "a\\n b\\u{2028}c");
        assert_eq!(words(" \u{200b}\u{61c} "), "\\u{200b}\\u{61c}");
    }

    #[test]
    fn letters_of_all_scripts_and_pictures_are_plain() {
        assert!("grüße, ελληνικά, עברית, العربية, हिन्दी, 한국어, 日本語 ⚠\u{fe0f} ✓ │ 🦀".chars().all(is_plain));
        let hidden = "\u{ad}\u{61c}\u{200b}\u{200f}\u{2028}\u{2029}\u{2066}\u{feff}\u{e0001}\u{e007f}\u{3164}\u{2800}";
        assert_eq!(hidden.chars().find(|&c| is_plain(c)), None);
    }

    #[test]
    fn marks_stand_on_letters_and_not_in_piles() {
        let many = format!("a{}b", "\u{301}".repeat(9));
        assert_eq!(text(&many), format!("a{}b", "\u{301}".repeat(4)));
        assert_eq!(text("\u{fe0f}\u{301} \u{301}x"), " x");
        assert_eq!(escaped("\u{fe0f}a\u{301}"), "\\u{fe0f}a\u{301}");
        let flaws = |text: &str| flaw(text).map(|flaw| flaw.to_string()).unwrap_or_default();
        assert_eq!(flaws("Tiếng Việt, שָׁלוֹם, हिन्दी, 각\n\tà́ ⚠\u{fe0f} 1\u{fe0f}\u{20e3}"), "");
        assert_eq!(flaws("one\ntwo\u{202e}"), "line 2, letter 4: U+202E is not shown as it is");
        assert_eq!(flaws(&many), "line 1, letter 6: U+0301 is not shown as it is");
        assert_eq!(flaws("a \u{301}"), "line 1, letter 3: U+0301 is not shown as it is");
        assert_eq!(flaws("\u{1f469}\u{200d}\u{1f4bb}"), "line 1, letter 2: U+200D is not shown as it is");
    }

    proptest! {
        #[test]
        fn a_stream_is_cleaned_alike_wherever_it_is_cut(bytes: Vec<u8>, cut: prop::sample::Index) {
            let cut = cut.index(bytes.len() + 1);
            let whole = cleaned(&[&bytes]);
            prop_assert_eq!(&whole, &cleaned(&[&bytes[..cut], &bytes[cut..]]));
            prop_assert!(whole.chars().all(|c| is_plain(c) || c == '\n' || c == '\t'));
            prop_assert_eq!(flaw(&whole), None);
            prop_assert_eq!(&text(&whole), &whole);
        }

        #[test]
        fn no_two_names_are_shown_alike(
            one in "[\\\\nrtu{}01b \n\t\r\u{1b}\u{a0}\u{301}a]{0,6}",
            other in "[\\\\nrtu{}01b \n\t\r\u{1b}\u{a0}\u{301}a]{0,6}",
        ) {
            prop_assert_eq!(one == other, escaped(&one) == escaped(&other));
            // Each of them against what it is shown as, which is another name.
            let shown = escaped(&one);
            prop_assert_eq!(shown == one, escaped(&shown) == shown);
            prop_assert_eq!(read_back(&shown), one);
        }

        #[test]
        fn words_are_plain(sentence: String) {
            prop_assert!(escaped(&sentence).chars().all(is_plain) && line(&sentence).chars().all(is_plain));
            prop_assert_eq!(&line(&line(&sentence)), &line(&sentence));
            prop_assert_eq!(flaw(&escaped(&sentence)), None);
            let shown = words(&sentence);
            prop_assert!(shown.chars().all(is_plain) && !shown.contains("  ") && shown.trim_matches(' ') == shown);
            prop_assert_eq!(&words(&shown), &shown);
        }
    }
}
