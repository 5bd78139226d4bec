//! Questions with choices, where each wrong one is told why.

use knetsim_sdk::{AnswerKind, Task, Verdict};

/// A choice of a question.
#[derive(Clone, Copy, Debug)]
pub enum Choice {
    /// The right one.
    Right(&'static str),
    /// A wrong one, and what to say to those who take it.
    Wrong(&'static str, &'static str),
}

impl Choice {
    fn words(&self) -> &'static str {
        match self {
            Choice::Right(words) | Choice::Wrong(words, _) => words,
        }
    }
}

/// A question with one right choice.
pub fn choose(name: &str, title: &str, text: &str, choices: &'static [Choice]) -> Task {
    let right = choices.iter().filter(|choice| matches!(choice, Choice::Right(_))).map(Choice::words).next();
    Task::question(name, title, text, AnswerKind::choice(choices.iter().map(Choice::words)))
        .answer(move |_| Ok(right.unwrap_or_default()))
        .accept(|_, given| {
            let chosen = choices.iter().find(|choice| choice.words() == given);
            Ok(match chosen {
                Some(Choice::Right(_)) => Verdict::passed(),
                Some(Choice::Wrong(_, why)) => Verdict::missing(*why),
                None => Verdict::missing("that is none of the choices"),
            })
        })
}
