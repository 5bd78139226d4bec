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
    if named.trim().is_empty() {
        return Err(format!("Type {}.", wanted(kind)));
    }
    kind.canonical(&named).map_err(|why| format!("{why}. Type {}.", wanted(kind)))
}

/// What a question takes, in words.
pub(crate) fn wanted(kind: &AnswerKind) -> &'static str {
    match kind {
        AnswerKind::Text => "a word or some",
        AnswerKind::Number => "a whole number, such as 8472",
        AnswerKind::Address => "an address, such as 11.10.0.2, or a network, such as 11.10.0.0/20",
        AnswerKind::Mac => "a hardware address, such as 02:00:00:00:00:01",
        AnswerKind::Choice(_) => "the number of one of them",
        AnswerKind::Choices(_) => "the numbers of all that are right, with commas: 1, 3",
    }
}

/// What may be chosen, where something may be.
pub(crate) fn choices(kind: &AnswerKind) -> &[String] {
    match kind {
        AnswerKind::Choice(choices) | AnswerKind::Choices(choices) => choices,
        _ => &[],
    }
}

/// The words of a choice that is meant by its number. Choices may be numbers themselves: their words come first.
fn named(choices: &[String], typed: &str) -> String {
    let typed = typed.trim();
    let said = choices.iter().any(|choice| choice.eq_ignore_ascii_case(typed));
    let at = typed.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    let numbered = at.filter(|_| !said).and_then(|at| choices.get(at));
    numbered.map_or(typed, String::as_str).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_meant_by_number_or_words() {
        let of = || vec!["cni0".to_owned(), "eth0".to_owned(), "flannel.100".to_owned()];
        let cases = [
            (AnswerKind::Number, "8472", Some("8472")),
            (AnswerKind::Number, "about 5", None),
            (AnswerKind::Choice(of()), "2", Some("eth0")),
            (AnswerKind::Choice(of()), "ETH0", Some("eth0")),
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
}
