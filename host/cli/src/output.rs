//! What goes to standard output, and how errors and logs go to standard error.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use anyhow::Context;
use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table};
use knetsim_lab::is_plain;
use knetsim_model::{advice, chain};
use serde::Serialize;

use crate::fresh::Interrupted;

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
    let mut out = anstream::stdout().lock();
    let line_end: &[u8] = if text.is_empty() || text.ends_with('\n') { b"" } else { b"\n" };
    let written = out.write_all(text.as_bytes()).and_then(|()| out.write_all(line_end)).and_then(|()| out.flush());
    written.context("writing to standard output")
}

/// One JSON value, indented.
pub(crate) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&serde_json::to_string_pretty(value)?)
}

/// Columns without lines, as `kubectl get` prints them.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.to_vec()).add_rows(rows);
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
        say(format_args!("{RED}error:{RED:#} {words}{advice}"));
    }
}

/// Something a person should know. What daemons, labs and files said may be part of it: nothing of that speaks to the
/// terminal.
pub(crate) fn warning(message: &str) {
    let message: String = message.chars().filter(|&c| is_plain(c) || c == '\n').collect();
    say(format_args!("{YELLOW}warning:{YELLOW:#} {message}"));
}

/// One line to standard error, coloured only on a terminal.
pub(crate) fn say(line: std::fmt::Arguments<'_>) {
    // With standard error gone there is nobody to tell.
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Sends the log to standard error: warnings, more with `--verbose`, or what `KNETSIM_LOG` says.
pub(crate) fn log_to_stderr(verbose: u8) {
    let level = ["warn", "info", "debug", "trace"][usize::from(verbose.min(3))];
    let filter = tracing_subscriber::EnvFilter::try_from_env("KNETSIM_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(anstream::stderr).with_target(false).init();
}
