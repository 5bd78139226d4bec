//! `knetsim learn [CHAPTER]`.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::process::CommandExt as _;

use anyhow::Context;
use clap::ValueEnum;
use knetsim_lab::{Grant, Limit};
use knetsim_model::untrusted;
use serde::Serialize;

use crate::chapters;
use crate::consent::{Agreed, Said};
use crate::learn::progress::{All, Key, Origin};
use crate::learn::store::Store;
use crate::learn::{self, Order, session};
use crate::{output, terminal};

const EXAMPLES: &str = "\
Examples:
  knetsim learn                              the chapters, their minutes and how far you are
  knetsim learn c1                           read, try, and see tasks turn green
  knetsim shell C0w1                         meanwhile, in another terminal
  knetsim learn my-chapter.wasm              a chapter of somebody else's: it says what it asks for
  knetsim learn --plain c1                   line by line, for screen readers and pipes";

/// Work through a chapter
///
/// The text is shown a section at a time; tasks turn green by themselves when they are done. Hints, solutions, shells
/// and the commands in the text are a key away: `?` lists them. The sandbox is a fresh one that ends with the
/// command, unless --name names one that runs; what is solved is kept. Without a chapter, all are listed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A chapter's name, or its file
    #[arg(add = crate::completion::chapters())]
    chapter: Option<String>,
    /// Text and answers line by line; so it is, too, where there is no terminal
    #[arg(long)]
    plain: bool,
    /// Grant all that a chapter asks for, without a question
    #[arg(short, long)]
    yes: bool,
    /// Grant this, whether it asks for it or not
    #[arg(long, value_name = "GRANT")]
    allow: Vec<Grant>,
    /// Do not grant this, though it asks for it
    #[arg(long, value_name = "GRANT")]
    deny: Vec<Grant>,
    /// Another limit than its own
    #[arg(long = "limit", value_name = "LIMIT=NUMBER", value_parser = super::run::limit)]
    limits: Vec<(Limit, u64)>,
    /// What was granted before a reset
    #[arg(long, hide = true, value_name = "DIGEST:GRANTS")]
    granted: Option<Agreed>,
    /// How to print the list of chapters
    #[arg(short, long, value_enum, default_value = "table", conflicts_with = "chapter")]
    output: Format,
}

/// How the list of chapters is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Columns for a person
    Table,
    /// One JSON value
    Json,
    /// One name a line
    Name,
}

pub(crate) fn run(name: Option<&str>, args: Args) -> anyhow::Result<u8> {
    let Some(chapter) = &args.chapter else { return list(args.output) };
    let plain = args.plain || !terminal::is_interactive() || std::env::var("TERM").is_ok_and(|kind| kind == "dumb");
    let said = Said { allow: &args.allow, deny: &args.deny, yes: args.yes };
    let limits = args.limits.iter().map(|(limit, value)| (limit.to_string(), *value)).collect();
    let order = Order { name, chapter, said, agreed: args.granted.as_ref(), limits: &limits, plain };
    match learn::open(&order)? {
        None => Ok(0),
        Some(agreed) => again(&agreed),
    }
}

/// Starts this program anew: a sandbox is launched while the process has one thread and has not used the runtime yet.
/// What was granted before is granted now, and no more.
fn again(agreed: &Agreed) -> anyhow::Result<u8> {
    let mut arguments = std::env::args_os();
    let mut command = std::process::Command::new("/proc/self/exe");
    command.arg0(arguments.next().unwrap_or_else(|| "knetsim".into())).args(anew(arguments.collect(), agreed));
    Err(command.exec()).context("starting anew")
}

/// The same arguments, with what was granted in place of what was granted at an earlier reset.
fn anew(mut arguments: Vec<OsString>, agreed: &Agreed) -> Vec<OsString> {
    let granted = |argument: &OsString| argument.as_encoded_bytes().starts_with(b"--granted=");
    let options = arguments.iter().position(|argument| argument == "--").unwrap_or(arguments.len());
    arguments.insert(options, format!("--granted={agreed}").into());
    let mut at = 0;
    arguments.retain(|argument| {
        at += 1;
        at > options || !granted(argument)
    });
    arguments
}

/// A chapter that comes with knetsim, or one of a file that its learner has begun: what only its outline says is left
/// out then.
#[derive(Serialize)]
struct Row {
    name: String,
    from: Origin,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    minutes: Option<u32>,
    solved: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks: Option<usize>,
}

fn list(format: Format) -> anyhow::Result<u8> {
    let all = Store::open().look().unwrap_or_else(|error| {
        output::warning(&format!("how far you are is not known: {error:#}"));
        All::default()
    });
    let mut rows = Vec::new();
    let outlines = chapters::outlines()?;
    if outlines.is_empty() {
        match all.others().next() {
            None => return Err(chapters::none().into()),
            Some(_) => output::warning(&chapters::none().message),
        }
    }
    for (name, outline) in outlines {
        let key = Key { origin: Origin::shipped(), name };
        let (solved, tasks) = session::count(&outline, &all.of(&key));
        let (title, minutes) = (Some(outline.title), Some(outline.minutes));
        rows.push(Row { name: key.name, from: key.origin, title, minutes, solved, tasks: Some(tasks) });
    }
    let ours = rows.len();
    let others = all.others().map(|(from, name, progress)| {
        let (name, from, solved) = (name.clone(), from.clone(), progress.solved());
        Row { name, from, title: None, minutes: None, solved, tasks: None }
    });
    rows.extend(others);
    match format {
        Format::Json => output::print_json(&rows)?,
        Format::Name => rows[..ours].iter().try_for_each(|row| output::print(&row.name))?,
        Format::Table => {
            output::print(&table(&rows[..ours]))?;
            if ours < rows.len() {
                output::print(&format!("\nOther chapters that you have begun:\n{}", others_table(&rows[ours..])))?;
            }
        }
    }
    if format == Format::Table && std::io::stdout().is_terminal() {
        output::say(format_args!("\nknetsim learn CHAPTER begins one, or goes on with it."));
    }
    Ok(0)
}

fn table(rows: &[Row]) -> String {
    let cells = |row: &Row| {
        let solved = format!("{} of {}", row.solved, row.tasks.unwrap_or_default());
        let (title, minutes) = (row.title.as_deref().unwrap_or_default(), row.minutes.unwrap_or_default());
        vec![row.name.clone(), untrusted::words(title), minutes.to_string(), solved]
    };
    output::table(&["CHAPTER", "TITLE", "MINUTES", "SOLVED"], rows.iter().map(cells).collect())
}

fn others_table(rows: &[Row]) -> String {
    let cells = |row: &Row| vec![row.name.clone(), row.solved.to_string(), row.from.to_string()];
    output::table(&["CHAPTER", "SOLVED", "FROM"], rows.iter().map(cells).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_passes_on_what_was_granted_and_no_more() {
        let agreed = |grants: &[Grant]| Agreed::new(b"lab", grants.iter().copied().collect());
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        let first = anew(words("learn --allow observe x.wasm"), &agreed(&[Grant::Observe]));
        let granted = format!("--granted={}", agreed(&[Grant::Observe]));
        assert_eq!(first, words(&format!("learn --allow observe x.wasm {granted}")));
        assert_eq!(anew(first.clone(), &agreed(&[Grant::Observe])), first, "the earlier one is replaced");
        let behind = anew(words("learn -- --granted=x"), &agreed(&[Grant::Observe]));
        assert_eq!(behind, words(&format!("learn {granted} -- --granted=x")));
    }
}
