//! Messages between routers (part 3 of the specification): sections before a body.
//!
//! The first section is skupper-router's own, the router annotations (docs/notes/router-annotations.adoc of
//! skupper-router): `[flags, to-override, ingress router, trace, ingress mesh]`. A stream's body is one null value,
//! after which raw bytes follow that are no section.

use super::codec::{DecodeError, Decoder, Encoder, Fields, Value};

/// "SKPR" and "--RA".
const ANNOTATIONS: u64 = 0x534b_5052_2d2d_5241;
const HEADER: u64 = 0x70;
const PROPERTIES: u64 = 0x73;
const APPLICATION: u64 = 0x74;
const VALUE: u64 = 0x77;

/// The flags of a TCP flow: streaming, and not held back by the router in between.
const STREAM: u32 = 5;

/// The content type by which skupper-router knows a stream of raw bytes.
pub(crate) const RAW: &str = "application/octet-stream";

/// What a message says of itself before its body.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Head {
    /// Undefined bits are passed on as they are.
    pub(crate) flags: u32,
    pub(crate) to_override: Option<String>,
    /// The router where the message came in, as `0/ID`.
    pub(crate) ingress: Option<String>,
    pub(crate) trace: Vec<String>,
    pub(crate) mesh: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) reply_to: Option<String>,
    pub(crate) correlation: Option<Value>,
    pub(crate) content_type: Option<String>,
    /// The application property `opcode`.
    pub(crate) opcode: Option<String>,
    /// Where the section after the router annotations starts.
    pub(crate) annotations_end: usize,
    /// Where the body starts.
    pub(crate) body_start: usize,
    /// Where what follows a body of one value starts.
    pub(crate) body_end: usize,
    /// The body, where it is one value.
    pub(crate) body: Value,
}

impl Head {
    /// Reads a message's sections up to its body's first.
    ///
    /// # Errors
    /// `Truncated` where the body hasn't begun yet, or its one value isn't whole.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Head, DecodeError> {
        let mut head = Head::default();
        let mut decoder = Decoder::new(bytes);
        loop {
            let at = bytes.len() - decoder.rest().len();
            let descriptor = decoder.descriptor()?;
            match descriptor {
                ANNOTATIONS => {
                    head.annotations(decoder.fields()?)?;
                    head.annotations_end = bytes.len() - decoder.rest().len();
                }
                PROPERTIES => head.properties(decoder.fields()?)?,
                APPLICATION => {
                    let properties = decoder.value()?;
                    head.opcode = properties.get("opcode").and_then(Value::text).map(str::to_owned);
                }
                HEADER..APPLICATION => decoder.skip()?,
                VALUE => {
                    head.body_start = at;
                    head.body = decoder.value()?;
                    head.body_end = bytes.len() - decoder.rest().len();
                    return Ok(head);
                }
                0x75 | 0x76 => {
                    head.body_start = at;
                    head.body_end = at;
                    return Ok(head);
                }
                _ => return Err(DecodeError::Malformed("a message with an unknown section")),
            }
        }
    }

    fn annotations(&mut self, mut fields: Fields<'_>) -> Result<(), DecodeError> {
        self.flags = fields.u32()?.unwrap_or(0);
        self.to_override = fields.text()?.map(str::to_owned);
        self.ingress = fields.text()?.map(str::to_owned);
        if let Some(Value::List(trace)) = fields.value()? {
            self.trace = trace.iter().filter_map(Value::text).map(str::to_owned).collect();
        }
        self.mesh = fields.text()?.map(str::to_owned);
        Ok(())
    }

    fn properties(&mut self, mut fields: Fields<'_>) -> Result<(), DecodeError> {
        fields.skip()?;
        fields.skip()?;
        let text = |value: Option<Value>| value.and_then(|value| value.text().map(str::to_owned));
        self.to = text(fields.value()?);
        fields.skip()?;
        self.reply_to = text(fields.value()?);
        self.correlation = fields.value()?;
        self.content_type = text(fields.value()?);
        Ok(())
    }

    /// Where the message goes.
    pub(crate) fn destination(&self) -> &str {
        self.to_override.as_deref().or(self.to.as_deref()).unwrap_or_default()
    }

    /// The id of the router where the message came in.
    pub(crate) fn origin(&self) -> Option<&str> {
        self.ingress.as_deref().map(router_of)
    }

    pub(crate) fn was_at(&self, router: &str) -> bool {
        self.trace.iter().any(|hop| router_of(hop) == router)
    }

    /// The annotations for the next router: this one's id is added to the trace.
    pub(crate) fn passed_on_by(&self, router: &str) -> Vec<u8> {
        let here = format!("0/{router}");
        let ingress = self.ingress.as_deref().unwrap_or(&here);
        let trace: Vec<&str> = self.trace.iter().map(String::as_str).chain([here.as_str()]).collect();
        let mut out = Vec::new();
        put_annotations(&mut out, (self.flags, self.to_override.as_deref()), ingress, &trace, self.mesh.as_deref());
        out
    }
}

/// A router's id out of `0/ID`.
pub(crate) fn router_of(hop: &str) -> &str {
    hop.split_once('/').map_or(hop, |(_area, id)| id)
}

fn put_text(list: &mut Encoder<'_>, text: Option<&str>) {
    match text {
        Some(text) => list.string(text),
        None => list.null(),
    };
}

fn put_annotations(
    out: &mut Vec<u8>,
    (flags, to): (u32, Option<&str>),
    ingress: &str,
    trace: &[&str],
    mesh: Option<&str>,
) {
    Encoder::new(out).described(ANNOTATIONS, |list| {
        put_text(list.uint(flags), to);
        list.string(ingress).list(|hops| {
            for hop in trace {
                hops.string(hop);
            }
        });
        if mesh.is_some() {
            put_text(list, mesh);
        }
    });
}

/// A control message of the routing protocols, whole.
pub(crate) fn control(router: &str, to: &str, opcode: &str, body: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    let here = format!("0/{router}");
    put_annotations(&mut out, (0, None), &here, &[&here], None);
    let mut encoder = Encoder::new(&mut out);
    encoder.described(HEADER, |list| {
        list.bool(false);
    });
    encoder.described(PROPERTIES, |list| {
        list.null().null().string(to);
    });
    let properties = Value::Map(vec![(Value::string("opcode"), Value::string(opcode))]);
    section(&mut encoder, APPLICATION, &properties);
    section(&mut encoder, VALUE, body);
    out
}

/// The head of a TCP flow's stream, up to where its raw bytes start. The stream of who connected says where answers
/// go and the flow's id; the other one neither.
pub(crate) fn stream(router: &str, to: &str, reply: Option<(&str, &str)>) -> Vec<u8> {
    let mut out = Vec::new();
    let here = format!("0/{router}");
    put_annotations(&mut out, (STREAM, None), &here, &[&here], None);
    let mut encoder = Encoder::new(&mut out);
    encoder.described(PROPERTIES, |list| {
        list.null().null().string(to).null();
        match reply {
            Some((reply_to, flow)) => list.string(reply_to).string(flow),
            None => list.null().null(),
        };
        list.string(RAW);
    });
    section(&mut encoder, APPLICATION, &Value::Map(vec![(Value::string("V"), Value::uint(1))]));
    section(&mut encoder, VALUE, &Value::Null);
    out
}

fn section(encoder: &mut Encoder<'_>, descriptor: u64, value: &Value) {
    let descriptor = Value::Unsigned(descriptor, 8);
    encoder.value(&Value::Described(Box::new(descriptor), Box::new(value.clone())));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_streams_head_ends_where_its_bytes_start() {
        let mut bytes = stream("c1", "web", Some(("amqp:/_topo/0/c1/temp.7", "c1:7")));
        let end = bytes.len();
        assert_eq!(Head::parse(&bytes[..end - 1]), Err(DecodeError::Truncated));
        bytes.extend_from_slice(b"GET / HTTP/1.1");
        let head = Head::parse(&bytes).unwrap();
        assert_eq!((head.body_end, &head.body, head.flags), (end, &Value::Null, STREAM));
        assert_eq!((head.destination(), head.reply_to.as_deref()), ("web", Some("amqp:/_topo/0/c1/temp.7")));
        assert_eq!((head.origin(), head.content_type.as_deref()), (Some("c1"), Some(RAW)));
    }

    #[test]
    fn a_message_passed_on_has_one_hop_more_and_is_otherwise_the_same() {
        let bytes = stream("c1", "web", None);
        let head = Head::parse(&bytes).unwrap();
        let mut passed = head.passed_on_by("c2");
        passed.extend_from_slice(&bytes[head.annotations_end..]);
        let again = Head::parse(&passed).unwrap();
        assert_eq!(again.trace, ["0/c1", "0/c2"]);
        assert!(again.was_at("c2") && !again.was_at("c"));
        assert_eq!((again.origin(), again.destination()), (Some("c1"), "web"));
    }

    #[test]
    fn a_control_messages_body_is_a_map() {
        let body = Value::Map(vec![(Value::string("id"), Value::string("c0"))]);
        let bytes = control("c0", "amqp:/_local/qdhello", "HELLO", &body);
        let head = Head::parse(&bytes).unwrap();
        assert_eq!((head.opcode.as_deref(), head.body.get("id").and_then(Value::text)), (Some("HELLO"), Some("c0")));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_head_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Head::parse(&bytes);
        }

        #[test]
        fn a_changed_byte_gives_a_head_or_is_refused(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = stream("c1", "web", Some(("amqp:/_topo/0/c1/temp.7", "c1:7")));
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = Head::parse(&bytes);
        }
    }
}
