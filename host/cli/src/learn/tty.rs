//! The learner's terminal while the screen is drawn on it.
//!
//! Invariant: however this program ends, short of SIGKILL, the terminal is as it was: its mode, its screen, its
//! cursor, and it marks no pasted text.

use std::io::Write;
use std::sync::Mutex;

use anyhow::Context;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use termion::{clear, cursor, screen};

use super::theme::{Line, escaped};
use crate::terminal;

/// Begin and end of a picture that terminals show at once; others ignore them.
const BEGIN: &str = "\u{1b}[?2026h";
const END: &str = "\u{1b}[?2026l";

/// The terminal marks pasted text from the one to the other; terminals that can't ignore them.
const MARK_PASTES: &str = "\u{1b}[?2004h";
const MARK_NO_PASTES: &str = "\u{1b}[?2004l";

/// The terminal's mode before, for as long as it is another one.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// The terminal, raw, with a screen of its own.
pub(crate) struct Tty {
    size: (usize, usize),
    /// What stands on its lines.
    drawn: Vec<String>,
}

impl Tty {
    /// Takes the terminal.
    pub(crate) fn take() -> anyhow::Result<Tty> {
        let before = tcgetattr(std::io::stdin()).context("reading the terminal's mode")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Drain, &raw).context("setting the terminal to raw mode")?;
        before_locked(|saved| saved.replace(before));
        restore_on_panic();
        let mut out = std::io::stdout().lock();
        write!(out, "{}{MARK_PASTES}{}{}", screen::ToAlternateScreen, cursor::Hide, clear::All)?;
        out.flush()?;
        Ok(Tty { size: (0, 0), drawn: Vec::new() })
    }

    /// Its rows and columns.
    pub(crate) fn size() -> (usize, usize) {
        let (rows, columns) = terminal::size();
        (usize::from(rows), usize::from(columns))
    }

    /// Shows these lines; writes those that are others than before.
    pub(crate) fn draw(&mut self, lines: &[Line], size: (usize, usize)) -> std::io::Result<()> {
        let mut picture = String::from(BEGIN);
        if size != self.size {
            picture += clear::All.as_ref();
            (self.size, self.drawn) = (size, Vec::new());
        }
        let lines: Vec<_> = lines.iter().map(|line| escaped(line)).collect();
        for (row, line) in (1_u16..).zip(&lines) {
            if self.drawn.get(usize::from(row) - 1) != Some(line) {
                picture += &format!("{}{}{line}", cursor::Goto(1, row), clear::CurrentLine);
            }
        }
        picture += END;
        self.drawn = lines;
        let mut out = std::io::stdout().lock();
        out.write_all(picture.as_bytes())?;
        out.flush()
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back, where it was taken.
fn restore() {
    if let Some(before) = before_locked(Option::take) {
        // It may have gone away meanwhile: nothing to restore then.
        let _ = write!(std::io::stdout(), "{MARK_NO_PASTES}{}{}", cursor::Show, screen::ToMainScreen);
        let _ = std::io::stdout().flush();
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, &before);
    }
}

fn before_locked<T>(with: impl FnOnce(&mut Option<Termios>) -> T) -> T {
    with(&mut BEFORE.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// Lets a panic's message be read: it would be written to the screen that goes away.
fn restore_on_panic() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let next = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            next(panic);
        }));
    });
}
