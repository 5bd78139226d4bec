//! What the terminal can show: colours or none, all of Unicode or ASCII.

use std::ffi::OsStr;

use anstyle::{AnsiColor, Effects, Style};
use knetsim_model::untrusted::is_plain;
use unicode_width::UnicodeWidthStr;

use super::text::Kind;

/// Text of one style. It holds no end of a line and no escape sequence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) text: String,
    pub(crate) style: Style,
}

/// What stands on one line.
pub(crate) type Line = Vec<Span>;

impl Span {
    pub(crate) fn raw(text: impl Into<String>) -> Span {
        Span::styled(text, Style::new())
    }

    pub(crate) fn styled(text: impl Into<String>, style: Style) -> Span {
        Span { text: text.into(), style }
    }

    /// How many columns it takes.
    pub(crate) fn width(&self) -> usize {
        self.text.width()
    }
}

/// How many columns a line takes.
pub(crate) fn columns(line: &[Span]) -> usize {
    line.iter().map(Span::width).sum()
}

/// A line with escape sequences for its styles, and with none of anybody else.
pub(crate) fn escaped(line: &[Span]) -> String {
    let plain = |text: &str| text.chars().filter(|&c| is_plain(c)).collect::<String>();
    line.iter().map(|Span { text, style }| format!("{style}{}{style:#}", plain(text))).collect()
}

/// How text is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Theme {
    /// Whether there are colours.
    pub(crate) color: bool,
    /// Whether only ASCII may be written.
    pub(crate) ascii: bool,
}

impl Theme {
    /// What the environment says: `NO_COLOR`, and the character set of `LC_ALL`, `LC_CTYPE` or `LANG`.
    pub(crate) fn of_environment() -> Theme {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        Theme { color: set("NO_COLOR").is_none(), ascii: !locale.as_deref().is_some_and(is_utf8) }
    }

    /// A colour, where there are any, else what stands in for it.
    fn paint(self, color: AnsiColor, instead: Effects) -> Style {
        if self.color { color.on_default() } else { Style::new().effects(instead) }
    }

    pub(crate) fn heading(self) -> Style {
        self.paint(AnsiColor::Cyan, Effects::new()) | Effects::BOLD
    }

    pub(crate) fn done(self) -> Style {
        self.paint(AnsiColor::Green, Effects::new())
    }

    pub(crate) fn missing(self) -> Style {
        self.paint(AnsiColor::Yellow, Effects::new())
    }

    pub(crate) fn faint(self) -> Style {
        Style::new().dimmed()
    }

    pub(crate) fn key(self) -> Style {
        self.paint(AnsiColor::Cyan, Effects::BOLD)
    }

    pub(crate) fn chosen(self) -> Style {
        Style::new().invert()
    }

    /// A piece of a chapter's text.
    pub(crate) fn piece(self, kind: Kind) -> Style {
        let mut style = if kind.code { self.paint(AnsiColor::Yellow, Effects::BOLD) } else { Style::new() };
        for (is, effect) in
            [(kind.strong, Effects::BOLD), (kind.emphasis, Effects::ITALIC), (kind.link, Effects::UNDERLINE)]
        {
            style = if is { style | effect } else { style };
        }
        style
    }

    /// A line as this terminal can show it.
    pub(crate) fn fit(self, line: Line) -> Line {
        line.into_iter().map(|span| Span { text: self.words(&span.text), ..span }).collect()
    }

    /// Text as this terminal can show it.
    pub(crate) fn words(self, text: &str) -> String {
        if self.ascii { ascii(text) } else { text.to_owned() }
    }
}

fn is_utf8(locale: &OsStr) -> bool {
    let locale = locale.to_string_lossy().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// Text in ASCII, one character for one, so that pictures keep their shape.
fn ascii(text: &str) -> String {
    let one = |c: char| match c {
        c if c.is_ascii() => c,
        '─' | '━' | '═' | '–' | '—' | '╌' | '┄' => '-',
        '│' | '┃' | '║' | '┆' | '┊' => '|',
        '\u{2500}'..='\u{257f}' => '+',
        '→' | '▶' | '►' | '▸' | '❯' => '>',
        '←' | '◀' | '◄' => '<',
        '↑' | '▲' => '^',
        '↓' | '▼' => 'v',
        '✓' | '✔' => 'x',
        '•' | '·' | '●' => '*',
        '…' => '.',
        '○' | '◦' => 'o',
        '‘' | '’' => '\'',
        '“' | '”' => '"',
        '\u{a0}' => ' ',
        _ => '?',
    };
    text.chars().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_utf8_pictures_keep_their_shape() {
        let theme = Theme { color: false, ascii: true };
        assert_eq!(theme.words("┌─→ a │ ✓ …"), "+-> a | x .");
        assert!(is_utf8(OsStr::new("de_DE.UTF-8")) && is_utf8(OsStr::new("C.utf8")) && !is_utf8(OsStr::new("C")));
    }

    #[test]
    fn without_colours_what_matters_is_bold() {
        let line = |color| {
            let theme = Theme { color, ascii: false };
            escaped(&[Span::styled("ip", theme.piece(Kind { code: true, ..Kind::default() }))])
        };
        assert_eq!(line(false), "\u{1b}[1mip\u{1b}[0m");
        assert_eq!(line(true), "\u{1b}[33mip\u{1b}[0m");
    }
}
