//! Keys and pasted text, read from the bytes that a terminal sends.
//!
//! The terminal marks what is pasted ("bracketed paste" of xterm's control sequences), so that a line break in it is
//! not taken for the key Enter. A key or a mark may come in several reads.

use termion::event::{Event, Key, parse_event};

/// Marks of the terminal around pasted text.
const PASTE: &[u8] = b"\x1b[200~";
const PASTE_END: &[u8] = b"\x1b[201~";
/// How much of a paste is taken, in bytes. The rest of it is left out.
const LONGEST: usize = 64 << 10;
const ESC: u8 = 0x1b;

/// What a person did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// Pressed a key.
    Key(Key),
    /// Pasted a text. It may hold control characters.
    Pasted(String),
}

/// Reads them.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// The beginning of a key or a mark.
    rest: Vec<u8>,
    /// What was pasted, while the end of it has not come.
    pasted: Option<Vec<u8>>,
}

impl Reader {
    /// Takes the bytes of one read and gives what they complete. Leaves out what is no key.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Vec<Typed> {
        self.rest.extend_from_slice(bytes);
        let mut typed = Vec::new();
        loop {
            if self.pasted.is_some() {
                let Some(text) = self.end_paste() else { return typed };
                typed.push(Typed::Pasted(text));
            }
            let Some(length) = length(&self.rest) else { return typed };
            let sequence: Vec<u8> = self.rest.drain(..length).collect();
            if sequence == PASTE {
                self.pasted = Some(Vec::new());
            } else {
                typed.extend(key(&sequence).map(Typed::Key));
            }
        }
    }

    /// Whether the beginning of a key has come, and its rest has not. It may be the key Esc.
    pub(crate) fn is_within_key(&self) -> bool {
        self.pasted.is_none() && !self.rest.is_empty()
    }

    /// Gives the key Esc where it stands alone. The caller has waited for the rest of a longer key.
    pub(crate) fn end_key(&mut self) -> Vec<Typed> {
        let alone = self.rest == [ESC];
        self.rest.clear();
        alone.then_some(Typed::Key(Key::Esc)).into_iter().collect()
    }

    /// Takes pasted text up to the mark of its end. None where the end has not come.
    fn end_paste(&mut self) -> Option<String> {
        let end = self.rest.windows(PASTE_END.len()).position(|bytes| bytes == PASTE_END);
        // The last bytes may begin the mark.
        let length = end.unwrap_or_else(|| (self.rest.len() + 1).saturating_sub(PASTE_END.len()));
        let pasted = self.pasted.get_or_insert_default();
        let room = LONGEST.saturating_sub(pasted.len());
        pasted.extend(self.rest.drain(..length).take(room));
        end?;
        self.rest.drain(..PASTE_END.len());
        self.pasted.take().map(|pasted| String::from_utf8_lossy(&pasted).into_owned())
    }
}

/// How many of the bytes the first key takes. None where it has not come as a whole.
fn length(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [] | [ESC] | [ESC, b'O'] | [ESC, b'[', b'['] => None,
        [ESC, ESC, ..] => Some(1),
        [ESC, b'O', ..] => Some(3),
        [ESC, b'[', b'[', ..] => Some(4),
        [ESC, b'[', rest @ ..] => {
            let end = rest.iter().position(|byte| !(0x20..0x40).contains(byte))?;
            // Another control character cuts the sequence off.
            Some(2 + end + usize::from((0x40..0x7f).contains(&rest[end])))
        }
        [ESC, rest @ ..] => character(rest).map(|length| 1 + length),
        _ => character(bytes),
    }
}

/// How many bytes the first character takes, as UTF-8. None where it has not come as a whole.
fn character(bytes: &[u8]) -> Option<usize> {
    let all = match bytes.first()? {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    let followed = bytes[1..].iter().take(all - 1).take_while(|byte| (0x80..0xc0).contains(*byte)).count();
    (1 + followed == all || 1 + followed < bytes.len()).then_some(1 + followed)
}

/// The key that a whole sequence stands for.
fn key(sequence: &[u8]) -> Option<Key> {
    if sequence == [ESC] {
        return Some(Key::Esc);
    }
    if let [ESC, b'[', parameters @ .., end] = sequence {
        // `parse_event` panics on other parameters, on a sequence without its end, and on reports of a mouse.
        let numbers = parameters
            .split(|byte| *byte == b';')
            .all(|number| std::str::from_utf8(number).is_ok_and(|number| number.parse::<u8>().is_ok()));
        if !(parameters.is_empty() || parameters == b"[" || numbers) || *end == b'M' || !(0x40..0x7f).contains(end) {
            return None;
        }
    }
    let mut rest = sequence.iter().skip(1).map(|byte| Ok(*byte));
    match parse_event(*sequence.first()?, &mut rest) {
        Ok(Event::Key(key)) => Some(key),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pasted(text: &str) -> Typed {
        Typed::Pasted(text.to_owned())
    }

    #[test]
    fn several_keys_may_come_at_once() {
        let keys = Reader::default().read("nä\u{1b}[A\r\u{7f}\u{3}\u{1b}\u{1b}[5~\u{1b}OP".as_bytes());
        let expected = [
            Key::Char('n'),
            Key::Char('ä'),
            Key::Up,
            Key::Char('\n'),
            Key::Backspace,
            Key::Ctrl('c'),
            Key::Esc,
            Key::PageUp,
            Key::F(1),
        ];
        assert_eq!(keys, expected.map(Typed::Key));
    }

    #[test]
    fn keys_and_pastes_are_the_same_in_one_read_and_byte_by_byte() {
        let bytes = "aä\u{1b}[200~one\rtwo\u{1b}[A ö\r\u{1b}[201~\r\u{1b}[B".as_bytes();
        let (mut reader, mut typed) = (Reader::default(), Vec::new());
        for byte in bytes {
            typed.extend(reader.read(&[*byte]));
        }
        let key = Typed::Key;
        let expected = [
            key(Key::Char('a')),
            key(Key::Char('ä')),
            pasted("one\rtwo\u{1b}[A ö\r"),
            key(Key::Char('\n')),
            key(Key::Down),
        ];
        assert_eq!(typed, expected);
        assert_eq!(Reader::default().read(bytes), expected);
        assert!(!reader.is_within_key());
    }

    #[test]
    fn esc_is_a_key_once_nothing_follows() {
        let mut reader = Reader::default();
        assert_eq!((reader.read(b"\x1b"), reader.is_within_key()), (vec![], true));
        assert_eq!(reader.end_key(), [Typed::Key(Key::Esc)]);
        assert_eq!(reader.read(b"\x1b["), []);
        assert_eq!((reader.end_key(), reader.is_within_key()), (vec![], false), "it was cut off");
        assert_eq!(reader.read(b"\x1b[200~\x1b"), []);
        assert!(!reader.is_within_key(), "a paste goes on until its end");
    }

    #[test]
    fn a_paste_without_end_takes_no_more_room() {
        let mut reader = Reader::default();
        reader.read(PASTE);
        for _ in 0..100 {
            assert_eq!(reader.read(&[b'a'; 4096]), []);
        }
        assert_eq!(reader.read(PASTE_END), [pasted(&"a".repeat(LONGEST))]);
    }

    proptest! {
        #[test]
        fn whatever_a_terminal_sends_is_read(
            reads in proptest::collection::vec(
                prop_oneof![
                    proptest::collection::vec(any::<u8>(), 0..12),
                    "\u{1b}\\[[0-9;<M]{0,5}[A-Zm~]?".prop_map(String::into_bytes),
                ],
                0..12,
            )
        ) {
            let (mut reader, mut typed) = (Reader::default(), Vec::new());
            for bytes in &reads {
                typed.extend(reader.read(bytes));
            }
            prop_assert_eq!(Reader::default().read(&reads.concat()), typed);
        }
    }
}
