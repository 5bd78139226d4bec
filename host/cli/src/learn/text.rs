//! A chapter's Markdown as a tree that can be set at any width, and the commands that it holds.
//!
//! Invariant: whatever Markdown comes in, no text of it is lost; HTML is shown as it is written.

use std::iter::Peekable;

use knetsim_model::Target;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// A part of a text that stands on lines of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    Heading(Inline),
    Paragraph(Inline),
    /// A picture or a listing: never wrapped.
    Code(String),
    /// Commands of a shell that are only read.
    Script(String),
    /// Commands that the learner can run by a key.
    Commands(Commands),
    /// Items; numbered from the number on, where there is one.
    List(Option<u64>, Vec<Vec<Block>>),
    Quote(Vec<Block>),
    /// The first row is the header.
    Table(Vec<Vec<Inline>>),
    Rule,
}

/// Pieces of text one after the other; `\n` in one ends a line.
pub(crate) type Inline = Vec<Piece>;

/// Text of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) text: String,
    pub(crate) kind: Kind,
}

/// How a piece is emphasized.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) strong: bool,
    pub(crate) emphasis: bool,
    pub(crate) code: bool,
    pub(crate) link: bool,
}

/// A fenced block whose info string is `sh TARGET [fails|stops]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commands {
    /// Where they run.
    pub(crate) target: Target,
    /// How they end.
    pub(crate) ends: Ends,
    /// One a line.
    pub(crate) lines: Vec<String>,
}

/// How commands end when all is as the text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// With 0.
    Well,
    /// With another status.
    Fails,
    /// Not before they are interrupted.
    Stops,
}

impl Commands {
    /// None where the info string is another one.
    fn from_info(info: &str, text: &str) -> Option<Commands> {
        let mut words = info.split_whitespace();
        if words.next() != Some("sh") {
            return None;
        }
        let target = words.next()?.parse().ok()?;
        let ends = match words.next() {
            None => Ends::Well,
            Some("fails") => Ends::Fails,
            Some("stops") => Ends::Stops,
            Some(_) => return None,
        };
        let lines = text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
        Some(Commands { target, ends, lines })
    }
}

/// Reads Markdown: CommonMark and tables.
pub(crate) fn parse(markdown: &str) -> Vec<Block> {
    let events = Parser::new_ext(markdown, Options::ENABLE_TABLES);
    Reader { events: events.peekable() }.blocks()
}

/// A line of Markdown without its marks.
pub(crate) fn plain(markdown: &str) -> String {
    match parse(markdown).as_slice() {
        [Block::Paragraph(inline)] => inline.iter().map(|piece| piece.text.as_str()).collect(),
        _ => markdown.to_owned(),
    }
}

struct Reader<'a, I: Iterator<Item = Event<'a>>> {
    events: Peekable<I>,
}

impl<'a, I: Iterator<Item = Event<'a>>> Reader<'a, I> {
    /// Blocks up to the end of what holds them, which is taken, too.
    fn blocks(&mut self) -> Vec<Block> {
        let mut blocks = Vec::new();
        while let Some(event) = self.events.peek() {
            match event {
                Event::End(_) => {
                    self.events.next();
                    break;
                }
                Event::Start(tag) if is_block(tag) => {
                    if let Some(Event::Start(tag)) = self.events.next() {
                        blocks.extend(self.block(tag));
                    }
                }
                Event::Rule => {
                    self.events.next();
                    blocks.push(Block::Rule);
                }
                // Text without a paragraph around it, as in the items of a tight list.
                _ => blocks.push(Block::Paragraph(self.inline(false))),
            }
        }
        blocks
    }

    fn block(&mut self, tag: Tag<'a>) -> Vec<Block> {
        match tag {
            Tag::Heading { .. } => vec![Block::Heading(self.inline(true))],
            Tag::CodeBlock(kind) => {
                let text: String = self.inline(true).into_iter().map(|piece| piece.text).collect();
                let info = match &kind {
                    CodeBlockKind::Fenced(info) => info.trim(),
                    CodeBlockKind::Indented => "",
                };
                vec![match Commands::from_info(info, &text) {
                    Some(commands) => Block::Commands(commands),
                    None if info == "sh" => Block::Script(text),
                    None => Block::Code(text),
                }]
            }
            Tag::List(first) => {
                let mut items = Vec::new();
                while matches!(self.events.next(), Some(Event::Start(Tag::Item))) {
                    items.push(self.blocks());
                }
                vec![Block::List(first, items)]
            }
            Tag::BlockQuote(_) => vec![Block::Quote(self.blocks())],
            Tag::Table(_) => {
                let mut rows = Vec::new();
                while matches!(self.events.next(), Some(Event::Start(Tag::TableHead | Tag::TableRow))) {
                    let mut cells = Vec::new();
                    while matches!(self.events.next(), Some(Event::Start(Tag::TableCell))) {
                        cells.push(self.inline(true));
                    }
                    rows.push(cells);
                }
                vec![Block::Table(rows)]
            }
            Tag::Paragraph | Tag::HtmlBlock => vec![Block::Paragraph(self.inline(true))],
            // What else stands on its own is of extensions that aren't switched on.
            _ => self.blocks(),
        }
    }

    /// Text up to the end of what holds it, which is taken with `to_end`, or up to the next block.
    fn inline(&mut self, to_end: bool) -> Inline {
        let (mut pieces, mut kinds, mut links) = (Inline::new(), vec![Kind::default()], Vec::new());
        loop {
            let kind = kinds.last().copied().unwrap_or_default();
            match self.events.peek() {
                None => return pieces,
                Some(Event::End(_)) if kinds.len() == 1 => {
                    if to_end {
                        self.events.next();
                    }
                    return pieces;
                }
                Some(Event::Start(tag)) if is_block(tag) => return pieces,
                Some(Event::Rule) => return pieces,
                Some(_) => {}
            }
            match self.events.next() {
                Some(Event::Start(Tag::Strong)) => kinds.push(Kind { strong: true, ..kind }),
                Some(Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. })) => {
                    links.push((pieces.len(), dest_url.into_string()));
                    kinds.push(Kind { link: true, ..kind });
                }
                Some(Event::Start(_)) => kinds.push(Kind { emphasis: true, ..kind }),
                Some(Event::End(TagEnd::Link | TagEnd::Image)) => {
                    kinds.pop();
                    pieces.extend(links.pop().and_then(|(from, url)| address(&pieces[from..], &url)));
                }
                Some(Event::End(_)) => drop(kinds.pop()),
                Some(Event::Code(text)) => {
                    pieces.push(Piece { text: text.into_string(), kind: Kind { code: true, ..kind } });
                }
                Some(Event::SoftBreak) => pieces.push(Piece { text: " ".to_owned(), kind }),
                Some(Event::HardBreak) => pieces.push(Piece { text: "\n".to_owned(), kind }),
                Some(
                    Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) | Event::FootnoteReference(text),
                ) => pieces.push(Piece { text: text.into_string(), kind }),
                Some(_) | None => {}
            }
        }
    }
}

/// Where a link leads, unless its text says so itself.
fn address(text: &[Piece], url: &str) -> Option<Piece> {
    let said: String = text.iter().map(|piece| piece.text.as_str()).collect();
    (said != url).then(|| Piece { text: format!(" ({url})"), kind: Kind::default() })
}

fn is_block(tag: &Tag<'_>) -> bool {
    !matches!(
        tag,
        Tag::Emphasis
            | Tag::Strong
            | Tag::Strikethrough
            | Tag::Superscript
            | Tag::Subscript
            | Tag::Link { .. }
            | Tag::Image { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Piece {
        Piece { text: text.to_owned(), kind: Kind::default() }
    }

    #[test]
    fn emphasis_code_and_links_are_pieces() {
        let blocks = parse("# A *b*\n\nSee `ip -d link`, **now\nthen** <x> [here](http://a).");
        let piece = |text: &str, kind| Piece { text: text.to_owned(), kind };
        let (none, strong) = (Kind::default(), Kind { strong: true, ..Kind::default() });
        let expected = vec![
            Block::Heading(vec![plain("A "), piece("b", Kind { emphasis: true, ..none })]),
            Block::Paragraph(vec![
                plain("See "),
                piece("ip -d link", Kind { code: true, ..none }),
                plain(", "),
                piece("now", strong),
                piece(" ", strong),
                piece("then", strong),
                plain(" "),
                plain("<x>"),
                plain(" "),
                piece("here", Kind { link: true, ..none }),
                plain(" (http://a)"),
                plain("."),
            ]),
        ];
        assert_eq!(blocks, expected);
    }

    #[test]
    fn lists_nest_and_tables_have_rows() {
        let blocks = parse("3. a\n   - b\n4. c\n\n| x | y |\n|---|---|\n| 1 | 2 |\n\n> q\n\n---\n");
        let paragraph = |text| Block::Paragraph(vec![plain(text)]);
        let inner = Block::List(None, vec![vec![paragraph("b")]]);
        let expected = vec![
            Block::List(Some(3), vec![vec![paragraph("a"), inner], vec![paragraph("c")]]),
            Block::Table(vec![vec![vec![plain("x")], vec![plain("y")]], vec![vec![plain("1")], vec![plain("2")]]]),
            Block::Quote(vec![paragraph("q")]),
            Block::Rule,
        ];
        assert_eq!(blocks, expected);
    }

    #[test]
    fn only_whole_info_strings_make_commands() {
        let fence = |info: &str| parse(&format!("```{info}\nip a\n\nip r\n```\n")).remove(0);
        for (info, ends) in [("sh C0w1", Ends::Well), ("sh C0w1 fails", Ends::Fails), ("sh C0w1 stops", Ends::Stops)] {
            let lines = vec!["ip a".to_owned(), "ip r".to_owned()];
            let target = "C0w1".parse().unwrap();
            assert_eq!(fence(info), Block::Commands(Commands { target, ends, lines }), "{info}");
        }
        assert_eq!(fence("sh"), Block::Script("ip a\n\nip r\n".to_owned()));
        for info in ["", "text", "sh C0w1 often", "sh no/such/place"] {
            assert_eq!(fence(info), Block::Code("ip a\n\nip r\n".to_owned()), "{info}");
        }
    }
}
