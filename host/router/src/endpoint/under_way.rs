//! How much is under way to a peer: sent, and not known to be taken.
//!
//! skrouterd ends a connection when more than 4 MiB of deliveries wait in it to be taken by their readers (qpid-proton,
//! `PN_DEFAULT_MAX_BUFFERED_DELIVERY_BYTES` in `c/src/core/engine-internal.h`), whatever the sessions' windows allow. So
//! all that is under way on a connection is bounded here, and each stream gets a small share of what is still free: some
//! fifty readers that have stalled leave enough for the others, and the bound is kept.
//!
//! What a peer has taken is known when it says how much it has written (which skrouterd does about each half a
//! megabyte), settles, or says its session's window: the window that it granted at first, less the one that it says, is
//! what waits. It says so when it has been asked, by a message that leads nowhere: the receiver of a message that it
//! can't use gives the credit for it back, and the frame that does so has the window.

use std::time::{Duration, Instant};

use super::session::{Purpose, Session};
use super::{Endpoint, Outcome};
use crate::amqp::codec::Value;
use crate::amqp::performative::{self, Transfer};

/// Bytes that may be under way on a connection, and the share that a stream gets of those that are free.
const BOUND: u64 = 3 << 20;
const SHARE: u64 = 16;
/// Who may send less than this waits until it is more. A stream of which nothing is under way may send as much up to a
/// second bound, which is under skrouterd's by what heads and control messages need.
const LEAST: u64 = 4 << 10;
const LAST_BOUND: u64 = BOUND + (3 << 18);
/// How long it takes until the peer is asked again about bytes that it had not taken.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);
/// The property that says whose program a peer is, and what this one says.
pub(super) const PRODUCT: &str = "product";
pub(super) const OWN_PRODUCT: &str = "knetsim-router";
/// A message without anything but a header: it has no address.
const NOWHERE: [u8; 4] = [0x00, 0x53, 0x70, 0x45];

/// What was sent in a session.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Bytes of payload so far, and those of them that the peer has taken for certain.
    pub(super) bytes: u64,
    taken: u64,
    /// How many there were when the stream under way began.
    began: u64,
    /// The peer's whole window.
    pub(super) full_window: u32,
    /// The number of the next transfer when the peer was asked, and the bytes that had been sent; None once it has said.
    pub(super) question: Option<(u32, u64)>,
    /// The bytes that had been sent when it was asked last.
    asked: u64,
    /// When it is to be asked again about the same bytes, and how long that is after the last time.
    again: Option<Instant>,
    pause: Duration,
    /// It is among the sessions with something under way.
    listed: bool,
}

impl Sent {
    fn under_way(&self) -> u64 {
        self.bytes - self.taken
    }

    /// The peer is asked, having been sent all transfers before number `next`.
    pub(super) fn ask(&mut self, next: u32) {
        (self.question, self.asked) = (Some((next, self.bytes)), self.bytes);
    }

    /// Whether the peer is to be asked: at once about bytes that it wasn't asked about, and about the others after
    /// pauses, which get longer while it takes none.
    fn is_due(&mut self, now: Instant) -> bool {
        if self.question.is_some() {
            return false;
        }
        if self.asked == self.bytes && self.again.is_some_and(|at| now < at) {
            return false;
        }
        self.pause = (2 * self.pause).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        self.again = Some(now + self.pause);
        true
    }

    fn take(&mut self, taken: u64) {
        if taken > self.taken {
            (self.taken, self.pause, self.again) = (taken.min(self.bytes), Duration::ZERO, None);
        }
    }

    /// A stream begins.
    pub(super) fn begin(&mut self) {
        self.began = self.bytes;
    }

    /// The peer says its window, having received all transfers before number `next`.
    pub(super) fn window_said(&mut self, next: u32, window: u32, frame: u32) {
        let Some((asked, bytes)) = self.question else { return };
        // Serial arithmetic: the question has arrived.
        if next.wrapping_sub(asked) > i32::MAX as u32 {
            return;
        }
        self.question = None;
        let waits = u64::from(self.full_window.saturating_sub(window)) * u64::from(frame);
        self.take(bytes.saturating_sub(waits));
    }
}

/// What may be sent of a stream now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) transfers: u32,
    /// Of payload; none while too much is under way on the connection.
    pub(crate) bytes: usize,
}

impl Endpoint {
    /// What may be sent of a session's stream now: nothing before its link is attached and has credit.
    pub(crate) fn room(&mut self, channel: u16) -> Room {
        Room { transfers: self.transfers(channel), bytes: self.free(channel) }
    }

    fn transfers(&mut self, channel: u16) -> u32 {
        let Some(session) = self.session(channel) else { return 0 };
        let begun = session.outgoing.is_some_and(|outgoing| outgoing.begun);
        let Some(handle) = session.sender(Purpose::Stream) else { return 0 };
        let ready = session.link(handle).is_some_and(|link| link.remote.is_some() && (begun || link.credit > 0));
        if ready { session.window() } else { 0 }
    }

    /// Bytes that a session may send: its share of what is free, less what it has under way itself. One that is no more
    /// has nothing to wait for.
    pub(crate) fn free(&mut self, channel: u16) -> usize {
        if !self.bounded {
            return usize::MAX;
        }
        let under_way = self.under_way;
        let Some(own) = self.session(channel).map(|session| session.sent.under_way()) else { return usize::MAX };
        let left = (BOUND.saturating_sub(under_way) / SHARE).saturating_sub(own);
        let bytes = match left {
            LEAST.. => left,
            _ if own == 0 && under_way + LEAST <= LAST_BOUND => LEAST,
            _ => 0,
        };
        bytes as usize
    }

    /// Whether nothing at all may be sent on the connection: as much is under way as may be.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.bounded && self.under_way + LEAST > LAST_BOUND
    }

    /// Asks the peer how much of a session's bytes it has taken before they are as many as may be, so that the answer is
    /// here by then.
    pub(crate) fn ask_early(&mut self, channel: u16, out: &mut Vec<u8>) {
        if self.bounded
            && let Some(own) = self.session(channel).map(|session| session.sent.under_way())
            && own > self.free(channel) as u64
        {
            self.ask_in(channel, out);
        }
    }

    /// Whether there may be more room than when this was asked last.
    pub(crate) fn has_eased(&mut self) -> bool {
        std::mem::take(&mut self.eased)
    }

    /// The peer has said whose program it is. Another router of this program doesn't bound what is under way.
    pub(super) fn know_product(&mut self) {
        self.bounded = self.property(PRODUCT).and_then(Value::text) != Some(OWN_PRODUCT);
    }

    /// Bytes of payload go out.
    pub(super) fn count_sent(&mut self, channel: u16, payload: usize) {
        self.under_way += payload as u64;
        let Some(session) = self.session(channel) else { return };
        session.sent(payload);
        if payload > 0 && self.bounded {
            self.list(channel);
        }
    }

    fn list(&mut self, channel: u16) {
        let listed = self.session(channel).is_some_and(|session| !std::mem::replace(&mut session.sent.listed, true));
        if listed {
            self.sending.push(channel);
        }
    }

    /// Runs what may tell how much of a session's bytes has been taken.
    pub(super) fn count_taken(&mut self, channel: u16, learn: impl FnOnce(&mut Session)) {
        let Some(session) = self.session(channel) else { return };
        let before = session.sent.under_way();
        learn(session);
        let now = session.sent.under_way();
        self.under_way = (self.under_way + now).saturating_sub(before);
        self.eased |= now < before;
    }

    /// The peer says what it has done with a session's stream.
    pub(super) fn count_state(&mut self, channel: u16, state: Option<&Outcome>, settled: bool) {
        self.count_taken(channel, |session| {
            let sent = &mut session.sent;
            if settled {
                sent.take(sent.bytes);
            } else if let Some(Outcome::Received(bytes)) = state {
                sent.take(sent.began.saturating_add(*bytes));
            }
        });
    }

    /// Asks the peer how much it has taken, in all sessions where that isn't known: when to do so again.
    pub(crate) fn ask(&mut self, now: Instant, out: &mut Vec<u8>) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        for channel in std::mem::take(&mut self.sending) {
            let Some(session) = self.session(channel) else { continue };
            let sent = &mut session.sent;
            sent.listed = sent.under_way() > 0;
            if !sent.listed {
                continue;
            }
            let is_due = sent.is_due(now);
            let again = sent.again.unwrap_or(now + SHORTEST_PAUSE);
            next = Some(next.map_or(again, |next| next.min(again)));
            self.sending.push(channel);
            if is_due {
                self.ask_in(channel, out);
            }
        }
        next
    }

    fn ask_in(&mut self, channel: u16, out: &mut Vec<u8>) {
        let Some(session) = self.session(channel) else { return };
        if session.sent.question.is_some() || session.ending {
            return;
        }
        let Some(handle) = session.sender(Purpose::Question) else {
            // The answer to an attach has the window, too.
            session.asked();
            self.attach(channel, Purpose::Question, false, out);
            return;
        };
        if session.window() == 0 {
            return;
        }
        let Some(delivery) = session.begin_delivery(handle) else { return };
        session.sent(NOWHERE.len());
        session.asked();
        self.under_way += NOWHERE.len() as u64;
        let transfer = Transfer { handle, delivery: Some(delivery), settled: true, more: false, aborted: false };
        performative::encode_transfer(out, channel, &transfer, NOWHERE.len());
        out.extend_from_slice(&NOWHERE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_tells_what_waits_once_the_question_has_arrived() {
        let mut sent = Sent { bytes: 100_000, full_window: 100, ..Sent::default() };
        sent.window_said(7, 100, 1000);
        assert_eq!(sent.under_way(), 100_000, "nothing was asked");
        sent.question = Some((u32::MAX, 90_000));
        sent.window_said(u32::MAX - 1, 100, 1000);
        assert_eq!(sent.under_way(), 100_000, "the question had not arrived");
        // Thirty frames wait of what had been sent until then, and all that was sent since is under way.
        sent.window_said(3, 70, 1000);
        assert_eq!((sent.under_way(), sent.question), (40_000, None));
        // An older answer takes nothing back.
        sent.question = Some((4, 100_000));
        sent.window_said(4, 1, 1000);
        assert_eq!(sent.under_way(), 40_000);
    }
}
