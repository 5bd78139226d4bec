//! What a chapter says of itself: outline, tasks, verdicts. The same as `lesson` in `guest-sdk/wit`, for what is
//! said on the control socket, printed as JSON, and kept as progress.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
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

impl AnswerKind {
    /// An answer in the one form in which a check gets it.
    ///
    /// # Errors
    /// It is of another kind; in words for who gave it.
    pub fn canonical(&self, answer: &str) -> Result<String, String> {
        let answer = answer.trim();
        if answer.is_empty() && !matches!(self, AnswerKind::Choices(_)) {
            return Err("an answer is needed".to_owned());
        }
        match self {
            AnswerKind::Text => Ok(answer.split_whitespace().collect::<Vec<_>>().join(" ")),
            AnswerKind::Number => {
                let number = answer.parse::<i64>().map_err(|_| format!("`{answer}` is no whole number"))?;
                Ok(number.to_string())
            }
            AnswerKind::Address => {
                let address = answer.parse::<Ipv4Addr>().map(|address| address.to_string());
                let network = || answer.parse::<Ipv4Net>().map(|network| network.to_string());
                address.or_else(|_| network()).map_err(|_| {
                    format!("`{answer}` is no IPv4 address or network, such as `11.10.0.2` or `11.10.0.0/20`")
                })
            }
            AnswerKind::Mac => {
                let bytes: Vec<_> = answer.split([':', '-']).map(|byte| u8::from_str_radix(byte, 16)).collect();
                if bytes.len() != 6 || bytes.iter().any(Result::is_err) {
                    return Err(format!("`{answer}` is no hardware address, such as `02:00:00:00:00:0a`"));
                }
                Ok(bytes.into_iter().flatten().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":"))
            }
            AnswerKind::Choice(of) => one_of(of, answer).map(str::to_owned),
            AnswerKind::Choices(of) => {
                let lines = answer.lines().map(str::trim).filter(|line| !line.is_empty());
                let chosen = lines.map(|line| one_of(of, line)).collect::<Result<Vec<_>, _>>()?;
                let ordered = of.iter().map(String::as_str).filter(|choice| chosen.contains(choice));
                Ok(ordered.collect::<Vec<_>>().join("\n"))
            }
        }
    }
}

fn one_of<'a>(of: &'a [String], answer: &str) -> Result<&'a str, String> {
    let found = of.iter().find(|choice| choice.eq_ignore_ascii_case(answer));
    found.map(String::as_str).ok_or_else(|| format!("`{answer}` is none of: {}", of.join(", ")))
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
            (AnswerKind::Address, "11.10.0.256", None),
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
