//! What a chapter says of itself: outline, tasks, verdicts. The same as `lesson` in `guest-sdk/wit`, for what is
//! said on the control socket, printed as JSON, and kept as progress.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::answer;

/// A chapter as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Outline {
    /// Its title.
    pub title: String,
    /// How long a learner takes for it, in minutes.
    pub minutes: u32,
    /// What to know or to have done before, in words or by a chapter's name.
    pub prerequisites: Vec<String>,
    /// Its parts.
    pub sections: Vec<Section>,
}

impl Outline {
    /// Its tasks, in the order in which they are shown.
    pub fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.sections.iter().flat_map(|section| &section.tasks)
    }

    /// The task of that name.
    pub fn task(&self, name: &str) -> Option<&Task> {
        self.tasks().find(|task| task.name == name)
    }

    /// Its tasks in an order in which they can be solved: the author's, but each after those that it comes after.
    pub fn solvable(&self) -> Vec<&Task> {
        let mut open: Vec<&Task> = self.tasks().collect();
        let mut ordered: Vec<&Task> = Vec::new();
        while !open.is_empty() {
            let is_done = |name: &String| ordered.iter().any(|task| task.name == *name);
            // Where tasks go in a circle, which no good outline has, none is ready.
            let ready = open.iter().position(|task| task.after.iter().all(is_done)).unwrap_or_default();
            ordered.push(open.remove(ready));
        }
        ordered
    }

    /// Names of the tasks that a task comes after, and of those that these come after.
    pub fn before<'a>(&'a self, task: &'a Task) -> BTreeSet<&'a str> {
        let mut names = BTreeSet::new();
        let mut look: Vec<&str> = task.after.iter().map(String::as_str).collect();
        while let Some(name) = look.pop() {
            if names.insert(name) {
                look.extend(self.task(name).into_iter().flat_map(|task| &task.after).map(String::as_str));
            }
        }
        names
    }
}

/// A part of the text, with the tasks that follow it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// The text, in Markdown. Fenced blocks with the info string `sh TARGET [fails|stops]` hold commands.
    pub body: String,
    /// In the order in which they are shown.
    pub tasks: Vec<Task>,
}

/// Something to do, or a question to answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Task {
    /// Its name within the chapter: small letters, digits and `-`.
    pub name: String,
    /// A line for lists.
    pub title: String,
    /// What to do or answer, in Markdown.
    pub text: String,
    /// Hints, from a push to nearly all of it. Markdown.
    pub hints: Vec<String>,
    /// Tasks that have to be solved before, by name.
    pub after: Vec<String>,
    /// What kind of answer it takes; none for a task that is done in the sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<AnswerKind>,
    /// Whether its check may send traffic, from a namespace made for it.
    #[serde(default)]
    pub probes: bool,
}

/// What a question takes for an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerKind {
    /// Words.
    Text,
    /// A whole number.
    Number,
    /// An IPv4 address, or a network with its prefix length: `11.10.0.0/20`. An address with a prefix length that is no
    /// network, as on an interface, is taken for the address.
    Address,
    /// A hardware address.
    Mac,
    /// One of these, in its own words.
    Choice(Vec<String>),
    /// Any of these, each on a line of its own, in this order.
    Choices(Vec<String>),
}

impl AnswerKind {
    /// What it takes, in words, with an example.
    pub fn wanted(&self) -> &'static str {
        match self {
            AnswerKind::Text => "a word or some",
            AnswerKind::Number => "a whole number, such as 8472",
            AnswerKind::Address => "an address, such as 11.10.0.2, or a network, such as 11.10.0.0/20",
            AnswerKind::Mac => "a hardware address, such as 02:00:00:00:00:01",
            AnswerKind::Choice(_) => "the number of one of them",
            AnswerKind::Choices(_) => "the numbers of all that are right, with commas: 1, 3",
        }
    }

    /// An answer in the one form in which a check gets it. A number or an address may stand in what a command printed:
    /// `net:[4026534535]`, `inet 11.10.0.2/20 brd 11.10.15.255`.
    ///
    /// # Errors
    /// It holds no value of this kind, or several; in words for the one who gave it.
    pub fn canonical(&self, answer: &str) -> Result<String, String> {
        let answer = answer.trim();
        if answer.is_empty() && !matches!(self, AnswerKind::Choices(_)) {
            return Err(self.refusal("an answer is needed"));
        }
        match self {
            AnswerKind::Text => Ok(answer.split_whitespace().collect::<Vec<_>>().join(" ")),
            AnswerKind::Number => self.only("whole number", answer::numbers(answer), answer),
            AnswerKind::Address => self.only("address", answer::addresses(answer), answer),
            AnswerKind::Mac => self.only("hardware address", answer::macs(answer), answer),
            AnswerKind::Choice(of) => self.one_of(of, answer).map(str::to_owned),
            AnswerKind::Choices(of) => {
                let lines = answer.lines().map(str::trim).filter(|line| !line.is_empty());
                let chosen = lines.map(|line| self.one_of(of, line)).collect::<Result<Vec<_>, _>>()?;
                let ordered = of.iter().map(String::as_str).filter(|choice| chosen.contains(choice));
                Ok(ordered.collect::<Vec<_>>().join("\n"))
            }
        }
    }

    /// Why an answer is not taken, and what would be.
    fn refusal(&self, why: &str) -> String {
        format!("{why}. Type {}", self.wanted())
    }

    fn one_of<'a>(&self, of: &'a [String], answer: &str) -> Result<&'a str, String> {
        let found = of.iter().find(|choice| choice.eq_ignore_ascii_case(answer));
        let none = || self.refusal(&format!("`{answer}` is none of: {}", of.join(", ")));
        found.map(String::as_str).ok_or_else(none)
    }

    /// The value that was found, where it is the only one.
    fn only(&self, what: &str, mut found: Vec<String>, answer: &str) -> Result<String, String> {
        match (found.len(), found.pop()) {
            (1, Some(one)) => Ok(one),
            (_, None) => {
                // What is pasted may be long.
                let begin: String = answer.chars().filter(|c| !c.is_control()).take(40).collect();
                Err(self.refusal(&format!("no {what} is in `{begin}`")))
            }
            (_, Some(last)) => {
                found.truncate(3);
                let all = found.into_iter().chain([last]).collect::<Vec<_>>().join(", ");
                Err(format!("more than one {what} is in that: {all}. Type the one that is meant"))
            }
        }
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is done, or the answer is right.
    Passed,
    /// What is still missing, each in words made from what was observed.
    Missing(Vec<String>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_take_one_form_or_are_refused() {
        let of = || vec!["a bridge".to_owned(), "A router".to_owned()];
        for (kind, given, expected) in [
            (AnswerKind::Text, "  two   words ", Some("two words")),
            (AnswerKind::Text, " ", None),
            (AnswerKind::Number, "0100", Some("100")),
            (AnswerKind::Number, "10.0", None),
            (AnswerKind::Address, " 11.10.0.2\n", Some("11.10.0.2")),
            (AnswerKind::Address, "11.10.0.0/20", Some("11.10.0.0/20")),
            (AnswerKind::Mac, "2-0-0-0-0-A", Some("02:00:00:00:00:0a")),
            (AnswerKind::Mac, "02:00:00:00:00", None),
            (AnswerKind::Choice(of()), "a ROUTER", Some("A router")),
            (AnswerKind::Choice(of()), "a switch", None),
            (AnswerKind::Choices(of()), "a router\na bridge", Some("a bridge\nA router")),
            (AnswerKind::Choices(of()), "", Some("")),
            (AnswerKind::Choices(of()), "a bridge\na switch", None),
        ] {
            assert_eq!(kind.canonical(given).ok().as_deref(), expected, "{kind:?} {given:?}");
        }
    }
}
