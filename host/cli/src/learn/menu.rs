//! A list of which one is picked; typing narrows it.

use termion::event::Key;

use super::document::mark;
use super::session::Session;
use super::text::{Commands, plain};

/// The list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Menu {
    /// What is picked.
    pub(crate) title: &'static str,
    entries: Vec<(String, Picked)>,
    /// What was typed: only what contains it is shown.
    pub(crate) typed: String,
    /// Which of what is shown would be picked.
    pub(crate) cursor: usize,
}

/// What was picked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Picked {
    Nothing,
    /// A task, by name.
    Task(String),
    /// Where a shell is to be opened.
    Target(String),
    /// Commands of the text: which, from 0.
    Commands(usize),
}

impl Menu {
    fn new(title: &'static str, entries: Vec<(String, Picked)>) -> Menu {
        Menu { title, entries, typed: String::new(), cursor: 0 }
    }

    /// All tasks of the chapter; it begins at the chosen one.
    pub(crate) fn tasks(session: &Session) -> Menu {
        let entry = |section: usize, task: &knetsim_model::chapter::Task| {
            let (mark, said) = mark(&session.standing(task));
            (format!("{mark} {}  {}{said}", section + 1, plain(&task.title)), Picked::Task(task.name.clone()))
        };
        let sections = session.outline.sections.iter().enumerate();
        let entries = sections.flat_map(|(at, section)| section.tasks.iter().map(move |task| entry(at, task)));
        let mut menu = Menu::new("Tasks", entries.collect());
        let chosen = session.task().map(|task| Picked::Task(task.name.clone()));
        menu.cursor = menu.entries.iter().position(|(_, entry)| Some(entry) == chosen.as_ref()).unwrap_or_default();
        menu
    }

    /// Where a shell can be opened.
    pub(crate) fn targets(names: Vec<String>) -> Menu {
        let entry = |name: String| (name.clone(), Picked::Target(name));
        Menu::new("A shell on", names.into_iter().map(entry).collect())
    }

    /// Commands of a section.
    pub(crate) fn commands(commands: &[(usize, Commands)]) -> Menu {
        let entry = |(at, (_, commands)): (usize, &(usize, Commands))| {
            let first = commands.lines.first().map(String::as_str).unwrap_or_default();
            let more = if commands.lines.len() > 1 { " ..." } else { "" };
            (format!("{:2}  {}: {first}{more}", at + 1, commands.target), Picked::Commands(at))
        };
        Menu::new("Run", commands.iter().enumerate().map(entry).collect())
    }

    /// What is shown, in order.
    pub(crate) fn shown(&self) -> Vec<&str> {
        self.found().map(|(text, _)| text.as_str()).collect()
    }

    fn found(&self) -> impl Iterator<Item = &(String, Picked)> {
        let typed = self.typed.to_lowercase();
        self.entries.iter().filter(move |(text, _)| text.to_lowercase().contains(&typed))
    }

    /// What a key does: none while nothing is picked yet.
    pub(crate) fn key(&mut self, key: Key) -> Option<Picked> {
        let last = self.found().count().saturating_sub(1);
        match key {
            Key::Esc | Key::Ctrl('c') => return Some(Picked::Nothing),
            Key::Char('\n') => {
                let picked = self.found().nth(self.cursor).map(|(_, picked)| picked.clone());
                return Some(picked.unwrap_or(Picked::Nothing));
            }
            Key::Up | Key::Ctrl('p') => self.cursor = self.cursor.saturating_sub(1),
            Key::Down | Key::Ctrl('n') | Key::Char('\t') => self.cursor = (self.cursor + 1).min(last),
            Key::PageUp | Key::Home => self.cursor = 0,
            Key::PageDown | Key::End => self.cursor = last,
            Key::Backspace => {
                self.typed.pop();
                self.cursor = 0;
            }
            Key::Char(character) if !character.is_control() => {
                self.typed.push(character);
                self.cursor = 0;
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_narrows_and_enter_picks() {
        let mut menu = Menu::targets(["C0w1", "C0w2", "C0w2.c1", "box"].map(str::to_owned).to_vec());
        for key in "w2".chars().map(Key::Char) {
            assert_eq!(menu.key(key), None);
        }
        assert_eq!(menu.shown(), ["C0w2", "C0w2.c1"]);
        for key in [Key::Down, Key::Down, Key::Down] {
            assert_eq!(menu.key(key), None);
        }
        assert_eq!(menu.key(Key::Char('\n')), Some(Picked::Target("C0w2.c1".to_owned())));
        menu.key(Key::Char('!'));
        assert_eq!(menu.key(Key::Char('\n')), Some(Picked::Nothing));
        assert_eq!(menu.key(Key::Esc), Some(Picked::Nothing));
    }
}
