//! The loop of `knetsim learn` on a terminal: keys, what the supervisor says, and changes of size, one after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use knetsim_model::Target;
use knetsim_model::protocol::Request;
use knetsim_sandbox::StateFolder;
use termion::event::Key;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use super::document::{self, Document};
use super::keys::{Reader, Typed};
use super::lesson::{Lesson, News};
use super::screen::{Act, Screen};
use super::session::Scope;
use super::text::{Commands, Ends};
use super::theme::Theme;
use super::tty::Tty;
use super::{End, view};
use crate::commands::exec::add_terminal_kind;
use crate::stdin::Input;
use crate::{output, relay, sandboxes, terminal};

/// Runs each of its arguments as a command, with a prompt in front, as if they were typed; `$0` is where.
const TYPED: &str = r#"for line; do printf '%s# %s\n' "$0" "$line"; eval "$line"; done"#;

/// How long the rest of a key may take after its first byte: the key Esc is the first byte of others.
const WHOLE_KEY: Duration = Duration::from_millis(200);

/// A lesson on a terminal.
pub(crate) struct App<'a> {
    lesson: Lesson,
    folder: &'a StateFolder,
    theme: Theme,
    screen: Screen,
    resized: Signal,
    /// None while somebody else has the terminal.
    console: Option<Console>,
}

/// The terminal's two directions.
struct Console {
    tty: Tty,
    input: Input,
    keys: Reader,
}

impl Console {
    fn take() -> anyhow::Result<Console> {
        let input = Input::watch().context("watching the terminal")?;
        Ok(Console { tty: Tty::take()?, input, keys: Reader::default() })
    }
}

impl<'a> App<'a> {
    /// Takes the terminal. Within a tokio runtime.
    pub(crate) fn new(lesson: Lesson, folder: &'a StateFolder) -> anyhow::Result<App<'a>> {
        let resized = signal(SignalKind::window_change())?;
        let console = Some(Console::take()?);
        Ok(App { lesson, folder, theme: Theme::of_environment(), screen: Screen::default(), resized, console })
    }

    /// Goes on until the learner ends it; says `notice` at the beginning.
    pub(crate) async fn run(mut self, notice: Option<String>) -> anyhow::Result<End> {
        self.screen.notice = notice;
        loop {
            if let Some(words) = self.lesson.take_unsaid() {
                self.screen.notice = Some(words);
            }
            self.draw()?;
            let Some(console) = &mut self.console else { return Ok(End::Quit) };
            tokio::select! {
                typed = console.input.read() => {
                    let typed = typed?;
                    if typed.is_empty() {
                        return Ok(End::Quit);
                    }
                    let typed = console.keys.read(&typed);
                    if let Some(end) = self.typed(typed).await? {
                        return Ok(end);
                    }
                }
                () = sleep(WHOLE_KEY), if console.keys.is_within_key() => {
                    let typed = console.keys.end_key();
                    if let Some(end) = self.typed(typed).await? {
                        return Ok(end);
                    }
                }
                _ = self.resized.recv() => {}
                received = self.lesson.receive() => {
                    let (answer, _) = received?;
                    if let Some(news) = self.lesson.take(answer).await? {
                        self.tell(news);
                    }
                }
            }
        }
    }

    fn document(&self) -> Document {
        document::section(&self.lesson.session, self.theme, Tty::size().1)
    }

    fn draw(&mut self) -> anyhow::Result<()> {
        let document = self.document();
        let size = Tty::size();
        let lines = view::draw(&self.lesson.session, &mut self.screen, &document, self.theme, size);
        if let Some(console) = &mut self.console {
            console.tty.draw(&lines, size).context("drawing the screen")?;
        }
        Ok(())
    }

    async fn typed(&mut self, typed: Vec<Typed>) -> anyhow::Result<Option<End>> {
        for typed in typed {
            match typed {
                Typed::Pasted(text) => {
                    let document = self.document();
                    self.screen.paste(&text, &mut self.lesson.session, &document);
                }
                Typed::Key(key) => {
                    if let Some(end) = self.key(key).await? {
                        return Ok(Some(end));
                    }
                }
            }
        }
        Ok(None)
    }

    async fn key(&mut self, key: Key) -> anyhow::Result<Option<End>> {
        let document = self.document();
        let act = self.screen.key(key, &mut self.lesson.session, &document);
        self.lesson.save();
        match act {
            None => {}
            Some(Act::Quit) => return Ok(Some(End::Quit)),
            Some(Act::Reset { anew }) => match self.lesson.reset(anew) {
                Ok(()) => return Ok(Some(End::Reset)),
                Err(error) => self.screen.notice = Some(format!("{error:#}")),
            },
            Some(Act::Check(scope)) => {
                self.lesson.check(scope).await?;
                if !self.lesson.is_busy() {
                    self.screen.busy = None;
                }
            }
            Some(Act::Answer { task, answer }) => self.lesson.answer(task, answer).await?,
            Some(Act::Solve(task)) => self.lesson.solve(task).await?,
            Some(Act::Targets) => self.lesson.targets().await?,
            Some(Act::Shell(name)) => {
                self.console = None;
                output::say(format_args!("A shell on {name}. Ctrl-D leads back to the chapter."));
                self.lend(&name, vec![], None).await?;
            }
            Some(Act::Run(commands)) => {
                self.console = None;
                let target = commands.target.to_string();
                self.lend(&target, typed(&commands), Some(commands.ends)).await?;
            }
        }
        Ok(None)
    }

    /// Lets a command have the terminal, or a shell where there is none, and takes it back after its end.
    async fn lend(&mut self, on: &str, command: Vec<String>, ends: Option<Ends>) -> anyhow::Result<()> {
        let (ran, news) = self.lesson.beside(run(self.folder, on, command)).await?;
        news.into_iter().for_each(|news| self.tell(news));
        match (ran, ends) {
            (Ok(status), Some(ends)) => {
                output::say(format_args!("\n{} Any key leads back to the chapter.", ended(status, ends)));
                any_key().await?;
            }
            (Ok(_), None) => {}
            (Err(error), _) => self.screen.notice = Some(format!("{error:#}")),
        }
        self.console = Some(Console::take()?);
        Ok(self.lesson.check(Scope::Section).await?)
    }

    fn tell(&mut self, news: News) {
        let screen = &mut self.screen;
        match news {
            News::Solved(title) => {
                screen.busy = None;
                screen.show_chosen();
                // The last one of a section leaves the place to what is said then.
                let more = !self.lesson.session.section_done();
                screen.notice = more.then(|| format!("✓ Solved: {title}"));
            }
            News::Wrong(_) | News::Shown(_) => {
                screen.busy = None;
                screen.show_chosen();
            }
            News::Checked => screen.busy = None,
            News::Targets(names) => screen.ask_target(names),
            News::Failed(why) => {
                screen.busy = None;
                screen.notice = Some(why);
            }
        }
    }
}

/// Commands of the text, as the arguments of a program that runs them one after the other.
pub(super) fn typed(commands: &Commands) -> Vec<String> {
    let program = ["bash", "--norc", "-c", TYPED].map(str::to_owned);
    program.into_iter().chain([commands.target.to_string()]).chain(commands.lines.iter().cloned()).collect()
}

/// Whether commands ended as the text says.
pub(super) fn ended(status: u8, ends: Ends) -> String {
    match (status, ends) {
        (0, Ends::Well | Ends::Stops) => "Done.".to_owned(),
        (130, Ends::Stops) => "Stopped.".to_owned(),
        (0, Ends::Fails) => "It succeeded, though the text says that it fails.".to_owned(),
        (status, Ends::Fails) => format!("It failed, as the text says (status {status})."),
        (status, Ends::Well | Ends::Stops) => format!("It failed (status {status})."),
    }
}

/// Runs a command, or a shell where there is none, with this program's terminal, or with its output where it has no
/// terminal; over a connection of its own.
pub(super) async fn run(folder: &StateFolder, on: &str, command: Vec<String>) -> anyhow::Result<u8> {
    let target: Target = on.parse()?;
    let mut env = BTreeMap::new();
    let mut client = sandboxes::connect(folder).await?;
    let tty = terminal::is_interactive().then(terminal::size);
    if tty.is_some() {
        add_terminal_kind(&mut env);
    }
    let request = Request::Exec { target, command, env, tty, background: false };
    match tty {
        Some(_) => relay::run_in_terminal(&mut client, request, true).await,
        None => relay::run(&mut client, request, &[], false, |_, _| {}).await,
    }
}

async fn any_key() -> anyhow::Result<()> {
    let _raw = terminal::Raw::enter()?;
    Input::watch()?.read().await?;
    Ok(())
}
