//! A section as it is read: its text, then its tasks with the hints that were shown and what is missing.

use knetsim_model::chapter::Task;

use super::answer;
use super::layout::Layout;
use super::session::{Session, Solution, Standing};
use super::text::{Commands, parse};
use super::theme::{Line, Span, Theme};

/// What belongs to a task is indented by that much.
const INDENT: usize = 4;

/// A section, set at a width.
pub(crate) struct Document {
    pub(crate) lines: Vec<Line>,
    /// The commands that can be run by their number, from 1, and the lines that they begin on.
    pub(crate) commands: Vec<(usize, Commands)>,
    /// The line that each task begins on, and the line after its last.
    pub(crate) tasks: Vec<(usize, usize)>,
}

/// Sets the section that is read.
pub(crate) fn section(session: &Session, theme: Theme, width: usize) -> Document {
    let mut layout = Layout::new(theme, width);
    let mut tasks = Vec::new();
    if let Some(section) = session.section() {
        layout.line(Span::raw(""), &section.title, theme.heading());
        layout.gap();
        layout.blocks(&parse(&section.body), 0);
        for task in &section.tasks {
            layout.gap();
            let begin = layout.lines.len();
            set_task(&mut layout, session, task, theme);
            tasks.push((begin, layout.lines.len()));
        }
    }
    let lines = layout.lines.into_iter().map(|line| theme.fit(line)).collect();
    Document { lines, commands: layout.commands, tasks }
}

fn set_task(layout: &mut Layout, session: &Session, task: &Task, theme: Theme) {
    let standing = session.standing(task);
    let chosen = session.task().is_some_and(|other| other.name == task.name);
    let style = if standing == Standing::Solved { theme.done() } else { theme.heading() };
    let pointer = if chosen { "→ " } else { "  " };
    let (mark, said) = mark(&standing);
    layout.line(Span::styled(format!("{pointer}{mark} "), style), &format!("{}{said}", task.title), style);
    layout.blocks(&parse(&task.text), INDENT);
    if let Some(kind) = &task.question {
        for (number, choice) in (1..).zip(answer::choices(kind)) {
            layout.raw(Span::raw(format!("{:INDENT$}{number}. ", "")), choice);
        }
    }
    for (number, hint) in (1..).zip(session.hints(task)) {
        layout.gap();
        layout.line(Span::raw("    "), &format!("Hint {number} of {}:", task.hints.len()), theme.faint());
        layout.blocks(&parse(hint), INDENT);
    }
    match session.solution(&task.name) {
        Some(Solution::Answer(answers)) => {
            layout.gap();
            let label = "    The answer: ";
            for (number, answer) in (0..).zip(answers) {
                let before = if number == 0 { label.to_owned() } else { " ".repeat(label.len()) };
                layout.raw(Span::styled(before, theme.faint()), answer);
            }
        }
        Some(Solution::Way(script)) => {
            layout.gap();
            layout.line(Span::raw("    "), "It was done for you. These commands do it, too:", theme.faint());
            layout.gap();
            layout.script(script);
            if !session.missing(&task.name).is_empty() {
                layout.gap();
            }
        }
        None => {}
    }
    for line in session.missing(&task.name) {
        layout.line(Span::styled("    – ", theme.missing()), line, theme.missing());
    }
}

/// How a task stands, as a sign and, where the sign alone is not enough, in words.
pub(crate) fn mark(standing: &Standing) -> (&'static str, String) {
    match standing {
        Standing::Solved => ("✓", String::new()),
        Standing::Skipped => ("–", " (skipped)".to_owned()),
        Standing::Waits(titles) => ("·", format!(" (after: {})", titles.join(", "))),
        Standing::Open => ("○", String::new()),
    }
}
