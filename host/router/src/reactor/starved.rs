//! Senders that wait until less is under way on their connection.

use std::time::Instant;

use super::peers::Peer;
use super::{Core, Task};
use crate::arena::Id;

impl Peer {
    /// Lets a sender wait until there is less under way; the peer is asked how much is at the end of the round.
    pub(super) fn starve(&mut self, task: Task, session: u16, now: Instant) {
        self.starved.push((task, session));
        self.ask_at = Some(now);
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
