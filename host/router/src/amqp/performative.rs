//! What frames say (part 2 of the specification, and SASL of part 5): decoded from a frame's body, and encoded.
//!
//! Only fields that a router reads are kept. A field of the wrong type, or one that must be there and isn't, makes
//! the frame malformed, which ends the connection.

mod encode;

use super::codec::{DecodeError, Decoder, Encoder, Fields, Value};
use super::frame;
pub(crate) use encode::{encode, encode_transfer};

const OPEN: u64 = 0x10;
const BEGIN: u64 = 0x11;
const ATTACH: u64 = 0x12;
const FLOW: u64 = 0x13;
const TRANSFER: u64 = 0x14;
const DISPOSITION: u64 = 0x15;
const DETACH: u64 = 0x16;
const END: u64 = 0x17;
const CLOSE: u64 = 0x18;
const ERROR: u64 = 0x1d;
const RECEIVED: u64 = 0x23;
const ACCEPTED: u64 = 0x24;
const REJECTED: u64 = 0x25;
const RELEASED: u64 = 0x26;
const MODIFIED: u64 = 0x27;
const SOURCE: u64 = 0x28;
const TARGET: u64 = 0x29;
const MECHANISMS: u64 = 0x40;
const INIT: u64 = 0x41;
const OUTCOME: u64 = 0x44;

type Result<T> = std::result::Result<T, DecodeError>;

/// A frame of the plain protocol.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Performative {
    Open(Open),
    Begin(Begin),
    Attach(Attach),
    Flow(Flow),
    Transfer(Transfer),
    Disposition(Disposition),
    Detach { handle: u32, error: Option<Condition> },
    End { error: Option<Condition> },
    Close { error: Option<Condition> },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Open {
    pub(crate) container: String,
    pub(crate) hostname: Option<String>,
    pub(crate) max_frame: u32,
    pub(crate) channel_max: u16,
    /// Milliseconds without a frame after which the sender of this gives the connection up.
    pub(crate) idle_timeout: Option<u32>,
    pub(crate) offered: Vec<String>,
    pub(crate) properties: Vec<(String, Value)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Begin {
    pub(crate) remote_channel: Option<u16>,
    pub(crate) next_outgoing: u32,
    pub(crate) incoming_window: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attach {
    pub(crate) name: String,
    pub(crate) handle: u32,
    /// The sender of this frame receives on the link.
    pub(crate) receiver: bool,
    pub(crate) capability: Option<String>,
    pub(crate) initial_count: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) next_incoming: Option<u32>,
    pub(crate) incoming_window: u32,
    pub(crate) next_outgoing: u32,
    /// Handle, delivery count and credit of the link that this is about; None: about the session.
    pub(crate) link: Option<(u32, u32, u32)>,
    pub(crate) echo: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) handle: u32,
    pub(crate) delivery: Option<u32>,
    pub(crate) settled: bool,
    pub(crate) more: bool,
    pub(crate) aborted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disposition {
    /// Said by the receiver of the deliveries.
    pub(crate) receiver: bool,
    pub(crate) first: u32,
    pub(crate) last: u32,
    pub(crate) settled: bool,
    pub(crate) state: Option<Outcome>,
}

/// A delivery's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// So many bytes of it have been passed on (skrouterd's use of the section offset).
    Received(u64),
    Accepted,
    Released,
    Modified,
    Rejected(Option<Condition>),
}

/// Why something ended, for a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}{}{description}", if description.is_empty() { "" } else { ": " })]
pub(crate) struct Condition {
    pub(crate) name: String,
    pub(crate) description: String,
}

impl Condition {
    pub(crate) fn new(name: &str, description: impl Into<String>) -> Self {
        Condition { name: name.to_owned(), description: description.into() }
    }
}

/// The performative that a frame's body starts with, and the payload after it. None for an empty frame, which only
/// says that the peer is alive, and for a performative of an extension.
pub(crate) fn decode(body: &[u8]) -> Result<Option<(Performative, &[u8])>> {
    if body.is_empty() {
        return Ok(None);
    }
    let mut decoder = Decoder::new(body);
    let decoded = decoder.described_list().and_then(|(descriptor, fields)| one(descriptor, fields));
    // A performative may not be split over frames.
    let decoded = decoded.map_err(|error| match error {
        DecodeError::Truncated => DecodeError::Malformed("a performative is longer than its frame"),
        other => other,
    })?;
    Ok(decoded.map(|performative| (performative, decoder.rest())))
}

fn one(descriptor: u64, mut fields: Fields<'_>) -> Result<Option<Performative>> {
    Ok(Some(match descriptor {
        OPEN => Performative::Open(open(fields)?),
        BEGIN => Performative::Begin(Begin {
            remote_channel: fields.u16()?,
            next_outgoing: must(fields.u32()?)?,
            incoming_window: must(fields.u32()?)?,
        }),
        ATTACH => Performative::Attach(attach(fields)?),
        FLOW => Performative::Flow(flow(fields)?),
        TRANSFER => Performative::Transfer(transfer(fields)?),
        DISPOSITION => Performative::Disposition(disposition(fields)?),
        DETACH => {
            let handle = must(fields.u32()?)?;
            fields.skip()?;
            Performative::Detach { handle, error: condition(&mut fields)? }
        }
        END => Performative::End { error: condition(&mut fields)? },
        CLOSE => Performative::Close { error: condition(&mut fields)? },
        _ => return Ok(None),
    }))
}

fn must<T>(field: Option<T>) -> Result<T> {
    field.ok_or(DecodeError::Malformed("a mandatory field is missing"))
}

fn open(mut fields: Fields<'_>) -> Result<Open> {
    let container = must(fields.text()?)?.to_owned();
    let hostname = fields.text()?.map(str::to_owned);
    let max_frame = fields.u32()?.unwrap_or(u32::MAX);
    let channel_max = fields.u16()?.unwrap_or(u16::MAX);
    let idle_timeout = fields.u32()?;
    fields.skip()?;
    fields.skip()?;
    let offered = fields.value()?.map(|value| value.symbols().into_iter().map(str::to_owned).collect());
    fields.skip()?;
    let properties = match fields.value()? {
        Some(Value::Map(entries)) => {
            entries.into_iter().filter_map(|(key, value)| Some((key.text()?.to_owned(), value))).collect()
        }
        _ => Vec::new(),
    };
    Ok(Open {
        container,
        hostname,
        max_frame,
        channel_max,
        idle_timeout,
        offered: offered.unwrap_or_default(),
        properties,
    })
}

fn attach(mut fields: Fields<'_>) -> Result<Attach> {
    let name = must(fields.text()?)?.to_owned();
    let handle = must(fields.u32()?)?;
    let receiver = must(fields.bool()?)?;
    fields.skip()?;
    fields.skip()?;
    let source = capability(fields.described()?, 10)?;
    let target = capability(fields.described()?, 6)?;
    fields.skip()?;
    fields.skip()?;
    let initial_count = fields.u32()?.unwrap_or(0);
    Ok(Attach { name, handle, receiver, capability: target.or(source), initial_count })
}

/// The first capability of a source or a target, which is its field number `at`.
fn capability(terminus: Option<(u64, Fields<'_>)>, at: usize) -> Result<Option<String>> {
    let Some((_, mut fields)) = terminus else { return Ok(None) };
    for _ in 0..at {
        fields.skip()?;
    }
    Ok(fields.value()?.and_then(|value| value.symbols().first().map(|symbol| (*symbol).to_owned())))
}

fn flow(mut fields: Fields<'_>) -> Result<Flow> {
    let next_incoming = fields.u32()?;
    let incoming_window = must(fields.u32()?)?;
    let next_outgoing = must(fields.u32()?)?;
    fields.skip()?;
    let handle = fields.u32()?;
    let (count, credit) = (fields.u32()?, fields.u32()?);
    fields.skip()?;
    fields.skip()?;
    let echo = fields.bool()?.unwrap_or(false);
    let link = handle.map(|handle| (handle, count.unwrap_or(0), credit.unwrap_or(0)));
    Ok(Flow { next_incoming, incoming_window, next_outgoing, link, echo })
}

fn transfer(mut fields: Fields<'_>) -> Result<Transfer> {
    let handle = must(fields.u32()?)?;
    let delivery = fields.u32()?;
    fields.skip()?;
    fields.skip()?;
    let settled = fields.bool()?.unwrap_or(false);
    let more = fields.bool()?.unwrap_or(false);
    fields.skip()?;
    fields.skip()?;
    fields.skip()?;
    let aborted = fields.bool()?.unwrap_or(false);
    Ok(Transfer { handle, delivery, settled, more, aborted })
}

fn disposition(mut fields: Fields<'_>) -> Result<Disposition> {
    let receiver = must(fields.bool()?)?;
    let first = must(fields.u32()?)?;
    let last = fields.u32()?.unwrap_or(first);
    let settled = fields.bool()?.unwrap_or(false);
    let state = match fields.described()? {
        None => None,
        Some((RECEIVED, mut state)) => {
            state.skip()?;
            Some(Outcome::Received(state.u64()?.unwrap_or(0)))
        }
        Some((ACCEPTED, _)) => Some(Outcome::Accepted),
        Some((REJECTED, mut state)) => Some(Outcome::Rejected(condition(&mut state)?)),
        Some((RELEASED, _)) => Some(Outcome::Released),
        Some((MODIFIED, _)) => Some(Outcome::Modified),
        Some(_) => None,
    };
    Ok(Disposition { receiver, first, last, settled, state })
}

fn condition(fields: &mut Fields<'_>) -> Result<Option<Condition>> {
    let Some((_, mut error)) = fields.described()? else { return Ok(None) };
    let name = error.text()?.unwrap_or_default().to_owned();
    Ok(Some(Condition { name, description: error.text()?.unwrap_or_default().to_owned() }))
}

/// A frame of the security layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sasl {
    Mechanisms(Vec<String>),
    Init {
        mechanism: String,
    },
    /// 0 is yes, 1 is no, more is trouble of the server.
    Outcome(u64),
}

pub(crate) fn decode_sasl(body: &[u8]) -> Result<Sasl> {
    let (descriptor, mut fields) = Decoder::new(body).described_list()?;
    match descriptor {
        MECHANISMS => {
            let mechanisms = must(fields.value()?)?;
            Ok(Sasl::Mechanisms(mechanisms.symbols().into_iter().map(str::to_owned).collect()))
        }
        INIT => Ok(Sasl::Init { mechanism: must(fields.text()?)?.to_owned() }),
        OUTCOME => Ok(Sasl::Outcome(must(fields.u64()?)?)),
        _ => Err(DecodeError::Malformed("an unexpected frame of the security layer")),
    }
}

pub(crate) fn encode_sasl(out: &mut Vec<u8>, sasl: &Sasl) {
    let at = frame::start(out, true, 0);
    let mut encoder = Encoder::new(out);
    match sasl {
        Sasl::Mechanisms(mechanisms) => {
            let mechanisms: Vec<&str> = mechanisms.iter().map(String::as_str).collect();
            encoder.described(MECHANISMS, |list| {
                list.symbols(&mechanisms);
            })
        }
        Sasl::Init { mechanism } => encoder.described(INIT, |list| {
            let response: &[u8] = if mechanism == "ANONYMOUS" { b"anonymous@knetsim" } else { b"" };
            list.symbol(mechanism).binary(response);
        }),
        Sasl::Outcome(code) => encoder.described(OUTCOME, |list| {
            list.ubyte(u8::try_from(*code).unwrap_or(u8::MAX));
        }),
    };
    frame::finish(out, at, 0);
}

#[cfg(test)]
mod tests;
