//! AMQP 1.0's type system (part 1 of the specification): values to bytes and back.
//!
//! An own codec, because what comes off the wire is a stranger's: the decoder never panics, nests at most
//! 24 deep and allocates in proportion to the bytes that have arrived, whatever counts they claim.
//! Of the published codecs one recurses as deep as the sender likes and one allocates what a count says; and a
//! transfer, the hot path, decodes here without allocating.

mod decode;
mod encode;

use std::fmt;

pub(crate) use decode::{DecodeError, Decoder, Fields};
pub(crate) use encode::Encoder;

/// Any AMQP value. Decimals are kept as their bytes, which nothing here looks into.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Value {
    #[default]
    Null,
    Bool(bool),
    /// Any unsigned integer, with its width in bytes.
    Unsigned(u64, u8),
    /// Any signed integer, with its width in bytes.
    Signed(i64, u8),
    Float(f32),
    Double(f64),
    Char(u32),
    Timestamp(i64),
    /// A UUID or a decimal: type code and bytes.
    Opaque(u8, Vec<u8>),
    Binary(Vec<u8>),
    String(String),
    Symbol(String),
    List(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Array(Vec<Value>),
    Described(Box<Value>, Box<Value>),
}

impl Value {
    pub(crate) fn uint(value: u32) -> Value {
        Value::Unsigned(u64::from(value), 4)
    }

    pub(crate) fn int(value: i32) -> Value {
        Value::Signed(i64::from(value), 4)
    }

    pub(crate) fn long(value: i64) -> Value {
        Value::Signed(value, 8)
    }

    pub(crate) fn string(value: impl Into<String>) -> Value {
        Value::String(value.into())
    }

    pub(crate) fn symbol(value: impl Into<String>) -> Value {
        Value::Symbol(value.into())
    }

    /// A string's or a symbol's text.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Value::String(text) | Value::Symbol(text) => Some(text),
            _ => None,
        }
    }

    /// Any integer that fits.
    pub(crate) fn integer(&self) -> Option<i64> {
        match self {
            Value::Unsigned(value, _) => i64::try_from(*value).ok(),
            Value::Signed(value, _) => Some(*value),
            _ => None,
        }
    }

    /// The value under a key that is a string or a symbol; None where this is no map.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        let Value::Map(entries) = self else { return None };
        entries.iter().find(|(name, _)| name.text() == Some(key)).map(|(_, value)| value)
    }

    pub(crate) fn list(&self) -> Option<&[Value]> {
        match self {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// A list of symbols as AMQP's `multiple` fields have it: nothing, one alone, or an array.
    pub(crate) fn symbols(&self) -> Vec<&str> {
        match self {
            Value::Array(items) => items.iter().filter_map(Value::text).collect(),
            other => other.text().into_iter().collect(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text() {
            Some(text) => f.write_str(text),
            None => write!(f, "{self:?}"),
        }
    }
}

#[cfg(test)]
mod tests;
