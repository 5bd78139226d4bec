//! The agent's side towards etcd: a lease of its own, and the leases of others.
//!
//! A session has a lease, lists all, and follows them from that revision on. Whatever ends it (etcd away,
//! a compaction, a revoked lease) the next one begins with a new list, and changes only what differs; what
//! leads to the peers meanwhile stays, so that traffic goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::time::Duration;

use ipnet::Ipv4Net;
use knetsim_kernel::files;
use knetsim_model::chain;
use knetsim_model::flannel::{FlannelConfig, Lease, LeaseValue, SubnetEnv, VxlanData};
use knetsim_model::inventory::Health;
use tokio::time::{Instant, sleep};

use crate::agent::{AgentError, Inner, Overlay};
use crate::device::{Device, Entry, Peer};
use crate::etcd::EtcdError;
use crate::registry::{Event, LEASE, Leases, MARGIN};
use crate::subnet::{Choice, choose};

const SUBNET_ENV: &str = "run/flannel/subnet.env";
/// Written first, and then moved, so that nobody reads half of it.
const BESIDE: &str = "run/flannel/.subnet.env";
/// The first and the longest pause before a new session.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));
/// How often a lease is tried for while others are faster, as flannel has it.
const TRIES: usize = 10;

impl Inner {
    /// Sessions, one after the other, for ever.
    pub(crate) async fn follow_leases(&self) {
        let mut pause = PAUSES.0;
        loop {
            let Err(error) = self.session().await;
            let why = chain(&error);
            if let AgentError::Etcd(EtcdError::Compacted { .. }) = error {
                self.log.warning(&format!("{why}, re-listing and resuming"));
                continue;
            }
            if self.state.borrow().health == Health::Ready {
                pause = PAUSES.0;
            }
            let new = Health::Broken(why.clone());
            if self.state.send_if_modified(|state| std::mem::replace(&mut state.health, new.clone()) != new) {
                self.log.error(&format!("{why}; trying again"));
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn session(&self) -> Result<Infallible, AgentError> {
        // What is boxed here is big and soon over; a session waits all day, on each worker.
        let found = Box::pin(self.leased()).await?;
        let revision = found.revision;
        let mut renew = Box::pin(self.lead_to(found.leases)).await?;
        let mut watch = Box::pin(self.spec.etcd.watch_leases(revision + 1)).await?;
        self.state.send_modify(|state| state.health = Health::Ready);
        loop {
            tokio::select! {
                events = watch.next() => for event in events? {
                    self.follow(event).await?;
                },
                () = self.spec.clock.until(renew) => renew = Box::pin(self.renew()).await?,
            }
        }
    }

    /// Makes sure of a lease, and lists all. Nothing is locked while etcd is asked.
    async fn leased(&self) -> Result<Leases, AgentError> {
        let of = |held: &Overlay| (held.config.clone(), held.device.clone(), held.lease.subnet);
        let held = self.overlay.lock().await.as_ref().map(of);
        let Some((config, device, subnet)) = held else {
            let (begun, found) = self.begin().await?;
            *self.overlay.lock().await = Some(begun);
            return Ok(found);
        };
        let found = self.spec.etcd.leases().await?;
        let ours = |lease: &Lease| lease.subnet == subnet && lease.value.public_ip == self.spec.public_ip;
        if found.leases.iter().any(ours) {
            return Ok(found);
        }
        let (lease, found) = self.acquire(&config, &device, Some(subnet)).await?;
        if let Some(overlay) = self.overlay.lock().await.as_mut() {
            self.take_up(&config, &device, &lease).await?;
            (overlay.lease, overlay.renew) = (lease, self.spec.clock.after(LEASE - MARGIN));
        }
        Ok(found)
    }

    /// The device first, because the lease names its hardware address.
    async fn begin(&self) -> Result<(Overlay, Leases), AgentError> {
        let config = self.spec.etcd.config().await?;
        config.validate()?;
        let device = Device::ensure(&self.spec.netlink, &config, self.spec.public_ip, None)?;
        self.log.info(&format!("Found network config - Backend type: {}", config.backend.kind));
        self.log.info(&format!(
            "VXLAN config: VNI={} Port={} GBP=false Learning={} DirectRouting={}",
            device.vni, device.port, device.learning, config.backend.direct_routing
        ));
        config.warnings().iter().for_each(|words| self.log.warning(words));
        let previous = files::read(&self.spec.files, SUBNET_ENV, 4096).ok();
        let previous = previous.and_then(|text| SubnetEnv::subnet_of(&String::from_utf8_lossy(&text)));
        let (lease, found) = self.acquire(&config, &device, previous).await?;
        let renew = self.spec.clock.after(LEASE - MARGIN);
        self.take_up(&config, &device, &lease).await?;
        Ok((
            Overlay { config, device, lease, renew, peers: BTreeMap::new(), established: false, deleted: Vec::new() },
            found,
        ))
    }

    /// Leases a subnet, again where somebody was faster. Gives the leases as they were before.
    async fn acquire(
        &self,
        config: &FlannelConfig,
        device: &Device,
        previous: Option<Ipv4Net>,
    ) -> Result<(Lease, Leases), AgentError> {
        let (etcd, public_ip) = (&self.spec.etcd, self.spec.public_ip);
        let data = VxlanData { vni: device.vni, vtep_mac: device.mac.to_string() };
        let value = LeaseValue::of_vxlan(public_ip, &data);
        let (min, max) = (config.effective_subnet_min(), config.effective_subnet_max());
        for _ in 0..TRIES {
            let found = etcd.leases().await?;
            let held = (self.spec.held)();
            let choice = choose(config, &found.leases, &held, public_ip, previous, |number| fastrand::usize(..number));
            for unfit in found.leases.iter().filter(|lease| lease.value.public_ip == public_ip) {
                if choice != Choice::Keep(unfit.subnet) {
                    let what = format!("Found lease ({}) for current IP ({public_ip})", unfit.subnet);
                    self.log.info(&format!("{what} but not compatible with current config, deleting"));
                    etcd.delete_lease(unfit).await?;
                }
            }
            let (subnet, create) = match choice {
                Choice::Keep(subnet) => (subnet, false),
                Choice::Take(subnet) => (subnet, true),
                Choice::Full => return Err(AgentError::Full(min, max)),
            };
            let lease = Lease { subnet, value: value.clone() };
            if etcd.put_lease(&lease, create).await? {
                self.log.info(&match create {
                    true => format!("Allocated lease (ip: {subnet}) to current node ({public_ip})"),
                    false => format!("Found lease (ip: {subnet}) for current IP ({public_ip}), reusing"),
                });
                return Ok((lease, found));
            }
        }
        Err(AgentError::Races)
    }

    /// Gives the device the lease's address, and tells CNI's plugin.
    async fn take_up(&self, config: &FlannelConfig, device: &Device, lease: &Lease) -> Result<(), AgentError> {
        device.set_address(&self.spec.netlink, lease.subnet)?;
        self.write_env(config, device, lease)?;
        self.log.info("Wrote subnet file to /run/flannel/subnet.env");
        Ok(())
    }

    /// Tells CNI's plugin.
    pub(crate) fn write_env(&self, config: &FlannelConfig, device: &Device, lease: &Lease) -> Result<(), AgentError> {
        let first = u32::from(lease.subnet.network()) + 1;
        let subnet = Ipv4Net::new_assert(first.into(), lease.subnet.prefix_len());
        let env = SubnetEnv { network: config.network, subnet, mtu: device.mtu };
        let folder = &self.spec.files;
        let write = || {
            folder.create_dir_all("run/flannel")?;
            files::write(folder, BESIDE, env.to_string().as_bytes())?;
            folder.rename(BESIDE, folder, SUBNET_ENV)
        };
        write().map_err(|source| AgentError::File { path: "/run/flannel/subnet.env", source })
    }

    /// Leads to exactly the nodes that hold these leases.
    async fn lead_to(&self, leases: Vec<Lease>) -> Result<Instant, AgentError> {
        let mut overlay = self.overlay.lock().await;
        let overlay = overlay.as_mut().ok_or(AgentError::Released)?;
        let others = leases.iter().filter(|lease| lease.subnet != overlay.lease.subnet);
        let peers: BTreeMap<_, _> =
            others.filter_map(|lease| Some((lease.subnet, Peer::of(lease, overlay.device.vni)?))).collect();
        if overlay.established {
            let subnets: Vec<_> = overlay.peers.keys().chain(peers.keys()).copied().collect();
            for subnet in subnets {
                self.set_peer(overlay, subnet, peers.get(&subnet).cloned()).await;
            }
        } else {
            overlay.peers = peers;
            self.establish(overlay)?;
            self.log.info(&format!("Running backend, leading to {} other nodes", overlay.peers.len()));
        }
        self.say(overlay);
        Ok(overlay.renew)
    }

    /// Does what became of a lease.
    async fn follow(&self, event: Event) -> Result<(), AgentError> {
        let mut overlay = self.overlay.lock().await;
        let Some(overlay) = overlay.as_mut() else { return Ok(()) };
        match event {
            Event::Put(lease) if lease.subnet == overlay.lease.subnet => {
                if lease.value.public_ip != self.spec.public_ip {
                    return Err(AgentError::Revoked(lease.subnet));
                }
            }
            Event::Gone(subnet) if subnet == overlay.lease.subnet => return Err(AgentError::Revoked(subnet)),
            Event::Put(lease) => {
                let peer = Peer::of(&lease, overlay.device.vni);
                if peer.is_none() {
                    let kind = &lease.value.backend_type;
                    self.log
                        .warning(&format!("ignoring subnet {}: type={kind}, another VNI or no VtepMAC", lease.subnet));
                }
                self.set_peer(overlay, lease.subnet, peer).await;
            }
            Event::Gone(subnet) => self.set_peer(overlay, subnet, None).await,
        }
        self.say(overlay);
        Ok(())
    }

    /// Leads to another node, no longer, or otherwise. What the kernel refuses (somebody took the device away)
    /// is found again when it is looked at.
    async fn set_peer(&self, overlay: &mut Overlay, subnet: Ipv4Net, new: Option<Peer>) {
        let old = overlay.peers.get(&subnet).cloned();
        if old == new {
            return;
        }
        let device = &overlay.device;
        let entries = |peer: &Option<Peer>| peer.as_ref().map(|peer| device.entries(peer)).unwrap_or_default();
        let (before, after): (Vec<Entry>, Vec<Entry>) = (entries(&old), entries(&new));
        let remove =
            before.iter().filter(|old| !after.iter().any(|new| new.replaces(old))).map(|entry| device.remove(entry));
        let add = after.iter().filter(|entry| !before.contains(entry)).map(|entry| device.add(entry));
        match (&old, &new) {
            (_, Some(Peer { subnet, public_ip, mac })) => {
                self.log.info(&format!("adding subnet: {subnet} PublicIP: {public_ip} VtepMAC: {mac}"));
            }
            (Some(Peer { subnet, public_ip, mac }), None) => {
                self.log.info(&format!("removing subnet: {subnet} PublicIP: {public_ip} VtepMAC: {mac}"));
            }
            (None, None) => {}
        }
        if let Err(error) = self.spec.netlink.apply(remove.chain(add)) {
            self.log.error(&chain(&error));
            self.look.notify_one();
        }
        match new {
            Some(peer) => overlay.peers.insert(subnet, peer),
            None => overlay.peers.remove(&subnet),
        };
    }

    fn say(&self, overlay: &Overlay) {
        self.state.send_if_modified(|state| {
            let subnet = Some(overlay.lease.subnet);
            let new = state.subnet != subnet || !state.peers.iter().eq(overlay.peers.keys());
            if new {
                (state.subnet, state.peers) = (subnet, overlay.peers.keys().copied().collect());
            }
            new
        });
    }

    /// Writes the lease again, for another day.
    async fn renew(&self) -> Result<Instant, AgentError> {
        let lease = self.overlay.lock().await.as_ref().map(|overlay| overlay.lease.clone());
        self.spec.etcd.put_lease(&lease.ok_or(AgentError::Released)?, false).await?;
        let renew = self.spec.clock.after(LEASE - MARGIN);
        if let Some(overlay) = self.overlay.lock().await.as_mut() {
            overlay.renew = renew;
        }
        self.log.info(&format!("Lease renewed, waiting for {:?} to renew lease", LEASE - MARGIN));
        Ok(renew)
    }

    /// Gives all leases of this node back.
    pub(crate) async fn give_back(&self) -> Result<(), EtcdError> {
        let found = self.spec.etcd.leases().await?;
        for own in found.leases.iter().filter(|lease| lease.value.public_ip == self.spec.public_ip) {
            self.spec.etcd.delete_lease(own).await?;
        }
        self.state.send_modify(|state| (state.subnet, state.peers) = (None, BTreeSet::new()));
        Ok(())
    }
}
