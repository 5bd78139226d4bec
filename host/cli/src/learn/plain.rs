//! The loop of `knetsim learn --plain`: text and answers line by line, for terminals that can't do more, for screen
//! readers, and for pipes.

use std::io::Write as _;

use knetsim_sandbox::StateFolder;

use super::document;
use super::layout::Layout;
use super::lesson::{Lesson, News};
use super::lines::Lines;
use super::screen::{Act, waits};
use super::session::{Scope, Session, Solution, Standing};
use super::theme::{Line, Theme, escaped};
use super::{End, answer, app, text};
use crate::{output, terminal};

const HELP: &str = "\
next, back          the next section, the section before
read                the section again
task N              choose a task of this section
hint                a hint for the chosen task, then another one
solution            how the chosen task is solved: it is done for you
answer WORDS        answer the chosen question
skip                skip the chosen task, or take it up again
run N               run the commands with that number
shell TARGET        a shell on a node or in a container
list                all tasks, and how they stand
check               check all tasks, and say what is missing
reset, reset all    a new sandbox; all: forget what is solved, too
quit                the sandbox ends, what is solved is kept
n, b, h, s, a, r, l, c and q stand for next, back, hint, solution, answer, run, list, check and quit.";

/// A lesson, line by line.
pub(crate) struct Plain<'a> {
    lesson: Lesson,
    folder: &'a StateFolder,
    theme: Theme,
    lines: Lines,
    /// What is done once the learner says yes.
    confirming: Option<Act>,
}

impl<'a> Plain<'a> {
    /// Begins to read lines. Within a tokio runtime.
    pub(crate) fn new(lesson: Lesson, folder: &'a StateFolder) -> anyhow::Result<Plain<'a>> {
        Ok(Plain { lesson, folder, theme: Theme::of_environment(), lines: Lines::watch()?, confirming: None })
    }

    /// Goes on until the learner ends it; says `notice` at the beginning.
    pub(crate) async fn run(mut self, notice: Option<String>) -> anyhow::Result<End> {
        let session = &self.lesson.session;
        let (solved, all) = session.count();
        let (title, minutes) = (&session.outline.title, session.outline.minutes);
        self.print(&format!(
            "{title}: {minutes} minutes, {solved} of {all} tasks solved. help says what can be typed."
        ))?;
        self.print(&notice.unwrap_or_default())?;
        self.read()?;
        self.prompt()?;
        loop {
            tokio::select! {
                line = self.lines.next() => {
                    let Some(line) = line? else {
                        self.print("\n")?;
                        return Ok(End::Quit);
                    };
                    if let Some(act) = self.line(&line)?
                        && let Some(end) = self.act(act).await?
                    {
                        return Ok(end);
                    }
                    self.lesson.save();
                    self.say_what_is_new()?;
                    self.prompt()?;
                }
                received = self.lesson.receive() => {
                    let (answer, _) = received?;
                    if let Some(news @ (News::Solved(_) | News::Failed(_))) = self.lesson.take(answer).await? {
                        self.tell(news)?;
                        self.say_what_is_new()?;
                        self.prompt()?;
                    }
                }
            }
        }
    }

    fn say_what_is_new(&mut self) -> anyhow::Result<()> {
        let words = self.lesson.take_unsaid().unwrap_or_default();
        self.print(&words)
    }

    fn prompt(&self) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        write!(out, "{}> ", knetsim_model::untrusted::escaped(&self.lesson.session.name))?;
        out.flush()
    }

    /// Prints the section.
    fn read(&self) -> anyhow::Result<()> {
        let session = &self.lesson.session;
        let (_, columns) = terminal::size();
        let document = document::section(session, self.theme, usize::from(columns));
        let sections = session.outline.sections.len();
        self.print(&format!("\nSection {} of {sections}\n", session.progress.section + 1))?;
        self.print_lines(&document.lines)
    }

    fn print_lines(&self, lines: &[Line]) -> anyhow::Result<()> {
        let lines: Vec<_> = lines.iter().map(|line| escaped(line).trim_end().to_owned()).collect();
        output::print_styled(&self.theme.words(&lines.join("\n")))
    }

    fn print(&self, text: &str) -> anyhow::Result<()> {
        output::print(&self.theme.words(text))
    }

    /// What a line asks for.
    fn line(&mut self, line: &str) -> anyhow::Result<Option<Act>> {
        if let Some(act) = self.confirming.take() {
            return Ok(matches!(line, "y" | "yes").then_some(act));
        }
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let (word, rest) = (word.to_lowercase(), rest.trim());
        match word.as_str() {
            "n" | "next" => return self.turn(Session::next, "This is the last section."),
            "b" | "back" => return self.turn(Session::back, "This is the first section."),
            "" => {}
            "read" => self.read()?,
            "task" => self.choose(rest)?,
            "h" | "hint" => self.hint()?,
            "s" | "solution" => self.ask_solution()?,
            "a" | "answer" => {
                // A terminal gives a paste line by line. All of it is the answer, as it is on a screen.
                let pasted = self.lines.ahead()?;
                return self.answer(&[&[rest.to_owned()], pasted.as_slice()].concat().join(" "));
            }
            "skip" => self.skip()?,
            "r" | "run" => return self.find_commands(rest),
            "shell" if terminal::is_interactive() => return Ok(Some(Act::Shell(rest.to_owned()))),
            "shell" => self.print("This is no terminal: open a shell in another one, by knetsim shell.")?,
            "l" | "list" => self.list()?,
            "c" | "check" => return Ok(Some(Act::Check(Scope::Chapter))),
            "reset" => self.confirm("A new sandbox", Act::Reset { anew: rest == "all" })?,
            "q" | "quit" => return Ok(Some(Act::Quit)),
            "?" | "help" => self.print(HELP)?,
            _ => self.print(&format!("There is no `{word}`; help says what there is."))?,
        }
        Ok(None)
    }

    fn turn(&mut self, turn: fn(&mut Session) -> bool, end: &str) -> anyhow::Result<Option<Act>> {
        if turn(&mut self.lesson.session) {
            self.read()?;
            return Ok(Some(Act::Check(Scope::Section)));
        }
        self.print(end)?;
        Ok(None)
    }

    /// Chooses a task of this section by its number, from 1.
    fn choose(&mut self, number: &str) -> anyhow::Result<()> {
        let session = &mut self.lesson.session;
        let at = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        let name = at.and_then(|at| session.tasks().get(at)).map(|task| task.name.clone());
        match name {
            Some(name) => {
                session.go_to(&name);
                self.read()
            }
            None => {
                let count = session.tasks().len();
                self.print(&format!("This section has {}.", output::count(count, "task")))
            }
        }
    }

    fn hint(&mut self) -> anyhow::Result<()> {
        let more = self.lesson.session.hint();
        let session = &self.lesson.session;
        match session.task().and_then(|task| session.hints(task).last()) {
            Some(hint) if more => {
                let mut layout = Layout::new(self.theme, usize::from(terminal::size().1));
                layout.blocks(&text::parse(hint), 0);
                self.print_lines(&layout.lines)
            }
            _ => self.print("There is no other hint; solution shows how it is done."),
        }
    }

    fn skip(&mut self) -> anyhow::Result<()> {
        let session = &mut self.lesson.session;
        let Some(task) = session.task().cloned() else { return self.print("There is no task here.") };
        session.skip();
        let said = if session.standing(&task) == Standing::Skipped { "Skipped" } else { "Not skipped" };
        self.print(&format!("{said}: {}", text::plain(&task.title)))
    }

    fn ask_solution(&mut self) -> anyhow::Result<()> {
        let session = &self.lesson.session;
        let Some(task) = session.task() else { return self.print("There is no task here.") };
        if let Some(before) = waits(session, task) {
            return self.print(&before);
        }
        let (question, act) = (format!("The solution of: {}", text::plain(&task.title)), Act::Solve(task.name.clone()));
        self.confirm(&question, act)
    }

    fn confirm(&mut self, question: &str, act: Act) -> anyhow::Result<()> {
        // What a person typed before they saw the question does not answer it.
        self.lines.ahead()?;
        self.confirming = Some(act);
        self.print(&format!("{question}? Type yes, or anything else for no."))
    }

    fn answer(&mut self, typed: &str) -> anyhow::Result<Option<Act>> {
        let session = &self.lesson.session;
        let question = session.task().and_then(|task| Some((task, task.question.as_ref()?)));
        let Some((task, kind)) = question else {
            self.print("The chosen task is no question: it is solved by doing it.")?;
            return Ok(None);
        };
        match waits(session, task).map_or_else(|| answer::read(kind, typed), Err) {
            Ok(answer) => Ok(Some(Act::Answer { task: task.name.clone(), answer })),
            Err(what) => {
                self.print(&what)?;
                Ok(None)
            }
        }
    }

    fn find_commands(&mut self, number: &str) -> anyhow::Result<Option<Act>> {
        let document = document::section(&self.lesson.session, self.theme, usize::from(terminal::size().1));
        let at = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        match at.and_then(|at| document.commands.into_iter().nth(at)) {
            Some((_, commands)) => Ok(Some(Act::Run(commands))),
            None => {
                self.print("There are no commands with that number here.")?;
                Ok(None)
            }
        }
    }

    fn list(&self) -> anyhow::Result<()> {
        let session = &self.lesson.session;
        let mut printed = String::new();
        for (number, section) in (1..).zip(&session.outline.sections) {
            for task in &section.tasks {
                let (how, said) = match session.standing(task) {
                    Standing::Solved => ("solved", String::new()),
                    Standing::Skipped => ("skipped", String::new()),
                    Standing::Waits(titles) => ("waits", format!(" (after: {})", titles.join(", "))),
                    Standing::Open => ("open", String::new()),
                };
                printed += &format!("{how:<8} section {number}: {}{said}\n", text::plain(&task.title));
            }
        }
        self.print(&printed)
    }

    async fn act(&mut self, act: Act) -> anyhow::Result<Option<End>> {
        match act {
            Act::Quit => return Ok(Some(End::Quit)),
            Act::Reset { anew } => match self.lesson.reset(anew) {
                Ok(()) => return Ok(Some(End::Reset)),
                Err(error) => self.print(&format!("{error:#}"))?,
            },
            Act::Check(scope) => {
                self.lesson.check(scope).await?;
                if scope == Scope::Chapter {
                    self.wait().await?;
                    self.say_missing()?;
                }
            }
            Act::Answer { task, answer } => {
                self.lesson.answer(task, answer).await?;
                self.wait().await?;
            }
            Act::Solve(task) => {
                self.lesson.solve(task).await?;
                self.wait().await?;
            }
            Act::Shell(name) => {
                self.print("A shell. Ctrl-D leads back to the chapter.")?;
                self.lend(&name, vec![]).await?;
            }
            Act::Run(commands) => {
                let target = commands.target.to_string();
                if let Some(status) = self.lend(&target, app::typed(&commands)).await? {
                    self.print(&app::ended(status, commands.ends))?;
                }
            }
            // Names are typed here.
            Act::Targets => {}
        }
        Ok(None)
    }

    /// Waits until all is answered that was asked for, and tells of it.
    async fn wait(&mut self) -> anyhow::Result<()> {
        while self.lesson.is_busy() {
            let (answer, _) = self.lesson.receive().await?;
            if let Some(news) = self.lesson.take(answer).await? {
                self.tell(news)?;
            }
        }
        Ok(())
    }

    fn tell(&self, news: News) -> anyhow::Result<()> {
        let session = &self.lesson.session;
        match news {
            News::Solved(title) => {
                let (solved, all) = session.count();
                self.print(&format!("Solved: {} ({solved} of {all})", text::plain(&title)))
            }
            News::Wrong(task) => self.print(&session.missing(&task).join("\n")),
            News::Shown(task) => match session.solution(&task) {
                Some(Solution::Answer(answers)) => {
                    self.print(&format!("The answer: {}", answers.join("\n            ")))
                }
                // The terminal itself divides a line that is too long, so that it is copied as one.
                Some(Solution::Way(script)) => {
                    self.print(&format!("It was done for you. These commands do it, too:\n\n{script}\n"))
                }
                None => self.print("It was done for you."),
            },
            News::Failed(why) => self.print(&why),
            News::Checked | News::Targets(_) => Ok(()),
        }
    }

    /// Says what the last checks found missing.
    fn say_missing(&self) -> anyhow::Result<()> {
        let session = &self.lesson.session;
        let mut printed = String::new();
        for name in session.due(Scope::Chapter) {
            let title = session.outline.task(&name).map(|task| text::plain(&task.title)).unwrap_or_default();
            for line in session.missing(&name) {
                printed += &format!("{title}: {}\n", text::plain(line));
            }
        }
        self.print(&printed)
    }

    /// Runs something in the sandbox with this program's own streams. None where it could not be run.
    async fn lend(&mut self, on: &str, command: Vec<String>) -> anyhow::Result<Option<u8>> {
        let (ran, news) = self.lesson.beside(app::run(self.folder, on, command)).await?;
        for solved in news.into_iter().filter(|news| matches!(news, News::Solved(_))) {
            self.tell(solved)?;
        }
        self.lesson.check(Scope::Section).await?;
        match ran {
            Ok(status) => Ok(Some(status)),
            Err(error) => {
                self.print(&format!("{error:#}"))?;
                Ok(None)
            }
        }
    }
}
