//! What arrives: deliveries on their way to whoever takes their bytes, and what the peer is told of them.

use super::session::{Incoming, Purpose};
use super::{Endpoint, Outcome, Owner, Sink};
use crate::amqp::performative::{self, Disposition, Performative};

/// How much of a delivery may wait here before it counts against its session's window: who sends a TCP flow has no more
/// than this under way by itself.
pub(crate) const FREE: usize = 1 << 20;

impl Endpoint {
    /// All bytes that arrived and wait here for want of room elsewhere.
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

    /// Of a delivery that arrived on a link `now` bytes wait here, where `before` bytes did. The peer may send as many
    /// less in the session as are more than [`FREE`].
    pub(crate) fn count_untaken(&mut self, (channel, link): (u16, u32), before: usize, now: usize, out: &mut Vec<u8>) {
        self.untaken = (self.untaken + now).saturating_sub(before);
        let [before, now] = [before, now].map(|bytes| bytes.saturating_sub(FREE));
        if before == now {
            return;
        }
        let Some(session) = self.session(channel) else { return };
        session.occupy(before, now);
        if now < before
            && let Some(flow) = session.flow_due(link)
        {
            performative::encode(out, channel, &Performative::Flow(flow));
        }
    }

    /// Heads that were not whole yet are given up.
    pub(super) fn forget_gathered(&mut self, sinks: &[Sink]) {
        let gathered = sinks.iter().map(|sink| if let Sink::Gather(bytes) = sink { bytes.len() } else { 0 });
        self.untaken = self.untaken.saturating_sub(gathered.sum());
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
