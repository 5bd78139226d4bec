//! How much of the memory here a peer may take: what it is to be sent and doesn't read, and what it has sent and can't go
//! on from here. A peer that takes more is not read, so that the bounds hold whatever it sends.
//!
//! What can't go on waits for a reader. A slow one makes room in time. One that has stalled would hold up all streams of
//! the connection, so the streams that have stood still longest are broken off until enough is free. A stream that waits
//! only for its turn on a slow connection has not stalled while that connection takes bytes.

use std::time::{Duration, Instant};

use super::peers::Peer;
use super::{Core, Task};
use crate::arena::Id;

/// Bytes for a peer that its socket doesn't take.
const MAX_UNREAD: usize = 4 << 20;
/// Bytes of a peer's streams that wait here, and how many may be left when streams have been broken off.
const MAX_UNTAKEN: usize = 256 << 20;
const ENOUGH: usize = MAX_UNTAKEN / 4 * 3;
/// A stream of which nothing has gone on for so long has stalled.
const STALLED: Duration = Duration::from_secs(2);
/// A peer that can't be read for so long, while what it has too much of does not become less, is given up.
const MAX_STOP: Duration = Duration::from_secs(20);

/// What a peer has too much of here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Excess {
    #[error("it does not read what it is sent")]
    Unread,
    #[error("what it sent can't go on from here")]
    Untaken,
}

/// A peer that is not read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    /// When it began, or the excess last became less.
    since: Instant,
    excess: Excess,
    /// The fewest bytes of it so far.
    least: usize,
}

impl Peer {
    /// What it has too much of, and how many bytes of that.
    fn excess(&self) -> Option<(Excess, usize)> {
        let (unread, untaken) = (self.channel.backlog() + self.out.len(), self.endpoint.untaken());
        match (unread > MAX_UNREAD, untaken > MAX_UNTAKEN) {
            (true, _) => Some((Excess::Unread, unread)),
            (false, true) => Some((Excess::Untaken, untaken)),
            (false, false) => None,
        }
    }

    /// Takes down whether it may be read; true where it may be again.
    pub(super) fn resumes(&mut self, now: Instant) -> bool {
        if let Some((excess, bytes)) = self.excess() {
            let stop = self.stopped.get_or_insert(Stop { since: now, excess, least: bytes });
            if stop.excess != excess || bytes < stop.least {
                *stop = Stop { since: now, excess, least: bytes };
            }
            return false;
        }
        let resumes = self.stopped.take().is_some();
        if resumes {
            // What it said in the meantime wasn't heard.
            self.heard = now;
        }
        resumes
    }

    /// How long it has not been read, and why, where that is too long.
    pub(super) fn stopped_too_long(&self, now: Instant) -> Option<(Duration, Excess)> {
        let stopped = now.duration_since(self.stopped?.since);
        Some((stopped, self.excess()?.0)).filter(|_| stopped > MAX_STOP)
    }
}

impl Core {
    /// Whether a peer may be read now.
    pub(super) fn may_read(&mut self, id: Id) -> bool {
        self.break_off_stalled(id);
        let now = self.now;
        self.peers.get_mut(id).is_some_and(|peer| {
            peer.resumes(now);
            peer.stopped.is_none()
        })
    }

    /// Looks again after those that aren't read.
    pub(super) fn tick_backlogs(&mut self) {
        for id in self.peers.ids() {
            if self.peers.get(id).is_some_and(|peer| peer.stopped.is_some()) {
                self.break_off_stalled(id);
                self.touch(id);
            }
        }
    }

    /// Breaks off the streams of a peer that have stood still longest, where too much waits.
    fn break_off_stalled(&mut self, id: Id) {
        let untaken = self.untaken(id);
        if untaken <= MAX_UNTAKEN {
            return;
        }
        let flows = self.waiting_flows(id).map(|(since, flow)| (since, Task::Flow(flow)));
        let transits = self.waiting_transits(id).map(|(since, transit)| (since, Task::Transit(transit)));
        let mut stalled: Vec<(Instant, Task)> = flows.chain(transits).collect();
        stalled.retain(|(since, _)| self.now.duration_since(*since) > STALLED);
        stalled.sort_by_key(|(since, _)| *since);
        let mut count = 0;
        for (_, stream) in stalled {
            if self.untaken(id) <= ENOUGH {
                break;
            }
            match stream {
                Task::Flow(flow) => self.fail_flow(flow),
                Task::Transit(transit) => self.drop_transit(transit, true),
                _ => {}
            }
            count += 1;
        }
        if count > 0
            && let Some(peer) = self.peers.get(id)
        {
            let router = peer.endpoint.peer().unwrap_or_default();
            tracing::warn!(
                connection = peer.name,
                router,
                "{} MiB wait for readers that take nothing: {count} streams are broken off",
                untaken >> 20
            );
        }
    }

    fn untaken(&self, id: Id) -> usize {
        self.peers.get(id).map_or(0, |peer| peer.endpoint.untaken())
    }
}
