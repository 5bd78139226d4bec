//! Bytes to values.

use super::Value;

/// How deep values may nest. skrouterd's own messages stay under 6.
pub(crate) const MAX_DEPTH: usize = 24;

/// Why bytes are not a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// What is there is well formed so far; more may follow.
    #[error("the encoding ends early")]
    Truncated,
    #[error("unknown type code 0x{0:02x}")]
    Code(u8),
    #[error("values nest more than {MAX_DEPTH} deep")]
    Depth,
    #[error("{0}")]
    Malformed(&'static str),
}

/// Reads values off a slice, from its start.
#[derive(Clone)]
pub(crate) struct Decoder<'a> {
    rest: &'a [u8],
    depth: usize,
}

type Result<T> = std::result::Result<T, DecodeError>;

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Decoder { rest: bytes, depth: 0 }
    }

    /// What hasn't been read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// A length or count of one byte or, where `wide`, of four.
    fn length(&mut self, wide: bool) -> Result<usize> {
        if wide { Ok(u32::from_be_bytes(self.array()?) as usize) } else { Ok(usize::from(self.byte()?)) }
    }

    /// One value, whatever it is.
    pub(crate) fn value(&mut self) -> Result<Value> {
        match self.byte()? {
            0x00 => {
                self.enter()?;
                let descriptor = self.value()?;
                let value = self.value()?;
                self.depth -= 1;
                Ok(Value::Described(Box::new(descriptor), Box::new(value)))
            }
            code => self.body(code),
        }
    }

    fn enter(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(DecodeError::Depth) } else { Ok(()) }
    }

    /// A value whose type code has been read.
    fn body(&mut self, code: u8) -> Result<Value> {
        Ok(match code {
            0x40 => Value::Null,
            0x41 => Value::Bool(true),
            0x42 => Value::Bool(false),
            0x56 => Value::Bool(self.byte()? != 0),
            0x43 => Value::Unsigned(0, 4),
            0x44 => Value::Unsigned(0, 8),
            0x50 => Value::Unsigned(self.byte()?.into(), 1),
            0x52 => Value::Unsigned(self.byte()?.into(), 4),
            0x53 => Value::Unsigned(self.byte()?.into(), 8),
            0x60 => Value::Unsigned(u16::from_be_bytes(self.array()?).into(), 2),
            0x70 => Value::Unsigned(u32::from_be_bytes(self.array()?).into(), 4),
            0x80 => Value::Unsigned(u64::from_be_bytes(self.array()?), 8),
            0x51 => Value::Signed(i8::from_be_bytes(self.array()?).into(), 1),
            0x54 => Value::Signed(i8::from_be_bytes(self.array()?).into(), 4),
            0x55 => Value::Signed(i8::from_be_bytes(self.array()?).into(), 8),
            0x61 => Value::Signed(i16::from_be_bytes(self.array()?).into(), 2),
            0x71 => Value::Signed(i32::from_be_bytes(self.array()?).into(), 4),
            0x81 => Value::Signed(i64::from_be_bytes(self.array()?), 8),
            0x72 => Value::Float(f32::from_be_bytes(self.array()?)),
            0x82 => Value::Double(f64::from_be_bytes(self.array()?)),
            0x73 => Value::Char(u32::from_be_bytes(self.array()?)),
            0x83 => Value::Timestamp(i64::from_be_bytes(self.array()?)),
            0x74 => Value::Opaque(code, self.take(4)?.to_vec()),
            0x84 => Value::Opaque(code, self.take(8)?.to_vec()),
            0x94 | 0x98 => Value::Opaque(code, self.take(16)?.to_vec()),
            0xa0 | 0xb0 => Value::Binary(self.variable(code)?.to_vec()),
            0xa1 | 0xb1 => Value::String(utf8(self.variable(code)?)?.to_owned()),
            0xa3 | 0xb3 => Value::Symbol(utf8(self.variable(code)?)?.to_owned()),
            0x45 => Value::List(Vec::new()),
            0xc0 | 0xd0 => Value::List(self.items(code)?),
            0xc1 | 0xd1 => Value::Map(pairs(self.items(code)?)?),
            0xe0 | 0xf0 => Value::Array(self.elements(code)?),
            unknown => return Err(DecodeError::Code(unknown)),
        })
    }

    fn variable(&mut self, code: u8) -> Result<&'a [u8]> {
        let length = self.length(code & 0xf0 == 0xb0)?;
        self.take(length)
    }

    /// A compound's items, decoded within its declared size.
    fn compound(&mut self, code: u8) -> Result<(Decoder<'a>, usize)> {
        let wide = matches!(code & 0xf0, 0xd0 | 0xf0);
        let size = self.length(wide)?;
        let mut inner = Decoder { rest: self.take(size)?, depth: self.depth };
        inner.enter()?;
        let count = inner.length(wide).map_err(within)?;
        // An item takes a byte at least: no count makes this allocate more than has arrived.
        if count > inner.rest.len() {
            return Err(DecodeError::Malformed("a compound counts more items than it has bytes"));
        }
        Ok((inner, count))
    }

    fn items(&mut self, code: u8) -> Result<Vec<Value>> {
        let (mut inner, count) = self.compound(code)?;
        let items = (0..count).map(|_| inner.value()).collect::<Result<_>>().map_err(within)?;
        if inner.is_empty() { Ok(items) } else { Err(DecodeError::Malformed("a compound is longer than its items")) }
    }

    fn elements(&mut self, code: u8) -> Result<Vec<Value>> {
        let (mut inner, count) = self.compound(code)?;
        let element = inner.byte().map_err(within)?;
        if element == 0 {
            return Err(DecodeError::Malformed("an array of described values"));
        }
        (0..count).map(|_| inner.body(element)).collect::<Result<_>>().map_err(within)
    }

    /// The descriptor of a described value, which must be a number, and then its body's list of fields.
    pub(crate) fn described_list(&mut self) -> Result<(u64, Fields<'a>)> {
        let descriptor = self.descriptor()?;
        Ok((descriptor, self.fields()?))
    }

    /// The numeric descriptor of a described value.
    pub(crate) fn descriptor(&mut self) -> Result<u64> {
        if self.byte()? != 0 {
            return Err(DecodeError::Malformed("a described type is expected"));
        }
        match self.byte()? {
            0x44 => Ok(0),
            0x53 => Ok(self.byte()?.into()),
            0x80 => Ok(u64::from_be_bytes(self.array()?)),
            _ => Err(DecodeError::Malformed("a described type without a numeric descriptor")),
        }
    }

    /// A list, whose items are read one by one.
    pub(crate) fn fields(&mut self) -> Result<Fields<'a>> {
        match self.byte()? {
            0x45 => Ok(Fields { inner: Decoder { rest: &[], depth: self.depth }, left: 0 }),
            code @ (0xc0 | 0xd0) => {
                let (inner, left) = self.compound(code)?;
                Ok(Fields { inner, left })
            }
            _ => Err(DecodeError::Malformed("a list is expected")),
        }
    }

    /// Steps over one value.
    pub(crate) fn skip(&mut self) -> Result<()> {
        match self.byte()? {
            0x00 => {
                self.enter()?;
                self.skip()?;
                self.skip()?;
                self.depth -= 1;
                Ok(())
            }
            code => self.skip_body(code),
        }
    }

    fn skip_body(&mut self, code: u8) -> Result<()> {
        let count = match code >> 4 {
            0x4 => 0,
            0x5 => 1,
            0x6 => 2,
            0x7 => 4,
            0x8 => 8,
            0x9 => 16,
            0xa | 0xc | 0xe => self.length(false)?,
            0xb | 0xd | 0xf => self.length(true)?,
            _ => return Err(DecodeError::Code(code)),
        };
        self.take(count).map(drop)
    }
}

/// The fields of a performative, in order: one that is missing at the end is null.
#[derive(Clone)]
pub(crate) struct Fields<'a> {
    inner: Decoder<'a>,
    left: usize,
}

impl<'a> Fields<'a> {
    /// The next field's type code; None where it is null or missing.
    fn code(&mut self) -> Result<Option<u8>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        match self.inner.byte().map_err(within)? {
            0x40 => Ok(None),
            code => Ok(Some(code)),
        }
    }

    pub(crate) fn u64(&mut self) -> Result<Option<u64>> {
        let Some(code) = self.code()? else { return Ok(None) };
        let inner = &mut self.inner;
        let value = match code {
            0x43 | 0x44 => Ok(0),
            0x50 | 0x52 | 0x53 => inner.byte().map(u64::from),
            0x60 => inner.array().map(|bytes| u16::from_be_bytes(bytes).into()),
            0x70 => inner.array().map(|bytes| u32::from_be_bytes(bytes).into()),
            0x80 => inner.array().map(u64::from_be_bytes),
            _ => Err(DecodeError::Malformed("an unsigned number is expected")),
        };
        value.map(Some).map_err(within)
    }

    pub(crate) fn u32(&mut self) -> Result<Option<u32>> {
        let narrow = |value| u32::try_from(value).map_err(|_| DecodeError::Malformed("a number is too large"));
        self.u64()?.map(narrow).transpose()
    }

    pub(crate) fn u16(&mut self) -> Result<Option<u16>> {
        let narrow = |value| u16::try_from(value).map_err(|_| DecodeError::Malformed("a number is too large"));
        self.u64()?.map(narrow).transpose()
    }

    pub(crate) fn bool(&mut self) -> Result<Option<bool>> {
        match self.code()? {
            None => Ok(None),
            Some(0x41) => Ok(Some(true)),
            Some(0x42) => Ok(Some(false)),
            Some(0x56) => Ok(Some(self.inner.byte().map_err(within)? != 0)),
            Some(_) => Err(DecodeError::Malformed("a boolean is expected")),
        }
    }

    pub(crate) fn text(&mut self) -> Result<Option<&'a str>> {
        match self.code()? {
            None => Ok(None),
            Some(code @ (0xa1 | 0xb1 | 0xa3 | 0xb3)) => utf8(self.inner.variable(code).map_err(within)?).map(Some),
            Some(_) => Err(DecodeError::Malformed("a string is expected")),
        }
    }

    pub(crate) fn skip(&mut self) -> Result<()> {
        if self.left == 0 {
            return Ok(());
        }
        self.left -= 1;
        self.inner.skip().map_err(within)
    }

    pub(crate) fn value(&mut self) -> Result<Option<Value>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        match self.inner.value().map_err(within)? {
            Value::Null => Ok(None),
            value => Ok(Some(value)),
        }
    }

    /// A described list; None where the field is null or missing.
    pub(crate) fn described(&mut self) -> Result<Option<(u64, Fields<'a>)>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        if self.inner.rest.first() == Some(&0x40) {
            self.inner.byte()?;
            return Ok(None);
        }
        self.inner.described_list().map(Some).map_err(within)
    }
}

/// Inside a compound whose size has arrived whole, what ends early is wrong, not late.
fn within(error: DecodeError) -> DecodeError {
    match error {
        DecodeError::Truncated => DecodeError::Malformed("a value is longer than the compound that holds it"),
        other => other,
    }
}

fn utf8(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| DecodeError::Malformed("text that isn't UTF-8"))
}

fn pairs(items: Vec<Value>) -> Result<Vec<(Value, Value)>> {
    if !items.len().is_multiple_of(2) {
        return Err(DecodeError::Malformed("a map with a key without a value"));
    }
    let mut items = items.into_iter();
    Ok(std::iter::from_fn(|| Some((items.next()?, items.next()?))).collect())
}
