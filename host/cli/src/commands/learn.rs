//! `knetsim learn [CHAPTER]`.

use std::io::IsTerminal;
use std::os::unix::process::CommandExt as _;

use anyhow::Context;
use clap::ValueEnum;
use knetsim_lab::Grant;
use knetsim_model::untrusted;
use serde::Serialize;

use crate::chapters;
use crate::consent::Said;
use crate::learn::progress::{All, Key, Origin, Store};
use crate::learn::{self, End, Order, session};
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
    match learn::open(&Order { name, chapter, said, plain })? {
        End::Quit => Ok(0),
        End::Reset => again(args.yes),
    }
}

/// Starts this program anew: a sandbox is launched while the process has one thread and has not used the runtime yet.
fn again(agreed: bool) -> anyhow::Result<u8> {
    let mut arguments = std::env::args_os();
    let mut command = std::process::Command::new("/proc/self/exe");
    command.arg0(arguments.next().unwrap_or_else(|| "knetsim".into())).args(arguments);
    if !agreed {
        // What was granted before is granted now.
        command.arg("--yes");
    }
    Err(command.exec()).context("starting anew")
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
    for (name, outline) in chapters::outlines()? {
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
        vec![untrusted::escaped(&row.name), untrusted::words(title), minutes.to_string(), solved]
    };
    output::table(&["CHAPTER", "TITLE", "MINUTES", "SOLVED"], rows.iter().map(cells).collect())
}

fn others_table(rows: &[Row]) -> String {
    let cells = |row: &Row| {
        let from = untrusted::escaped(&row.from.to_string());
        vec![untrusted::escaped(&row.name), row.solved.to_string(), from]
    };
    output::table(&["CHAPTER", "SOLVED", "FROM"], rows.iter().map(cells).collect())
}
