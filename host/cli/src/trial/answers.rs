//! Wrong answers to a question: its author's, and such as can be made up from the right one.

use knetsim_model::chapter::{AnswerKind, Task};

/// Wrong answers, each once, none of them the right one.
pub(super) fn wrong(task: &Task, right: &str, of_author: Vec<&str>) -> Vec<String> {
    let Some(kind) = &task.question else { return Vec::new() };
    let mut wrong: Vec<String> = of_author.into_iter().map(str::to_owned).collect();
    wrong.extend(made_up(kind, right));
    let canonical = |answer: &str| kind.canonical(answer).unwrap_or_else(|_| answer.to_owned());
    let mut seen = vec![canonical(right)];
    wrong.retain(|answer| {
        let new = !seen.contains(&canonical(answer));
        seen.push(canonical(answer));
        new
    });
    wrong
}

fn made_up(kind: &AnswerKind, right: &str) -> Vec<String> {
    match kind {
        AnswerKind::Text => vec![format!("not {right}")],
        AnswerKind::Number => vec![right.parse::<i64>().map_or(0, |right| right.wrapping_add(1)).to_string()],
        AnswerKind::Address => vec!["192.0.2.1".to_owned(), "192.0.2.0/24".to_owned()],
        AnswerKind::Mac => vec!["02:00:5e:00:53:01".to_owned()],
        AnswerKind::Choice(of) => of.clone(),
        // Each choice turned into its contrary, one at a time, and none at all.
        AnswerKind::Choices(of) => {
            let chosen: Vec<_> = right.lines().collect();
            let turned = of.iter().map(|turned| {
                let kept = of.iter().filter(|choice| chosen.contains(&choice.as_str()) != (*choice == turned));
                kept.cloned().collect::<Vec<_>>().join("\n")
            });
            turned.chain([String::new()]).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wrong_answer_is_the_right_one() {
        let of = || vec!["a".to_owned(), "b".to_owned(), "c".to_owned()];
        for (kind, right, expected) in [
            (AnswerKind::Number, "7", vec!["9", "8"]),
            (AnswerKind::Choice(of()), "b", vec!["a", "c"]),
            (AnswerKind::Choices(of()), "a\nb", vec!["b", "a", "a\nb\nc", ""]),
            (AnswerKind::Text, "eth0", vec!["not eth0"]),
        ] {
            let task = Task {
                name: "t".into(),
                title: "T".into(),
                text: String::new(),
                hints: vec![],
                after: vec![],
                question: Some(kind.clone()),
                probes: false,
            };
            let of_author = if kind == AnswerKind::Number { vec!["9", " 7 "] } else { vec![] };
            assert_eq!(wrong(&task, right, of_author), expected, "{kind:?}");
        }
    }
}
