//! Lines of standard input, and which of them a person typed or pasted ahead.

use std::collections::VecDeque;
use std::io::IsTerminal;

use crate::stdin::Input;

/// Standard input by lines.
pub(super) struct Lines {
    input: Input,
    bytes: Vec<u8>,
    whole: VecDeque<String>,
    ended: bool,
}

impl Lines {
    /// Watches it. Within a tokio runtime.
    pub(super) fn watch() -> std::io::Result<Lines> {
        Ok(Lines { input: Input::watch()?, bytes: Vec::new(), whole: VecDeque::new(), ended: false })
    }

    /// The next line; none at the end. Nothing is lost where the future is dropped.
    pub(super) async fn next(&mut self) -> std::io::Result<Option<String>> {
        loop {
            if let Some(line) = self.whole.pop_front() {
                return Ok(Some(line));
            }
            if self.ended {
                return Ok(None);
            }
            let read = self.input.read().await?;
            self.take(&read);
        }
    }

    /// Takes the lines that a person has pasted or typed ahead. None elsewhere: a script's lines are commands.
    pub(super) fn ahead(&mut self) -> std::io::Result<Vec<String>> {
        if !std::io::stdin().is_terminal() {
            return Ok(Vec::new());
        }
        while !self.ended
            && let Some(read) = self.input.read_now()?
        {
            self.take(&read);
        }
        Ok(self.whole.drain(..).collect())
    }

    fn take(&mut self, read: &[u8]) {
        self.ended = read.is_empty();
        self.bytes.extend(read);
        if self.ended && !self.bytes.is_empty() {
            self.bytes.push(b'\n');
        }
        while let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
            let line: Vec<_> = self.bytes.drain(..=end).collect();
            self.whole.push_back(String::from_utf8_lossy(&line).trim().to_owned());
        }
    }
}
