//! Names that come and go in folders, by inotify(7). One instance watches them all: a user has few.

use std::collections::{HashMap, VecDeque};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use knetsim_model::observe::Change;
use rustix::fs::inotify::{CreateFlags, Event, ReadFlags, Reader, WatchFlags, add_watch, init};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::task::coop::consume_budget;

use super::{change, lost, register};
use crate::error::KernelError;

/// The names that come and go in any number of folders, each known by a key: `/run/netns` of every node.
#[derive(Debug)]
pub struct NameMonitor<K> {
    events: AsyncFd<OwnedFd>,
    shared: Mutex<Shared<K>>,
}

#[derive(Debug)]
struct Shared<K> {
    /// Folders' keys by watch descriptor.
    keys: HashMap<i32, K>,
    pending: VecDeque<(Option<K>, Change)>,
}

impl<K: Clone> NameMonitor<K> {
    /// Watches no folder yet.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start() -> Result<Self, KernelError> {
        let events = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(KernelError::doing(DOING))?;
        let events = register(events).map_err(KernelError::doing(DOING))?;
        Ok(NameMonitor { events, shared: Mutex::new(Shared { keys: HashMap::new(), pending: VecDeque::new() }) })
    }

    /// Watches one more folder, until it is deleted; its changes bear that key.
    pub fn watch(&self, key: K, folder: BorrowedFd<'_>) -> Result<(), KernelError> {
        let path = format!("/proc/self/fd/{}", folder.as_raw_fd());
        let what = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVE | WatchFlags::ONLYDIR;
        let watch = add_watch(self.events.get_ref(), path, what).map_err(KernelError::doing(DOING))?;
        self.lock().keys.insert(watch, key);
        Ok(())
    }

    /// The next change, with its folder's key (none for an overrun). Cancel safe.
    pub async fn next(&self) -> Result<(Option<K>, Change), KernelError> {
        loop {
            if let Some(change) = self.lock().pending.pop_front() {
                return Ok(change);
            }
            consume_budget().await;
            let mut ready = self.events.readable().await.map_err(KernelError::doing(DOING))?;
            match self.lock().read(self.events.get_ref()) {
                Err(Errno::WOULDBLOCK) => ready.clear_ready(),
                other => other.map_err(KernelError::doing(DOING))?,
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared<K>> {
        // Nothing that holds it can panic.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone> Shared<K> {
    /// Takes what one read(2) gives.
    fn read(&mut self, events: &OwnedFd) -> Result<(), Errno> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(events, &mut buffer);
        loop {
            self.take(&reader.next()?);
            if reader.is_buffer_empty() {
                return Ok(());
            }
        }
    }

    fn take(&mut self, event: &Event<'_>) {
        let what = event.events();
        if what.contains(ReadFlags::QUEUE_OVERFLOW) {
            self.pending.push_back((None, lost("more names came and went than the queue holds")));
        } else if what.contains(ReadFlags::IGNORED) {
            self.keys.remove(&event.wd());
        } else if let (Some(key), Some(name)) = (self.keys.get(&event.wd()), event.file_name()) {
            let came = what.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
            let name = name.to_string_lossy().into_owned();
            let change = change("namespace", if came { "new" } else { "gone" }, name);
            self.pending.push_back((Some(key.clone()), change));
        }
    }
}

const DOING: &str = "watch names of namespaces";
