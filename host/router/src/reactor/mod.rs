//! The running router: one thread, one epoll, everything that has a socket.
//!
//! One thread because a router is bound by its one connection to the next router, and copies bytes from one socket to
//! another: what would be locked between threads costs more than it gives. Sockets are edge-triggered; what may go on
//! is in [`Core::ready`], from which each gets a batch at a time, so that no flow keeps another waiting.
//!
//! Invariant: nothing here blocks. Names are looked up on threads of their own.

mod backlog;
mod deliveries;
mod doors;
mod flows;
mod peers;
mod resolve;
mod services;
mod starved;
mod status;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::event::Event as Readiness;
use mio::{Events, Poll, Registry, Token, Waker};

use crate::arena::{Arena, Id};
use crate::channel::Scratch;
use crate::config::Config;
use crate::routing::Routing;
use deliveries::Transit;
use doors::{Dialer, Door};
use flows::Flow;
use peers::Peer;
use resolve::Resolver;
use services::{Load, Service, Tap};
pub use status::{Cause, ConnectorStatus, LinkState, LinkStatus, ListenerStatus, RouterStatus, Status};

/// How often timers are looked at.
const TICK: Duration = Duration::from_millis(250);
/// Bytes that are read off a socket at once.
const BATCH: usize = 256 << 10;
const WAKER: Token = Token(usize::MAX);
/// Where a token's kind is, above the number of the thing.
const KIND: u32 = 60;

/// Why a router can't run.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// The system denies what every event loop needs.
    #[error("set up the router's event loop")]
    Setup(#[source] io::Error),
    /// Waiting for events failed.
    #[error("wait for events")]
    Wait(#[source] io::Error),
}

/// What somebody outside of the loop's thread wants.
enum Command {
    Reload(Box<Config>),
    Status(mpsc::Sender<Status>),
    Resolved(resolve::Answer),
    Stop,
}

/// A way to a running router from other threads.
#[derive(Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    waker: Arc<Waker>,
}

impl Handle {
    fn send(&self, command: Command) {
        // A router that is gone wants nothing.
        if self.commands.send(command).is_ok() {
            let _ = self.waker.wake();
        }
    }

    /// Takes over another configuration: what is no longer in it ends, what is new in it starts, the rest goes on.
    /// The router's own section stays as it was.
    pub fn reload(&self, config: Config) {
        self.send(Command::Reload(Box::new(config)));
    }

    /// How things are; None where the router has ended.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        let (answer, status) = mpsc::channel();
        self.send(Command::Status(answer));
        status.recv_timeout(Duration::from_secs(5)).ok()
    }

    /// Ends the router.
    pub fn stop(&self) {
        self.send(Command::Stop);
    }
}

/// What may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Peer(Id),
    Flow(Id),
    Transit(Id),
    Accept(Id),
    AcceptPeers(Id),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Door,
    Peer,
    Tap,
    Flow,
}

fn token(kind: Kind, id: Id) -> Token {
    Token((kind as usize) << KIND | id)
}

/// A router that is ready to run.
pub struct Router {
    poll: Poll,
    commands: mpsc::Receiver<Command>,
    core: Core,
}

/// The router's state; each file beside this one has a part of what happens to it.
struct Core {
    registry: Registry,
    handle: Handle,
    config: Config,
    routing: Routing,
    now: Instant,
    /// Where other routers connect to.
    doors: Arena<Door>,
    /// Routers that are connected to.
    dialers: Arena<Dialer>,
    peers: Arena<Peer>,
    /// Where clients connect to.
    taps: Arena<Tap>,
    services: Arena<Service>,
    flows: Arena<Flow>,
    transits: Arena<Transit>,
    /// Flows by the addresses that their answers come to.
    replies: HashMap<String, Id>,
    /// Open flows by their address and the connection that they go over.
    loads: HashMap<(String, Id), Load>,
    resolver: Resolver,
    ready: VecDeque<Task>,
    /// Peers that have something to send.
    dirty: Vec<Id>,
    scratch: Scratch,
    /// The routing's epoch that the taps are in line with.
    epoch: u64,
    counter: u64,
    /// A number of this run of the router's, in the ids of its flows.
    instance: i64,
}

impl Router {
    /// Sets a router up; it does nothing before [`Router::run`].
    ///
    /// # Errors
    /// The system denies an epoll or what wakes it.
    pub fn new(config: Config) -> Result<Router, RouterError> {
        let poll = Poll::new().map_err(RouterError::Setup)?;
        let registry = poll.registry().try_clone().map_err(RouterError::Setup)?;
        let waker = Arc::new(Waker::new(&registry, WAKER).map_err(RouterError::Setup)?);
        let (sender, commands) = mpsc::channel();
        let handle = Handle { commands: sender, waker };
        let now = Instant::now();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let instance = i64::try_from(since.as_secs()).unwrap_or(0);
        let core = Core {
            registry,
            routing: Routing::new(&config, instance, now),
            resolver: Resolver::new(handle.clone()),
            handle,
            config,
            now,
            doors: Arena::new(),
            dialers: Arena::new(),
            peers: Arena::new(),
            taps: Arena::new(),
            services: Arena::new(),
            flows: Arena::new(),
            transits: Arena::new(),
            replies: HashMap::new(),
            loads: HashMap::new(),
            ready: VecDeque::new(),
            dirty: Vec::new(),
            scratch: Scratch::default(),
            epoch: 0,
            counter: 0,
            instance,
        };
        Ok(Router { poll, commands, core })
    }

    /// A way to it from other threads.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.core.handle.clone()
    }

    /// Routes until it is told to stop.
    ///
    /// # Errors
    /// The system's event queue fails. What goes wrong with a peer, a client or a service is in the log and in the
    /// status, and the router goes on.
    pub fn run(mut self) -> Result<(), RouterError> {
        let mut events = Events::with_capacity(512);
        let config = self.core.config.clone();
        self.core.apply(&config);
        let mut tick = Instant::now();
        loop {
            let wait = if self.core.ready.is_empty() {
                let next = self.core.next_question().map_or(tick, |question| question.min(tick));
                next.saturating_duration_since(Instant::now())
            } else {
                Duration::ZERO
            };
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(RouterError::Wait(error)),
                _ => self.core.now = Instant::now(),
            }
            for event in &events {
                self.core.event(event);
            }
            while let Ok(command) = self.commands.try_recv() {
                match command {
                    Command::Reload(config) => self.core.apply(&config),
                    Command::Status(answer) => drop(answer.send(self.core.status())),
                    Command::Resolved(answer) => {
                        let host = answer.host.clone();
                        self.core.resolver.answered(answer);
                        self.core.resolved(&host);
                    }
                    Command::Stop => {
                        self.core.say_goodbye();
                        return Ok(());
                    }
                }
            }
            self.core.work();
            self.core.ask_peers();
            if self.core.now >= tick {
                tick = self.core.now + TICK;
                self.core.tick();
            }
            self.core.settle();
        }
    }
}

impl Core {
    /// A socket is ready for something.
    fn event(&mut self, event: &Readiness) {
        let Token(number) = event.token();
        if event.token() == WAKER {
            return;
        }
        let id = number & ((1 << KIND) - 1);
        match number >> KIND {
            kind if kind == Kind::Door as usize => self.accept_peers(id),
            kind if kind == Kind::Tap as usize => self.accept_clients(id),
            kind if kind == Kind::Peer as usize => self.peer_event(id, event),
            _ => self.flow_event(id, event),
        }
    }

    /// Gives everything that may go on a turn.
    fn work(&mut self) {
        for _ in 0..self.ready.len() {
            match self.ready.pop_front() {
                Some(Task::Peer(id)) => self.work_on_peer(id),
                Some(Task::Flow(id)) => self.work_on_flow(id),
                Some(Task::Transit(id)) => self.work_on_transit(id),
                Some(Task::Accept(id)) => self.accept_clients(id),
                Some(Task::AcceptPeers(id)) => self.accept_peers(id),
                None => break,
            }
        }
    }

    /// Timers.
    fn tick(&mut self) {
        self.routing.tick(self.now);
        self.tick_doors();
        self.tick_backlogs();
        self.tick_starved();
        self.tick_peers();
        self.tick_flows();
        self.tick_transits();
        self.tick_services();
    }

    /// Sends what is to be sent, and brings listeners in line with who can be reached.
    fn settle(&mut self) {
        self.send_controls();
        if self.epoch != self.routing.epoch() {
            self.epoch = self.routing.epoch();
            self.open_and_close_taps();
            self.forget_loads();
        }
        self.flush_peers();
    }

    /// Takes over a configuration.
    fn apply(&mut self, config: &Config) {
        self.apply_peers(config);
        self.apply_services(config);
        self.config = Config { id: self.config.id.clone(), ..config.clone() };
    }

    fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }
}
