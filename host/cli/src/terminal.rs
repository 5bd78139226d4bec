//! This program's own terminal: its size, and raw mode for as long as a program inside has it.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// Rows and columns; 24 by 80 where output goes to no terminal.
pub(crate) fn size() -> (u16, u16) {
    match tcgetwinsize(std::io::stdout()) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => (size.ws_row, size.ws_col),
        _ => (24, 80),
    }
}

/// Columns of the terminal that messages go to; 80 where they go to none.
pub(crate) fn columns() -> usize {
    tcgetwinsize(std::io::stderr())
        .map(|size| usize::from(size.ws_col))
        .ok()
        .filter(|columns| *columns > 0)
        .unwrap_or(80)
}

/// Whether a person types and reads here.
pub(crate) fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// The mode of standard input as it was when this was made, and is again when it is dropped.
pub(crate) struct Kept {
    before: Termios,
}

impl Kept {
    /// Notes the mode.
    pub(crate) fn mode() -> anyhow::Result<Kept> {
        Ok(Kept { before: tcgetattr(std::io::stdin()).context("reading the terminal's mode")? })
    }
}

/// Whether the terminal is in raw mode now.
static IS_RAW: AtomicBool = AtomicBool::new(false);

/// Raw mode: every key goes to the program inside. Undone when dropped.
pub(crate) struct Raw {
    _kept: Kept,
}

impl Drop for Raw {
    fn drop(&mut self) {
        IS_RAW.store(false, Ordering::Relaxed);
    }
}

/// Whether a line has to end with a return of its own, because a program inside has the terminal.
pub(crate) fn is_raw() -> bool {
    IS_RAW.load(Ordering::Relaxed)
}

impl Raw {
    /// Enters raw mode on standard input.
    pub(crate) fn enter() -> anyhow::Result<Raw> {
        let kept = Kept::mode()?;
        let mut raw = kept.before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Drain, &raw).context("setting the terminal to raw mode")?;
        IS_RAW.store(true, Ordering::Relaxed);
        Ok(Raw { _kept: kept })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // The terminal may have gone away meanwhile: nothing to restore then.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, &self.before);
    }
}
