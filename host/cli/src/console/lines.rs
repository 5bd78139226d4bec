//! Where lines come from: a person at a terminal, standard input, a file. Whoever waits for a person or for standard
//! input is a thread of its own, so that the console hears meanwhile that its sandbox has ended.

use std::io::BufRead;
use std::path::PathBuf;
use std::sync::mpsc;

use anyhow::Context as _;
use clap::CommandFactory;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper};
use tokio::sync::mpsc as replies;

use super::{COMMANDS, slides};
use crate::args::Cli;
use crate::{completion, home, output};

/// What is typed at.
const PROMPT: &str = "knetsim> ";
/// How many lines are remembered.
const REMEMBERED: usize = 1000;

/// A line, and which it is of its file. A form of the slides may take several lines.
pub(super) type Numbered = (usize, String);

/// Lines of a thread, each read when it is asked for.
pub(super) struct Lines {
    ask: mpsc::Sender<()>,
    read: replies::UnboundedReceiver<anyhow::Result<Option<Numbered>>>,
}

impl Lines {
    fn of<I>(open: impl FnOnce() -> anyhow::Result<I> + Send + 'static) -> Lines
    where
        I: Iterator<Item = anyhow::Result<Numbered>>,
    {
        let ((ask, asked), (give, read)) = (mpsc::channel(), replies::unbounded_channel());
        // It ends with this program: waiting for a person can't be called off.
        std::thread::spawn(move || {
            let mut lines = match open() {
                Ok(lines) => lines,
                Err(error) => return drop(give.send(Err(error))),
            };
            while asked.recv().is_ok() && give.send(lines.next().transpose()).is_ok() {}
        });
        Lines { ask, read }
    }

    /// What a person types, with its history and completion.
    pub(super) fn typed(sandbox: String) -> Lines {
        completion::of_sandbox(sandbox);
        Lines::of(|| {
            let mut editor = editor()?;
            let mut history = History::open(&mut editor);
            Ok(std::iter::from_fn(move || read_line(&mut editor, &mut history).transpose()))
        })
    }

    /// Those of standard input.
    pub(super) fn of_standard_input() -> Lines {
        Lines::of(|| Ok(statements(std::io::stdin().lock())))
    }

    /// The next one; none at the end.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Numbered>> {
        // A thread that has ended has said why.
        let _ = self.ask.send(());
        self.read.recv().await.unwrap_or(Ok(None))
    }
}

/// The lines of a file, forms of the slides whole.
pub(super) fn statements(file: impl BufRead) -> impl Iterator<Item = anyhow::Result<Numbered>> {
    let mut lines = file.lines().zip(1..);
    std::iter::from_fn(move || {
        let (first, number) = lines.next()?;
        let whole = first.and_then(|mut text| {
            while slides::goes_on(&text) {
                let Some((more, _)) = lines.next() else { break };
                text = text + "\n" + &more?;
            }
            Ok((number, text))
        });
        Some(whole.map_err(anyhow::Error::from))
    })
}

fn editor() -> anyhow::Result<Editor<Names, FileHistory>> {
    let config = Config::builder().completion_type(CompletionType::List).auto_add_history(true);
    let config = config.max_history_size(REMEMBERED)?.history_ignore_space(true).build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(Names));
    Ok(editor)
}

/// The file that remembers what was typed.
#[derive(Debug)]
struct History {
    /// None where nothing is remembered.
    file: Option<PathBuf>,
}

impl History {
    /// Reads what was typed before. Whether the file can be written is tried now: a person hears of it once.
    fn open(editor: &mut Editor<Names, FileHistory>) -> History {
        match History::read(editor) {
            Ok(file) => History { file: Some(file) },
            Err(error) => {
                output::warning(&format!("what you type is not remembered: {error:#}"));
                History { file: None }
            }
        }
    }

    fn read(editor: &mut Editor<Names, FileHistory>) -> anyhow::Result<PathBuf> {
        let folder = home::data()?;
        let file = folder.join("history");
        let opening = || format!("opening {}", file.display());
        let _lock = home::lock(&folder).with_context(opening)?;
        if file.try_exists().with_context(opening)? {
            home::open(&file).with_context(opening)?;
            if let Err(error) = editor.load_history(&file) {
                editor.clear_history()?;
                let aside = home::put_aside(&file).with_context(opening)?;
                let (file, aside) = (file.display(), aside.display());
                output::warning(&format!("{file} could not be read: {error}. It is kept as {aside}"));
            }
        }
        editor.append_history(&file).with_context(opening)?;
        Ok(file)
    }

    fn remember(&mut self, editor: &mut Editor<Names, FileHistory>) {
        let Some(file) = &self.file else { return };
        if let Err(error) = editor.append_history(file) {
            output::warning(&format!("what you type is not remembered any more: writing {}: {error}", file.display()));
            self.file = None;
        }
    }
}

fn read_line(editor: &mut Editor<Names, FileHistory>, history: &mut History) -> anyhow::Result<Option<Numbered>> {
    loop {
        match editor.readline(PROMPT) {
            Ok(line) => {
                history.remember(editor);
                return Ok(Some((1, line)));
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Completes names and commands.
struct Names;

impl Completer for Names {
    type Candidate = String;

    fn complete(&self, line: &str, end: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let line = &line[..end];
        let start = line.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        let words: Vec<&str> = line[..start].split_whitespace().collect();
        let mut found = match words.first() {
            None => [commands(), completion::target_names(false)].concat(),
            Some(verb) if verbs().iter().any(|it| it == verb) => arguments(&words, &line[start..]),
            Some(_) => completion::target_names(true),
        };
        found.retain(|name| name.starts_with(&line[start..]));
        found.sort();
        found.dedup();
        Ok((start, found))
    }
}

impl Validator for Names {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if slides::goes_on(context.input()) { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

impl Hinter for Names {
    type Hint = String;
}
impl Highlighter for Names {}
impl Helper for Names {}

/// knetsim's own verbs.
pub(super) fn verbs() -> Vec<String> {
    let command = Cli::command();
    let names =
        |verb: &clap::Command| verb.get_name_and_visible_aliases().into_iter().map(str::to_owned).collect::<Vec<_>>();
    command.get_subcommands().flat_map(names).collect()
}

fn commands() -> Vec<String> {
    let own = COMMANDS.iter().map(|(form, _)| form.split(' ').next().unwrap_or_default().to_owned());
    own.chain(verbs()).collect()
}

/// What the command line itself would complete.
fn arguments(words: &[&str], begun: &str) -> Vec<String> {
    let line = std::iter::once("knetsim").chain(words.iter().copied()).chain([begun]);
    let line: Vec<_> = line.map(Into::into).collect();
    let last = line.len() - 1;
    let found = clap_complete::engine::complete(&mut Cli::command(), line, last, None);
    let text = |candidate: &clap_complete::CompletionCandidate| candidate.get_value().to_string_lossy().into_owned();
    found.unwrap_or_default().iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use knetsim_model::names::RESERVED;

    use super::*;

    #[test]
    fn a_form_of_the_slides_is_read_whole() {
        let file = "C0w1 ls\nC0.get(\"w1\").run_ingress(\"grp1\",\n  8001, [])\n\nexit";
        let read: Vec<_> = statements(file.as_bytes()).map(Result::unwrap).collect();
        let line = |number, text: &str| (number, text.to_owned());
        let form = "C0.get(\"w1\").run_ingress(\"grp1\",\n  8001, [])";
        assert_eq!(read, [line(1, "C0w1 ls"), line(2, form), line(4, ""), line(5, "exit")]);
    }

    #[test]
    fn no_node_is_named_as_a_command() {
        let free: Vec<_> = commands().into_iter().filter(|word| !RESERVED.contains(&word.as_str())).collect();
        assert_eq!(free, [""; 0], "add them to knetsim_model::names::RESERVED");
    }

    #[test]
    fn verbs_and_their_options_are_completed() {
        assert!(commands().contains(&"pingall".to_owned()));
        assert!(arguments(&["create"], "con").contains(&"container".to_owned()));
        assert!(arguments(&["inspect"], "--ow").contains(&"--owner".to_owned()));
    }
}
