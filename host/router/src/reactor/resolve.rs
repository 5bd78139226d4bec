//! Host names to addresses, by the system's resolver on a thread of its own, remembered for a while.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use super::{Command, Handle};

/// How long an answer is taken for good; while a new one is awaited the old one is used.
const FRESH: Duration = Duration::from_secs(10);

/// What the system's resolver said.
pub(super) struct Answer {
    pub(super) host: String,
    addresses: Result<Vec<IpAddr>, String>,
}

struct Entry {
    addresses: Result<Vec<IpAddr>, String>,
    asked: Instant,
    pending: bool,
}

/// What is known of host names.
pub(super) struct Resolver {
    handle: Handle,
    entries: HashMap<String, Entry>,
}

impl Resolver {
    pub(super) fn new(handle: Handle) -> Self {
        Resolver { handle, entries: HashMap::new() }
    }

    /// The addresses of a host, as far as is known now.
    ///
    /// # Errors
    /// Why there are none, in words: also that the answer isn't there yet.
    pub(super) fn look_up(&mut self, host: &str, port: u16, now: Instant) -> Result<Vec<SocketAddr>, String> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let waiting = || Err(format!("looking up {host}"));
        let entry = self.entries.entry(host.to_owned());
        let entry = entry.or_insert_with(|| Entry { addresses: waiting(), asked: now - 2 * FRESH, pending: false });
        if !entry.pending && now.duration_since(entry.asked) > FRESH {
            entry.asked = now;
            entry.pending = ask(self.handle.clone(), host.to_owned());
        }
        let addresses = entry.addresses.clone()?;
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }

    /// Whether an answer about a host is still to come.
    pub(super) fn is_asking(&self, host: &str) -> bool {
        self.entries.get(host).is_some_and(|entry| entry.pending)
    }

    pub(super) fn answered(&mut self, answer: Answer) {
        if let Some(entry) = self.entries.get_mut(&answer.host) {
            entry.pending = false;
            // A resolver that fails for a moment doesn't take away what worked.
            if answer.addresses.is_ok() || entry.addresses.is_err() {
                entry.addresses = answer.addresses;
            }
        }
    }
}

/// Asks on a thread; false where there can be none.
fn ask(handle: Handle, host: String) -> bool {
    let work = move || {
        let found = (host.as_str(), 0).to_socket_addrs();
        let addresses = match found {
            Ok(found) => Ok(found.map(|address| address.ip()).collect()),
            Err(error) => Err(format!("look up {host}: {error}")),
        };
        handle.send(Command::Resolved(Answer { host, addresses }));
    };
    thread::Builder::new().name("resolve".to_owned()).spawn(work).is_ok()
}
