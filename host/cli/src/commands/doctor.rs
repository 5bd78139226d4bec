//! `knetsim doctor [-o json]`: what is there, what is missing, what to do.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use serde::Serialize;

use crate::doctor::{self, Check, State};
use crate::output;

/// Say what this machine has of what knetsim needs
///
/// Everything is tried in throw-away namespaces. The exit status is 1 where something needed is missing.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  knetsim doctor\n  knetsim doctor -o json | jq '.checks[] | select(.state == \"missing\")'"
)]
pub(crate) struct Args {
    /// How to print it
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For a person
    Table,
    /// {"ok": bool, "checks": [...]}
    Json,
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    checks: Vec<Check>,
}

pub(crate) fn run(args: Args) -> anyhow::Result<u8> {
    let checks = doctor::look();
    let ok = checks.iter().all(|check| check.state != State::Missing);
    match args.output {
        Format::Json => output::print_json(&Report { ok, checks })?,
        Format::Table => output::print_styled(&text(&checks, ok))?,
    }
    Ok(u8::from(!ok))
}

fn text(checks: &[Check], ok: bool) -> String {
    let mut text = String::new();
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut kind = "";
    for check in checks {
        if check.kind != kind {
            let gap = if kind.is_empty() { "" } else { "\n" };
            let _ = writeln!(text, "{gap}{}", check.kind.to_uppercase());
            kind = check.kind;
        }
        let (word, style) = word(check.state);
        let _ = writeln!(text, "  {style}{word:<7}{style:#}  {:<width$}  {}", check.name, check.purpose);
        if let (Some(remedy), seen) = (&check.remedy, output::plain(check.seen.as_deref().unwrap_or_default())) {
            let remedy = output::plain(remedy);
            let _ = writeln!(text, "           {seen}\n           -> {remedy}");
        }
    }
    let verdict = if ok { "All that is needed is there." } else { "Something that is needed is missing." };
    let _ = writeln!(text, "\n{verdict}");
    text
}

fn word(state: State) -> (&'static str, Style) {
    match state {
        State::There => ("ok", AnsiColor::Green.on_default()),
        State::Weaker => ("weaker", AnsiColor::Yellow.on_default()),
        State::Absent => ("absent", AnsiColor::Yellow.on_default()),
        State::Missing => ("missing", AnsiColor::Red.on_default().bold()),
    }
}
