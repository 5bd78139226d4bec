//! How a connection begins: protocol headers, the security layer, who each end is.

use super::peer::{ANNOTATIONS_VERSION, COST};
use super::under_way::{OWN_PRODUCT, PRODUCT};
use super::{CAPABILITIES, Endpoint, Event, Failure, MAX_SESSIONS, State};
use crate::amqp::codec::Value;
use crate::amqp::frame;
use crate::amqp::performative::{self, Open, Performative, Sasl};

impl Endpoint {
    pub(super) fn header<'a>(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<(usize, Event<'a>)>, Failure> {
        // Who speaks something else is told at once, not when it has sent as much as a header.
        if bytes.iter().zip(b"AMQP").any(|(byte, expected)| byte != expected) {
            return Err(Failure::Protocol(match bytes {
                [0x16, ..] => "it speaks TLS, and this end has no sslProfile",
                _ => "it doesn't speak AMQP (is it a TLS port, and this end has no sslProfile?)",
            }));
        }
        let Some(header) = bytes.first_chunk::<8>() else { return Ok(None) };
        match (self.state, *header) {
            (State::SaslHeader, frame::SASL_HEADER) => {
                self.state = State::SaslFrames;
                if self.settings.server {
                    out.extend_from_slice(&frame::SASL_HEADER);
                    performative::encode_sasl(out, &Sasl::Mechanisms(self.settings.mechanisms.clone()));
                }
            }
            (State::SaslHeader, frame::AMQP_HEADER) if self.settings.sasl_optional => self.open(out),
            (State::Header, frame::AMQP_HEADER) => {
                self.state = State::Frames;
                if self.settings.server {
                    self.open(out);
                }
            }
            (State::SaslHeader, frame::AMQP_HEADER) => {
                out.extend_from_slice(&frame::SASL_HEADER);
                return Err(Failure::Protocol("it came without the security layer (SASL) that this router asks for"));
            }
            _ => return Err(Failure::Protocol("its protocol header isn't AMQP 1.0's")),
        }
        Ok(Some((8, Event::None)))
    }

    pub(super) fn sasl<'a>(&mut self, sasl: Sasl, out: &mut Vec<u8>) -> Result<Event<'a>, Failure> {
        match (sasl, self.settings.server) {
            (Sasl::Mechanisms(offered), false) => {
                let wanted = &self.settings.mechanisms;
                let mechanism = wanted.iter().find(|mechanism| offered.contains(mechanism)).cloned();
                let mechanism = mechanism
                    .ok_or_else(|| Failure::Mechanisms { offered: offered.join(" "), wanted: wanted.join(" ") })?;
                performative::encode_sasl(out, &Sasl::Init { mechanism });
            }
            (Sasl::Init { mechanism }, true) => {
                if !self.settings.mechanisms.contains(&mechanism) {
                    performative::encode_sasl(out, &Sasl::Outcome(1));
                    let wanted = self.settings.mechanisms.join(" ");
                    return Err(Failure::Mechanisms { offered: mechanism, wanted });
                }
                performative::encode_sasl(out, &Sasl::Outcome(0));
                self.state = State::Header;
            }
            (Sasl::Outcome(0), false) => {
                self.open(out);
                // What was said is for the peer; its own header is still to come.
                self.state = State::Header;
            }
            (Sasl::Outcome(code), false) => return Err(Failure::Refused(code)),
            _ => return Err(Failure::Protocol("a frame of the security layer at the wrong end")),
        }
        Ok(Event::None)
    }

    /// Says the plain protocol's header and who this is.
    fn open(&mut self, out: &mut Vec<u8>) {
        self.state = State::Frames;
        out.extend_from_slice(&frame::AMQP_HEADER);
        let capabilities = CAPABILITIES.map(String::from).to_vec();
        // The peer is told half of what it gets, as the specification advises.
        let idle = u32::try_from(self.settings.idle_timeout.as_millis() / 2).unwrap_or(u32::MAX);
        let mut properties = vec![
            (PRODUCT.to_owned(), Value::string(OWN_PRODUCT)),
            ("version".to_owned(), Value::string(env!("CARGO_PKG_VERSION"))),
            ("qd.conn-id".to_owned(), Value::long(self.settings.number)),
            (ANNOTATIONS_VERSION.to_owned(), Value::int(2)),
        ];
        // As skrouterd, which says no cost of 1.
        if self.settings.cost > 1 {
            properties.push((COST.to_owned(), Value::int(i32::try_from(self.settings.cost).unwrap_or(i32::MAX))));
        }
        let open = Open {
            container: self.settings.container.clone(),
            hostname: self.settings.hostname.clone(),
            max_frame: self.settings.max_frame,
            channel_max: (MAX_SESSIONS - 1) as u16,
            idle_timeout: (idle > 0).then_some(idle),
            offered: capabilities,
            properties,
        };
        performative::encode(out, 0, &Performative::Open(open));
    }
}
