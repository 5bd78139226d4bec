//! Commands of a shell, set at a width so that what is copied from the screen is what was written.
//!
//! Invariant: to bash, the lines are the same script: a line is continued by ` \` between two words and nowhere else;
//! what is quoted, and the text of a here-document, stays whole, however long it is.

use std::collections::VecDeque;

use unicode_width::UnicodeWidthStr;

/// How far a line that is continued is indented under its beginning.
const INDENT: usize = 4;
/// What continues a line.
const MORE: &str = " \\";

/// A script's lines, none wider than that where its words allow it.
pub(crate) fn wrapped(script: &str, width: usize) -> Vec<String> {
    let mut reader = Reader::default();
    script.split('\n').flat_map(|text| reader.line(text).set(width)).collect()
}

/// A line of a script, and where it may be divided.
#[derive(Debug)]
struct Line<'a> {
    text: &'a str,
    /// The blanks between words, as ranges of bytes.
    blanks: Vec<(usize, usize)>,
    /// Where its comment begins.
    comment: Option<usize>,
    /// It begins a line of the script, and not within quotes, a here-document or a line that is continued.
    begins: bool,
    /// Where the last word that was read may begin.
    word: usize,
}

impl Line<'_> {
    fn set(&self, width: usize) -> Vec<String> {
        let (text, indent) = (self.text, self.text.len() - self.text.trim_start().len());
        if text.width() <= width {
            return vec![text.to_owned()];
        }
        let margin = if self.begins { &text[..indent] } else { "" };
        match self.comment {
            Some(at) if at == indent && self.begins => comment(margin, &text[at..], width),
            // What is said of a command stands above it where both don't fit beside each other.
            Some(at) if self.begins => {
                let mut lines = comment(margin, &text[at..], width);
                let end = self.blanks.iter().rfind(|(_, next)| *next == at).map_or(at, |(blank, _)| *blank);
                lines.extend(self.divided(&text[..end], margin, width));
                lines
            }
            _ => self.divided(text, margin, width),
        }
    }

    /// As many words on a line as fit.
    fn divided(&self, text: &str, margin: &str, width: usize) -> Vec<String> {
        let begin = format!("{margin}{:INDENT$}", "");
        let (mut lines, mut line, mut from, mut gap) = (Vec::new(), String::new(), 0, "");
        let ends = self.blanks.iter().copied().filter(|(blank, _)| *blank < text.len() && *blank > margin.len());
        for (end, next) in ends.chain([(text.len(), text.len())]) {
            let word = &text[from..end];
            let room = if end == text.len() { width } else { width.saturating_sub(MORE.len()) };
            if from > 0 && line.width() + gap.width() + word.width() > room {
                lines.push(line + MORE);
                line = begin.clone();
            } else {
                line += gap;
            }
            line += word;
            (from, gap) = (next, &text[end..next]);
        }
        lines.push(line);
        lines
    }
}

/// A comment on lines of its own.
fn comment(margin: &str, text: &str, width: usize) -> Vec<String> {
    let mark = &text[..text.len() - text.trim_start_matches(['#', ' ', '\t']).len()];
    let begin = if mark.ends_with([' ', '\t']) { format!("{margin}{mark}") } else { format!("{margin}{mark} ") };
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text[mark.len()..].split([' ', '\t']).filter(|word| !word.is_empty()) {
        if !line.is_empty() && begin.width() + line.width() + 1 + word.width() > width {
            lines.push(format!("{begin}{line}"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    lines.push(format!("{begin}{line}"));
    lines
}

/// What a character stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    /// `( )`: commands, as at the script's top.
    Commands,
    /// `$( )`: commands within a word.
    Substitution,
    /// `' '`.
    Single,
    /// `$' '`.
    Escaped,
    /// `" "`.
    Double,
    /// `` ` ` ``.
    Backticks,
    /// `${ }`.
    Parameter,
    /// `(( ))` or `$(( ))`, with so many parentheses open.
    Arithmetic(usize),
}

/// What a script has open at the end of a line.
#[derive(Default)]
struct Reader {
    within: Vec<Within>,
    /// Here-documents to come: the line that ends each, and whether tabs before it don't count.
    documents: VecDeque<(String, bool)>,
    /// The line before goes on in this one.
    continued: bool,
}

impl Reader {
    fn line<'a>(&mut self, text: &'a str) -> Line<'a> {
        let commands = |within: &Within| matches!(within, Within::Commands | Within::Substitution);
        let begins = self.within.iter().all(commands) && !self.continued;
        let mut line = Line { text, blanks: Vec::new(), comment: None, begins, word: 0 };
        if begins && let Some((end, tabs)) = self.documents.front() {
            line.begins = false;
            let ends = end == if *tabs { text.trim_start_matches('\t') } else { text };
            if ends {
                self.documents.pop_front();
            }
            return line;
        }
        self.continued = false;
        let mut at = 0;
        while at < text.len() {
            at = self.step(&mut line, at);
        }
        line
    }

    /// Reads what stands at `at`; where to read on.
    fn step(&mut self, line: &mut Line<'_>, at: usize) -> usize {
        let rest = &line.text[at..];
        let one = at + rest.chars().next().map_or(1, char::len_utf8);
        let top = self.within.last().copied().unwrap_or(Within::Commands);
        if rest.starts_with('\\') && top != Within::Single {
            self.continued = rest.len() == 1;
            return one + line.text[one..].chars().next().map_or(0, char::len_utf8);
        }
        match top {
            Within::Single | Within::Escaped if rest.starts_with('\'') => self.leave(),
            Within::Backticks if rest.starts_with('`') => self.leave(),
            Within::Single | Within::Escaped | Within::Backticks => {}
            Within::Double if rest.starts_with('"') => self.leave(),
            Within::Parameter if rest.starts_with('}') => self.leave(),
            Within::Arithmetic(open) if rest.starts_with(['(', ')']) => {
                self.leave();
                let open = if rest.starts_with('(') { open + 1 } else { open - 1 };
                if open > 0 {
                    self.within.push(Within::Arithmetic(open));
                }
            }
            Within::Double | Within::Parameter | Within::Arithmetic(_) => {
                let next = if top == Within::Double { self.expansion(rest, at) } else { self.quoted(rest, at) };
                line.word = next.unwrap_or(line.word);
                return next.unwrap_or(one);
            }
            Within::Commands | Within::Substitution => return self.command(line, at, one),
        }
        one
    }

    fn leave(&mut self) {
        self.within.pop();
    }

    fn enter(&mut self, within: Within, at: usize) -> Option<usize> {
        self.within.push(within);
        Some(at)
    }

    /// What begins with `$` or a backtick.
    fn expansion(&mut self, rest: &str, at: usize) -> Option<usize> {
        match rest {
            _ if rest.starts_with("$((") => self.enter(Within::Arithmetic(2), at + 3),
            _ if rest.starts_with("$(") => self.enter(Within::Substitution, at + 2),
            _ if rest.starts_with("${") => self.enter(Within::Parameter, at + 2),
            _ if rest.starts_with('`') => self.enter(Within::Backticks, at + 1),
            _ => None,
        }
    }

    /// What begins a quotation, too.
    fn quoted(&mut self, rest: &str, at: usize) -> Option<usize> {
        match rest {
            _ if rest.starts_with("$'") => self.enter(Within::Escaped, at + 2),
            _ if rest.starts_with('\'') => self.enter(Within::Single, at + 1),
            _ if rest.starts_with('"') => self.enter(Within::Double, at + 1),
            _ => self.expansion(rest, at),
        }
    }

    fn command(&mut self, line: &mut Line<'_>, at: usize, one: usize) -> usize {
        let rest = &line.text[at..];
        if rest.starts_with([' ', '\t']) {
            let end = line.text.len() - rest.trim_start_matches([' ', '\t']).len();
            line.blanks.extend((end < line.text.len()).then_some((at, end)));
            line.word = end;
            return end;
        }
        if line.word == at && rest.starts_with('#') {
            line.comment = Some(at);
            return line.text.len();
        }
        if line.word == at && rest.starts_with("((") {
            self.within.push(Within::Arithmetic(2));
            return at + 2;
        }
        if rest.starts_with("<<<") {
            return at + 3;
        }
        if let Some(document) = rest.strip_prefix("<<") {
            return self.document(document, line.text.len());
        }
        if rest.starts_with([';', '&', '|', '<', '>', '(', ')']) {
            // A `)` that closes nothing is that of a `case`; behind that of `$( )`, the word goes on.
            let closed = if rest.starts_with(')') { self.within.pop() } else { None };
            if rest.starts_with('(') {
                self.within.push(Within::Commands);
            }
            if closed != Some(Within::Substitution) {
                line.word = one;
            }
            return one;
        }
        let next = self.quoted(rest, at);
        if let (Some(next), Some(Within::Substitution)) = (next, self.within.last()) {
            line.word = next;
        }
        next.unwrap_or(one)
    }

    /// Takes note of a here-document; `end` is where the line does.
    fn document(&mut self, rest: &str, end: usize) -> usize {
        let word = rest.strip_prefix('-').unwrap_or(rest);
        let tabs = word.len() < rest.len();
        let word = word.trim_start_matches([' ', '\t']);
        let length = word.find(|c: char| c.is_whitespace() || ";&|()<>".contains(c)).unwrap_or(word.len());
        self.documents.push_back((word[..length].replace(['\'', '"', '\\'], ""), tabs));
        end - word.len() + length
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// What bash makes of a script: its commands without comments, each with its words.
    pub(crate) fn parsed(script: &str) -> String {
        let function = format!("f() {{\n{script}\n:\n}}\ndeclare -f f");
        let ran = Command::new("bash").args(["--norc", "-c", &function]).output().unwrap();
        assert!(ran.status.success(), "{script}\n{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    }

    /// What a script's commands print, each of which prints its arguments.
    fn run(script: &str) -> String {
        let stub = "stub() { printf '<%s>' \"$@\"; echo; cat; }; exec </dev/null\n";
        let ran = Command::new("bash").args(["--norc", "-c", &format!("{stub}{script}")]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&ran.stderr), "", "{script}");
        String::from_utf8(ran.stdout).unwrap()
    }

    #[test]
    fn long_lines_are_continued_between_words() {
        for (script, lines) in [
            ("ip link add a type veth", vec!["ip link add a type veth"]),
            ("ip link add name blue type veth", vec!["ip link add name blue \\", "    type veth"]),
            ("    nft add chain ip t c '{ a; b; }'", vec!["    nft add chain ip t c \\", "        '{ a; b; }'"]),
            ("ping x # until it is answered at last", vec!["# until it is answered at", "# last", "ping x"]),
            ("  # what a longer comment says here", vec!["  # what a longer comment", "  # says here"]),
            (
                "echo \"a b c d e f g h i j k l m n\" o",
                vec!["echo \\", "    \"a b c d e f g h i j k l m n\" \\", "    o"],
            ),
            (
                "cat <<'EOF' | tee a b c d e f g\na text that is wider than the line\nEOF\ntrue",
                vec!["cat <<'EOF' | tee a b c \\", "    d e f g", "a text that is wider than the line", "EOF", "true"],
            ),
        ] {
            assert_eq!(wrapped(script, 26), lines, "{script}");
            assert_eq!(parsed(&wrapped(script, 26).join("\n")), parsed(script));
        }
    }

    /// A word of bash, and things between words.
    fn word() -> impl Strategy<Value = String> {
        prop_oneof![
            6 => "[a-z0-9./:=-]{1,8}",
            1 => "'[a-z #\"|;$\\\\`(]{0,9}'",
            1 => "\"[a-z #'|;(]{0,9}\"",
            1 => "\\$'[a-z \\\\n\"#]{0,6}'".prop_map(|word| word.replace("\\", "\\\\")),
            1 => Just("\\ ".to_owned()),
            1 => Just("a\\ #b".to_owned()),
            1 => Just("a#b".to_owned()),
            1 => Just("$(stub $(stub a #)b\n))#c".to_owned()),
            1 => Just("'a '#b".to_owned()),
            1 => Just("\"$(stub a 'b  c' \"d  e\" | tr a x)\"".to_owned()),
            1 => Just("$(stub f g)".to_owned()),
            1 => Just("`stub h  i`".to_owned()),
            1 => Just("${none:-j  k}".to_owned()),
            1 => Just("\"${none:-l  m}\"".to_owned()),
            1 => Just("$((1 + (2 << 3)))".to_owned()),
            1 => Just("{n..p}".to_owned()),
            1 => Just("ä─ö".to_owned()),
        ]
    }

    fn script() -> impl Strategy<Value = String> {
        let between = prop_oneof![
            4 => Just(" "),
            1 => Just("  "),
            1 => Just(" | stub "),
            1 => Just(" && stub "),
            1 => Just("; stub "),
            1 => Just(" # a comment; 'open\nstub "),
            1 => Just("\\  # a comment that is longer than most of the lines here\nstub "),
            1 => Just(" |\n    stub "),
            1 => Just(" \\\n    "),
            1 => Just("\n    stub "),
            1 => Just("\n# another comment's words\nstub "),
            1 => Just("\n((1 << 2)); stub "),
            1 => Just(" <<'END'\n a  b \\\n'\nEND\nstub "),
            1 => Just(" <<-END | stub\n\ta $none `stub`\n\tEND\nstub "),
            1 => Just(" <<< 'x  y'; stub "),
            1 => Just("\n(stub z); { stub y; }; for i in 1 2; do stub $i; done; stub "),
        ];
        proptest::collection::vec((word(), between), 1..12).prop_map(|parts| {
            let words: String = parts.iter().map(|(word, between)| format!("{word}{between}")).collect();
            format!("stub {words}last")
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

        #[test]
        fn to_bash_it_is_the_same(script in script(), width in 10_usize..90) {
            let set = wrapped(&script, width).join("\n");
            prop_assert_eq!(parsed(&set), parsed(&script), "{}\n----\n{}", script, set);
            prop_assert_eq!(run(&set), run(&script), "{}\n----\n{}", script, set);
        }

        #[test]
        fn whatever_it_is_nothing_is_lost(text in "\\PC{0,80}|[a-z '\"\\\\(){}$`<#\n-]{0,80}", width in 0_usize..40) {
            let all: String = text.split(['\n', ' ', '\t', '\\', '#']).collect();
            let set: String = wrapped(&text, width).concat().split(['\n', ' ', '\t', '\\', '#']).collect();
            let sorted = |text: &str| { let mut all: Vec<_> = text.chars().collect(); all.sort_unstable(); all };
            prop_assert_eq!(sorted(&set), sorted(&all));
        }
    }
}
