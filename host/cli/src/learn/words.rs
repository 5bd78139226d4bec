//! Words of a text, and how they are set on lines of a width. A command stays on a line as long as it fits there.

use anstyle::Style;
use unicode_width::UnicodeWidthChar;

use super::shell;
use super::theme::{Span, columns};

/// What is not divided, as long as it fits on a line: spans without space between them.
#[derive(Clone, Default)]
pub(super) struct Word {
    spans: Vec<Span>,
    /// Spaces before it, where it doesn't begin a line.
    space: usize,
    /// Whether it begins a line.
    breaks: bool,
    /// Whether a command of several words is in it, which is divided as bash reads it.
    code: bool,
}

impl Word {
    pub(super) fn width(&self) -> usize {
        columns(&self.spans)
    }

    pub(super) fn restyled(mut self, style: Style) -> Word {
        if style != Style::new() {
            self.spans.iter_mut().for_each(|span| span.style = style | span.style.get_effects());
        }
        self
    }

    /// In pieces of at most that width.
    fn divided(&self, width: usize) -> Vec<Vec<Span>> {
        let mut lines: Vec<Vec<Span>> = vec![Vec::new()];
        for span in &self.spans {
            let parts = match self.code && span.text.contains(' ') {
                true => shell::wrapped(&span.text, width),
                false => vec![span.text.clone()],
            };
            let parts = parts.into_iter().flat_map(|part| divided(&Span::styled(part, span.style), width));
            for (number, part) in parts.enumerate() {
                match lines.last_mut() {
                    Some(line) if number == 0 && columns(line) + part.width() <= width => line.push(part),
                    _ => lines.push(vec![part]),
                }
            }
        }
        lines.retain(|line| !line.is_empty());
        lines
    }
}

/// A span in pieces of at most that width.
pub(super) fn divided(span: &Span, width: usize) -> Vec<Span> {
    let mut parts = vec![Span::styled(String::new(), span.style)];
    let mut used = 0;
    for character in span.text.chars() {
        let wide = character.width().unwrap_or_default();
        if used + wide > width && used > 0 {
            parts.push(Span::styled(String::new(), span.style));
            used = 0;
        }
        used += wide;
        parts.last_mut().into_iter().for_each(|part| part.text.push(character));
    }
    parts
}

/// Adds a piece of code to the word that is open, or as a word: its spaces don't divide it.
pub(super) fn code(text: &str, style: Style, words: &mut Vec<Word>, open: &mut bool) {
    let span = Span::styled(text, style);
    match words.last_mut() {
        Some(last) if *open => {
            last.spans.push(span);
            last.code = true;
        }
        _ => words.push(Word { spans: vec![span], code: true, ..Word::default() }),
    }
    *open = true;
}

/// Words of a text whose spaces count, such as a command.
pub(super) fn words(text: &str, style: Style) -> Vec<Word> {
    let mut words = Vec::new();
    split(text, style, &mut words, &mut false);
    words
}

/// Adds the words of `text`; `open` says whether the last one goes on in what follows.
pub(super) fn split(text: &str, style: Style, words: &mut Vec<Word>, open: &mut bool) {
    let (mut space, mut breaks) = (0, false);
    for part in text.split_inclusive([' ', '\n']) {
        let content = part.trim_end_matches([' ', '\n']);
        if !content.is_empty() {
            let span = Span::styled(content.to_owned(), style);
            match words.last_mut() {
                Some(last) if *open && space == 0 && !breaks => last.spans.push(span),
                _ => words.push(Word { spans: vec![span], space, breaks, code: false }),
            }
            (space, breaks, *open) = (0, false, true);
        }
        if part.ends_with(' ') {
            (space, *open) = (space + 1, false);
        } else if part.ends_with('\n') {
            (breaks, *open) = (true, false);
        }
    }
    // What follows in another piece begins a word of its own.
    if space > 0 || breaks {
        words.push(Word { space, breaks, ..Word::default() });
        *open = true;
    }
}

pub(super) fn line_width(words: &[Word]) -> usize {
    words.iter().enumerate().map(|(at, word)| word.width() + if at > 0 { word.space } else { 0 }).sum()
}

pub(super) fn wrapped(words: &[Word], width: usize) -> Vec<Vec<Span>> {
    let (mut lines, mut line, mut used) = (Vec::new(), Vec::<Span>::new(), 0);
    for word in words {
        let wide = word.width();
        if wide == 0 && !word.breaks {
            continue;
        }
        let fits = used == 0 || used + word.space + wide <= width;
        if word.breaks || !fits {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        if wide > 0 && used > 0 {
            line.push(Span::styled(" ".repeat(word.space), between(&line, word)));
            used += word.space;
        }
        if wide <= width {
            line.extend(word.spans.iter().cloned());
            used += wide;
            continue;
        }
        let mut parts = word.divided(width.max(1));
        line = parts.pop().unwrap_or_default();
        used = columns(&line);
        lines.append(&mut parts);
    }
    lines.push(line);
    lines
}

/// The style of the space before a word: that of its neighbours, where they are alike.
fn between(line: &[Span], word: &Word) -> Style {
    let before = line.last().map(|span| span.style);
    let after = word.spans.first().map(|span| span.style);
    if before == after { before.unwrap_or_default() } else { Style::new() }
}
