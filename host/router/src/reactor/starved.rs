//! Senders that wait until less is under way on their connection.

use std::time::{Duration, Instant};

use super::peers::Peer;
use super::{Core, Task};
use crate::arena::Id;

/// A peer to which nothing could be sent for so long has readers that have stalled.
const STALLED: Duration = Duration::from_secs(3);

impl Peer {
    /// Lets a sender wait until there is less under way; the peer is asked how much is at the end of the round.
    pub(super) fn starve(&mut self, task: Task, session: u16, now: Instant) {
        self.starved.push((task, session));
        self.ask_at = Some(now);
    }

    /// Why new streams to it wait, where they have for some time.
    pub(super) fn problem(&self, now: Instant) -> Option<String> {
        let stalled = self.exhausted.is_some_and(|since| now.duration_since(since) > STALLED);
        stalled.then(|| {
            let waiting = self.starved.len();
            format!("readers there take nothing of what they were sent: {waiting} streams wait until they do")
        })
    }

    /// Those that waited for less to be under way and may go on.
    pub(super) fn fed(&mut self) -> Vec<Task> {
        if self.starved.is_empty() || !self.endpoint.has_eased() {
            return Vec::new();
        }
        let endpoint = &mut self.endpoint;
        let fed = self.starved.extract_if(.., |(_, session)| endpoint.free(*session) > 0);
        fed.map(|(task, _)| task).collect()
    }
}

impl Core {
    /// Looks whether something can be sent to those for whom somebody waits, and logs it once when that lasts.
    pub(super) fn tick_starved(&mut self) {
        for id in self.peers.ids() {
            let Some(peer) = self.peers.get_mut(id) else { continue };
            if peer.starved.is_empty() || !peer.endpoint.is_exhausted() {
                (peer.exhausted, peer.exhaustion_logged) = (None, false);
                continue;
            }
            peer.exhausted.get_or_insert(self.now);
            if let Some(problem) = peer.problem(self.now)
                && !std::mem::replace(&mut peer.exhaustion_logged, true)
            {
                tracing::warn!(connection = peer.name, router = peer.endpoint.peer(), "{problem}");
            }
        }
    }

    /// When the next peer is to be asked how much is under way.
    pub(super) fn next_question(&self) -> Option<Instant> {
        self.peers.iter().filter_map(|(_, peer)| peer.ask_at).min()
    }

    /// Asks those peers for whose answers somebody waits.
    pub(super) fn ask_peers(&mut self) {
        let due = |(_, peer): &(Id, &Peer)| peer.ask_at.is_some_and(|at| at <= self.now);
        let due: Vec<Id> = self.peers.iter().filter(due).map(|(id, _)| id).collect();
        for id in due {
            let Some(peer) = self.peers.get_mut(id) else { continue };
            peer.ask_at = None;
            if !peer.starved.is_empty() {
                peer.ask_at = peer.endpoint.ask(self.now, &mut peer.out);
                self.touch(id);
            }
        }
    }
}
