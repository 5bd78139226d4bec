//! The agent's side towards the kernel: what should be there is, or it is mended, or it is said.

use std::sync::atomic::Ordering;
use std::time::Duration;

use knetsim_kernel::KernelError;
use knetsim_model::chain;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::agent::{AgentError, Inner, Overlay};
use crate::device::Device;
use crate::drift::{Drift, Mend, Seen, compare, strangers};

/// How often the device is looked at when the kernel announces nothing.
const LOOK: Duration = Duration::from_secs(30);
/// How long announcements are gathered before the device is looked at.
const GATHER: Duration = Duration::from_millis(50);
/// How often what was mended is looked at again: a new device needs all that leads through it.
const ROUNDS: usize = 3;

/// How it is after a look.
struct Settled {
    drift: Vec<Drift>,
    underlay_up: bool,
}

impl Inner {
    /// Looks at the device from time to time and when it may have changed, for ever.
    pub(crate) async fn look_after_kernel(&self) {
        let mut tick = interval(LOOK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = self.look.notified() => sleep(GATHER).await,
            }
            let mut overlay = self.overlay.lock().await;
            let Some(overlay) = overlay.as_mut().filter(|overlay| overlay.established) else { continue };
            match self.look_at_kernel(overlay) {
                Ok(drift) => self.say_drift(self.words(overlay, &drift)),
                Err(error) => self.say_drift(vec![chain(&error)]),
            }
        }
    }

    /// Mends what is to be mended now, and keeps in mind what somebody deleted.
    fn look_at_kernel(&self, overlay: &mut Overlay) -> Result<Vec<Drift>, AgentError> {
        let deleted = std::mem::take(&mut *self.deleted());
        let entries = overlay.peers.values().flat_map(|peer| overlay.device.entries(peer));
        let announced = entries.filter(|entry| entry.destination().is_some_and(|to| deleted.contains(&to)));
        let new: Vec<_> = announced.filter(|entry| !overlay.deleted.contains(entry)).collect();
        overlay.deleted.extend(new);
        let flags = [&self.underlay_was_down, &self.device_was_down];
        let [underlay, device] = flags.map(|flag| flag.swap(false, Ordering::Relaxed));
        let repair = self.repair.load(Ordering::Relaxed);
        let mend = if repair { Mend::All } else { Mend::Dropped { underlay, device } };
        let settled = self.settle(overlay, mend);
        // What this look could not write is for a later one.
        let (underlay_down, device_down, hidden) = match &settled {
            Ok(Settled { drift, underlay_up }) => {
                let hidden = drift.iter().any(Drift::hides_entries);
                (!underlay_up || underlay && hidden, drift.contains(&Drift::Down), hidden)
            }
            Err(_) => (underlay, device, true),
        };
        self.underlay_was_down.fetch_or(underlay_down, Ordering::Relaxed);
        self.device_was_down.fetch_or(device_down, Ordering::Relaxed);
        let Settled { drift, .. } = settled?;
        if !hidden {
            let missing: Vec<_> = drift.iter().filter_map(Drift::missing).collect();
            overlay.deleted.retain(|entry| missing.contains(&entry));
        }
        Ok(drift)
    }

    /// Makes the kernel have exactly what should be, and sees that it does.
    pub(crate) fn establish(&self, overlay: &mut Overlay) -> Result<(), AgentError> {
        let (netlink, device) = (&self.spec.netlink, &overlay.device);
        let seen = Seen::read(netlink, device)?;
        let left = strangers(device, &overlay.peers, &seen);
        netlink.apply(left.iter().flat_map(|drift| drift.mend(device, overlay.lease.subnet)))?;
        let Settled { drift, .. } = self.settle(overlay, Mend::All)?;
        if !drift.is_empty() {
            return Err(AgentError::Drift(self.words(overlay, &drift).join("; ")));
        }
        overlay.established = true;
        self.say_drift(Vec::new());
        Ok(())
    }

    /// Compares, and mends. Gives what differs in the end.
    fn settle(&self, overlay: &mut Overlay, mend: Mend) -> Result<Settled, AgentError> {
        let netlink = &self.spec.netlink;
        let mut rounds = 0;
        loop {
            let subnet = overlay.lease.subnet;
            let seen = Seen::read(netlink, &overlay.device)?;
            let drift = compare(&overlay.device, subnet, &overlay.peers, &seen);
            let takes = |drift: &&Drift| seen.underlay_up || !drift.is_direct();
            let mended = drift.iter().filter(takes).filter(|drift| drift.is_mended_by(mend, &overlay.deleted));
            let mended: Vec<_> = mended.cloned().collect();
            if mended.is_empty() || rounds == ROUNDS {
                return Ok(Settled { drift, underlay_up: seen.underlay_up });
            }
            if overlay.established {
                self.words(overlay, &mended).iter().for_each(|words| self.log.warning(&format!("{words}, mending")));
            }
            if mended.iter().any(Drift::needs_device) {
                let (mac, mtu) = (Some(overlay.device.mac), overlay.device.mtu);
                overlay.device = Device::ensure(netlink, &overlay.config, self.spec.public_ip, mac)?;
                overlay.device.set_address(netlink, subnet)?;
                if overlay.device.mtu != mtu {
                    // The underlay carries other packets than before; new containers are to know.
                    self.write_env(&overlay.config, &overlay.device, &overlay.lease)?;
                }
            } else {
                let mends = mended.iter().flat_map(|drift| drift.mend(&overlay.device, subnet));
                netlink.apply(mends)?;
            }
            rounds += 1;
        }
    }

    fn words(&self, overlay: &Overlay, drift: &[Drift]) -> Vec<String> {
        let Overlay { device, lease, .. } = overlay;
        let words = |drift: &Drift| drift.words(&self.spec.node, device, lease.subnet, &*self.spec.names);
        drift.iter().map(words).collect()
    }

    fn say_drift(&self, drift: Vec<String>) {
        let before = self.state.borrow().drift.clone();
        for new in drift.iter().filter(|words| !before.contains(words)) {
            self.log.warning(new);
        }
        self.state.send_if_modified(|state| std::mem::replace(&mut state.drift, drift.clone()) != drift);
    }

    /// Removes the device and all that leads to peers.
    pub(crate) async fn remove_all(&self) -> Result<(), KernelError> {
        let Some(overlay) = self.overlay.lock().await.take() else { return Ok(()) };
        let Overlay { device, peers, .. } = &overlay;
        // Most would go with the device; direct routes would stay.
        let entries = peers.values().flat_map(|peer| device.entries(peer));
        let removed = self.spec.netlink.apply(entries.map(|entry| device.remove(&entry)));
        self.spec.netlink.delete_link(device.index)?;
        removed
    }
}
