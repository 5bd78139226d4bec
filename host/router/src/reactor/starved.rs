//! Senders that wait until less is under way on their connection.

use std::time::Instant;

use super::peers::Peer;
use super::{Core, Task};
use crate::arena::Id;

impl Peer {
    /// Lets a sender wait until there is less under way, and asks the peer how much is.
    pub(super) fn starve(&mut self, task: Task, session: u16, now: Instant) {
        self.starved.push((task, session));
        self.ask(now);
    }

    fn ask(&mut self, now: Instant) {
        self.ask_at = self.endpoint.ask(now, &mut self.out);
    }

    /// Those that waited for less to be under way and may go on.
    pub(super) fn fed(&mut self) -> Vec<Task> {
        if self.starved.is_empty() || !self.endpoint.has_eased() {
            return Vec::new();
        }
        let endpoint = &mut self.endpoint;
        let (fed, starved) = self.starved.drain(..).partition(|(_, session)| endpoint.free(*session) > 0);
        self.starved = starved;
        let fed: Vec<(Task, u16)> = fed;
        fed.into_iter().map(|(task, _)| task).collect()
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
                peer.ask(self.now);
                self.touch(id);
            }
        }
    }
}
