//! Answers as they are typed.

use knetsim_model::chapter::AnswerKind;

/// What is typed, as the chapter takes it; else what to type. What may be chosen is meant by its number in the list or
/// by its words; several are divided by commas, numbers by spaces, too.
pub(crate) fn read(kind: &AnswerKind, typed: &str) -> Result<String, String> {
    let named = match kind {
        AnswerKind::Choice(choices) => named(choices, typed),
        AnswerKind::Choices(choices) => {
            let numbers = typed.chars().all(|c| c.is_ascii_digit() || c == ',' || c.is_whitespace());
            let parts = typed.split(|c: char| c == ',' || numbers && c.is_whitespace());
            let parts = parts.map(str::trim).filter(|part| !part.is_empty());
            parts.map(|part| named(choices, part)).collect::<Vec<_>>().join("\n")
        }
        _ => typed.to_owned(),
    };
    kind.canonical(&named).and_then(|answer| match answer.is_empty() {
        true => Err(format!("an answer is needed. Type {}", kind.wanted())),
        false => Ok(answer),
    })
}

/// How an answer is shown to someone who asks for it: as it would be typed, each with its words where it is chosen.
pub(crate) fn shown(kind: &AnswerKind, answer: &str) -> Vec<String> {
    let numbered = |line: &str| match choices(kind).iter().position(|choice| choice == line) {
        Some(at) => format!("{}. {line}", at + 1),
        None => line.to_owned(),
    };
    answer.lines().map(numbered).collect()
}

/// What may be chosen, where something may be.
pub(crate) fn choices(kind: &AnswerKind) -> &[String] {
    match kind {
        AnswerKind::Choice(choices) | AnswerKind::Choices(choices) => choices,
        _ => &[],
    }
}

/// The words of a choice that is meant by its number, or by both as in the list: `2. eth0`. Choices may be numbers
/// themselves: their words come first.
fn named(choices: &[String], typed: &str) -> String {
    let typed = typed.trim();
    let said = choices.iter().any(|choice| choice.eq_ignore_ascii_case(typed));
    let (number, words) = typed.split_once('.').unwrap_or((typed, ""));
    let at = number.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    let numbered = at.filter(|_| !said).and_then(|at| choices.get(at));
    let alike = |choice: &&String| words.is_empty() || words.trim().eq_ignore_ascii_case(choice);
    numbered.filter(alike).map_or(typed, String::as_str).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_meant_by_number_or_words() {
        let of = || vec!["cni0".to_owned(), "eth0".to_owned(), "flannel.100".to_owned()];
        let cases = [
            (AnswerKind::Number, "8472", Some("8472")),
            (AnswerKind::Number, "net:[4026534535]", Some("4026534535")),
            (AnswerKind::Number, "about five", None),
            (AnswerKind::Number, " ", None),
            (AnswerKind::Choice(of()), "2", Some("eth0")),
            (AnswerKind::Choice(of()), "ETH0", Some("eth0")),
            (AnswerKind::Choice(of()), "    3. flannel.100", Some("flannel.100")),
            (AnswerKind::Choice(of()), "2. flannel.100", None),
            (AnswerKind::Choice(of()), "0", None),
            (AnswerKind::Choice(of()), "4", None),
            (AnswerKind::Choices(of()), "3, cni0,3", Some("cni0\nflannel.100")),
            (AnswerKind::Choices(of()), " 3 1", Some("cni0\nflannel.100")),
            (AnswerKind::Choices(of()), "1, 4", None),
            (AnswerKind::Choices(of()), ",", None),
            (AnswerKind::Choice(vec!["2".to_owned(), "1".to_owned()]), "1", Some("1")),
        ];
        for (kind, typed, taken) in cases {
            assert_eq!(read(&kind, typed).ok().as_deref(), taken, "{kind:?}: {typed}");
        }
    }

    #[test]
    fn what_was_chosen_is_shown_by_number_and_words() {
        let kind = AnswerKind::Choices(["cni0", "eth0", "lo"].map(str::to_owned).to_vec());
        assert_eq!(shown(&kind, "cni0\nlo"), ["1. cni0", "3. lo"]);
        assert_eq!(shown(&AnswerKind::Number, "8472"), ["8472"]);
    }
}
