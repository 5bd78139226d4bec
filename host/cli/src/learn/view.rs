//! Draws the screen: as many lines as it has rows, none wider than its columns.
//!
//! ```text
//! title, progress
//! the section, scrolled; or help; or a list
//! ─────────
//! the chosen task and what is missing; or a question; or what is being done
//! keys
//! ```

use anstyle::Style;
use knetsim_model::chapter::AnswerKind;

use super::document::{Document, mark};
use super::layout::Layout;
use super::menu::Menu;
use super::screen::{Mode, Question, Screen};
use super::session::{Session, Standing};
use super::theme::{Line, Span, Theme, columns};
use crate::output;

const HELP: &[(&str, &str)] = &[
    ("n p", "next section, previous section"),
    ("↑ ↓ j k", "scroll by a line; Space and b by a page; g and G to the beginning and the end"),
    ("Tab", "choose another task of this section: → points to it"),
    ("h", "a hint for the chosen task, then another one"),
    ("s", "how the chosen task is solved: it is done for you"),
    ("a", "answer the chosen question"),
    ("S", "skip the chosen task, or take it up again"),
    ("1 - 9", "run the commands ▶ of that number where the text says"),
    ("x", "pick commands to run from a list"),
    ("t", "a shell on a node or in a container; leave it by Ctrl-D"),
    ("l", "all tasks of the chapter, and how they stand"),
    ("c", "check all tasks now, skipped ones too"),
    ("r", "reset: a new sandbox"),
    ("q", "quit: the sandbox ends, what is solved is kept"),
];

/// Draws it.
pub(crate) fn draw(
    session: &Session,
    screen: &mut Screen,
    document: &Document,
    theme: Theme,
    size: (usize, usize),
) -> Vec<Line> {
    let (rows, width) = (size.0.max(4), size.1.max(10));
    let mut panel = panel(session, screen, theme, width);
    panel.truncate((rows / 3).max(1));
    let height = rows - panel.len() - 3;
    screen.fit(height, session, document);
    let body = match &screen.mode {
        Mode::Help => help(session, theme, width),
        Mode::Menu(menu) => list(menu, theme, height),
        _ => document.lines.iter().skip(screen.top).cloned().collect(),
    };
    let mut lines = vec![header(session, theme, width)];
    lines.extend(body.into_iter().chain(std::iter::repeat(vec![])).take(height));
    lines.push(rule(screen, document, theme, width));
    lines.extend(panel);
    lines.push(footer(session, screen, document, theme, width));
    lines.into_iter().take(size.0).map(|line| cut(theme.fit(line), size.1)).collect()
}

fn header(session: &Session, theme: Theme, width: usize) -> Line {
    let (solved, all) = session.count();
    let (section, sections) = (session.progress.section + 1, session.outline.sections.len());
    let right = match width {
        60.. => format!("section {section} of {sections}   {solved} of {all} tasks "),
        _ => format!("{section}/{sections}  {solved}/{all} "),
    };
    let room = width.saturating_sub(right.len() + 1);
    let left = cut(vec![Span::raw(format!(" {}: {}", session.name, session.outline.title))], room);
    let gap = room.saturating_sub(columns(&left)) + 1;
    let text: String = left.into_iter().map(|span| span.text).collect();
    vec![Span::styled(format!("{text}{}{right}", " ".repeat(gap)), theme.chosen())]
}

/// Between the text and the panel: says how much of the text is above and below.
fn rule(screen: &Screen, document: &Document, theme: Theme, width: usize) -> Line {
    let seen = screen.top + screen.height;
    let all = document.lines.len();
    let reading = !matches!(screen.mode, Mode::Help | Mode::Menu(_));
    let said = match (reading, screen.top > 0, seen < all) {
        (true, _, true) => format!(" ↓ {} more: Space ", output::count(all - seen, "line")),
        (true, true, false) => " ↑ b ".to_owned(),
        _ => String::new(),
    };
    let bar = "─".repeat(width.saturating_sub(columns(&[Span::raw(said.as_str())]) + 2));
    vec![Span::styled(bar, theme.faint()), Span::raw(said), Span::styled("──", theme.faint())]
}

fn panel(session: &Session, screen: &Screen, theme: Theme, width: usize) -> Vec<Line> {
    let mut layout = Layout::new(theme, width);
    let mut say = |text: &str, style| layout.line(Span::raw(" "), text, style);
    match (&screen.mode, &screen.busy, &screen.notice) {
        (Mode::Answering(typed), _, notice) => return prompt(session, typed, notice.as_deref(), theme, width),
        (Mode::Confirming(question), ..) => asked(session, *question).iter().for_each(|line| say(line, theme.key())),
        (Mode::Menu(menu), ..) => {
            layout.raw(Span::styled(format!(" {}: ", menu.title), theme.key()), &format!("{}_", menu.typed))
        }
        (_, Some(busy), _) => say(busy, theme.key()),
        (_, None, Some(notice)) => say(notice, theme.missing()),
        _ => return chosen(session, theme, width),
    }
    layout.lines
}

/// The chosen task, and what the last check found missing.
fn chosen(session: &Session, theme: Theme, width: usize) -> Vec<Line> {
    let mut layout = Layout::new(theme, width);
    let Some(task) = session.task() else {
        layout.line(Span::raw(" "), "There is nothing to do in this section. n goes on.", Style::new());
        return layout.lines;
    };
    if session.section_done() {
        let (solved, all) = session.count();
        let all_solved = if solved == all { "The whole chapter is solved. Well done!" } else { "n goes on." };
        layout.line(Span::styled(" ✓ ", theme.done()), &format!("All done here. {all_solved}"), theme.done());
        return layout.lines;
    }
    let standing = session.standing(task);
    let (mark, said) = mark(&standing);
    let style = if standing == Standing::Solved { theme.done() } else { theme.heading() };
    layout.line(Span::styled(format!(" {mark} "), style), &format!("{}{said}", task.title), style);
    for line in session.missing(&task.name) {
        layout.line(Span::styled("   – ", theme.missing()), line, theme.missing());
    }
    layout.lines
}

fn prompt(session: &Session, typed: &str, notice: Option<&str>, theme: Theme, width: usize) -> Vec<Line> {
    let mut layout = Layout::new(theme, width);
    let task = session.task();
    layout.line(Span::raw(" "), task.map(|task| task.title.as_str()).unwrap_or_default(), theme.heading());
    let wanted = task.and_then(|task| task.question.as_ref()).map(AnswerKind::wanted).unwrap_or_default();
    layout.line(Span::raw(" "), notice.unwrap_or(&format!("Type {wanted}.")), theme.missing());
    layout.raw(Span::styled(" > ", theme.key()), &format!("{typed}_"));
    layout.lines
}

fn asked(session: &Session, question: Question) -> Vec<String> {
    match question {
        Question::Solution => {
            let task = session.task();
            let title = task.map(|task| task.title.as_str()).unwrap_or_default();
            let how = match task.and_then(|task| task.question.as_ref()) {
                Some(_) => "Show the answer to",
                None => "Do it for you, in the sandbox",
            };
            vec![format!("{how}: {title}?"), "y  yes".to_owned(), "any other key  no".to_owned()]
        }
        Question::Reset => [
            "A new sandbox? Shells in this one end.",
            "y  yes, and keep what is solved",
            "a  all over again: forget what is solved",
            "any other key  no",
        ]
        .map(str::to_owned)
        .to_vec(),
    }
}

/// What each key does, so far as there is room: those that matter now come first.
fn footer(session: &Session, screen: &Screen, document: &Document, theme: Theme, width: usize) -> Line {
    let question = session.task().is_some_and(|task| task.question.is_some());
    let keys: Vec<(&str, &str)> = match &screen.mode {
        Mode::Answering(_) => vec![("Enter", "answer"), ("Esc", "back")],
        Mode::Menu(_) => vec![("↑ ↓", "move"), ("Enter", "pick"), ("type", "to find"), ("Esc", "back")],
        Mode::Help => vec![("any key", "back")],
        Mode::Confirming(_) => vec![],
        Mode::Reading => [
            (true, ("?", "help")),
            (true, ("q", "quit")),
            (true, ("n", "next")),
            (!document.commands.is_empty(), ("1-9", "run")),
            (question, ("a", "answer")),
            (session.task().is_some(), ("h", "hint")),
            (session.task().is_some(), ("s", "solution")),
            (true, ("t", "shell")),
            (true, ("l", "list")),
            (true, ("r", "reset")),
            (true, ("p", "back")),
        ]
        .into_iter()
        .filter_map(|(now, key)| now.then_some(key))
        .collect(),
    };
    let mut line = vec![Span::raw(" ")];
    for (key, what) in keys {
        let entry = [Span::styled(key, theme.key()), Span::raw(format!(" {what}   "))];
        if columns(&line) + columns(&entry) <= width + 3 {
            line.extend(entry);
        }
    }
    line
}

fn help(session: &Session, theme: Theme, width: usize) -> Vec<Line> {
    let mut layout = Layout::new(theme, width);
    for (keys, what) in HELP {
        layout.line(Span::styled(format!(" {keys:<9}"), theme.key()), what, Style::new());
    }
    layout.gap();
    let elsewhere = format!(
        "Tasks turn green by themselves. A shell in another terminal: knetsim shell C0w1, \
         or any knetsim command; this sandbox is learn-{}, where several run: --name.",
        session.name
    );
    layout.line(Span::raw(" "), &elsewhere, Style::new());
    layout.lines
}

fn list(menu: &Menu, theme: Theme, height: usize) -> Vec<Line> {
    let first = (menu.cursor + 1).saturating_sub(height);
    let line = |(at, text): (usize, &str)| {
        let style = if at == menu.cursor { theme.chosen() } else { Style::new() };
        let pointer = if at == menu.cursor { "→" } else { " " };
        vec![Span::raw(format!(" {pointer} ")), Span::styled(text, style)]
    };
    menu.shown().into_iter().enumerate().skip(first).map(line).collect()
}

/// As much of a line as fits.
fn cut(line: Line, width: usize) -> Line {
    if columns(&line) <= width {
        return line;
    }
    let (mut short, mut used) = (Line::new(), 0);
    for span in line {
        let mut text = String::new();
        for character in span.text.chars() {
            let wide = unicode_width::UnicodeWidthChar::width(character).unwrap_or_default();
            if used + wide > width {
                short.push(Span { text, style: span.style });
                return short;
            }
            used += wide;
            text.push(character);
        }
        short.push(Span { text, style: span.style });
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{document, sample};
    use knetsim_model::chapter::Verdict;
    use termion::event::Key;

    const PLAIN: Theme = Theme { color: false, ascii: false };

    /// What the screen shows after some keys.
    fn shown(session: &mut Session, keys: &str, theme: Theme, size: (usize, usize)) -> Vec<String> {
        let mut screen = Screen::default();
        for key in keys.chars().map(Key::Char) {
            let document = document::section(session, theme, size.1);
            draw(session, &mut screen, &document, theme, size);
            screen.key(key, session, &document);
        }
        let document = document::section(session, theme, size.1);
        let lines = draw(session, &mut screen, &document, theme, size);
        assert_eq!(lines.len(), size.0);
        assert!(lines.iter().all(|line| columns(line) <= size.1), "{lines:#?}");
        let text = |line: &Line| line.iter().map(|span| span.text.as_str()).collect::<String>().trim_end().to_owned();
        lines.iter().map(text).collect()
    }

    fn missing() -> Session {
        let mut session = sample::session();
        session.judge("make", Verdict::Missing(vec!["`box` has no namespace `blue` yet".to_owned()]));
        session
    }

    #[test]
    fn a_section_on_80_by_24() {
        let expected = "
 sample: Namespaces                               section 1 of 2   0 of 4 tasks
By hand

A namespace has its own devices, addresses and routes. Make one on box:

▶ 1  on box
    ip netns add blue

    box ──── blue

command      shows
───────────  ──────────────────────
ip netns     namespaces with a name
lsns -t net  all of them

→ ○ Make a namespace
    Make the namespace blue on box.
    – box has no namespace blue yet

  ○ Give it an address
─────────────────────────────────────────────────────── ↓ 6 lines more: Space ──
 ○ Make a namespace
   – box has no namespace blue yet
 ? help   q quit   n next   1-9 run   h hint   s solution   t shell   l list";
        assert_eq!(shown(&mut missing(), "", PLAIN, (24, 80)).join("\n"), expected[1..]);
    }

    #[test]
    fn hints_and_questions_are_scrolled_to() {
        let lines = shown(&mut missing(), "h", PLAIN, (16, 60));
        assert!(lines.iter().any(|line| line == "    ip netns help says how."), "{lines:#?}");
        let lines = shown(&mut missing(), "\t\tamany\n", PLAIN, (16, 60));
        assert!(lines.iter().any(|line| line == "    2. none"), "{lines:#?}");
        assert_eq!(
            lines[lines.len() - 4..],
            [
                " Count its devices",
                " many is none of: 1, none. Type the number of one of them",
                " > many_",
                " Enter answer   Esc back"
            ]
        );
    }

    #[test]
    fn of_a_task_that_does_not_fit_the_beginning_is_seen() {
        let lines = shown(&mut missing(), "hh", PLAIN, (8, 60));
        assert_eq!(lines[1], "→ ○ Make a namespace", "{lines:#?}");
    }

    #[test]
    fn ascii_on_a_small_terminal() {
        let expected = "
 sample: Namespaces            1/2  0/4
By hand

A namespace has its own devices,
addresses and routes. Make one on box:

> 1  on box
    ip netns add blue

-------------- v 18 lines more: Space --
 o Make a namespace
 ? help   q quit   n next   1-9 run";
        let theme = Theme { color: false, ascii: true };
        assert_eq!(shown(&mut sample::session(), "", theme, (12, 40)).join("\n"), expected[1..]);
    }

    #[test]
    fn solved_tasks_are_green_and_a_section_ends() {
        let mut session = sample::session();
        for task in ["make", "address", "devices"] {
            session.judge(task, Verdict::Passed);
        }
        let theme = Theme { color: true, ascii: false };
        let document = document::section(&session, theme, 80);
        let lines = draw(&session, &mut Screen::default(), &document, theme, (40, 80));
        let green = |line: &&Line| line.iter().any(|span| span.style == theme.done() && span.text.contains('✓'));
        assert_eq!(lines.iter().filter(green).count(), 4, "three tasks, and the panel");
    }

    #[test]
    fn whatever_the_size_it_is_kept() {
        for keys in ["", "?", "l", "x", "t", "r", "s", "hG", "\t\ta", "n"] {
            for size in [(0, 0), (1, 1), (4, 10), (5, 200), (7, 33), (60, 12), (24, 79)] {
                shown(&mut missing(), keys, PLAIN, size);
            }
        }
    }
}
