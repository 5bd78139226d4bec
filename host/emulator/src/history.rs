//! The history: what the kernel announced since the last reset, in order.
//!
//! Kept so that a task which ends where it began (a namespace made and deleted) can be checked.
//! Equals `ip monitor` and `nft monitor` in every namespace at once. When it is full the oldest
//! entries go, and [`History::lost`] says how many: what is missing is never passed over in silence.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use knetsim_model::observe::{Change, HistoryEntry};

/// Entries kept: some hundred bytes each.
const KEPT: usize = 10_000;

/// The kernel's announcements of one sandbox.
pub(crate) struct History {
    began: Instant,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    entries: VecDeque<HistoryEntry>,
    lost: u64,
}

impl History {
    pub(crate) fn new() -> Self {
        History { began: Instant::now(), kept: Mutex::default() }
    }

    pub(crate) fn push(&self, place: &str, change: Change) {
        let at_ms = self.began.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        let mut kept = self.kept();
        if kept.entries.len() == KEPT {
            kept.entries.pop_front();
            kept.lost += 1;
        }
        kept.entries.push_back(HistoryEntry { at_ms, place: place.to_owned(), change });
    }

    /// All entries, the oldest first.
    pub(crate) fn entries(&self) -> Vec<HistoryEntry> {
        self.kept().entries.iter().cloned().collect()
    }

    /// How many entries were dropped because there were too many.
    pub(crate) fn lost(&self) -> u64 {
        self.kept().lost
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing between lock and unlock can panic half-way.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_and_are_counted() {
        let history = History::new();
        for number in 0..KEPT + 5 {
            let change = Change { subject: "link".into(), verb: "new".into(), detail: number.to_string() };
            history.push("C0w1", change);
        }
        assert_eq!(history.lost(), 5);
        let entries = history.entries();
        assert_eq!((entries.len(), entries[0].change.detail.as_str()), (KEPT, "5"));
        assert!(entries.is_sorted_by_key(|entry| entry.at_ms));
    }
}
