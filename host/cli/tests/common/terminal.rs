//! A person at a terminal.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::{Home, ended};

/// A `knetsim` command with a terminal of 80 columns and 24 lines, and what it has written there.
pub(crate) struct Terminal {
    child: Child,
    keys: ChildStdin,
    written: Arc<Mutex<Vec<u8>>>,
    /// How much of it was looked at.
    seen: usize,
}

impl Terminal {
    pub(crate) fn open(home: &Home, arguments: &[&str]) -> Terminal {
        let inside = home.command(arguments);
        let words = [inside.get_program()].into_iter().chain(inside.get_args()).map(|word| word.to_string_lossy());
        let line = format!("stty rows 24 columns 80; exec {}", words.collect::<Vec<_>>().join(" "));
        let mut script = Command::new("script");
        script.args(["-qefc", &line, "/dev/null"]);
        for (name, value) in inside.get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        script.env("TERM", "xterm").env("LC_ALL", "C.UTF-8").env("NO_COLOR", "1");
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (keys, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let written = Arc::new(Mutex::new(Vec::new()));
        let into = written.clone();
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut chunk) {
                into.lock().unwrap().extend(&chunk[..read]);
            }
        });
        Terminal { child, keys, written, seen: 0 }
    }

    /// Types.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until these words have been written since the last that were waited for, and gives what follows them.
    pub(crate) fn sees(&mut self, words: &str) -> String {
        let start = Instant::now();
        loop {
            let text = self.text();
            if let Some(at) = text[self.seen..].find(words) {
                self.seen += at + words.len();
                return text[self.seen..].to_owned();
            }
            assert!(start.elapsed() < Duration::from_secs(60), "`{words}` is not seen in\n{}", &text[self.seen..]);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// All that was written, as one reads it.
    pub(crate) fn text(&self) -> String {
        without_escapes(&self.raw())
    }

    /// All that was written.
    pub(crate) fn raw(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    /// Sends a signal to the command, the only child of the program that made its terminal.
    pub(crate) fn signal(&self, name: &str) {
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        let inside = std::fs::read_to_string(children).unwrap();
        assert!(Command::new("kill").args(["-s", name, inside.trim()]).status().unwrap().success());
    }

    /// Waits for its end, and gives its status.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        ended(&mut self.child)
    }
}

/// What was written, without what only moves the cursor or sets a style.
fn without_escapes(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.strip_prefix('[').and_then(|rest| rest.find(|c: char| c.is_ascii_alphabetic()));
        let (sequence, rest) = part.split_at(end.map_or(part.len().min(1), |end| end + 2));
        // A line of the screen begins where the cursor is put.
        if sequence.ends_with('H') {
            plain.push('\n');
        }
        plain.push_str(rest);
    }
    plain
}
