//! A node's own network: the address of its `eth0` and the routes that lead out, given once and looked after, as a
//! network manager such as systemd-networkd does on a real node.
//!
//! | what happens | what follows |
//! |---|---|
//! | `eth0` is set down | it is told; nobody sets it up again: whoever did that may want it so |
//! | `eth0` is set up again | the routes that the kernel dropped with it are set again, with repair off, too: nobody deleted them |
//! | an address or a route is deleted or changed | it is mended where repair is on, else told |
//!
//! As commands: `ip address`, `ip route`.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::Ipv4Net;
use knetsim_kernel::KernelError;
use knetsim_kernel::netlink::{Netlink, Request, RouteKind, RouteSpec};
use knetsim_model::names::NodeKind;
use knetsim_model::observe::{Address, Change, Link, Route};
use knetsim_model::{NodeName, chain, underlay};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::fabric::{ETH0, ETH0_INDEX};
use crate::plan::NodePlan;

/// The routing table `main`.
const MAIN: u32 = 254;
/// How long announcements are gathered before the node is looked at.
const GATHER: Duration = Duration::from_millis(50);
/// How often what was mended is looked at again: with an address, all routes may be gone.
const ROUNDS: usize = 3;

/// What a node is given.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    address: Ipv4Net,
    ways: Vec<Way>,
}

/// A route of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way {
    to: Ipv4Net,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// What the kernel makes of the address: by `eth0`, from that address.
    OnLink,
    /// By `eth0`.
    Eth0,
    /// To nowhere, as if no route were there.
    Throw,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Drift {
    NoInterface,
    Down,
    NoAddress,
    /// A route is missing, or another is in its place.
    Way(Way, Option<String>),
}

/// What is mended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mend {
    Nothing,
    /// Routes that are missing.
    Lost,
    All,
}

/// Looks after what a node was given, until it is dropped.
pub(crate) struct NodeNetwork {
    inner: Arc<Inner>,
    task: AbortHandle,
}

struct Inner {
    node: NodeName,
    netlink: Netlink,
    /// Also the turn: who looks and mends holds it.
    given: Mutex<Given>,
    repair: AtomicBool,
    /// `eth0` is down.
    cut: AtomicBool,
    /// `eth0` was set up after it was down.
    back: AtomicBool,
    look: Notify,
    drift: Mutex<Vec<String>>,
}

/// What the kernel has.
struct Observed {
    link: Option<Link>,
    addresses: Vec<Address>,
    routes: Vec<Route>,
}

impl Given {
    /// What a node gets; a worker also knows its pods' network.
    pub(crate) fn of(node: &NodePlan, pod_network: Option<Ipv4Net>) -> Self {
        let address = Ipv4Net::new_assert(node.address, node.prefix);
        // Whatever is sent leaves by some device, and so meets the rules of the hook `output`; nobody answers there.
        let mut ways =
            vec![Way { to: address.trunc(), kind: Kind::OnLink }, Way { to: Ipv4Net::default(), kind: Kind::Eth0 }];
        if node.name.kind() == NodeKind::Worker {
            ways.push(Way { to: underlay::SERVICES, kind: Kind::Eth0 });
        }
        let mut given = Given { address, ways };
        given.set_pod_network(pod_network);
        given
    }

    /// A packet for a pod that no node leads to would leave by the default route, or by that to the underlay.
    fn set_pod_network(&mut self, pod_network: Option<Ipv4Net>) {
        self.ways.retain(|way| way.kind != Kind::Throw);
        self.ways.extend(pod_network.map(|to| Way { to, kind: Kind::Throw }));
    }

    /// What gives all of it to a new node.
    pub(crate) fn requests(&self) -> Vec<Request> {
        let mut requests = vec![Request::set_up(ETH0_INDEX, true), self.add_address(ETH0_INDEX)];
        let others = self.ways.iter().filter(|way| way.kind != Kind::OnLink);
        requests.extend(others.map(|way| self.add(way, ETH0_INDEX)));
        requests
    }

    fn add_address(&self, device: u32) -> Request {
        Request::add_address(device, self.address.into())
    }

    fn add(&self, way: &Way, device: u32) -> Request {
        let route = RouteSpec::to(way.to);
        Request::replace_route(&match way.kind {
            Kind::OnLink => RouteSpec { device: Some(device), source: Some(self.address.addr().into()), ..route },
            Kind::Eth0 => RouteSpec { device: Some(device), ..route },
            Kind::Throw => RouteSpec { kind: RouteKind::Throw, ..route },
        })
    }

    /// What differs. Where the interface or its address is missing that alone is told: the rest follows from it.
    fn compare(&self, observed: &Observed) -> Vec<Drift> {
        let Some(link) = &observed.link else { return vec![Drift::NoInterface] };
        if !link.up {
            return vec![Drift::Down];
        }
        let ours = |is: &Address| {
            is.interface == ETH0
                && is.address == IpAddr::V4(self.address.addr())
                && is.prefix == self.address.prefix_len()
        };
        if !observed.addresses.iter().any(ours) {
            return vec![Drift::NoAddress];
        }
        let missing = |way: &Way| observed.has(way).err().map(|instead| Drift::Way(*way, instead));
        self.ways.iter().filter_map(missing).collect()
    }
}

impl Observed {
    fn read(netlink: &Netlink) -> Result<Self, KernelError> {
        Ok(Observed { link: netlink.link(ETH0)?, addresses: netlink.addresses()?, routes: netlink.routes()? })
    }

    /// Whether a route is there; else what is there in its place.
    fn has(&self, way: &Way) -> Result<(), Option<String>> {
        let destination = way.destination();
        // The kernel takes the one with the lowest metric.
        let candidates = self.routes.iter().filter(|route| route.table == MAIN && route.destination == destination);
        let Some(first) = candidates.min_by_key(|route| route.metric) else { return Err(None) };
        let is = value(first);
        if is == way.value() { Ok(()) } else { Err(Some(is)) }
    }
}

impl Way {
    /// As `ip route` has it.
    fn destination(&self) -> String {
        if self.to.prefix_len() == 0 { "default".to_owned() } else { self.to.to_string() }
    }

    /// Where it leads, as `ip route` has it.
    fn value(&self) -> String {
        match self.kind {
            Kind::OnLink | Kind::Eth0 => format!("dev {ETH0}"),
            Kind::Throw => "throw".to_owned(),
        }
    }
}

/// Where a route leads, as `ip route` has it.
fn value(route: &Route) -> String {
    let kind = Some(route.kind.clone()).filter(|kind| kind != "unicast");
    let gateway = route.gateway.map(|gateway| format!("via {gateway}"));
    let device = route.interface.as_ref().map(|interface| format!("dev {interface}"));
    [kind, gateway, device].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

impl Drift {
    fn is_mended_by(&self, mend: Mend) -> bool {
        match self {
            Drift::NoInterface | Drift::Down => false,
            Drift::Way(_, None) => mend != Mend::Nothing,
            Drift::NoAddress | Drift::Way(_, Some(_)) => mend == Mend::All,
        }
    }

    fn words(&self, node: &NodeName, given: &Given) -> String {
        match self {
            Drift::NoInterface => format!("{node} has no interface {ETH0}"),
            Drift::Down => format!("{node}'s {ETH0} is down"),
            Drift::NoAddress => format!("{node}'s {ETH0} has no address {}", given.address),
            Drift::Way(way, None) => format!("{node} has no route to {} ({})", way.destination(), way.value()),
            Drift::Way(way, Some(is)) => {
                format!("{node}'s route to {} is {is} instead of {}", way.destination(), way.value())
            }
        }
    }
}

impl Drop for NodeNetwork {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NodeNetwork {
    /// Begins to look after a node that has all of it.
    pub(crate) fn start(node: NodeName, netlink: Netlink, given: Given) -> Self {
        // A scratch node is for trying things by hand.
        let repair = AtomicBool::new(node.kind() != NodeKind::Scratch);
        let inner = Arc::new(Inner {
            node,
            netlink,
            given: Mutex::new(given),
            repair,
            cut: AtomicBool::new(false),
            back: AtomicBool::new(false),
            look: Notify::new(),
            drift: Mutex::default(),
        });
        let task = tokio::spawn(inner.clone().run()).abort_handle();
        NodeNetwork { inner, task }
    }

    /// What differs, in words.
    pub(crate) fn drift(&self) -> Vec<String> {
        lock(&self.inner.drift).clone()
    }

    /// Whether it mends what somebody else changed, or only tells.
    pub(crate) fn set_repair(&self, on: bool) {
        self.inner.repair.store(on, Ordering::Relaxed);
        self.inner.look.notify_one();
    }

    /// See [`NodeNetwork::set_repair`].
    pub(crate) fn repairs(&self) -> bool {
        self.inner.repair.load(Ordering::Relaxed)
    }

    /// The pods' network is another one from now on.
    pub(crate) fn set_pod_network(&self, pod_network: Ipv4Net) -> Result<(), KernelError> {
        {
            let mut given = lock(&self.inner.given);
            let throws =
                |given: &Given| given.ways.iter().copied().filter(|way| way.kind == Kind::Throw).collect::<Vec<_>>();
            let old = throws(&given);
            given.set_pod_network(Some(pod_network));
            let remove = old.iter().map(|way| RouteSpec { kind: RouteKind::Throw, ..RouteSpec::to(way.to) });
            let remove: Vec<_> = remove.map(|route| Request::delete_route(&route)).collect();
            let add = throws(&given);
            let add = add.iter().map(|way| given.add(way, ETH0_INDEX));
            self.inner.netlink.apply(remove.into_iter().chain(add))?;
        }
        self.inner.settle(Mend::Nothing)
    }

    /// `eth0` was set up: sets the routes again that the kernel dropped when it went down.
    pub(crate) fn came_back(&self) -> Result<(), KernelError> {
        self.inner.settle(Mend::Lost)
    }

    /// To be told what the kernel announced on the node: where it may be about the node's own network, it is looked at.
    pub(crate) fn changed(&self, change: &Change) {
        let mut words = change.detail.split(' ');
        let about = match change.subject.as_str() {
            "history" => true,
            // The kernel announces no route that goes because its device went down.
            "link" if words.next() == Some(ETH0) => {
                match words.next() {
                    Some("up") if self.inner.cut.swap(false, Ordering::Relaxed) => {
                        self.inner.back.store(true, Ordering::Relaxed);
                    }
                    Some("down") => self.inner.cut.store(true, Ordering::Relaxed),
                    _ => {}
                }
                true
            }
            // One that is replaced is announced as the new one alone, by whatever device.
            "route" => {
                let given = lock(&self.inner.given);
                words.any(|word| given.ways.iter().any(|way| word == way.destination()))
            }
            "address" => words.any(|word| word == ETH0),
            _ => false,
        };
        if about {
            self.inner.look.notify_one();
        }
    }
}

impl Inner {
    async fn run(self: Arc<Self>) {
        loop {
            self.look.notified().await;
            if !self.back.load(Ordering::Relaxed) {
                sleep(GATHER).await;
            }
            let mend = match (self.repair.load(Ordering::Relaxed), self.back.swap(false, Ordering::Relaxed)) {
                (true, _) => Mend::All,
                (false, true) => Mend::Lost,
                (false, false) => Mend::Nothing,
            };
            if let Err(error) = self.settle(mend) {
                *lock(&self.drift) = vec![chain(&error)];
            }
        }
    }

    /// Compares, mends, and keeps what differs in the end.
    fn settle(&self, mend: Mend) -> Result<(), KernelError> {
        let given = lock(&self.given);
        let mut rounds = 0;
        loop {
            let observed = Observed::read(&self.netlink)?;
            let drift = given.compare(&observed);
            let words: Vec<_> = drift.iter().map(|drift| drift.words(&self.node, &given)).collect();
            let device = observed.link.map_or(ETH0_INDEX, |link| link.index);
            let mends: Vec<_> = drift.iter().filter(|drift| drift.is_mended_by(mend)).collect();
            if mends.is_empty() || rounds == ROUNDS {
                *lock(&self.drift) = words;
                return Ok(());
            }
            words.iter().for_each(|words| tracing::info!(node = %self.node, "{words}, mending"));
            self.netlink.apply(mends.into_iter().map(|drift| match drift {
                Drift::Way(way, _) => given.add(way, device),
                Drift::NoAddress | Drift::NoInterface | Drift::Down => given.add_address(device),
            }))?;
            rounds += 1;
        }
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing between lock and unlock leaves it half changed.
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
