//! Values to bytes.

use super::Value;

/// Appends values to a buffer.
pub(crate) struct Encoder<'a> {
    pub(crate) out: &'a mut Vec<u8>,
    count: u32,
}

impl<'a> Encoder<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Encoder { out, count: 0 }
    }

    fn put(&mut self, code: u8, bytes: &[u8]) -> &mut Self {
        self.count += 1;
        self.out.push(code);
        self.out.extend_from_slice(bytes);
        self
    }

    pub(crate) fn null(&mut self) -> &mut Self {
        self.put(0x40, &[])
    }

    pub(crate) fn bool(&mut self, value: bool) -> &mut Self {
        self.put(if value { 0x41 } else { 0x42 }, &[])
    }

    pub(crate) fn ubyte(&mut self, value: u8) -> &mut Self {
        self.put(0x50, &[value])
    }

    pub(crate) fn ushort(&mut self, value: u16) -> &mut Self {
        self.put(0x60, &value.to_be_bytes())
    }

    pub(crate) fn uint(&mut self, value: u32) -> &mut Self {
        match u8::try_from(value) {
            Ok(0) => self.put(0x43, &[]),
            Ok(small) => self.put(0x52, &[small]),
            Err(_) => self.put(0x70, &value.to_be_bytes()),
        }
    }

    pub(crate) fn ulong(&mut self, value: u64) -> &mut Self {
        match u8::try_from(value) {
            Ok(small) => self.put(0x53, &[small]),
            Err(_) => self.put(0x80, &value.to_be_bytes()),
        }
    }

    pub(crate) fn binary(&mut self, bytes: &[u8]) -> &mut Self {
        self.variable(0xa0, bytes)
    }

    pub(crate) fn string(&mut self, text: &str) -> &mut Self {
        self.variable(0xa1, text.as_bytes())
    }

    pub(crate) fn symbol(&mut self, text: &str) -> &mut Self {
        self.variable(0xa3, text.as_bytes())
    }

    fn variable(&mut self, code: u8, bytes: &[u8]) -> &mut Self {
        self.count += 1;
        match u8::try_from(bytes.len()) {
            Ok(length) => self.out.extend_from_slice(&[code, length]),
            Err(_) => {
                self.out.push(code + 0x10);
                self.out.extend_from_slice(&length(bytes.len()));
            }
        }
        self.out.extend_from_slice(bytes);
        self
    }

    /// An array of symbols; null where there are none.
    pub(crate) fn symbols(&mut self, symbols: &[&str]) -> &mut Self {
        if symbols.is_empty() {
            return self.null();
        }
        let start = self.open(0xf0);
        self.out.push(0xb3);
        for symbol in symbols {
            self.out.extend_from_slice(&length(symbol.len()));
            self.out.extend_from_slice(symbol.as_bytes());
        }
        self.close(start, symbols.len() as u32)
    }

    /// A described list, as performatives and sections are.
    pub(crate) fn described(&mut self, descriptor: u64, fill: impl FnOnce(&mut Encoder<'_>)) -> &mut Self {
        self.out.push(0);
        self.ulong(descriptor);
        self.count -= 1;
        self.list(fill)
    }

    pub(crate) fn list(&mut self, fill: impl FnOnce(&mut Encoder<'_>)) -> &mut Self {
        let start = self.open(0xd0);
        let mut inner = Encoder::new(self.out);
        fill(&mut inner);
        let count = inner.count;
        self.close(start, count)
    }

    fn map(&mut self, fill: impl FnOnce(&mut Encoder<'_>)) -> &mut Self {
        let start = self.open(0xd1);
        let mut inner = Encoder::new(self.out);
        fill(&mut inner);
        let count = inner.count;
        self.close(start, count)
    }

    /// A compound's code and room for its size and count; [`Self::close`] fills them in.
    fn open(&mut self, code: u8) -> usize {
        self.count += 1;
        self.out.push(code);
        self.out.extend_from_slice(&[0; 8]);
        self.out.len() - 8
    }

    fn close(&mut self, start: usize, count: u32) -> &mut Self {
        let size = length(self.out.len() - start - 4);
        self.out[start..start + 4].copy_from_slice(&size);
        self.out[start + 4..start + 8].copy_from_slice(&count.to_be_bytes());
        self
    }

    pub(crate) fn value(&mut self, value: &Value) -> &mut Self {
        match value {
            Value::Null => self.null(),
            Value::Bool(value) => self.bool(*value),
            Value::Unsigned(value, 1) => self.put(0x50, &(*value as u8).to_be_bytes()),
            Value::Unsigned(value, 2) => self.put(0x60, &(*value as u16).to_be_bytes()),
            Value::Unsigned(value, 4) => self.uint(*value as u32),
            Value::Unsigned(value, _) => self.ulong(*value),
            Value::Signed(value, 1) => self.put(0x51, &(*value as i8).to_be_bytes()),
            Value::Signed(value, 2) => self.put(0x61, &(*value as i16).to_be_bytes()),
            Value::Signed(value, 4) => self.put(0x71, &(*value as i32).to_be_bytes()),
            Value::Signed(value, _) => self.put(0x81, &value.to_be_bytes()),
            Value::Float(value) => self.put(0x72, &value.to_be_bytes()),
            Value::Double(value) => self.put(0x82, &value.to_be_bytes()),
            Value::Char(value) => self.put(0x73, &value.to_be_bytes()),
            Value::Timestamp(value) => self.put(0x83, &value.to_be_bytes()),
            Value::Opaque(code, bytes) => self.put(*code, bytes),
            Value::Binary(bytes) => self.binary(bytes),
            Value::String(text) => self.string(text),
            Value::Symbol(text) => self.symbol(text),
            // An array's items share one encoding, which these few don't: as a list they say the same.
            Value::List(items) | Value::Array(items) => self.list(|list| {
                for item in items {
                    list.value(item);
                }
            }),
            Value::Map(entries) => self.map(|map| {
                for (key, value) in entries {
                    map.value(key).value(value);
                }
            }),
            Value::Described(descriptor, value) => {
                self.out.push(0);
                self.value(descriptor).value(value);
                self.count -= 1;
                self
            }
        }
    }
}

/// A length on the wire. What this router encodes is under a frame's size, far from the limit.
fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes()
}
