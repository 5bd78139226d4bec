//! This program's own terminal: its size, and raw mode for as long as a program inside has it.

use std::io::IsTerminal;

use anyhow::Context;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// Rows and columns; 24 by 80 where output goes to no terminal.
pub(crate) fn size() -> (u16, u16) {
    match tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => (size.ws_row, size.ws_col),
        _ => (24, 80),
    }
}

/// Whether a person types and reads here.
pub(crate) fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Raw mode: every key goes to the program inside. Undone when dropped.
pub(crate) struct Raw {
    before: Termios,
}

impl Raw {
    /// Enters raw mode on standard input.
    pub(crate) fn enter() -> anyhow::Result<Raw> {
        let before = tcgetattr(std::io::stdin()).context("reading the terminal's mode")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Drain, &raw).context("setting the terminal to raw mode")?;
        Ok(Raw { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // The terminal may have gone away meanwhile: nothing to restore then.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, &self.before);
    }
}
