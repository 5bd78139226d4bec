//! A chapter's outline, as it may be shown: whatever a chapter says of itself is untrusted text.
//!
//! Invariant: what gets through has names that can be typed, tasks that can all be reached, lengths that fit on
//! the control socket, and nothing that a terminal would do more with than show it.

use std::collections::{BTreeMap, BTreeSet};

use knetsim_model::Failure;
use knetsim_model::chapter::{AnswerKind, Outline, Section, Task};
use knetsim_model::untrusted;

use crate::host::lesson;

/// The most letters of a line: a title, a prerequisite, a choice.
const LINE: usize = 200;
/// The most bytes of a task's text or of a hint.
const TEXT: usize = 32 << 10;
/// The most bytes of a section's text.
const BODY: usize = 256 << 10;
/// The most bytes of all texts together.
const WHOLE: usize = 1 << 20;
/// The most sections, tasks, and of anything else in a list.
const MANY: usize = 200;
/// The longest chapter: a week.
const MINUTES: u32 = 7 * 24 * 60;

impl From<lesson::AnswerKind> for AnswerKind {
    fn from(kind: lesson::AnswerKind) -> Self {
        match kind {
            lesson::AnswerKind::Text => AnswerKind::Text,
            lesson::AnswerKind::Number => AnswerKind::Number,
            lesson::AnswerKind::Address => AnswerKind::Address,
            lesson::AnswerKind::Mac => AnswerKind::Mac,
            lesson::AnswerKind::Choice(of) => AnswerKind::Choice(of),
            lesson::AnswerKind::Choices(of) => AnswerKind::Choices(of),
        }
    }
}

impl From<lesson::Task> for Task {
    fn from(task: lesson::Task) -> Self {
        let lesson::Task { name, title, text, hints, after, question, probes } = task;
        Task { name, title, text, hints, after, question: question.map(Into::into), probes }
    }
}

impl From<lesson::ChapterOutline> for Outline {
    fn from(outline: lesson::ChapterOutline) -> Self {
        let lesson::ChapterOutline { title, minutes, prerequisites, sections } = outline;
        let section = |section: lesson::Section| Section {
            title: section.title,
            body: section.body,
            tasks: section.tasks.into_iter().map(Task::from).collect(),
        };
        Outline { title, minutes, prerequisites, sections: sections.into_iter().map(section).collect() }
    }
}

/// Lets an outline through, or says what is wrong with it and where.
pub(crate) fn checked(outline: Outline) -> Result<Outline, Failure> {
    check(&outline).map(|()| outline).map_err(|wrong| Failure::invalid(format!("outline: {wrong}")))
}

fn check(outline: &Outline) -> Result<(), String> {
    line("the title", &outline.title)?;
    if !(1..=MINUTES).contains(&outline.minutes) {
        return Err(format!("the chapter takes 1 to {MINUTES} minutes, not {}", outline.minutes));
    }
    few("prerequisites", outline.prerequisites.len())?;
    outline.prerequisites.iter().try_for_each(|what| line("a prerequisite", what))?;
    few("sections", outline.sections.len())?;
    few("tasks", outline.tasks().count())?;
    let mut bytes = 0;
    for section in &outline.sections {
        line("a section's title", &section.title)?;
        let what = format!("the section `{}`", section.title);
        bytes += text(&what, &section.body, BODY)?;
        for task in &section.tasks {
            bytes += self::task(task)?;
        }
    }
    if bytes > WHOLE {
        return Err(format!("all texts together have {bytes} bytes, and may have {WHOLE}"));
    }
    order(outline)
}

/// Its texts, and their length in bytes.
fn task(task: &Task) -> Result<usize, String> {
    let name = &task.name;
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if !(1..=63).contains(&name.len()) || !name.bytes().all(good) || name.starts_with('-') {
        return Err(format!("a task's name has 1 to 63 small letters, digits and `-`, unlike {:?}", short(name)));
    }
    let what = format!("the task `{name}`");
    line(&format!("{what}: its title"), &task.title)?;
    few(&format!("{what}: hints"), task.hints.len())?;
    let mut bytes = text(&what, &task.text, TEXT)?;
    for hint in &task.hints {
        bytes += text(&format!("{what}: a hint"), hint, TEXT)?;
    }
    if let Some(AnswerKind::Choice(of) | AnswerKind::Choices(of)) = &task.question {
        few(&format!("{what}: choices"), of.len())?;
        of.iter().try_for_each(|choice| line(&format!("{what}: a choice"), choice))?;
        let different: BTreeSet<_> = of.iter().map(|choice| choice.to_lowercase()).collect();
        if of.len() < 2 || different.len() < of.len() {
            return Err(format!("{what}: a choice is among two different ones or more"));
        }
    }
    Ok(bytes)
}

/// Names are there once, `after` names tasks, and every task can be reached.
fn order(outline: &Outline) -> Result<(), String> {
    let mut open = BTreeMap::new();
    for task in outline.tasks() {
        if open.insert(task.name.as_str(), &task.after).is_some() {
            return Err(format!("there are two tasks `{}`", task.name));
        }
    }
    for task in outline.tasks() {
        few(&format!("the task `{}`: tasks before it", task.name), task.after.len())?;
        if let Some(missing) = task.after.iter().find(|name| !open.contains_key(name.as_str())) {
            return Err(format!("the task `{}` comes after {:?}, and there is none", task.name, short(missing)));
        }
    }
    while !open.is_empty() {
        let left = open.len();
        let still: BTreeSet<_> = open.keys().copied().collect();
        open.retain(|_, after| after.iter().any(|name| still.contains(name.as_str())));
        if open.len() == left {
            let names: Vec<_> = open.keys().map(|name| format!("`{name}`")).collect();
            return Err(format!("tasks that come after each other: {}", names.join(", ")));
        }
    }
    Ok(())
}

fn few(what: &str, number: usize) -> Result<(), String> {
    if number > MANY { Err(format!("{what}: {number} are too many, {MANY} is the most")) } else { Ok(()) }
}

fn line(what: &str, line: &str) -> Result<(), String> {
    let is_line = line.chars().count() <= LINE && !line.contains(['\n', '\t']);
    if !is_line || !line.chars().any(|c| !c.is_whitespace()) {
        return Err(format!("{what}: a line of 1 to {LINE} letters, unlike {:?}", short(line)));
    }
    if let Some(flaw) = untrusted::flaw(line) {
        return Err(format!("{what}: {flaw}"));
    }
    // A title with a hundred spaces in it would look like two.
    if untrusted::words(line) != line {
        return Err(format!("{what}: between two words is one space, and none at its ends, unlike {:?}", short(line)));
    }
    Ok(())
}

/// Its length in bytes.
fn text(what: &str, text: &str, most: usize) -> Result<usize, String> {
    if text.len() > most {
        return Err(format!("{what}: its text has {} bytes, and may have {most}", text.len()));
    }
    match untrusted::flaw(text) {
        Some(flaw) => Err(format!("{what}: its text, {flaw}")),
        None => Ok(text.len()),
    }
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(change: impl FnOnce(&mut Outline)) -> Result<Outline, String> {
        let task = |name: &str, after: &[&str]| Task {
            name: name.to_owned(),
            title: "A task".to_owned(),
            text: "Do\n\tit.".to_owned(),
            hints: vec!["So.".to_owned()],
            after: after.iter().map(|name| (*name).to_owned()).collect(),
            question: None,
            probes: false,
        };
        let tasks = vec![task("a", &[]), task("b", &["a"]), task("c", &["a", "b"])];
        let section = Section { title: "One".to_owned(), body: String::new(), tasks };
        let mut outline = Outline {
            title: "T".to_owned(),
            minutes: 5,
            prerequisites: vec!["c1".to_owned()],
            sections: vec![section],
        };
        change(&mut outline);
        checked(outline).map_err(|failure| failure.message)
    }

    #[test]
    fn a_good_outline_gets_through() {
        assert_eq!(outline(|_| {}).unwrap().tasks().count(), 3);
    }

    #[test]
    fn what_is_wrong_is_named() {
        type Change = fn(&mut Outline);
        let changes: [(Change, &str); 21] = [
            (|o| o.title = "a\nb".into(), "the title"),
            (|o| o.minutes = 0, "1 to 10080 minutes"),
            (|o| o.prerequisites = vec!["x".into(); MANY + 1], "prerequisites"),
            (|o| o.sections[0].body = "a\nb \u{1b}[2J".into(), "the section `One`: its text, line 2, letter 3: U+001B"),
            (|o| o.title = "\u{200b}".into(), "the title: line 1, letter 1: U+200B"),
            (|o| o.title = "a\u{61c}".into(), "the title: line 1, letter 2: U+061C"),
            (|o| o.title = format!("a{}Grant this? [y/N] y", " ".repeat(100)), "the title: between two words"),
            (|o| o.title = "\u{3000}".into(), "the title: a line"),
            (|o| o.prerequisites = vec!["c\u{e0031}".into()], "a prerequisite: line 1, letter 2: U+E0031"),
            (|o| o.sections[0].tasks[0].text = "a\u{2028}b".into(), "the task `a`: its text, line 1, letter 2: U+2028"),
            (
                |o| o.sections[0].tasks[0].question = Some(AnswerKind::Choice(vec!["x".into(), "\u{200f}x".into()])),
                "the task `a`: a choice: line 1, letter 1: U+200F",
            ),
            (|o| o.sections[0].body = "x".repeat(BODY + 1), "the section `One`"),
            (
                |o| o.sections = vec![Section { body: "x".repeat(BODY), ..o.sections[0].clone() }; 5],
                "all texts together",
            ),
            (|o| o.sections[0].tasks[1].name = "B".into(), "unlike \"B\""),
            (|o| o.sections[0].tasks[1].name = "a".into(), "two tasks `a`"),
            (|o| o.sections[0].tasks[1].title = String::new(), "the task `b`: its title"),
            (|o| o.sections[0].tasks[1].hints = vec!["\u{202e}".into()], "the task `b`: a hint"),
            (|o| o.sections[0].tasks[1].after = vec!["x".into()], "the task `b` comes after \"x\""),
            (|o| o.sections[0].tasks[0].after = vec!["c".into()], "after each other: `a`, `b`, `c`"),
            (
                |o| o.sections[0].tasks[0].question = Some(AnswerKind::Choice(vec!["x".into()])),
                "the task `a`: a choice",
            ),
            (|o| o.sections[0].tasks = vec![o.sections[0].tasks[0].clone(); MANY + 1], "tasks: 201"),
        ];
        for (change, words) in changes {
            let error = outline(change).unwrap_err();
            assert!(error.contains(words), "{words}\n{error}");
        }
    }
}
