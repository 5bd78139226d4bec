//! What goes to standard output, and how errors and logs go to standard error.
//!
//! Invariant: whatever this program writes on a terminal is cleaned here, for much of it is somebody else's words:
//! names, commands, what a daemon said. [`print()`] and [`say`] let no style through. Where this program sets one
//! ([`print_styled`], [`error`], [`warning`]), the words are cleaned before it is added. Past this go:
//!
//! * a program's own terminal session (`relay`), which is raw;
//! * the learner's screen (`learn::tty`), whose spans are cleaned one by one (`learn::theme`);
//! * the bar of a long operation (`progress`), whose words are cleaned before;
//! * the help of clap, the console's prompt and what a person types there, the question of `consent`.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use anyhow::Context;
use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table};
use knetsim_model::untrusted::{self, Cleaner};
use knetsim_model::{advice, chain};
use serde::Serialize;

use crate::fresh::Interrupted;
use crate::terminal;

const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();

/// How lists are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for a person
    Table,
    /// More columns
    Wide,
    /// One JSON value, documented by `knetsim schema`
    Json,
    /// A topology file
    Yaml,
    /// One name a line
    Name,
}

/// Writes to standard output, all or an error: `println!` panics where the reader has gone.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    write(&shown(text, std::io::stdout().is_terminal(), Styles::None))
}

/// The same with styles of this program's own: no other words than [`plain`] ones are in it.
pub(crate) fn print_styled(text: &str) -> anyhow::Result<()> {
    write(&shown(text, std::io::stdout().is_terminal(), Styles::Ours))
}

/// Words for a text that has styles of this program's own.
pub(crate) fn plain(words: &str) -> String {
    untrusted::text(words)
}

/// What may be styled in a text.
#[derive(Clone, Copy)]
enum Styles {
    /// Nothing: it is, or may be, somebody else's.
    None,
    /// What this program styles.
    Ours,
}

fn write(text: &str) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    let line_end: &[u8] = if text.is_empty() || text.ends_with('\n') { b"" } else { b"\n" };
    let written = out.write_all(text.as_bytes()).and_then(|()| out.write_all(line_end)).and_then(|()| out.flush());
    written.context("writing to standard output")
}

/// Text as a terminal gets it. What goes elsewhere stays as it is.
fn shown(text: &str, terminal: bool, styles: Styles) -> Cow<'_, str> {
    match (terminal, styles) {
        (false, _) => text.into(),
        (true, Styles::None) => untrusted::text(text).into(),
        (true, Styles::Ours) => styled(text).into(),
    }
}

/// Removes everything that is not plain but line ends, tabs and the styles that this program uses.
fn styled(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(escape) = rest.find('\x1b') {
        let (before, sequence) = rest.split_at(escape);
        shown += &untrusted::text(before);
        let length = style_length(sequence).unwrap_or(1);
        shown += if length > 1 { &sequence[..length] } else { "" };
        rest = &sequence[length..];
    }
    shown + &untrusted::text(rest)
}

/// How long the style at the beginning of a text is: `ESC [ 1;31 m` of bold, faint, italic and underlined letters, of
/// red, green, yellow, blue, magenta and cyan ones, and the end of them all, which this program and its log use. Nothing
/// that hides, blinks, or paints what is behind.
fn style_length(sequence: &str) -> Option<usize> {
    let (numbers, _) = sequence.strip_prefix("\x1b[")?.split_once('m')?;
    let ours = |number: &str| matches!(number.parse::<u8>(), Ok(0..=4 | 31..=36)) || number.is_empty();
    numbers.split(';').all(ours).then_some(numbers.len() + 3)
}

/// A stream of somebody else's bytes on its way to standard output: raw into a pipe or a file, cleaned on a terminal.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    cleaner: Cleaner,
}

impl Stream {
    /// Writes the next piece.
    pub(crate) fn print(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut out = std::io::stdout().lock();
        let mut cleaned = Vec::new();
        let shown = if out.is_terminal() {
            self.cleaner.clean(bytes, &mut cleaned);
            &cleaned
        } else {
            bytes
        };
        out.write_all(shown).and_then(|()| out.flush()).context("writing to standard output")
    }
}

/// One JSON value, indented.
pub(crate) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&serde_json::to_string_pretty(value)?)
}

/// Columns without lines, as `kubectl get` prints them. A cell is one line, whatever its words are.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    let cells = rows.into_iter().map(|row| row.into_iter().map(|cell| untrusted::line(&cell)).collect::<Vec<_>>());
    table.set_header(header.to_vec()).add_rows(cells);
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// `1 node`, `2 nodes`, `2 ingresses`.
pub(crate) fn count(number: usize, what: &str) -> String {
    let end = match number {
        1 => "",
        _ if what.ends_with('s') => "es",
        _ => "s",
    };
    format!("{number} {what}{end}")
}

/// Says why it failed, the whole chain in one line and what to do, unless nobody reads any more or the person knows: Ctrl-C.
pub(crate) fn error(error: &anyhow::Error) {
    let gone = error.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe);
    if !gone && !error.is::<Interrupted>() {
        let words = chain(error.as_ref());
        let advice = advice(&words).map(|advice| format!("; {advice}")).unwrap_or_default();
        say_styled(format_args!("{RED}error:{RED:#} {}{advice}", plain(&indented(&words))));
    }
}

/// Says what is wrong with the command line, which may hold names of others, and ends this process; so does help.
pub(crate) fn end_by_usage(error: &clap::Error) -> ! {
    let words = error.render().to_string();
    match words.strip_prefix("error: ") {
        Some(words) => say_styled(format_args!("{RED}error:{RED:#} {}", plain(words.trim_end()))),
        None => error.exit(),
    }
    std::process::exit(error.exit_code())
}

/// Something a person should know. What daemons, labs and files said may be part of it.
pub(crate) fn warning(message: &str) {
    say_styled(format_args!("{YELLOW}warning:{YELLOW:#} {}", plain(&indented(message))));
}

/// No line of a message but its first begins where a message of ours does.
fn indented(message: &str) -> String {
    message.replace('\n', "\n  ")
}

/// One line to standard error.
pub(crate) fn say(line: std::fmt::Arguments<'_>) {
    say_with(line, Styles::None);
}

/// The same, coloured only on a terminal.
fn say_styled(line: std::fmt::Arguments<'_>) {
    say_with(line, Styles::Ours);
}

fn say_with(line: std::fmt::Arguments<'_>, styles: Styles) {
    let mut line = shown(&format!("{line}\n"), std::io::stderr().is_terminal(), styles).into_owned();
    if terminal::is_raw() {
        line = line.replace('\n', "\r\n");
    }
    // With standard error gone there is nobody to tell.
    let _ = anstream::stderr().write_all(line.as_bytes());
}

/// Sends the log to standard error: warnings, more with `--verbose`, or what `KNETSIM_LOG` says.
pub(crate) fn log_to_stderr(verbose: u8) {
    let level = ["warn", "info", "debug", "trace"][usize::from(verbose.min(3))];
    let filter = tracing_subscriber::EnvFilter::try_from_env("KNETSIM_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| ErrorStream).with_target(false).init();
}

/// Standard error for the log, which writes an event at a time.
struct ErrorStream;

impl Write for ErrorStream {
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        let event_text = String::from_utf8_lossy(event);
        let shown = shown(&event_text, std::io::stderr().is_terminal(), Styles::Ours);
        anstream::stderr().write_all(shown.as_bytes()).map(|()| event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        anstream::stderr().flush()
    }
}

#[cfg(test)]
mod tests {
    use knetsim_model::untrusted::is_plain;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_terminal_gets_our_styles_and_nothing_else() {
        let ours = format!("{RED}error:{RED:#} a\tb\n{YELLOW}warning:{YELLOW:#} c\n");
        assert_eq!(styled(&ours), ours);
        for (text, shown) in [
            ("\x1b]0;title\x07a", "]0;titlea"),
            ("\x1b[2J\x1b[Hb", "[2J[Hb"),
            ("\x1b[8mhidden\x1b[0m", "[8mhidden\x1b[0m"),
            ("\x1b[38;5;0mc\x1b[", "[38;5;0mc["),
            ("\x1b[1;31mred\x1b[m", "\x1b[1;31mred\x1b[m"),
            ("\x1b[30mblack\x1b[97mwhite\x1b[36mcyan", "[30mblack[97mwhite\x1b[36mcyan"),
            ("\x1b\x1b[1ma\u{9b}31m\rb\u{202e}", "\x1b[1ma31mb"),
        ] {
            assert_eq!(styled(text), shown, "{text:?}");
        }
    }

    #[test]
    fn nobody_elses_styles_reach_a_terminal() {
        let theirs = format!("{RED}error:{RED:#} knetsim has failed");
        assert_eq!(shown(&theirs, true, Styles::None), "[1m[31merror:[0m knetsim has failed");
        assert_eq!(plain(&theirs), shown(&theirs, true, Styles::None));
        // Whatever goes to a file or another program stays as it is.
        assert_eq!(shown(&theirs, false, Styles::None), theirs);
        assert_eq!(shown(&theirs, true, Styles::Ours), theirs);
    }

    #[test]
    fn a_cell_and_a_message_keep_their_place() {
        let text = table(&["A", "B"], vec![vec!["x\ny".into(), "\x1b[31mz".into()]]);
        assert_eq!(text.lines().nth(1), Some("x\\ny   \\u{1b}[31mz"), "{text}");
        assert_eq!(indented("a\nerror: b"), "a\n  error: b");
    }

    proptest! {
        #[test]
        fn nothing_but_styles_gets_through(text in "([ -~\x1b\n\u{9b}\u{202e}]|\x1b\\[[0-9;]{0,4}m){0,30}") {
            let shown = styled(&text);
            prop_assert_eq!(&styled(&shown), &shown);
            let mut rest = shown.as_str();
            while let Some(escape) = rest.find('\x1b') {
                prop_assert!(rest[..escape].chars().all(|c| is_plain(c) || c == '\n'));
                let style = style_length(&rest[escape..]);
                prop_assert!(style.is_some());
                rest = &rest[escape + style.unwrap_or(1)..];
            }
        }
    }
}
