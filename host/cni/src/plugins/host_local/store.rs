//! Who holds which address: a folder with a file per address, `<container id>\r\n<interface>` in it, of old
//! plugins the id alone, the last address given out of each set of ranges, and a lock.
//! As containernetworking/plugins `host-local/backend/disk`: real plugins can share the folder.
//!
//! Invariant: whoever looks or changes holds the lock. What was read is kept as long as the folder has
//! not changed since, so that an allocation costs the same whether ten or ten thousand are out.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::attachment::Attachment;
use crate::error::Error;
use crate::files::{Files, Modes};

const MODES: Modes = Modes { folder: 0o755, file: 0o600 };
/// How long somebody else may hold the lock.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was read of the folders, by folder.
#[derive(Default)]
pub(crate) struct Leases(Mutex<HashMap<String, Holders>>);

/// Addresses by holder, as of the folder's change at that time.
#[derive(Default)]
struct Holders {
    changed: i128,
    addresses: HashMap<String, Vec<IpAddr>>,
}

/// One network's folder, locked until this is dropped.
pub(super) struct Store<'a> {
    files: &'a Files,
    folder: String,
    leases: &'a Leases,
    holders: Holders,
    _lock: std::fs::File,
}

impl<'a> Store<'a> {
    pub(super) async fn open(files: &'a Files, leases: &'a Leases, folder: String) -> Result<Self, Error> {
        let path = format!("{folder}/lock");
        let lock = files.open_lock(&path, Modes { folder: 0o755, file: 0o750 })?.into_std();
        wait_for(&lock, &path, PATIENCE).await?;
        let mut store = Store { files, folder, leases, holders: Holders::default(), _lock: lock };
        store.holders = store.read()?;
        Ok(store)
    }

    /// What is in the folder, from memory where nobody changed it.
    fn read(&self) -> Result<Holders, Error> {
        let changed = self.files.changed(&self.folder)?;
        let known = self.leases.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.folder);
        if let Some(known) = known.filter(|known| known.changed == changed) {
            return Ok(known);
        }
        let mut holders = Holders { changed, addresses: HashMap::new() };
        for name in self.files.list(&self.folder)? {
            let Ok(address) = name.parse() else { continue };
            // What can't be read is passed over, as by the real plugin: one such file would hold all others up.
            let Ok(Some(holder)) = self.files.read(&self.path(address)) else { continue };
            let holder = String::from_utf8_lossy(&holder).trim().to_owned();
            holders.addresses.entry(holder).or_default().push(address);
        }
        Ok(holders)
    }

    fn path(&self, address: IpAddr) -> String {
        format!("{}/{address}", self.folder)
    }

    fn last_path(&self, set: usize) -> String {
        format!("{}/last_reserved_ip.{set}", self.folder)
    }

    /// How the files name the holder: by the id alone where none has the interface's name too.
    fn holder_of<'b>(&self, attachment: &'b Attachment) -> Cow<'b, str> {
        let holder = holder(attachment);
        match self.holders.addresses.contains_key(&holder) {
            true => holder.into(),
            false => attachment.container_id.as_str().into(),
        }
    }

    /// The addresses that an attachment holds.
    pub(super) fn held_by(&self, attachment: &Attachment) -> &[IpAddr] {
        self.holders.addresses.get(self.holder_of(attachment).as_ref()).map_or(&[], Vec::as_slice)
    }

    /// The address given out last of that set of ranges; none where that is not known.
    pub(super) fn last(&self, set: usize) -> Option<IpAddr> {
        let bytes = self.files.read(&self.last_path(set)).ok().flatten()?;
        String::from_utf8_lossy(&bytes).trim().parse().ok()
    }

    /// Takes an address. False where somebody has it.
    pub(super) fn reserve(&mut self, attachment: &Attachment, address: IpAddr, set: usize) -> Result<bool, Error> {
        let holder = holder(attachment);
        if !self.files.create_new(&self.path(address), holder.as_bytes(), MODES)? {
            return Ok(false);
        }
        self.holders.addresses.entry(holder).or_default().push(address);
        self.files.write(&self.last_path(set), address.to_string().as_bytes(), MODES)?;
        Ok(true)
    }

    /// Gives back all that a holder has. Goes on past errors; the first of them is the answer.
    fn release(&mut self, holder: &str) -> Result<(), Error> {
        let Some(addresses) = self.holders.addresses.remove(holder) else { return Ok(()) };
        let mut outcome = Ok(());
        for address in addresses {
            if let Err(error) = self.files.remove(&self.path(address)) {
                self.holders.addresses.entry(holder.to_owned()).or_default().push(address);
                outcome = outcome.and(Err(error));
            }
        }
        outcome
    }

    /// Gives back all that an attachment has.
    pub(super) fn release_of(&mut self, attachment: &Attachment) -> Result<(), Error> {
        self.release(&self.holder_of(attachment))
    }

    /// Gives back all that nobody of these has. Goes on past errors; the first of them is the answer.
    pub(super) fn release_others(&mut self, valid: &[Attachment]) -> Result<(), Error> {
        let valid: HashSet<Cow<'_, str>> = valid.iter().map(|attachment| self.holder_of(attachment)).collect();
        let holders = self.holders.addresses.keys();
        let stale: Vec<String> = holders.filter(|holder| !valid.contains(holder.as_str())).cloned().collect();
        let mut outcome = Ok(());
        for holder in stale {
            outcome = outcome.and(self.release(&holder));
        }
        outcome
    }

    /// All addresses that are out.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.holders.addresses.values().flatten().copied()
    }
}

impl Drop for Store<'_> {
    fn drop(&mut self) {
        let mut holders = std::mem::take(&mut self.holders);
        if let Ok(changed) = self.files.changed(&self.folder) {
            holders.changed = changed;
            let mut leases = self.leases.0.lock().unwrap_or_else(PoisonError::into_inner);
            leases.insert(std::mem::take(&mut self.folder), holders);
        }
    }
}

fn holder(attachment: &Attachment) -> String {
    format!("{}\r\n{}", attachment.container_id, attachment.ifname)
}

/// Takes the lock. Somebody on the node may hold it for ever: waiting ends.
async fn wait_for(lock: &std::fs::File, path: &str, patience: Duration) -> Result<(), Error> {
    let until = Instant::now() + patience;
    let mut pause = Duration::from_micros(500);
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(std::fs::TryLockError::Error(error)) => return Err(Error::io(format!("lock {path}"))(error)),
            Err(std::fs::TryLockError::WouldBlock) if Instant::now() >= until => {
                return Err(Error::Busy(format!("somebody has held {path} for {patience:?}")));
            }
            Err(std::fs::TryLockError::WouldBlock) => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_lock_that_is_never_given_up_is_waited_for_only_so_long() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let holder = file.reopen().unwrap();
        holder.lock().unwrap();
        let wait = async |patience| wait_for(file.as_file(), "lock", Duration::from_millis(patience)).await;
        let error = wait(20).await.unwrap_err();
        assert_eq!(
            (error.code(), error.to_string().as_str()),
            (11, "somebody has held lock for 20ms; try again later")
        );
        let (waited, ()) = tokio::join!(wait(10_000), async { drop(holder) });
        waited.unwrap();
    }
}
