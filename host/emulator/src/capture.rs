//! Captures: packets that pass an interface, filtered, decoded, the last ones kept. Equals `tcpdump -n -i`.
//!
//! A task takes packets off the socket as they come. Whoever reads takes off what the task has not come to yet,
//! so that all which passed before the call is in its answer. A capture ends with its last handle; one that is
//! kept by name goes on until the sandbox ends. Memory is bounded: so many captures, packets and bytes of each.
//! A socket would keep a namespace alive with all its devices: it is closed when its node or container is deleted.

mod decode;

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use knetsim_kernel::packets::PacketSocket;
use knetsim_kernel::{KernelError, NetNs};
use knetsim_model::packet::{Filter, Packet};
use knetsim_model::{CaptureName, Code, Failure, InterfaceRef, chain};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::Emulator;
use crate::history::History;

/// The most captures of a sandbox at once.
const MAX_CAPTURES: usize = 32;
/// How many packets one may keep.
const PACKETS: RangeInclusive<usize> = 1..=1000;
/// How many bytes of each.
const BYTES: RangeInclusive<usize> = 64..=2048;
/// How many packets are taken off before others get their turn.
const BATCH: usize = 64;
/// How many batches one read takes off at most: more than the socket holds.
const BATCHES: usize = 32;
/// How often to look whether a quiet interface is still there: a deleted one says nothing once it was down.
const LOOK: Duration = Duration::from_secs(1);

/// What to capture.
#[derive(Clone, Debug)]
pub struct CaptureSpec {
    /// Where.
    pub interface: InterfaceRef,
    /// Which packets.
    pub filter: Filter,
    /// How many of them to keep, the last ones: 1 to 1000.
    pub packets: usize,
    /// How many bytes of each to look at and keep: 64 to 2048.
    pub bytes: usize,
}

impl CaptureSpec {
    /// All packets of an interface; the last 1000, 256 bytes of each, which hold all headers of a tunnelled packet.
    pub fn new(interface: InterfaceRef) -> Self {
        CaptureSpec { interface, filter: Filter::default(), packets: 1000, bytes: 256 }
    }

    fn check(&self) -> Result<(), Failure> {
        let within = |what: &str, range: &RangeInclusive<usize>, value| match range.contains(&value) {
            true => Ok(()),
            false => {
                let (least, most) = (range.start(), range.end());
                Err(Failure::invalid(format!("a capture keeps {least} to {most} {what}, not {value}")))
            }
        };
        within("packets", &PACKETS, self.packets)?;
        within("bytes of a packet", &BYTES, self.bytes)
    }
}

/// What was captured until now.
#[derive(Clone, Debug, PartialEq)]
pub struct Captured {
    /// The packets that are kept, the oldest first.
    pub packets: Vec<Packet>,
    /// How many the filter let through in all.
    pub passed: u64,
    /// How many the kernel dropped because they came faster than they could be looked at.
    pub dropped: u64,
}

/// A capture that goes on as long as a clone of this is held.
#[derive(Clone)]
pub struct Capture(Arc<Running>);

struct Running {
    shared: Arc<Shared>,
    task: AbortHandle,
    _slot: OwnedSemaphorePermit,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Shared {
    spec: CaptureSpec,
    /// The inode of the namespace that the interface is in.
    namespace: u64,
    /// Knows when the sandbox began, and is told of packets while this is kept by name.
    history: Arc<History>,
    named: AtomicBool,
    kept: Mutex<Kept>,
    progress: watch::Sender<Progress>,
}

struct Kept {
    /// None once it has ended.
    socket: Option<Arc<PacketSocket>>,
    packets: VecDeque<Packet>,
    passed: u64,
    dropped: u64,
}

/// How far it is.
#[derive(Clone, Default)]
struct Progress {
    passed: u64,
    /// Why nothing more will come.
    ended: Option<Failure>,
}

/// All captures of a sandbox.
pub(crate) struct Captures {
    slots: Arc<Semaphore>,
    kept: Mutex<BTreeMap<CaptureName, Capture>>,
    running: Mutex<Vec<Weak<Shared>>>,
}

impl Default for Captures {
    fn default() -> Self {
        let slots = Arc::new(Semaphore::new(MAX_CAPTURES));
        Captures { slots, kept: Mutex::default(), running: Mutex::default() }
    }
}

impl Captures {
    /// Remembers one that runs, and forgets those that have ended meanwhile.
    fn remember(&self, capture: &Arc<Shared>) {
        remember(&mut lock(&self.running), capture);
    }

    /// Ends those in a namespace that shall go.
    pub(crate) fn end_in(&self, namespace: &NetNs) {
        lock(&self.running).retain(|capture| match capture.upgrade() {
            Some(capture) if capture.namespace == namespace.inode() => {
                capture.end(capture.gone());
                false
            }
            other => other.is_some(),
        });
    }
}

impl Emulator {
    /// Starts to capture.
    ///
    /// # Errors
    /// There is no such interface, there are 32 already, or it asks for more than may be kept.
    pub fn capture(&self, spec: CaptureSpec) -> Result<Capture, Failure> {
        spec.check()?;
        let namespace = self.namespace(&spec.interface.target)?;
        let slot = self.inner.captures.slots.clone().try_acquire_owned().map_err(|_| {
            Failure::new(Code::Limit, format!("a sandbox has room for {MAX_CAPTURES} captures at once; end one"))
        })?;
        let socket =
            PacketSocket::open(&namespace, &spec.interface.interface).map_err(|error| match error.is_not_found() {
                true => Failure::not_found(format!("there is no interface {}", spec.interface)),
                false => Failure::failed(&spec.interface, &error),
            })?;
        let (history, named) = (self.inner.history.clone(), AtomicBool::new(false));
        let socket = Arc::new(socket);
        let kept = Kept { socket: Some(socket.clone()), packets: VecDeque::new(), passed: 0, dropped: 0 };
        let (kept, progress) = (Mutex::new(kept), watch::Sender::default());
        let shared = Arc::new(Shared { spec, namespace: namespace.inode(), history, named, kept, progress });
        self.inner.captures.remember(&shared);
        let task = tokio::spawn(follow(shared.clone(), socket)).abort_handle();
        Ok(Capture(Arc::new(Running { shared, task, _slot: slot })))
    }

    /// Lets a capture go on until the sandbox ends, or until another is kept by this name.
    pub fn keep_capture(&self, name: CaptureName, capture: &Capture) {
        capture.0.shared.named.store(true, Ordering::Relaxed);
        lock(&self.inner.captures.kept).insert(name, capture.clone());
    }

    /// The capture that was kept by that name.
    ///
    /// # Errors
    /// There is none.
    pub fn kept_capture(&self, name: &CaptureName) -> Result<Capture, Failure> {
        let kept = lock(&self.inner.captures.kept);
        kept.get(name).cloned().ok_or_else(|| {
            let names: Vec<_> = kept.keys().map(CaptureName::as_str).collect();
            let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Failure::not_found(format!("no capture is kept as `{name}`; there are: {there}"))
        })
    }
}

impl Capture {
    /// Where it captures.
    pub fn interface(&self) -> &InterfaceRef {
        &self.0.shared.spec.interface
    }

    /// What was captured until now.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn read(&self) -> Result<Captured, Failure> {
        let shared = &self.0.shared;
        let take = || -> Result<Captured, KernelError> {
            for _ in 0..BATCHES {
                if shared.take()? < BATCH {
                    break;
                }
            }
            let mut kept = lock(&shared.kept);
            if let Some(socket) = &kept.socket {
                kept.dropped += u64::from(socket.dropped()?);
            }
            let packets = kept.packets.iter().cloned().collect();
            Ok(Captured { packets, passed: kept.passed, dropped: kept.dropped })
        };
        take().map_err(|error| Failure::failed(&shared.spec.interface, &error))
    }

    /// Waits until that many packets have passed the filter in all.
    ///
    /// # Errors
    /// Fewer did, and no more will: its interface is gone.
    pub async fn wait(&self, passed: u64) -> Result<(), Failure> {
        let mut progress = self.0.shared.progress.subscribe();
        let reached = |progress: &Progress| progress.passed >= passed || progress.ended.is_some();
        // The sender lives as long as this does.
        let progress = progress.wait_for(reached).await.map(|progress| progress.clone()).unwrap_or_default();
        match progress.ended {
            Some(failure) if progress.passed < passed => Err(failure),
            _ => Ok(()),
        }
    }
}

impl Shared {
    /// Takes a batch of packets off the socket and keeps those that the filter lets through; how many it took.
    fn take(&self) -> Result<usize, KernelError> {
        let mut buffer = [0; *BYTES.end()];
        let buffer = &mut buffer[..self.spec.bytes];
        let mut kept = lock(&self.kept);
        let Some(socket) = kept.socket.clone() else { return Ok(0) };
        let mut taken = 0;
        while taken < BATCH
            && let Some(frame) = socket.receive(buffer)?
        {
            taken += 1;
            let bytes = &buffer[..frame.length.min(buffer.len())];
            let at = frame.at.duration_since(self.history.began()).unwrap_or_default();
            let packet = Packet {
                number: kept.passed + 1,
                at_us: at.as_micros().try_into().unwrap_or(u64::MAX),
                outgoing: frame.outgoing,
                length: frame.length.try_into().unwrap_or(u32::MAX),
                layers: decode::layers(bytes, frame.length - bytes.len(), frame.ethernet),
                bytes: bytes.to_vec(),
            };
            if self.spec.filter.passes(&packet) {
                kept.push(packet, self.spec.packets);
            }
        }
        let passed = kept.passed;
        drop(kept);
        // Of two who take at the same time, the one that was first may be here last.
        let more = self.progress.send_if_modified(|progress| {
            let more = passed > progress.passed;
            progress.passed = progress.passed.max(passed);
            more
        });
        if more && self.named.load(Ordering::Relaxed) {
            self.history.changed();
        }
        Ok(taken)
    }

    fn end(&self, why: Failure) {
        lock(&self.kept).socket = None;
        self.progress.send_modify(|progress| progress.ended = Some(why));
    }

    fn gone(&self) -> Failure {
        Failure::not_found(format!("{} is gone", self.spec.interface))
    }
}

impl Kept {
    fn push(&mut self, packet: Packet, most: usize) {
        if self.packets.len() >= most {
            self.packets.pop_front();
        }
        self.packets.push_back(packet);
        self.passed += 1;
    }
}

/// Takes packets off as they come, until it has ended or the interface is gone.
async fn follow(shared: Arc<Shared>, socket: Arc<PacketSocket>) {
    let mut progress = shared.progress.subscribe();
    let why = loop {
        tokio::select! {
            _ = progress.wait_for(|progress| progress.ended.is_some()) => return,
            // Whether it was woken or not: what counts is what is found.
            _ = timeout(LOOK, socket.readable()) => {}
        }
        match shared.take() {
            Ok(0) if socket.is_gone() => break shared.gone(),
            Ok(0) => {}
            // More may wait, and nothing would say so again.
            Ok(_) => {
                while shared.take().is_ok_and(|taken| taken > 0) {
                    tokio::task::yield_now().await;
                }
            }
            Err(error) => break Failure::new(Code::Failed, chain(&error)),
        }
    };
    shared.end(why);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing between lock and unlock leaves it half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds one, and drops those that are gone.
fn remember<T>(list: &mut Vec<Weak<T>>, one: &Arc<T>) {
    list.retain(|other| other.strong_count() > 0);
    list.push(Arc::downgrade(one));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_is_forgotten() {
        let (mut list, lasting) = (Vec::new(), Arc::new(()));
        remember(&mut list, &lasting);
        for _ in 0..1000 {
            remember(&mut list, &Arc::new(()));
        }
        assert_eq!((list.len(), list[0].strong_count()), (2, 1));
    }
}
