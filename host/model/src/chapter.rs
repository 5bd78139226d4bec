//! What a chapter says of itself: outline, tasks, verdicts. The same as `lesson` in `guest-sdk/wit`, for what is
//! said on the control socket, printed as JSON, and kept as progress.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// An IPv4 address, or a network with its prefix length.
    Address,
    /// A hardware address.
    Mac,
    /// One of these, in its own words.
    Choice(Vec<String>),
    /// Any of these, each on a line of its own, in this order.
    Choices(Vec<String>),
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
