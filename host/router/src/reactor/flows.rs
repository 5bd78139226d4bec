//! TCP flows: a client's or a service's socket, and the two streams that carry its bytes through the network.
//!
//! As skrouterd's tcp adaptor (`src/adaptors/tcp/tcp_adaptor.c`): the client's router begins a stream and sends
//! nothing but its head until the service's router has answered with the other one; raw bytes follow; the end of a
//! stream is the end of what a socket sends, so each direction ends by itself; whoever takes a stream's bytes says how
//! many it has written, and who sends them stops at [`WINDOW`] bytes that aren't written yet.
//!
//! Bytes aren't kept here if they can be helped: a socket is read when the next connection takes what it has, into one
//! buffer that all share; what arrives is written to its socket at once, and only what that doesn't take is kept.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::time::Instant;

use mio::Interest;
use mio::event::Event as Readiness;
use mio::net::TcpStream;

use super::deliveries::{Place, router_of_address};
use super::services::Choice;
use super::{BATCH, Core, Kind, Task, token};
use crate::amqp::message;
use crate::amqp::performative::Outcome;
use crate::arena::Id;
use crate::channel::{Backlog, Got, read, write_all};
use crate::endpoint::{Owner, Part, Room};

/// Bytes of a stream that may be under way: read from one socket and not yet written to the other.
const WINDOW: u64 = 1 << 20;
/// How many bytes are written before who sends them is told.
const REPORT: u64 = 256 << 10;

/// As little as this is copied, to go out with what others send in the same round: a call to the kernel costs more.
const LITTLE: usize = 4 << 10;
/// How much is copied before it goes out.
const COPIED: usize = 64 << 10;

/// Where what a socket sends goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outlet {
    /// Nowhere yet.
    Nowhere,
    Stream {
        peer: Id,
        session: u16,
    },
    /// To the socket of another flow of this router's.
    Flow(Id),
    /// It has ended.
    Ended,
}

/// Where what a socket is sent comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inlet {
    Nowhere,
    Stream { place: Place, delivery: u32 },
    Flow(Id),
    Ended,
}

/// A socket of a client or a service.
pub(super) struct Flow {
    socket: TcpStream,
    /// The listener or the service that it belongs to.
    owner: Id,
    /// Whose load it is part of.
    choice: Choice,
    /// It is counted in that: of a flow within this router only the service's end is.
    counted: bool,
    connecting: bool,
    /// Other addresses of the service.
    untried: Vec<SocketAddr>,
    /// Where the answer goes (a service's) or comes (a client's).
    reply: String,
    queued: bool,
    readable: bool,
    hang_up: bool,

    outlet: Outlet,
    /// What has to be sent before anything else.
    head: Option<Vec<u8>>,
    /// The other stream's head has arrived: bytes may be sent.
    answered: bool,
    sent: u64,
    /// What the other end has written; None: it says so no more.
    written_there: Option<u64>,

    inlet: Inlet,
    pending: Backlog,
    /// All that there is to write has arrived.
    complete: bool,
    written: u64,
    reported: u64,
    /// Bytes of it that wait here, as their sender's connection has counted them, and when they became less or the first
    /// of them arrived.
    untaken: usize,
    moved: Instant,
}

impl Core {
    fn add_flow(&mut self, mut socket: TcpStream, owner: Id, choice: Choice, connecting: bool) -> io::Result<Id> {
        let counted = connecting || matches!(choice, Choice::Router { .. });
        let id = self.flows.next_id();
        let _ = socket.set_nodelay(true);
        self.registry.register(&mut socket, token(Kind::Flow, id), Interest::READABLE | Interest::WRITABLE)?;
        if let Some(load) = self.load(&choice).filter(|_| counted) {
            load.open += 1;
        }
        let flow = Flow {
            socket,
            owner,
            choice,
            counted,
            connecting,
            untried: Vec::new(),
            reply: String::new(),
            queued: false,
            readable: false,
            hang_up: false,
            outlet: Outlet::Nowhere,
            head: None,
            answered: false,
            sent: 0,
            written_there: Some(0),
            inlet: Inlet::Nowhere,
            pending: Backlog::default(),
            complete: false,
            written: 0,
            reported: 0,
            untaken: 0,
            moved: self.now,
        };
        Ok(self.flows.insert(flow))
    }

    /// A client has connected to a listener.
    pub(super) fn start_flow(&mut self, tap: Id, socket: TcpStream, address: &str) {
        // The port closes when there is no connector; a client that was faster is cut off.
        let Some(choice) = self.choose(address, None, true) else { return reset(&socket) };
        let Ok(id) = self.add_flow(socket, tap, choice.clone(), false) else { return };
        let number = self.count();
        let me = self.config.id.clone();
        let reply = format!("amqp:/_topo/0/{me}/temp.{:x}.{number}", self.instance);
        match choice {
            Choice::Service(service) => {
                let connected = self.open_service(service);
                let Some((other, flow)) = connected.zip(self.flows.get_mut(id)) else { return self.fail_flow(id) };
                (flow.outlet, flow.inlet, flow.answered) = (Outlet::Flow(other), Inlet::Flow(other), true);
                if let Some(service) = self.flows.get_mut(other) {
                    (service.outlet, service.inlet, service.answered) = (Outlet::Flow(id), Inlet::Flow(id), true);
                }
            }
            Choice::Router { connection, .. } => {
                let Some(peer) = self.peers.get_mut(connection) else { return self.fail_flow(id) };
                let session = peer.endpoint.stream(Owner::Flow(id), &mut peer.out);
                self.touch(connection);
                let Some((session, flow)) = session.zip(self.flows.get_mut(id)) else { return self.fail_flow(id) };
                flow.outlet = Outlet::Stream { peer: connection, session };
                flow.head = Some(message::stream(&me, address, Some((&reply, &format!("{me}:{number}")))));
                flow.reply.clone_from(&reply);
                self.replies.insert(reply, id);
            }
        }
        self.queue_flow(id);
    }

    /// Connects to a service: its flow, which isn't connected yet.
    fn open_service(&mut self, service: Id) -> Option<Id> {
        let config = &self.services.get(service)?.config;
        let (name, host, port) = (config.name.clone(), config.host.clone(), config.port);
        let problem = match self.resolver.look_up(&host, port, self.now) {
            Ok(mut addresses) if !addresses.is_empty() => match TcpStream::connect(addresses.remove(0)) {
                Ok(socket) => {
                    let id = self.add_flow(socket, service, Choice::Service(service), true).ok()?;
                    if let Some(flow) = self.flows.get_mut(id) {
                        flow.untried = addresses;
                    }
                    return Some(id);
                }
                Err(error) => error.to_string(),
            },
            Ok(_) => format!("{host} has no address"),
            Err(problem) => problem,
        };
        tracing::warn!(connector = name, "connect to {host}:{port}: {problem}");
        None
    }

    /// Connects to a service for a stream of another router's; None where that can't even be tried.
    pub(super) fn connect_service(&mut self, service: Id, place: Place, delivery: u32, reply: &str) -> Option<Id> {
        router_of_address(reply)?;
        let id = self.open_service(service)?;
        let head = message::stream(&self.config.id, reply, None);
        let flow = self.flows.get_mut(id)?;
        flow.inlet = Inlet::Stream { place, delivery };
        flow.reply = reply.to_owned();
        flow.answered = true;
        flow.head = Some(head);
        Some(id)
    }

    /// The other stream of a client's flow has begun; false where that can't be.
    pub(super) fn flow_answered(&mut self, id: Id, place: Place, delivery: u32) -> bool {
        let Some(flow) = self.flows.get_mut(id).filter(|flow| flow.inlet == Inlet::Nowhere) else { return false };
        flow.inlet = Inlet::Stream { place, delivery };
        flow.answered = true;
        self.queue_flow(id);
        true
    }

    pub(super) fn flow_event(&mut self, id: Id, event: &Readiness) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        if flow.connecting && event.is_writable() {
            match flow.socket.take_error() {
                Ok(None) if flow.socket.peer_addr().is_ok() => self.service_connected(id),
                Ok(Some(error)) | Err(error) => self.service_refused(id, &error),
                Ok(None) => return,
            }
        }
        let Some(flow) = self.flows.get_mut(id) else { return };
        if event.is_writable() && !flow.connecting && (!flow.pending.is_empty() || flow.complete) {
            self.deliver(id, &[]);
        }
        let Some(flow) = self.flows.get_mut(id) else { return };
        if event.is_readable() || event.is_read_closed() {
            flow.readable = true;
            flow.hang_up |= event.is_read_closed();
            self.queue_flow(id);
        }
    }

    fn service_connected(&mut self, id: Id) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        flow.connecting = false;
        if flow.outlet == Outlet::Nowhere {
            let connection = router_of_address(&flow.reply).and_then(|router| self.routing.connection_to(router));
            let peer = connection.and_then(|id| Some((id, self.peers.get_mut(id)?)));
            let Some((connection, peer)) = peer else { return self.fail_flow(id) };
            let session = peer.endpoint.stream(Owner::Flow(id), &mut peer.out);
            if let Some(session) = session {
                flow.outlet = Outlet::Stream { peer: connection, session };
            }
            self.touch(connection);
            if session.is_none() {
                return self.fail_flow(id);
            }
        }
        // What came while it was connecting.
        self.deliver(id, &[]);
        self.queue_flow(id);
    }

    fn service_refused(&mut self, id: Id, error: &io::Error) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        while !flow.untried.is_empty() {
            let Ok(mut socket) = TcpStream::connect(flow.untried.remove(0)) else { continue };
            let interest = Interest::READABLE | Interest::WRITABLE;
            if self.registry.register(&mut socket, token(Kind::Flow, id), interest).is_ok() {
                flow.socket = socket;
                return;
            }
        }
        if let Some(service) = self.services.get(flow.owner) {
            let config = &service.config;
            tracing::warn!(connector = config.name, "connect to {}:{}: {error}", config.host, config.port);
        }
        self.fail_flow(id);
    }

    pub(super) fn queue_flow(&mut self, id: Id) {
        if let Some(flow) = self.flows.get_mut(id)
            && !std::mem::replace(&mut flow.queued, true)
        {
            self.ready.push_back(Task::Flow(id));
        }
    }

    /// Sends what a socket has, as far as the way is free.
    pub(super) fn work_on_flow(&mut self, id: Id) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        flow.queued = false;
        let result = match flow.outlet {
            Outlet::Stream { peer, session } => self.send_stream(id, peer, session),
            Outlet::Flow(other) => self.send_local(id, other),
            Outlet::Nowhere | Outlet::Ended => Ok(()),
        };
        if result.is_err() {
            self.fail_flow(id);
        }
    }

    /// Reads a batch and sends it as a stream's transfers.
    fn send_stream(&mut self, id: Id, to: Id, session: u16) -> io::Result<()> {
        let Some((flow, peer)) = self.flows.get_mut(id).zip(self.peers.get_mut(to)) else { return Ok(()) };
        let Room { transfers: mut room, bytes: free } = peer.endpoint.room(session);
        if room == 0 {
            return Ok(());
        }
        if peer.is_blocked() {
            peer.waiting.push_back(Task::Flow(id));
            flow.queued = true;
            return Ok(());
        }
        let mut payloads: Vec<(usize, &[u8])> = Vec::new();
        if let Some(head) = flow.head.take() {
            peer.endpoint.put_transfer(session, head.len(), Part::More, &mut peer.out);
            peer.out.extend_from_slice(&head);
            room -= 1;
        }
        let open = flow.written_there.map_or(WINDOW, |written| WINDOW.saturating_sub(flow.sent - written));
        let size = peer.endpoint.max_payload();
        let wanted = (open as usize).min(BATCH).min(room as usize * size);
        let limit = wanted.min(free);
        let mut ended = false;
        self.scratch.clear();
        if flow.answered && flow.readable && limit == 0 && wanted > 0 {
            flow.queued = true;
            peer.starve(Task::Flow(id), session, self.now);
            self.touch(to);
            return Ok(());
        }
        if flow.answered && flow.readable && limit > 0 && room > 0 {
            let again = match read(&mut flow.socket, &mut self.scratch, limit)? {
                Got::Bytes { full } => full || flow.hang_up,
                Got::Nothing => false,
                Got::End => {
                    ended = true;
                    false
                }
            };
            flow.readable = again;
        }
        let bytes = self.scratch.filled();
        let copy = bytes.len() <= LITTLE && peer.out.len() < COPIED;
        for payload in bytes.chunks(size) {
            peer.endpoint.put_transfer(session, payload.len(), Part::More, &mut peer.out);
            if copy {
                peer.out.extend_from_slice(payload);
            } else {
                payloads.push((peer.out.len(), payload));
            }
        }
        flow.sent += bytes.len() as u64;
        if ended {
            peer.endpoint.put_transfer(session, 0, Part::Last, &mut peer.out);
            flow.outlet = Outlet::Ended;
        }
        peer.endpoint.ask_early(session, &mut peer.out);
        let again = flow.readable && !bytes.is_empty();
        // What is in `out` waits for the end of the round, and goes out with what others say.
        let sent = if payloads.is_empty() { Ok(()) } else { peer.send(&payloads) };
        self.touch(to);
        if let Err(error) = sent {
            self.lose(to, &error.into());
            return Ok(());
        }
        if again {
            self.queue_flow(id);
        }
        if ended {
            self.close_if_done(id);
        }
        Ok(())
    }

    /// Reads a batch and writes it to another flow's socket.
    fn send_local(&mut self, id: Id, other: Id) -> io::Result<()> {
        let Some(open) = self.flows.get(other).map(|other| (WINDOW as usize).saturating_sub(other.pending.len()))
        else {
            return Ok(());
        };
        let Some(flow) = self.flows.get_mut(id) else { return Ok(()) };
        if !flow.readable || open == 0 {
            return Ok(());
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let got = read(&mut flow.socket, &mut scratch, open.min(BATCH));
        if let Ok(got) = got {
            flow.readable = matches!(got, Got::Bytes { full } if full || flow.hang_up);
            if got == Got::End {
                flow.outlet = Outlet::Ended;
                self.flow_ended(other, false);
                self.close_if_done(id);
            } else {
                self.deliver(other, &[scratch.filled()]);
                self.queue_flow(id);
            }
        }
        self.scratch = scratch;
        got.map(drop)
    }

    /// Writes what has arrived for a flow, or keeps it.
    pub(super) fn deliver(&mut self, id: Id, parts: &[&[u8]]) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        let (waited, written) = (flow.pending.len(), flow.written);
        if flow.connecting {
            parts.iter().for_each(|part| flow.pending.push(part));
        } else {
            let before = flow.pending.len() + parts.iter().map(|part| part.len()).sum::<usize>();
            if write_all(&mut flow.socket, &mut flow.pending, parts).is_err() {
                return self.fail_flow(id);
            }
            flow.written += (before - flow.pending.len()) as u64;
        }
        let report = flow.written - flow.reported >= REPORT && !flow.complete;
        if report {
            flow.reported = flow.written;
        }
        if waited == 0 || flow.written > written {
            flow.moved = self.now;
        }
        let untaken = flow.pending.len();
        let before = std::mem::replace(&mut flow.untaken, untaken);
        match flow.inlet {
            Inlet::Stream { place, delivery } => {
                let written = flow.written;
                if report {
                    self.say_state(place, delivery, Outcome::Received(written), false);
                }
                self.count_untaken(place, before, untaken);
            }
            Inlet::Flow(other) => self.queue_flow(other),
            Inlet::Nowhere | Inlet::Ended => {}
        }
        self.finish_inlet(id);
    }

    /// Nothing more arrives for a flow.
    pub(super) fn flow_ended(&mut self, id: Id, aborted: bool) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        if aborted {
            let untaken = std::mem::take(&mut flow.untaken);
            if let Inlet::Stream { place, .. } = std::mem::replace(&mut flow.inlet, Inlet::Ended) {
                self.count_untaken(place, untaken, 0);
            }
            return self.fail_flow(id);
        }
        flow.complete = true;
        self.finish_inlet(id);
    }

    /// When all that arrived is written, says so on both sides.
    fn finish_inlet(&mut self, id: Id) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        if !flow.complete || flow.connecting || !flow.pending.is_empty() || flow.inlet == Inlet::Ended {
            return;
        }
        let inlet = std::mem::replace(&mut flow.inlet, Inlet::Ended);
        let _ = flow.socket.shutdown(Shutdown::Write);
        if let Inlet::Stream { place, delivery } = inlet {
            self.say_state(place, delivery, Outcome::Accepted, true);
        }
        self.close_if_done(id);
    }

    fn close_if_done(&mut self, id: Id) {
        if self.flows.get(id).is_some_and(|flow| flow.outlet == Outlet::Ended && flow.inlet == Inlet::Ended) {
            self.remove_flow(id);
        }
    }

    fn remove_flow(&mut self, id: Id) -> Option<Flow> {
        let flow = self.flows.remove(id)?;
        if let Inlet::Stream { place, .. } = flow.inlet {
            self.count_untaken(place, flow.untaken, 0);
        }
        if let Some(load) = self.load(&flow.choice).filter(|_| flow.counted) {
            load.open = load.open.saturating_sub(1);
        }
        // A service's flow has the address where its answer goes, which is another router's to keep.
        if self.replies.get(&flow.reply) == Some(&id) {
            self.replies.remove(&flow.reply);
        }
        Some(flow)
    }

    /// Ends a flow before its time: both streams are broken off, and the socket is reset, so that neither end takes
    /// half of something for the whole.
    pub(super) fn fail_flow(&mut self, id: Id) {
        let Some(flow) = self.remove_flow(id) else { return };
        reset(&flow.socket);
        match flow.outlet {
            Outlet::Stream { peer: to, session } => {
                if let Some(peer) = self.peers.get_mut(to) {
                    peer.endpoint.abort_stream(session, &mut peer.out);
                    self.touch(to);
                }
            }
            Outlet::Flow(other) => self.fail_flow(other),
            Outlet::Nowhere | Outlet::Ended => {}
        }
        match flow.inlet {
            Inlet::Stream { place, delivery } => {
                self.say_state(place, delivery, Outcome::Modified, true);
                if !flow.complete {
                    self.set_sink(place, crate::endpoint::Sink::Discard);
                }
            }
            Inlet::Flow(other) => self.fail_flow(other),
            Inlet::Nowhere | Inlet::Ended => {}
        }
    }

    /// The other router says what became of a flow's stream.
    pub(super) fn flow_state(&mut self, id: Id, state: Option<&Outcome>, settled: bool) {
        let Some(flow) = self.flows.get_mut(id) else { return };
        match state {
            Some(Outcome::Received(bytes)) => {
                if let Some(written) = &mut flow.written_there {
                    *written = (*written).max((*bytes).min(flow.sent));
                }
            }
            Some(Outcome::Released | Outcome::Modified | Outcome::Rejected(_)) => {
                if let Some(Outcome::Rejected(Some(reason))) = state {
                    tracing::info!(%reason, "a flow was rejected");
                }
                return self.fail_flow(id);
            }
            Some(Outcome::Accepted) | None => {}
        }
        if settled || state == Some(&Outcome::Accepted) {
            // It will say no more.
            flow.written_there = None;
        }
        self.queue_flow(id);
    }

    /// Ends the flows of a listener or a service that is withdrawn.
    pub(super) fn end_flows_of(&mut self, owner: Id) {
        let of = |flow: &Flow| flow.owner == owner || flow.choice == Choice::Service(owner);
        let flows: Vec<Id> = self.flows.iter().filter(|(_, flow)| of(flow)).map(|(id, _)| id).collect();
        flows.into_iter().for_each(|id| self.fail_flow(id));
    }

    /// Those of which bytes that came from a peer wait here, and since when.
    pub(super) fn waiting_flows(&self, from: Id) -> impl Iterator<Item = (Instant, Id)> {
        let waiting = move |flow: &Flow| {
            matches!(flow.inlet, Inlet::Stream { place, .. } if place.peer == from) && !flow.pending.is_empty()
        };
        self.flows.iter().filter(move |(_, flow)| waiting(flow)).map(|(id, flow)| (flow.moved, id))
    }

    /// Gives back the memory of flows that have come to rest.
    pub(super) fn tick_flows(&mut self) {
        for id in self.flows.ids() {
            if let Some(flow) = self.flows.get_mut(id) {
                flow.pending.trim();
            }
        }
    }
}

/// Makes the end of a socket a reset.
fn reset(socket: &TcpStream) {
    let _ = socket2::SockRef::from(socket).set_linger(Some(std::time::Duration::ZERO));
}
