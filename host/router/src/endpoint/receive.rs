//! What arrives: deliveries on their way to whoever takes their bytes, and what the peer is told of them.

use super::session::{Incoming, Purpose};
use super::{Endpoint, Outcome, Owner, Sink};
use crate::amqp::performative::{self, Disposition, Performative};

impl Endpoint {
    /// Bytes that arrived and wait here for want of room elsewhere.
    pub(crate) fn untaken(&self) -> usize {
        self.untaken
    }

    /// Everything that still has an interest in deliveries, when the connection is lost.
    pub(crate) fn interests(&mut self) -> (Vec<Sink>, Vec<Owner>) {
        let mut all = (Vec::new(), Vec::new());
        for session in self.sessions.iter_mut().flatten() {
            let (sinks, owners) = session.interests();
            all.0.extend(sinks);
            all.1.extend(owners);
        }
        all
    }

    /// The delivery that is arriving on a link.
    pub(crate) fn incoming(&mut self, session: u16, link: u32) -> Option<&mut Incoming> {
        self.session(session)?.link(link)?.incoming.as_mut()
    }

    /// What a link on which something arrives is for.
    pub(crate) fn purpose(&mut self, session: u16, link: u32) -> Purpose {
        self.session(session).and_then(|session| session.link(link)).map_or(Purpose::Stream, |link| link.purpose)
    }

    /// A part of a delivery has been dealt with: grants the peer more where it is due. `last`: so is the whole.
    pub(crate) fn taken(&mut self, channel: u16, link: u32, last: bool, out: &mut Vec<u8>) {
        let Some(session) = self.session(channel) else { return };
        if last && let Some(link) = session.link(link) {
            link.incoming = None;
        }
        if let Some(flow) = session.flow_due(link) {
            performative::encode(out, channel, &Performative::Flow(flow));
        }
    }

    /// Of what arrived on a link `now` bytes wait here, where it was `before`: the peer may send as much less.
    pub(crate) fn keep(&mut self, (channel, link): (u16, u32), before: usize, now: usize, out: &mut Vec<u8>) {
        if before == now {
            return;
        }
        let Some(session) = self.session(channel) else { return };
        let whole = session.untaken();
        session.keep(before, now);
        let changed = session.untaken();
        if now < before
            && let Some(flow) = session.flow_due(link)
        {
            performative::encode(out, channel, &Performative::Flow(flow));
        }
        self.untaken = (self.untaken + changed).saturating_sub(whole);
    }

    /// Says what became of a delivery that arrived.
    pub(crate) fn settle(&mut self, channel: u16, delivery: u32, state: Outcome, settled: bool, out: &mut Vec<u8>) {
        if self.session(channel).is_none() {
            return;
        }
        let (first, last) = (delivery, delivery);
        let disposition = Disposition { receiver: true, first, last, settled, state: Some(state) };
        performative::encode(out, channel, &Performative::Disposition(disposition));
    }
}
