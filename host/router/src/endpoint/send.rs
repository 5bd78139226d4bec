//! What this end sends: streams, a transfer at a time; messages of the routing protocols; signs of life; a goodbye.

use super::session::Outgoing;
use super::{Endpoint, Owner, Part, Purpose};
use crate::amqp::frame;
use crate::amqp::performative::{self, Condition, Performative, Transfer};

impl Endpoint {
    /// A session to send one stream in: an unused one, or a new one. None where there are too many.
    pub(crate) fn stream(&mut self, owner: Owner, out: &mut Vec<u8>) -> Option<u16> {
        let channel = match self.pool.pop_front() {
            Some(channel) => channel,
            None => {
                let channel = self.begin_session(None, out)?;
                self.attach(channel, Purpose::Stream, false, out)?;
                channel
            }
        };
        let session = self.session(channel)?;
        session.outgoing = Some(Outgoing { owner, delivery: 0, begun: false });
        Some(channel)
    }

    /// Appends the part of a stream's next transfer that precedes its `payload` bytes. There must be [`Self::room`].
    pub(crate) fn put_transfer(&mut self, channel: u16, payload: usize, part: Part, out: &mut Vec<u8>) {
        let Some(session) = self.session(channel) else { return };
        let Some(handle) = session.sender(Purpose::Stream) else { return };
        let Some(mut outgoing) = session.outgoing else { return };
        let first = !outgoing.begun;
        if first {
            let Some(delivery) = session.begin_delivery(handle) else { return };
            outgoing = Outgoing { delivery, begun: true, ..outgoing };
            session.remember(delivery, outgoing.owner);
            session.sent.begin();
        }
        let more = part == Part::More;
        session.outgoing = more.then_some(outgoing);
        let transfer = Transfer {
            handle,
            delivery: first.then_some(outgoing.delivery),
            settled: false,
            more,
            aborted: part == Part::Abort,
        };
        performative::encode_transfer(out, channel, &transfer, payload);
        if part == Part::Abort {
            session.unsettled.remove(&outgoing.delivery);
            session.ending = true;
        }
        let is_free = part == Part::Last && session.is_free();
        self.count_sent(channel, payload);
        if is_free {
            self.pool.push_back(channel);
        } else if part == Part::Abort {
            performative::encode(out, channel, &Performative::End { error: None });
        }
    }

    /// Ends a stream before its time, as soon as there is room to say so. One that hasn't begun just won't.
    pub(crate) fn abort_stream(&mut self, channel: u16, out: &mut Vec<u8>) {
        let has_room = self.room(channel).transfers > 0;
        let Some(session) = self.session(channel) else { return };
        let Some(outgoing) = &mut session.outgoing else { return };
        outgoing.owner = Owner::Nobody;
        if !outgoing.begun {
            session.outgoing = None;
            self.pool.push_back(channel);
        } else if has_room {
            self.put_transfer(channel, 0, Part::Abort, out);
        }
    }

    /// Appends a message of the routing protocols, settled; false where there is no room for it, when it is dropped:
    /// these protocols repeat themselves.
    pub(crate) fn put_control(&mut self, message: &[u8], out: &mut Vec<u8>) -> bool {
        let Some((channel, handle)) = self.control else { return false };
        let room = self.max_payload();
        let Some(session) = self.session(channel) else { return false };
        let parts = message.len().div_ceil(room).max(1);
        if (session.window() as usize) < parts {
            return false;
        }
        let Some(delivery) = session.begin_delivery(handle) else { return false };
        for (at, part) in message.chunks(room).enumerate() {
            session.sent(0);
            let more = at + 1 < parts;
            let delivery = (at == 0).then_some(delivery);
            let transfer = Transfer { handle, delivery, settled: true, more, aborted: false };
            performative::encode_transfer(out, channel, &transfer, part.len());
            out.extend_from_slice(part);
        }
        true
    }

    /// Appends a frame that only says that this end is alive.
    pub(crate) fn put_heartbeat(out: &mut Vec<u8>) {
        let at = frame::start(out, false, 0);
        frame::finish(out, at, 0);
    }

    /// Appends a goodbye.
    pub(crate) fn put_close(&self, error: Option<Condition>, out: &mut Vec<u8>) {
        if self.peer.is_some() {
            performative::encode(out, 0, &Performative::Close { error });
        }
    }
}
