//! What the kernel announces: changes of one namespace, and names that come and go in a folder.
//!
//! As commands: `ip monitor`, `nft monitor`, `inotifywait -m /run/netns`.

use std::os::fd::BorrowedFd;

use knetsim_model::observe::Change;

use crate::error::KernelError;
use crate::netns::NetNs;

/// The announcements of one network namespace. Keeps the namespace alive.
#[derive(Debug)]
pub struct Monitor {}

impl Monitor {
    /// Listens from now on.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(namespace: &NetNs) -> Result<Self, KernelError> {
        let _ = namespace;
        todo!()
    }

    /// The next change. Cancel safe. An overrun is a change of its own: subject `history`, verb `lost`.
    pub async fn next(&mut self) -> Result<Change, KernelError> {
        todo!()
    }
}

/// The names that come and go in any number of folders: `/run/netns` of every node.
#[derive(Debug)]
pub struct NameMonitor<K> {
    _folders: std::marker::PhantomData<K>,
}

impl<K: Clone> NameMonitor<K> {
    /// Watches no folder yet.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start() -> Result<Self, KernelError> {
        todo!()
    }

    /// Watches one more folder; its changes bear that key.
    pub fn watch(&mut self, key: K, folder: BorrowedFd<'_>) -> Result<(), KernelError> {
        let _ = (key, folder);
        todo!()
    }

    /// The next change, with its folder's key (none for an overrun): subject `namespace`. Cancel safe.
    pub async fn next(&mut self) -> Result<(Option<K>, Change), KernelError> {
        todo!()
    }
}
