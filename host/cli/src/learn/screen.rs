//! What is on the learner's screen besides the chapter, and what each key does to it. No input or output.

use knetsim_model::chapter::Task;
use termion::event::Key;

use super::answer;
use super::document::Document;
use super::menu::{Menu, Picked};
use super::session::{Scope, Session, Standing};
use super::text::Commands;

/// What the learner asked for that takes the sandbox, the terminal or the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Check tasks.
    Check(Scope),
    /// Check an answer to a question.
    Answer { task: String, answer: String },
    /// Do a task, or tell a question's answer.
    Solve(String),
    /// Say where a shell can be opened.
    Targets,
    /// Open a shell there.
    Shell(String),
    /// Run commands of the text.
    Run(Commands),
    /// Make a new sandbox; `anew` forgets what was solved, too.
    Reset { anew: bool },
    /// End.
    Quit,
}

/// What the keys are for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Reading the section.
    #[default]
    Reading,
    /// All keys are listed.
    Help,
    /// One of several is picked.
    Menu(Menu),
    /// An answer is typed.
    Answering(String),
    /// A key decides what is done.
    Confirming(Question),
}

/// What has to be confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// The solution of the chosen task.
    Solution,
    /// A new sandbox.
    Reset,
}

/// The state of the screen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Screen {
    pub(crate) mode: Mode,
    /// The first line of the section that is seen.
    pub(crate) top: usize,
    /// Said until the next key.
    pub(crate) notice: Option<String>,
    /// What is being done.
    pub(crate) busy: Option<String>,
    /// Whether the chosen task has to be seen when it is drawn next.
    reveal: bool,
    /// Lines of the section that fit, as it was drawn last.
    pub(crate) height: usize,
}

impl Screen {
    /// What a key does; the rest is done by who gets the act.
    pub(crate) fn key(&mut self, key: Key, session: &mut Session, document: &Document) -> Option<Act> {
        self.notice = None;
        match std::mem::take(&mut self.mode) {
            Mode::Reading => self.read(key, session, document),
            Mode::Help => None,
            Mode::Menu(menu) => self.pick(menu, key, session, document),
            Mode::Answering(typed) => self.answer(typed, key, session),
            Mode::Confirming(question) => self.confirm(question, key, session),
        }
    }

    /// Takes a pasted text as words of an answer or of a search. A line break in it is a blank and no key.
    pub(crate) fn paste(&mut self, text: &str, session: &mut Session, document: &Document) {
        if !matches!(self.mode, Mode::Answering(_) | Mode::Menu(_)) {
            self.notice = Some("Pasted text is not taken for keys. Press a first to answer a question.".to_owned());
            return;
        }
        let words = text.replace("\r\n", " ").replace(char::is_control, " ");
        for character in words.trim().chars() {
            // Only Enter and Esc ask for something in these modes.
            let _ = self.key(Key::Char(character), session, document);
        }
    }

    fn read(&mut self, key: Key, session: &mut Session, document: &Document) -> Option<Act> {
        let page = self.height.saturating_sub(2).max(1);
        match key {
            Key::Char('n') | Key::Right => return self.turn(session, Session::next, "This is the last section."),
            Key::Char('p') | Key::Left => return self.turn(session, Session::back, "This is the first section."),
            Key::Char('j') | Key::Down => self.scroll(document, self.top.saturating_add(1)),
            Key::Char('k') | Key::Up => self.top = self.top.saturating_sub(1),
            Key::Char(' ' | '\n') | Key::PageDown => self.scroll(document, self.top + page),
            Key::Char('b') | Key::PageUp => self.top = self.top.saturating_sub(page),
            Key::Char('g') | Key::Home => self.top = 0,
            Key::Char('G') | Key::End => self.scroll(document, usize::MAX),
            Key::Char('\t') => {
                session.choose_next();
                self.reveal = true;
            }
            Key::Char('h') => self.hint(session),
            Key::Char('s') => self.ask_solution(session),
            Key::Char('a') => self.ask_answer(session),
            Key::Char('S') => session.skip(),
            Key::Char('c') => {
                self.busy = Some("Checking all tasks ...".to_owned());
                return Some(Act::Check(Scope::Chapter));
            }
            Key::Char('t') => return Some(Act::Targets),
            Key::Char('x') => self.mode = Mode::Menu(Menu::commands(&document.commands)),
            Key::Char(digit @ '1'..='9') => return self.run(digit, document),
            Key::Char('l') => self.mode = Mode::Menu(Menu::tasks(session)),
            Key::Char('r') => self.mode = Mode::Confirming(Question::Reset),
            Key::Char('?') | Key::F(1) => self.mode = Mode::Help,
            Key::Char('q') => return Some(Act::Quit),
            Key::Ctrl('c') => self.notice = Some("q quits; what is solved is kept.".to_owned()),
            _ => {}
        }
        None
    }

    fn turn(&mut self, session: &mut Session, turn: fn(&mut Session) -> bool, end: &str) -> Option<Act> {
        if turn(session) {
            self.top = 0;
            return Some(Act::Check(Scope::Section));
        }
        self.notice = Some(end.to_owned());
        None
    }

    /// Scrolls, at most until the last line is the lowest.
    fn scroll(&mut self, document: &Document, top: usize) {
        self.top = top.min(document.lines.len().saturating_sub(self.height));
    }

    /// Fits what is seen to that many lines, and shows the chosen task where a key asked for that.
    pub(crate) fn fit(&mut self, height: usize, session: &Session, document: &Document) {
        self.height = height;
        if std::mem::take(&mut self.reveal) {
            let chosen = session.task().and_then(|task| session.tasks().iter().position(|other| other == task));
            if let Some((begin, end)) = chosen.and_then(|at| document.tasks.get(at).copied()) {
                // All of it, or its beginning where it is longer than that.
                self.top = self.top.max(end.saturating_sub(height)).min(begin);
            }
        }
        self.scroll(document, self.top);
    }

    /// Scrolls to the chosen task, which has changed, when it is drawn next.
    pub(crate) fn show_chosen(&mut self) {
        self.reveal = true;
    }

    /// Lets the learner pick where a shell is opened, unless a key has asked for something else meanwhile.
    pub(crate) fn ask_target(&mut self, names: Vec<String>) {
        if self.mode == Mode::Reading {
            self.mode = Mode::Menu(Menu::targets(names));
        }
    }

    fn hint(&mut self, session: &mut Session) {
        self.reveal = true;
        let hints = session.task().map(|task| task.hints.len());
        self.notice = match hints {
            None => Some("There is no task here.".to_owned()),
            Some(0) => Some("This task has no hints; s shows how it is done.".to_owned()),
            Some(_) if session.hint() => None,
            Some(_) => Some("That was the last hint; s shows how it is done.".to_owned()),
        };
    }

    fn ask_solution(&mut self, session: &Session) {
        match session.task() {
            None => self.notice = Some("There is no task here.".to_owned()),
            Some(task) => match waits(session, task) {
                None => self.mode = Mode::Confirming(Question::Solution),
                before => self.notice = before,
            },
        }
    }

    fn ask_answer(&mut self, session: &Session) {
        match session.task() {
            Some(task) if task.question.is_some() => match waits(session, task) {
                None => (self.mode, self.reveal) = (Mode::Answering(String::new()), true),
                before => self.notice = before,
            },
            _ => self.notice = Some("This is no question: it is solved by doing it.".to_owned()),
        }
    }

    fn run(&mut self, digit: char, document: &Document) -> Option<Act> {
        let number = digit.to_digit(10).unwrap_or_default() as usize;
        let commands = number.checked_sub(1).and_then(|at| document.commands.get(at));
        if commands.is_none() {
            self.notice = Some(format!("There are no commands with the number {number} here."));
        }
        commands.map(|(_, commands)| Act::Run(commands.clone()))
    }

    fn pick(&mut self, mut menu: Menu, key: Key, session: &mut Session, document: &Document) -> Option<Act> {
        match menu.key(key) {
            None => {
                self.mode = Mode::Menu(menu);
                None
            }
            Some(Picked::Nothing) => None,
            Some(Picked::Task(name)) => {
                session.go_to(&name);
                (self.top, self.reveal) = (0, true);
                Some(Act::Check(Scope::Section))
            }
            Some(Picked::Target(name)) => Some(Act::Shell(name)),
            Some(Picked::Commands(at)) => document.commands.get(at).map(|(_, commands)| Act::Run(commands.clone())),
        }
    }

    fn answer(&mut self, mut typed: String, key: Key, session: &Session) -> Option<Act> {
        match key {
            Key::Esc | Key::Ctrl('c') => return None,
            Key::Char('\n') => return self.submit(&typed, session),
            Key::Backspace => drop(typed.pop()),
            Key::Ctrl('u') => typed.clear(),
            Key::Char(character) if !character.is_control() => typed.push(character),
            _ => {}
        }
        self.mode = Mode::Answering(typed);
        None
    }

    fn submit(&mut self, typed: &str, session: &Session) -> Option<Act> {
        let task = session.task()?;
        match answer::read(task.question.as_ref()?, typed) {
            Ok(answer) => Some(Act::Answer { task: task.name.clone(), answer }),
            Err(what) => {
                self.notice = Some(what);
                self.mode = Mode::Answering(typed.to_owned());
                None
            }
        }
    }

    fn confirm(&mut self, question: Question, key: Key, session: &Session) -> Option<Act> {
        match (question, key) {
            (Question::Solution, Key::Char('y')) => {
                let task = session.task()?;
                self.busy = Some(format!("Being done: {} ...", task.title));
                Some(Act::Solve(task.name.clone()))
            }
            (Question::Reset, Key::Char('y')) => Some(Act::Reset { anew: false }),
            (Question::Reset, Key::Char('a')) => Some(Act::Reset { anew: true }),
            _ => None,
        }
    }
}

/// Why a task can't be solved yet.
pub(crate) fn waits(session: &Session, task: &Task) -> Option<String> {
    match session.standing(task) {
        Standing::Waits(titles) => Some(format!("First: {}.", titles.join(", "))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::theme::Theme;
    use crate::learn::{document, sample};
    use knetsim_model::chapter::Verdict;

    /// Presses keys one after the other; what the last one asked for.
    fn press(screen: &mut Screen, session: &mut Session, keys: &str) -> Option<Act> {
        let mut act = None;
        for key in keys.chars().map(Key::Char) {
            let document = document::section(session, Theme { color: false, ascii: false }, 60);
            act = screen.key(key, session, &document);
        }
        act
    }

    fn start() -> (Screen, Session) {
        (Screen { height: 10, ..Screen::default() }, sample::session())
    }

    #[test]
    fn a_section_is_turned_and_its_tasks_are_checked() {
        let (mut screen, mut session) = start();
        assert_eq!(press(&mut screen, &mut session, "jjj"), None);
        assert_eq!(screen.top, 3);
        assert_eq!(press(&mut screen, &mut session, "n"), Some(Act::Check(Scope::Section)));
        assert_eq!((session.progress.section, screen.top), (1, 0));
        assert_eq!(press(&mut screen, &mut session, "n"), None);
        assert_eq!(screen.notice.as_deref(), Some("This is the last section."));
    }

    #[test]
    fn scrolling_ends_with_the_text() {
        let (mut screen, mut session) = start();
        press(&mut screen, &mut session, "G");
        let end = screen.top;
        assert!(end > 0);
        press(&mut screen, &mut session, "j ");
        assert_eq!(screen.top, end);
        press(&mut screen, &mut session, "g");
        assert_eq!(screen.top, 0);
    }

    #[test]
    fn a_solution_is_confirmed_first() {
        let (mut screen, mut session) = start();
        assert_eq!(press(&mut screen, &mut session, "sn"), None);
        assert_eq!((screen.mode.clone(), session.progress.section), (Mode::Reading, 0), "n means no here");
        assert_eq!(press(&mut screen, &mut session, "sy"), Some(Act::Solve("make".to_owned())));
        session.go_to("delete");
        assert_eq!(press(&mut screen, &mut session, "s"), None);
        assert_eq!(screen.notice.as_deref(), Some("First: Make a namespace."));
    }

    #[test]
    fn an_answer_of_the_wrong_kind_is_typed_again() {
        let (mut screen, mut session) = start();
        assert_eq!(press(&mut screen, &mut session, "a"), None);
        assert!(screen.notice.as_deref().is_some_and(|notice| notice.contains("no question")));
        session.go_to("devices");
        assert_eq!(press(&mut screen, &mut session, "amany\n"), None);
        assert_eq!(screen.mode, Mode::Answering("many".to_owned()));
        assert_eq!(
            screen.key(
                Key::Ctrl('u'),
                &mut session,
                &document::section(&sample::session(), Theme { color: false, ascii: false }, 60)
            ),
            None
        );
        let answer = Act::Answer { task: "devices".to_owned(), answer: "1".to_owned() };
        assert_eq!(press(&mut screen, &mut session, "1\n"), Some(answer));
        assert_eq!(screen.mode, Mode::Reading);
    }

    #[test]
    fn what_is_pasted_is_words_and_no_keys() {
        let (mut screen, mut session) = start();
        let document = document::section(&session, Theme { color: false, ascii: false }, 60);
        screen.paste("1\rq\r", &mut session, &document);
        assert_eq!(screen.mode, Mode::Reading);
        assert!(screen.notice.as_deref().is_some_and(|notice| notice.contains("not taken for keys")));
        session.go_to("devices");
        press(&mut screen, &mut session, "a");
        screen.paste(" 1\r\n2\r3\u{1b}\r", &mut session, &document);
        assert_eq!(screen.mode, Mode::Answering("1 2 3".to_owned()), "Enter is still to be pressed");
        screen.key(Key::Esc, &mut session, &document);
        press(&mut screen, &mut session, "l");
        screen.paste("delete\n", &mut session, &document);
        assert!(matches!(&screen.mode, Mode::Menu(menu) if menu.typed == "delete"));
    }

    #[test]
    fn commands_run_by_their_number() {
        let (mut screen, mut session) = start();
        for keys in ["1", "x\n"] {
            let Some(Act::Run(commands)) = press(&mut screen, &mut session, keys) else { panic!("{keys}") };
            assert_eq!(commands.lines, ["ip netns add blue"]);
        }
        assert_eq!(press(&mut screen, &mut session, "2"), None);
    }

    #[test]
    fn reset_keeps_what_is_solved_unless_asked() {
        let (mut screen, mut session) = start();
        assert_eq!(press(&mut screen, &mut session, "rn"), None);
        assert_eq!(press(&mut screen, &mut session, "ry"), Some(Act::Reset { anew: false }));
        assert_eq!(press(&mut screen, &mut session, "ra"), Some(Act::Reset { anew: true }));
    }

    #[test]
    fn a_task_is_picked_from_the_list() {
        let (mut screen, mut session) = start();
        session.judge("make", Verdict::Passed);
        assert_eq!(press(&mut screen, &mut session, "lDelete\n"), Some(Act::Check(Scope::Section)));
        assert_eq!(session.task().map(|task| task.name.as_str()), Some("delete"));
    }
}
