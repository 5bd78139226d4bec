//! The history: what the kernel announced since the last reset, in order.
//!
//! Kept so that a task which ends where it began (a namespace made and deleted) can be checked.
//! Equals `ip monitor` and `nft monitor` in every namespace at once. When it is full the oldest
//! entries go, and [`History::lost`] says how many: what is missing is never passed over in silence.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use cap_std::fs::Dir;
use knetsim_kernel::KernelError;
use knetsim_kernel::monitor::{Monitor, NameMonitor};
use knetsim_kernel::netns::NetNs;
use knetsim_model::observe::{Change, HistoryEntry};
use knetsim_model::{chain, untrusted};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Entries kept: some hundred bytes each.
const KEPT: usize = 10_000;

/// The kernel's announcements of one sandbox.
pub(crate) struct History {
    began: Instant,
    /// The same moment by the clock that packets are stamped with.
    began_at: SystemTime,
    kept: Mutex<Kept>,
    /// Counts what might change the outcome of a check.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Kept {
    entries: VecDeque<HistoryEntry>,
    lost: u64,
}

impl History {
    pub(crate) fn new() -> Self {
        History {
            began: Instant::now(),
            began_at: SystemTime::now(),
            kept: Mutex::default(),
            changes: watch::Sender::default(),
        }
    }

    /// When the sandbox began.
    pub(crate) fn began(&self) -> SystemTime {
        self.began_at
    }

    /// Takes note of a change; whatever somebody named so that it can't be shown is escaped.
    pub(crate) fn push(&self, place: &str, Change { subject, verb, detail }: Change) {
        let change = Change { subject, verb, detail: untrusted::escaped(&detail) };
        let at_ms = self.began.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        let mut kept = self.kept();
        if kept.entries.len() == KEPT {
            kept.entries.pop_front();
            kept.lost += 1;
        }
        kept.entries.push_back(HistoryEntry { at_ms, place: place.to_owned(), change });
        drop(kept);
        self.changed();
    }

    /// Tells those who follow that something may look different now.
    pub(crate) fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// A number that becomes another with every change.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
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

/// Writes one namespace's changes to the history until it is dropped.
pub(crate) struct Watch(AbortHandle);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Follows a node's namespace. `tell` is called with each change.
pub(crate) async fn watch(
    history: &Arc<History>,
    place: String,
    namespace: &NetNs,
    tell: impl Fn(&Change) + Send + 'static,
) -> Result<Watch, KernelError> {
    let mut monitor = Monitor::start(namespace).await?;
    let history = history.clone();
    let task = tokio::spawn(async move {
        loop {
            let announced = monitor.next().await;
            let ends = announced.is_err();
            note(&history, &place, announced, &tell);
            if ends {
                return;
            }
        }
    });
    Ok(Watch(task.abort_handle()))
}

/// Takes note of what the kernel announced, or of why no more comes; `tell` is called with either.
fn note(history: &History, place: &str, announced: Result<Change, KernelError>, tell: &impl Fn(&Change)) {
    let change = announced.unwrap_or_else(|error| stopped(&error));
    if !is_of_a_probe(&change) {
        tell(&change);
        history.push(place, change);
    }
}

/// Whether it is about a place that a check sends from.
fn is_of_a_probe(change: &Change) -> bool {
    ["link", "address", "route"].contains(&change.subject.as_str())
        && change.detail.split(' ').any(|word| word.starts_with(crate::beside::PORT))
}

/// Follows the names that come and go in nodes' `/run/netns`: one inotify instance for all of them,
/// because a user may have only 128.
pub(crate) struct Names(Arc<NameMonitor<String>>);

impl Names {
    /// Begins with no folder.
    pub(crate) fn start(history: Arc<History>) -> Result<Self, KernelError> {
        let monitor = Arc::new(NameMonitor::<String>::start()?);
        let follow = monitor.clone();
        tokio::spawn(async move {
            loop {
                match follow.next().await {
                    Ok((place, change)) => history.push(place.as_deref().unwrap_or("all nodes"), change),
                    Err(error) => return history.push("all nodes", stopped(&error)),
                }
            }
        });
        Ok(Names(monitor))
    }

    /// Also follows that node's folder.
    pub(crate) fn add(&self, place: String, folder: &Dir) -> Result<(), KernelError> {
        self.0.watch(place, folder.as_fd())
    }
}

/// The history is not complete from here on, and says so.
fn stopped(error: &KernelError) -> Change {
    Change { subject: "history".to_owned(), verb: "gone".to_owned(), detail: chain(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_can_t_be_shown_are_escaped() {
        let history = History::new();
        let change = Change { subject: "namespace".into(), verb: "new".into(), detail: "a\n\u{1b}[31m\u{200b}".into() };
        history.push("box", change);
        assert_eq!(history.entries()[0].change.detail, "a\\n\\u{1b}[31m\\u{200b}");
    }

    #[test]
    fn whoever_looks_after_a_node_is_told_that_no_more_is_announced() {
        let (history, told) = (History::new(), Mutex::new(Vec::new()));
        let tell = |change: &Change| told.lock().unwrap().push(change.subject.clone());
        note(&history, "C0w1", Err(KernelError::answer("listen".to_owned(), "it can't")), &tell);
        assert_eq!(*told.lock().unwrap(), ["history"]);
        assert_eq!(history.entries()[0].change.verb, "gone");
    }

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
