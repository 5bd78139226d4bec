//! Sets a text at a width: wraps words, aligns tables, and leaves pictures alone. Commands are wrapped as bash reads
//! them; one in a paragraph stays on a line as long as it fits there.
//!
//! Invariant: no line is wider than asked for, but those of pictures and listings.

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

use super::shell;
use super::text::{Block, Commands, Ends, Inline, Kind, Piece, parse};
use super::theme::{Line, Span, Theme, columns};
use super::words::{Word, code, divided, line_width, split, words, wrapped};

/// No column of a table is made narrower, as long as there is a choice.
const NARROWEST: usize = 8;
/// Between the columns of a table.
const GAP: usize = 2;

/// A text as lines, and the commands in it.
pub(crate) struct Layout {
    theme: Theme,
    width: usize,
    pub(crate) lines: Vec<Line>,
    /// In the order in which they are numbered, from 1, each with the line that it begins on.
    pub(crate) commands: Vec<(usize, Commands)>,
}

/// What stands before each line: a first and the others.
#[derive(Clone, Default)]
struct Margin {
    first: Vec<Span>,
    rest: Vec<Span>,
}

impl Margin {
    fn under(&self, first: Span, rest: Span) -> Margin {
        let add = |to: &[Span], one| to.iter().cloned().chain([one]).collect();
        Margin { first: add(&self.first, first), rest: add(&self.rest, rest) }
    }

    /// The margin of the next line.
    fn take(&mut self) -> Vec<Span> {
        std::mem::replace(&mut self.first, self.rest.clone())
    }

    fn width(&self) -> usize {
        columns(&self.rest)
    }
}

impl Layout {
    /// Nothing yet, to be this wide.
    pub(crate) fn new(theme: Theme, width: usize) -> Layout {
        Layout { theme, width: width.max(NARROWEST), lines: Vec::new(), commands: Vec::new() }
    }

    /// Adds blocks, an empty line between them, each line indented by that much.
    pub(crate) fn blocks(&mut self, blocks: &[Block], indent: usize) {
        let space = Span::raw(" ".repeat(indent));
        self.in_margin(blocks, &mut Margin::default().under(space.clone(), space), true);
    }

    /// Adds a paragraph of Markdown with `before` in front of it, all of it in that style.
    pub(crate) fn line(&mut self, before: Span, markdown: &str, style: Style) {
        let blocks = parse(markdown);
        let words: Vec<_> = match blocks.as_slice() {
            [Block::Paragraph(inline)] => self.split(inline),
            // What only looks like a list or a heading, such as `# 1`.
            _ => words(markdown, Style::new()),
        };
        let words: Vec<_> = words.into_iter().map(|word| word.restyled(style)).collect();
        let rest = Span::raw(" ".repeat(before.width()));
        self.words(&words, &mut Margin::default().under(before, rest));
    }

    /// Adds text as it is, wrapped, with `before` in front of it.
    pub(crate) fn raw(&mut self, before: Span, text: &str) {
        let rest = Span::raw(" ".repeat(before.width()));
        self.words(&words(text, Style::new()), &mut Margin::default().under(before, rest));
    }

    /// Adds a script from the first column on, where nothing stands before what is copied.
    pub(crate) fn script(&mut self, script: &str) {
        self.code(script, &mut Margin::default());
    }

    /// Adds an empty line.
    pub(crate) fn gap(&mut self) {
        self.lines.push(vec![]);
    }

    fn in_margin(&mut self, blocks: &[Block], margin: &mut Margin, gaps: bool) {
        for (number, block) in blocks.iter().enumerate() {
            if number > 0 && gaps {
                self.lines.push(margin.rest.clone());
            }
            self.block(block, margin);
        }
    }

    fn block(&mut self, block: &Block, margin: &mut Margin) {
        match block {
            Block::Heading(inline) => {
                let words: Vec<_> =
                    self.split(inline).into_iter().map(|word| word.restyled(self.theme.heading())).collect();
                self.words(&words, margin);
            }
            Block::Paragraph(inline) => {
                let words = self.split(inline);
                self.words(&words, margin);
            }
            Block::Code(text) => {
                for line in text.trim_end_matches('\n').split('\n') {
                    self.push(margin, vec![Span::raw("  "), Span::raw(line.replace('\t', "    "))]);
                }
            }
            Block::Script(script) => {
                let mut inside = margin.under(Span::raw("  "), Span::raw("  "));
                margin.take();
                self.code(script.trim_end_matches('\n'), &mut inside);
            }
            Block::Commands(commands) => self.run(commands, margin),
            Block::List(first, items) => self.list(*first, items, margin),
            Block::Quote(blocks) => {
                let bar = Span::styled("│ ", self.theme.faint());
                self.in_margin(blocks, &mut margin.under(bar.clone(), bar), true);
                margin.take();
            }
            Block::Table(rows) => self.table(rows, margin),
            Block::Rule => {
                let line = "─".repeat(self.width.saturating_sub(margin.width()));
                self.push(margin, vec![Span::styled(line, self.theme.faint())]);
            }
        }
    }

    fn list(&mut self, first: Option<u64>, items: &[Vec<Block>], margin: &mut Margin) {
        let tight = |block: &Block| matches!(block, Block::Paragraph(_) | Block::List(..));
        let gaps = !items.iter().flatten().all(tight);
        for (number, blocks) in (0_u64..).zip(items) {
            if number > 0 && gaps {
                self.lines.push(margin.rest.clone());
            }
            let mark = first.map_or("• ".to_owned(), |first| format!("{}. ", first + number));
            let rest = Span::raw(" ".repeat(mark.width()));
            let mut inside = margin.under(Span::raw(mark), rest);
            margin.take();
            if blocks.is_empty() {
                self.push(&mut inside, vec![]);
            }
            self.in_margin(blocks, &mut inside, gaps);
        }
    }

    fn run(&mut self, commands: &Commands, margin: &mut Margin) {
        let number = self.commands.len() + 1;
        let how = match commands.ends {
            Ends::Well => "",
            Ends::Fails => ", fails",
            Ends::Stops => ", until Ctrl-C",
        };
        self.commands.push((self.lines.len(), commands.clone()));
        let head = vec![
            Span::styled(format!("▶ {number}"), self.theme.key()),
            Span::styled(format!("  on {}{how}", commands.target), self.theme.faint()),
        ];
        self.push(margin, head);
        for line in &commands.lines {
            let mut inside = margin.under(Span::raw("    "), Span::raw("    "));
            margin.take();
            self.code(line, &mut inside);
        }
    }

    /// Adds commands of a shell.
    fn code(&mut self, script: &str, margin: &mut Margin) {
        let style = self.theme.piece(Kind { code: true, ..Kind::default() });
        let width = self.width.saturating_sub(margin.width()).max(1);
        for line in shell::wrapped(script, width) {
            for part in divided(&Span::styled(line, style), width) {
                self.push(margin, vec![part]);
            }
        }
    }

    fn table(&mut self, rows: &[Vec<Inline>], margin: &mut Margin) {
        let rows: Vec<Vec<_>> = rows.iter().map(|row| row.iter().map(|cell| self.split(cell)).collect()).collect();
        let count = rows.iter().map(Vec::len).max().unwrap_or_default();
        let widest = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| line_width(cell)).max();
        let natural = (0..count).map(|at| widest(at).unwrap_or_default()).collect();
        let widths = narrowed(natural, self.width.saturating_sub(margin.width()));
        for (number, row) in rows.iter().enumerate() {
            let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| wrapped(cell, *width)).collect();
            for line in 0..cells.iter().map(Vec::len).max().unwrap_or_default() {
                let mut spans = Vec::new();
                for (cell, width) in cells.iter().zip(&widths) {
                    let content = cell.get(line).cloned().unwrap_or_default();
                    let used = columns(&content);
                    spans.extend(content);
                    spans.push(Span::raw(" ".repeat(width.saturating_sub(used) + GAP)));
                }
                spans.pop();
                self.push(margin, spans);
            }
            if number == 0 {
                let bars: Vec<_> = widths.iter().map(|width| "─".repeat(*width)).collect();
                self.push(margin, vec![Span::styled(bars.join(&" ".repeat(GAP)), self.theme.faint())]);
            }
        }
    }

    fn words(&mut self, words: &[Word], margin: &mut Margin) {
        for line in wrapped(words, self.width.saturating_sub(margin.width())) {
            self.push(margin, line);
        }
    }

    fn push(&mut self, margin: &mut Margin, content: Vec<Span>) {
        let mut line = margin.take();
        for span in content {
            match line.last_mut() {
                Some(last) if last.style == span.style => last.text += &span.text,
                _ => line.push(span),
            }
        }
        self.lines.push(line);
    }

    fn split(&self, inline: &[Piece]) -> Vec<Word> {
        let mut words = Vec::new();
        let mut open = false;
        for piece in inline {
            let style = self.theme.piece(piece.kind);
            match piece.kind.code {
                true => code(&piece.text, style, &mut words, &mut open),
                false => split(&piece.text, style, &mut words, &mut open),
            }
        }
        words
    }
}

/// Widths that fit side by side: the widest give way first.
fn narrowed(mut widths: Vec<usize>, width: usize) -> Vec<usize> {
    let room = width.saturating_sub(GAP * widths.len().saturating_sub(1));
    while widths.iter().sum::<usize>() > room {
        match widths.iter_mut().max() {
            Some(widest) if *widest > NARROWEST => *widest -= 1,
            _ => break,
        }
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &[Span]) -> String {
        line.iter().map(|span| span.text.as_str()).collect()
    }

    fn set(markdown: &str, width: usize) -> Vec<String> {
        let mut layout = Layout::new(Theme { color: false, ascii: false }, width);
        layout.blocks(&parse(markdown), 0);
        layout.lines.iter().map(|line| text(line).trim_end().to_owned()).collect()
    }

    #[test]
    fn words_wrap_and_pieces_of_a_word_stay_together() {
        let lines = set("A **bold**, long `ip link` text with 1234567890123456789012345 in it.\\\nNew.", 20);
        let expected = ["A bold, long ip link", "text with", "12345678901234567890", "12345 in it.", "New."];
        assert_eq!(lines, expected);
    }

    #[test]
    fn commands_stay_whole_or_are_continued() {
        let hint = "Then `ip netns add blue`, in a shell of the node, \
                    or (`nft add chain ip t c '{ a; b; }' x`) instead.";
        let expected = [
            "Then ip netns add blue,",
            "in a shell of the node,",
            "or",
            "(nft add chain ip t c \\",
            "    '{ a; b; }' x)",
            "instead.",
        ];
        assert_eq!(set(hint, 24), expected);
        let fenced = "```sh\necho * \\( a '  b' c d e f g h\n```\n";
        assert_eq!(set(fenced, 24), ["  echo * \\( a '  b' c \\", "      d e f g h"]);
    }

    #[test]
    fn lists_hang_and_quotes_have_a_bar() {
        let lines = set("1. one two three four\n2. b\n\n> quoted\n> words here\n\n- x\n  - y\n", 14);
        let expected = ["1. one two", "   three four", "2. b", "", "│ quoted words", "│ here", "", "• x", "  • y"];
        assert_eq!(lines, expected);
    }

    #[test]
    fn pictures_stay_as_they_are() {
        let lines = set("```\n┌──┐  wider than the line\n│  │\n```\n", 10);
        assert_eq!(lines, ["  ┌──┐  wider than the line", "  │  │"]);
    }

    #[test]
    fn tables_fit() {
        let table = "| entry | what it does for a packet |\n|---|---|\n| FDB | where |\n| `neighbour` | who has it |\n";
        let wide = [
            "entry      what it does for a packet",
            "─────────  ─────────────────────────",
            "FDB        where",
            "neighbour  who has it",
        ];
        assert_eq!(set(table, 40), wide);
        let narrow = [
            "entry      what it",
            "           does for a",
            "           packet",
            "─────────  ───────────",
            "FDB        where",
            "neighbour  who has it",
        ];
        assert_eq!(set(table, 22), narrow);
        let narrowest = set(table, 18);
        assert!(narrowest.iter().all(|line| line.width() <= 18), "{narrowest:#?}");
    }

    #[test]
    fn commands_are_numbered_and_say_where_they_run() {
        let mut layout = Layout::new(Theme { color: false, ascii: false }, 30);
        layout.blocks(&parse("Do\n\n```sh C0w1\nip netns add blue\nip -n blue link set lo up now\n```\n\n```sh C0w1.c1 stops\nping x\n```\n"), 0);
        let lines: Vec<_> = layout.lines.iter().map(|line| text(line)).collect();
        let expected = [
            "Do",
            "",
            "▶ 1  on C0w1",
            "    ip netns add blue",
            "    ip -n blue link set lo \\",
            "        up now",
            "",
            "▶ 2  on C0w1.c1, until Ctrl-C",
            "    ping x",
        ];
        assert_eq!(lines, expected);
        // What a key runs is what the author wrote.
        assert_eq!(layout.commands[0].1.lines, ["ip netns add blue", "ip -n blue link set lo up now"]);
        let starts: Vec<_> = layout.commands.iter().map(|(line, _)| *line).collect();
        assert_eq!(starts, [2, 7]);
    }
}
