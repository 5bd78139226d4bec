//! Keys, read from the bytes that a terminal sends.

use termion::event::{Event, Key, parse_event};

/// The keys in what one read gave; what is no key is left out.
pub(crate) fn read(bytes: &[u8]) -> Vec<Key> {
    let (mut keys, mut rest) = (Vec::new(), bytes.iter());
    while let Some(byte) = rest.next() {
        // Alone it is the key, else the beginning of another one.
        if *byte == 0x1b && rest.len() == 0 {
            keys.push(Key::Esc);
        } else if let Ok(Event::Key(key)) = parse_event(*byte, &mut rest.by_ref().map(|byte| Ok(*byte))) {
            keys.push(key);
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_keys_may_come_at_once() {
        let keys = read("nä\u{1b}[A\r\u{7f}\u{3}\u{1b}".as_bytes());
        let expected =
            [Key::Char('n'), Key::Char('ä'), Key::Up, Key::Char('\n'), Key::Backspace, Key::Ctrl('c'), Key::Esc];
        assert_eq!(keys, expected);
    }
}
