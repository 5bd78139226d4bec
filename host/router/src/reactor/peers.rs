//! Connections between routers: read, written, kept alive, lost.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::Interest;
use mio::event::Event as Readiness;

use super::backlog::{Excess, Stop};
use super::deliveries::Run;
use super::{BATCH, Cause, Core, Kind, Task, token};
use crate::amqp::message;
use crate::amqp::performative::Condition;
use crate::arena::Id;
use crate::channel::{Channel, ChannelError, Got, Scratch};
use crate::config::Peering;
use crate::endpoint::{Endpoint, Event, Failure, Settings};
use crate::routing::To;
use crate::tls::TlsError;

/// How long a dialled peer may take to answer, and any peer until it has said who it is.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How many of those that wait for a peer's socket go on at once when it has room.
const WAKE: usize = 8;

/// Where a connection came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Accepted at a listener.
    Door(Id),
    /// Dialled for a connector.
    Dialer(Id),
}

/// A connection to another router.
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) channel: Channel,
    pub(super) endpoint: Endpoint,
    /// What the endpoint has to say; whoever adds to it calls [`Core::touch`].
    pub(super) out: Vec<u8>,
    /// What has arrived of a frame.
    partial: Vec<u8>,
    pub(super) origin: Origin,
    connected: bool,
    pub(super) opened: bool,
    /// It has opened the link of the routing protocols, or is there for data alone.
    pub(super) routes: bool,
    since: Instant,
    idle_timeout: Duration,
    pub(super) heard: Instant,
    said: Instant,
    pub(super) queued: bool,
    dirty: bool,
    hang_up: bool,
    /// It isn't read.
    pub(super) stopped: Option<Stop>,
    /// When its socket last took bytes that had waited for it.
    pub(super) took: Instant,
    /// Who waits for the socket to take more.
    pub(super) waiting: VecDeque<Task>,
    /// Who waits until less is under way, each with the session in which it sends.
    pub(super) starved: Vec<(Task, u16)>,
    /// Since when nothing could be sent to it while somebody waited for that.
    pub(super) exhausted: Option<Instant>,
    pub(super) exhaustion_logged: bool,
    /// When to ask the peer again how much is under way, while somebody waits for that.
    pub(super) ask_at: Option<Instant>,
}

impl Peer {
    /// Whether senders have to wait.
    pub(super) fn is_blocked(&self) -> bool {
        self.channel.is_blocked()
    }

    fn dialer(&self) -> Option<Id> {
        match self.origin {
            Origin::Dialer(dialer) => Some(dialer),
            Origin::Door(_) => None,
        }
    }

    /// Sends what the endpoint has to say, cut up by `payloads` that go between: each with where it goes in.
    pub(super) fn send(&mut self, payloads: &[(usize, &[u8])]) -> Result<(), ChannelError> {
        let mut parts = Vec::with_capacity(2 * payloads.len() + 1);
        let mut at = 0;
        for (place, payload) in payloads {
            parts.push(self.out.get(at..*place).unwrap_or_default());
            parts.push(payload);
            at = *place;
        }
        parts.push(self.out.get(at..).unwrap_or_default());
        let sent = self.channel.send(&parts);
        self.out.clear();
        sent
    }
}

/// Why a connection to a peer ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    #[error("{0}")]
    Channel(#[from] ChannelError),
    #[error("{0}")]
    Endpoint(#[from] Failure),
    #[error("{0}")]
    Tls(#[from] TlsError),
    #[error("connect to {address}: {source}")]
    Connect { address: SocketAddr, source: io::Error },
    #[error("connect to {0}: no answer")]
    NoAnswer(String),
    #[error("the peer closed the connection{0}")]
    Ended(&'static str),
    #[error("nothing was heard for {0} s")]
    Silent(u64),
    #[error("it was not read for {0} s: {1}")]
    Overfull(u64, Excess),
    #[error("the peer didn't say who it is")]
    Handshake,
    #[error("the peer opened no link of the routing protocols: it is no router (role inter-router)")]
    NoRouter,
    #[error("it is no longer configured")]
    Withdrawn,
}

impl Lost {
    /// What kind of reason this is for there being no link.
    pub(super) fn cause(&self) -> Cause {
        match self {
            Lost::Tls(_) | Lost::Channel(ChannelError::Tls(_)) => Cause::Certificate,
            Lost::Endpoint(_) | Lost::Handshake | Lost::NoRouter => Cause::Protocol,
            _ => Cause::Unreachable,
        }
    }
}

impl Core {
    pub(super) fn add_peer(
        &mut self,
        name: String,
        channel: Channel,
        settings: Settings,
        peering: &Peering,
        origin: Origin,
    ) -> Result<Id, ChannelError> {
        let id = self.peers.next_id();
        let connected = settings.server;
        let mut out = Vec::new();
        let endpoint = Endpoint::new(settings, &mut out);
        let mut peer = Peer {
            name,
            channel,
            endpoint,
            out,
            partial: Vec::new(),
            origin,
            connected,
            opened: false,
            routes: false,
            since: self.now,
            idle_timeout: peering.idle_timeout,
            heard: self.now,
            said: self.now,
            queued: false,
            dirty: false,
            hang_up: false,
            stopped: None,
            took: self.now,
            waiting: VecDeque::new(),
            starved: Vec::new(),
            exhausted: None,
            exhaustion_logged: false,
            ask_at: None,
        };
        let _ = peer.channel.socket.set_nodelay(true);
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.registry.register(&mut peer.channel.socket, token(Kind::Peer, id), interest)?;
        Ok(self.peers.insert(peer))
    }

    pub(super) fn peer_event(&mut self, id: Id, event: &Readiness) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        if !peer.connected && event.is_writable() {
            match peer.channel.socket.take_error() {
                Ok(None) if peer.channel.socket.peer_addr().is_ok() => {
                    peer.connected = true;
                    if let Err(error) = peer.channel.start() {
                        return self.lose(id, &error.into());
                    }
                    self.touch(id);
                }
                Ok(Some(source)) | Err(source) => {
                    let name = peer.name.clone();
                    let lost =
                        Lost::Channel(io::Error::new(source.kind(), format!("connect to {name}: {source}")).into());
                    return self.lose(id, &lost);
                }
                Ok(None) => return,
            }
        }
        let Some(peer) = self.peers.get_mut(id) else { return };
        if event.is_writable() && peer.connected && peer.channel.is_blocked() {
            let before = peer.channel.backlog();
            if let Err(error) = peer.channel.flush() {
                return self.lose(id, &error.into());
            }
            if peer.channel.backlog() < before {
                peer.took = self.now;
            }
            self.touch(id);
        }
        let Some(peer) = self.peers.get_mut(id) else { return };
        if event.is_readable() || event.is_read_closed() {
            peer.hang_up |= event.is_read_closed();
            if !std::mem::replace(&mut peer.queued, true) {
                self.ready.push_back(Task::Peer(id));
            }
        }
    }

    pub(super) fn work_on_peer(&mut self, id: Id) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let read = self.read_peer(id, &mut scratch);
        self.scratch = scratch;
        if let Err(lost) = read {
            self.lose(id, &lost);
        }
    }

    /// Reads a batch and deals with the frames in it.
    fn read_peer(&mut self, id: Id, scratch: &mut Scratch) -> Result<(), Lost> {
        let Some(peer) = self.peers.get_mut(id) else { return Ok(()) };
        peer.queued = false;
        if !self.may_read(id) {
            return Ok(());
        }
        let Some(peer) = self.peers.get_mut(id) else { return Ok(()) };
        scratch.clear();
        scratch.push(&peer.partial);
        peer.partial.clear();
        let got = peer.channel.read(scratch, BATCH)?;
        if let Got::Bytes { full } = got {
            peer.heard = self.now;
            if full || peer.hang_up {
                peer.queued = true;
                self.ready.push_back(Task::Peer(id));
            }
        }
        let mut rest = scratch.filled();
        let mut run = Run::default();
        let failure = loop {
            let Some(peer) = self.peers.get_mut(id) else { return Ok(()) };
            match peer.endpoint.consume(rest, &mut peer.out) {
                Ok(None) => break None,
                Ok(Some((size, event))) => {
                    rest = rest.get(size..).unwrap_or_default();
                    self.peer_said(id, event, &mut run);
                }
                Err(failure) => break Some(failure),
            }
        };
        self.finish_run(run);
        let Some(peer) = self.peers.get_mut(id) else { return Ok(()) };
        peer.partial.extend_from_slice(rest);
        self.touch(id);
        match (failure, got) {
            (Some(failure), _) => Err(failure.into()),
            (None, Got::End) => Err(Lost::Ended(if self.is_open(id) {
                ""
            } else {
                " before it said who it is: does one end have an sslProfile and the other none?"
            })),
            (None, _) => Ok(()),
        }
    }

    fn is_open(&self, id: Id) -> bool {
        self.peers.get(id).is_some_and(|peer| peer.opened)
    }

    fn peer_said<'a>(&mut self, id: Id, event: Event<'a>, run: &mut Run<'a>) {
        match event {
            Event::None => {}
            Event::Transfer { session, link, payload, more, aborted } => {
                self.arrived(id, (session, link), payload, (more, aborted), run);
            }
            Event::States(states) => {
                for (owner, state, settled) in states {
                    self.state_said(owner, state.as_ref(), settled);
                }
            }
            Event::Room(owner) => self.room_for(owner),
            Event::Gone(sinks, owners) => self.gone(sinks, owners),
            Event::Opened => {
                let Some(peer) = self.peers.get_mut(id) else { return };
                peer.opened = true;
                if !peer.endpoint.is_routing() {
                    self.router_connected(id);
                }
            }
            Event::ControlUp => {
                self.router_connected(id);
                if self.peers.get(id).is_some_and(|peer| peer.endpoint.is_routing()) {
                    self.routing.connected(id);
                }
            }
        }
    }

    /// A peer is known to be a router.
    fn router_connected(&mut self, id: Id) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        if std::mem::replace(&mut peer.routes, true) {
            return;
        }
        let router = peer.endpoint.peer().unwrap_or_default().to_owned();
        tracing::info!(connection = peer.name, router, "a router is connected");
        if let Some(dialer) = peer.dialer().and_then(|dialer| self.dialers.get_mut(dialer)) {
            dialer.problem = None;
        }
    }

    /// There is something to send to a peer.
    pub(super) fn touch(&mut self, id: Id) {
        if let Some(peer) = self.peers.get_mut(id)
            && !std::mem::replace(&mut peer.dirty, true)
        {
            self.dirty.push(id);
        }
    }

    pub(super) fn flush_peers(&mut self) {
        for id in std::mem::take(&mut self.dirty) {
            let Some(peer) = self.peers.get_mut(id) else { continue };
            peer.dirty = false;
            if !peer.connected {
                continue;
            }
            if !peer.out.is_empty() {
                peer.said = self.now;
                if let Err(error) = peer.send(&[]) {
                    self.lose(id, &error.into());
                    continue;
                }
            }
            if peer.stopped.is_some() && peer.resumes(self.now) && !std::mem::replace(&mut peer.queued, true) {
                self.ready.push_back(Task::Peer(id));
            }
            self.ready.extend(peer.fed());
            if !peer.is_blocked() && !peer.waiting.is_empty() {
                for task in peer.waiting.drain(..peer.waiting.len().min(WAKE)) {
                    self.ready.push_back(task);
                }
                // The others have their turn in the next round.
                if !peer.waiting.is_empty() {
                    peer.dirty = true;
                    self.dirty.push(id);
                }
            }
        }
    }

    /// Hands the routing protocols' messages to those they are for.
    pub(super) fn send_controls(&mut self) {
        let me = self.config.id.clone();
        for (to, control) in self.routing.take_outgoing() {
            let about_addresses = control.opcode().starts_with("MA");
            let suffix = if about_addresses { "qdrouter.ma" } else { "qdrouter" };
            let (address, connections): (String, Vec<Id>) = match &to {
                To::Neighbours => {
                    let routing = self.peers.iter().filter(|(_, peer)| peer.opened && peer.endpoint.is_routing());
                    ("amqp:/_local/qdhello".to_owned(), routing.map(|(id, _)| id).collect())
                }
                To::Connection(id) => ("amqp:/_local/qdhello".to_owned(), vec![*id]),
                To::Router(router) => (
                    format!("amqp:/_topo/0/{router}/{suffix}"),
                    self.routing.connection_to(router).into_iter().collect(),
                ),
                To::All => {
                    (format!("amqp:/_topo/0/all/{suffix}"), self.routing.connections_to_all(None).into_iter().collect())
                }
            };
            let message = message::control(&me, &address, control.opcode(), &control.encode(&me));
            for id in connections {
                self.put_control(id, &message);
            }
        }
    }

    pub(super) fn put_control(&mut self, id: Id, message: &[u8]) {
        if let Some(peer) = self.peers.get_mut(id) {
            peer.endpoint.put_control(message, &mut peer.out);
            self.touch(id);
        }
    }

    /// Ends a connection, and all that went over it.
    pub(super) fn lose(&mut self, id: Id, lost: &Lost) {
        let Some(mut peer) = self.peers.remove(id) else { return };
        if peer.routes {
            let router = peer.endpoint.peer().unwrap_or_default();
            tracing::warn!(connection = peer.name, router, "a router is gone: {lost}");
        } else if peer.dialer().is_none() {
            tracing::warn!(from = peer.name, "a connection is refused: {lost}");
        }
        if peer.connected {
            let name = match lost {
                Lost::Endpoint(Failure::Malformed(_) | Failure::Protocol(_)) => "amqp:connection:framing-error",
                Lost::Endpoint(Failure::Role(_)) => "qd:connection-role",
                Lost::NoRouter => "amqp:connection:forced",
                _ => "",
            };
            if !name.is_empty() {
                peer.endpoint.put_close(Some(Condition::new(name, lost.to_string())), &mut peer.out);
            }
            let _ = peer.send(&[]);
            peer.channel.finish();
        }
        let (sinks, owners) = peer.endpoint.interests();
        self.gone(sinks, owners);
        self.ready.extend(peer.waiting.iter().copied().chain(peer.starved.iter().map(|(task, _)| *task)));
        self.loads.retain(|(_, connection), _| *connection != id);
        self.routing.disconnected(id, self.now);
        if let Some(dialer) = peer.dialer() {
            self.dial_failed(dialer, lost);
        }
    }

    pub(super) fn tick_peers(&mut self) {
        self.open_doors();
        for id in self.peers.ids() {
            let Some(peer) = self.peers.get_mut(id) else { continue };
            peer.channel.trim();
            let age = self.now.duration_since(peer.since);
            // What it says isn't heard while it isn't read.
            let silence = self.now.duration_since(if peer.stopped.is_some() { self.now } else { peer.heard });
            let lost = if !peer.connected && age > CONNECT_TIMEOUT {
                Lost::NoAnswer(peer.name.clone())
            } else if !peer.opened && age > HANDSHAKE_TIMEOUT {
                Lost::Handshake
            } else if !peer.routes && age > HANDSHAKE_TIMEOUT {
                Lost::NoRouter
            } else if !peer.idle_timeout.is_zero() && silence > peer.idle_timeout {
                Lost::Silent(silence.as_secs())
            } else if let Some((stopped, excess)) = peer.stopped_too_long(self.now) {
                Lost::Overfull(stopped.as_secs(), excess)
            } else {
                let due = peer.endpoint.heartbeat().is_some_and(|every| self.now.duration_since(peer.said) >= every);
                if peer.opened && due {
                    Endpoint::put_heartbeat(&mut peer.out);
                    self.touch(id);
                }
                continue;
            };
            self.lose(id, &lost);
        }
        self.dial();
    }

    pub(super) fn say_goodbye(&mut self) {
        for id in self.peers.ids() {
            if let Some(peer) = self.peers.get_mut(id).filter(|peer| peer.connected) {
                peer.endpoint.put_close(None, &mut peer.out);
                let _ = peer.send(&[]);
                peer.channel.finish();
            }
        }
    }
}
