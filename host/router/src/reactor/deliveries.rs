//! What arrives from other routers: control messages, the heads of streams, and the streams' bytes, which go to a
//! flow of this router's or on to another router.

use std::time::Instant;

use super::peers::Peer;
use super::services::Choice;
use super::{Core, Task};
use crate::amqp::codec::DecodeError;
use crate::amqp::message::{Head, RAW};
use crate::amqp::performative::{Condition, Outcome};
use crate::arena::Id;
use crate::channel::Backlog;
use crate::endpoint::{Owner, Part, Purpose, Room, Sink};
use crate::routing::Control;

/// The longest head of a message, and the longest control message.
const MAX_GATHERED: usize = 256 << 10;

/// Where something is arriving: connection, session, link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) peer: Id,
    pub(super) session: u16,
    pub(super) link: u32,
}

/// Parts of one flow's stream that arrived one after the other, to be written with one call.
#[derive(Default)]
pub(super) struct Run<'a> {
    flow: Option<(Id, Place)>,
    parts: Vec<&'a [u8]>,
}

/// A delivery that is passed on.
pub(super) struct Transit {
    from: Place,
    delivery: u32,
    to: (Id, u16),
    /// Whose load it is part of.
    choice: Option<Choice>,
    queue: Backlog,
    /// All of it has arrived.
    complete: bool,
    /// Its sender wants to know no more.
    settled: bool,
    /// Bytes of it that wait here, as its sender's connection has counted them, and when they became less or the first
    /// of them arrived.
    untaken: usize,
    moved: Instant,
    waits: Option<Wait>,
}

/// What the next part of a delivery that is passed on waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// That the next router's socket takes more.
    Turn,
    /// That less is under way to the next router.
    Room,
}

/// Where a message goes.
enum Target<'a> {
    Hello,
    All,
    Router(&'a str, &'a str),
    Mobile(&'a str),
}

fn target(address: &str) -> Target<'_> {
    let local = address.strip_prefix("amqp:/").unwrap_or(address);
    let local = local.strip_prefix('/').unwrap_or(local);
    if local == "_local/qdhello" {
        return Target::Hello;
    }
    if let Some(topology) = local.strip_prefix("_topo/") {
        let mut parts = topology.splitn(3, '/').skip(1);
        return match (parts.next(), parts.next()) {
            (Some("all"), Some(_)) => Target::All,
            (Some(router), Some(name)) => Target::Router(router, name),
            _ => Target::Mobile(address),
        };
    }
    Target::Mobile(address)
}

/// The router of an address `amqp:/_topo/0/ROUTER/NAME`.
pub(super) fn router_of_address(address: &str) -> Option<&str> {
    match target(address) {
        Target::Router(router, _) => Some(router),
        _ => None,
    }
}

impl Core {
    /// A part of a delivery.
    pub(super) fn arrived<'a>(
        &mut self,
        peer: Id,
        (session, link): (u16, u32),
        payload: &'a [u8],
        (more, aborted): (bool, bool),
        run: &mut Run<'a>,
    ) {
        let place = Place { peer, session, link };
        let Some(incoming) = self.peers.get_mut(peer).and_then(|peer| peer.endpoint.incoming(session, link)) else {
            return;
        };
        match &mut incoming.sink {
            Sink::Flow(flow) => {
                let flow = *flow;
                if run.flow != Some((flow, place)) {
                    self.finish_run(std::mem::take(run));
                    run.flow = Some((flow, place));
                }
                run.parts.push(payload);
                if !more {
                    self.finish_run(std::mem::take(run));
                    self.taken(place, true);
                    self.flow_ended(flow, aborted);
                }
                return;
            }
            Sink::Transit(transit) => {
                let transit = *transit;
                self.pass_on(transit, payload, (more, aborted));
            }
            Sink::Discard => {}
            Sink::Gather(gathered) => {
                let before = gathered.len();
                gathered.extend_from_slice(payload);
                let gathered = std::mem::take(gathered);
                if !aborted {
                    self.gathered(place, gathered, more);
                }
                let now = self.gathered_at(place);
                self.count_untaken(place, before, now);
            }
        }
        self.taken(place, !more);
    }

    /// Writes what a run has to its flow.
    pub(super) fn finish_run(&mut self, run: Run<'_>) {
        if let Some((flow, place)) = run.flow {
            self.deliver(flow, &run.parts);
            self.taken(place, false);
        }
    }

    fn taken(&mut self, place: Place, last: bool) {
        if let Some(peer) = self.peers.get_mut(place.peer) {
            peer.endpoint.taken(place.session, place.link, last, &mut peer.out);
            self.touch(place.peer);
        }
    }

    /// Of what arrived at a place `now` bytes wait here, where `before` bytes did.
    pub(super) fn count_untaken(&mut self, place: Place, before: usize, now: usize) {
        if before != now
            && let Some(peer) = self.peers.get_mut(place.peer)
        {
            peer.endpoint.count_untaken((place.session, place.link), before, now, &mut peer.out);
            self.touch(place.peer);
        }
    }

    fn gathered_at(&mut self, place: Place) -> usize {
        let incoming =
            self.peers.get_mut(place.peer).and_then(|peer| peer.endpoint.incoming(place.session, place.link));
        match incoming.map(|incoming| &incoming.sink) {
            Some(Sink::Gather(bytes)) => bytes.len(),
            _ => 0,
        }
    }

    /// Another part of a delivery that nobody takes yet: of a control message, or of a head.
    fn gathered(&mut self, place: Place, bytes: Vec<u8>, more: bool) {
        let Some(peer) = self.peers.get_mut(place.peer) else { return };
        let control = peer.endpoint.purpose(place.session, place.link) == Purpose::Control;
        let parsed = if control && more { Err(DecodeError::Truncated) } else { Head::parse(&bytes) };
        match parsed {
            Ok(head) if control => self.control_message(place.peer, &head, &bytes),
            Ok(head) => self.head(place, &head, &bytes, more),
            Err(DecodeError::Truncated) if more && bytes.len() < MAX_GATHERED => {
                self.set_sink(place, Sink::Gather(bytes));
            }
            Err(error) => {
                tracing::debug!(from = peer.name, %error, "a message that can't be read");
                let reason = Condition::new("amqp:decode-error", error.to_string());
                self.refuse(place, Outcome::Rejected(Some(reason)));
            }
        }
    }

    pub(super) fn set_sink(&mut self, place: Place, sink: Sink) {
        let incoming =
            self.peers.get_mut(place.peer).and_then(|peer| peer.endpoint.incoming(place.session, place.link));
        if let Some(incoming) = incoming {
            incoming.sink = sink;
        }
    }

    /// The number of what is arriving at a place, and whether its sender has settled it.
    fn delivery_at(&mut self, place: Place) -> Option<(u32, bool)> {
        let peer = self.peers.get_mut(place.peer)?;
        let incoming = peer.endpoint.incoming(place.session, place.link)?;
        Some((incoming.delivery, incoming.settled))
    }

    /// Takes no more of what is arriving, and says so.
    fn refuse(&mut self, place: Place, state: Outcome) {
        self.set_sink(place, Sink::Discard);
        if let Some((delivery, false)) = self.delivery_at(place) {
            self.say_state(place, delivery, state, true);
        }
    }

    /// Tells the sender of a delivery what became of it.
    pub(super) fn say_state(&mut self, place: Place, delivery: u32, state: Outcome, settled: bool) {
        if let Some(peer) = self.peers.get_mut(place.peer) {
            peer.endpoint.settle(place.session, delivery, state, settled, &mut peer.out);
            self.touch(place.peer);
        }
    }

    /// A whole message on a link of the routing protocols.
    fn control_message(&mut self, from: Id, head: &Head, bytes: &[u8]) {
        let me = self.config.id.as_str();
        if head.was_at(me) {
            return;
        }
        let (for_me, next): (bool, Vec<Id>) = match target(head.destination()) {
            Target::Hello => (true, Vec::new()),
            Target::All => (true, self.routing.connections_to_all(head.origin()).into_iter().collect()),
            Target::Router(router, _) if router == me => (true, Vec::new()),
            Target::Router(router, _) => (false, self.routing.connection_to(router).into_iter().collect()),
            Target::Mobile(_) => return,
        };
        if !next.is_empty() {
            let mut message = head.passed_on_by(me);
            message.extend_from_slice(bytes.get(head.annotations_end..).unwrap_or_default());
            // What came from there doesn't go back there.
            for id in next.into_iter().filter(|id| *id != from) {
                self.put_control(id, &message);
            }
        }
        let Some(peer) = self.peers.get(from).filter(|peer| for_me && peer.endpoint.is_routing()) else { return };
        let control = head.opcode.as_deref().and_then(|opcode| Control::decode(opcode, &head.body));
        if let Some((sender, control)) = control {
            self.routing.receive(from, peer.endpoint.cost(), &sender, control, self.now);
        }
    }

    /// The head of a delivery has arrived: who takes its bytes?
    fn head(&mut self, place: Place, head: &Head, bytes: &[u8], more: bool) {
        let me = self.config.id.clone();
        if head.was_at(&me) {
            return self.refuse(place, Outcome::Released);
        }
        let (next, choice) = match target(head.destination()) {
            Target::Router(router, name) if router == me => {
                return if name.starts_with("temp.") {
                    self.answer(place, head, bytes, more);
                } else {
                    self.refuse(place, Outcome::Released);
                };
            }
            Target::Router(router, _) => (self.routing.connection_to(router), None),
            Target::Mobile(address) => {
                let raw = head.content_type.as_deref() == Some(RAW);
                match self.choose(address, head.origin(), raw) {
                    Some(Choice::Service(service)) => return self.serve(place, head, bytes, service, more),
                    Some(Choice::Router { connection, address }) => {
                        (Some(connection), Some(Choice::Router { connection, address }))
                    }
                    None => (None, None),
                }
            }
            Target::Hello | Target::All => (None, None),
        };
        match next.filter(|next| *next != place.peer) {
            Some(next) => self.start_transit(place, (head, bytes), (next, choice), more),
            None => self.refuse(place, Outcome::Released),
        }
    }

    /// The stream that answers one of this router's flows.
    fn answer(&mut self, place: Place, head: &Head, bytes: &[u8], more: bool) {
        let flow = self.replies.get(head.destination()).copied();
        let Some((flow, (delivery, _))) = flow.zip(self.delivery_at(place)) else {
            return self.refuse(place, Outcome::Released);
        };
        if !self.flow_answered(flow, place, delivery) {
            return self.refuse(place, Outcome::Modified);
        }
        self.set_sink(place, Sink::Flow(flow));
        self.first_bytes(flow, head, bytes, more);
    }

    /// A stream for one of this router's services.
    fn serve(&mut self, place: Place, head: &Head, bytes: &[u8], service: Id, more: bool) {
        let reply = head.reply_to.clone().zip(self.delivery_at(place));
        let Some((reply_to, (delivery, _))) = reply else { return self.refuse(place, Outcome::Released) };
        match self.connect_service(service, place, delivery, &reply_to) {
            Some(flow) => {
                self.set_sink(place, Sink::Flow(flow));
                self.first_bytes(flow, head, bytes, more);
            }
            None => self.refuse(place, Outcome::Modified),
        }
    }

    fn first_bytes(&mut self, flow: Id, head: &Head, bytes: &[u8], more: bool) {
        let body = bytes.get(head.body_end..).unwrap_or_default();
        if !body.is_empty() {
            self.deliver(flow, &[body]);
        }
        if !more {
            self.flow_ended(flow, false);
        }
    }

    fn start_transit(
        &mut self,
        place: Place,
        (head, bytes): (&Head, &[u8]),
        (next, choice): (Id, Option<Choice>),
        more: bool,
    ) {
        let id = self.transits.next_id();
        let Some((delivery, settled)) = self.delivery_at(place) else { return };
        let Some(peer) = self.peers.get_mut(next) else { return self.refuse(place, Outcome::Released) };
        let session = peer.endpoint.stream(Owner::Transit(id), &mut peer.out);
        let Some(session) = session else { return self.refuse(place, Outcome::Released) };
        let mut queue = Backlog::default();
        queue.push(&head.passed_on_by(&self.config.id));
        queue.push(bytes.get(head.annotations_end..).unwrap_or_default());
        let to = (next, session);
        if let Some(load) = choice.as_ref().and_then(|choice| self.load(choice)) {
            load.open += 1;
        }
        let from = place;
        let (complete, moved) = (!more, self.now);
        let transit = Transit { from, delivery, to, choice, queue, complete, settled, untaken: 0, moved, waits: None };
        self.transits.insert(transit);
        self.set_sink(place, Sink::Transit(id));
        self.pump_transit(id);
    }

    /// More of a delivery that is passed on.
    fn pass_on(&mut self, id: Id, payload: &[u8], (more, aborted): (bool, bool)) {
        let Some(transit) = self.transits.get_mut(id) else { return };
        if aborted {
            return self.drop_transit(id, false);
        }
        if transit.queue.is_empty() {
            transit.moved = self.now;
        }
        transit.queue.push(payload);
        transit.complete = !more;
        self.pump_transit(id);
    }

    /// Sends on what there is room for.
    pub(super) fn pump_transit(&mut self, id: Id) {
        let Some(transit) = self.transits.get_mut(id) else { return };
        let (next, session) = transit.to;
        let Some(peer) = self.peers.get_mut(next) else { return };
        let queued = transit.queue.len();
        if peer.is_blocked() {
            if transit.waits.is_none() {
                transit.waits = Some(Wait::Turn);
                peer.waiting.push_back(Task::Transit(id));
            }
        } else if let Err(error) = send_transit(id, transit, peer, session, self.now) {
            return self.lose(next, &error.into());
        }
        let done = transit.complete && transit.queue.is_empty();
        let untaken = transit.queue.len();
        if untaken < queued {
            transit.moved = self.now;
        }
        let (from, before) = (transit.from, std::mem::replace(&mut transit.untaken, untaken));
        self.touch(next);
        self.count_untaken(from, before, untaken);
        if done && self.transits.get(id).is_some_and(|transit| transit.settled) {
            self.remove_transit(id);
        }
    }

    /// A transit has its turn again.
    pub(super) fn work_on_transit(&mut self, id: Id) {
        if let Some(transit) = self.transits.get_mut(id) {
            transit.waits = None;
        }
        self.pump_transit(id);
    }

    fn remove_transit(&mut self, id: Id) -> Option<Transit> {
        let transit = self.transits.remove(id)?;
        self.count_untaken(transit.from, transit.untaken, 0);
        if let Some(load) = transit.choice.as_ref().and_then(|choice| self.load(choice)) {
            load.open = load.open.saturating_sub(1);
        }
        Some(transit)
    }

    /// Those that came from a peer and wait here, and since when nothing of them has gone on though it could have.
    pub(super) fn waiting_transits(&self, from: Id) -> impl Iterator<Item = (Instant, Id)> {
        let waiting = move |transit: &Transit| transit.from.peer == from && !transit.queue.is_empty();
        let since = |transit: &Transit| match self.peers.get(transit.to.0) {
            Some(next) if transit.waits == Some(Wait::Turn) => transit.moved.max(next.took),
            _ => transit.moved,
        };
        self.transits.iter().filter(move |(_, transit)| waiting(transit)).map(move |(id, transit)| (since(transit), id))
    }

    /// Gives back the memory of queues that have become short.
    pub(super) fn tick_transits(&mut self) {
        for id in self.transits.ids() {
            if let Some(transit) = self.transits.get_mut(id) {
                transit.queue.trim();
            }
        }
    }

    /// Ends what is passed on before its time, towards the next router and, where `back`, the one before.
    pub(super) fn drop_transit(&mut self, id: Id, back: bool) {
        let Some(transit) = self.remove_transit(id) else { return };
        let (next, session) = transit.to;
        let ended = transit.complete && transit.queue.is_empty();
        if !ended && let Some(peer) = self.peers.get_mut(next) {
            peer.endpoint.abort_stream(session, &mut peer.out);
            self.touch(next);
        }
        if back && !transit.settled {
            self.say_state(transit.from, transit.delivery, Outcome::Modified, true);
        }
        if back && !transit.complete {
            self.set_sink(transit.from, Sink::Discard);
        }
    }

    /// A peer says what became of something that was sent to it.
    pub(super) fn state_said(&mut self, owner: Owner, state: Option<&Outcome>, settled: bool) {
        match owner {
            Owner::Flow(flow) => self.flow_state(flow, state, settled),
            Owner::Nobody => {}
            Owner::Transit(id) => {
                let Some(transit) = self.transits.get_mut(id) else { return };
                let (from, delivery) = (transit.from, transit.delivery);
                let ended = transit.complete && transit.queue.is_empty();
                if !transit.settled
                    && let Some(state) = state.cloned().or(settled.then_some(Outcome::Accepted))
                {
                    transit.settled = settled;
                    self.say_state(from, delivery, state, settled);
                }
                if settled && ended {
                    self.remove_transit(id);
                } else if settled && !matches!(state, None | Some(Outcome::Accepted)) {
                    // The next router takes no more of it.
                    self.drop_transit(id, true);
                }
            }
        }
    }

    pub(super) fn room_for(&mut self, owner: Owner) {
        match owner {
            Owner::Flow(flow) => self.queue_flow(flow),
            Owner::Transit(transit) => self.pump_transit(transit),
            Owner::Nobody => {}
        }
    }

    /// What took deliveries that won't go on, and what sent some that can't.
    pub(super) fn gone(&mut self, sinks: Vec<Sink>, owners: Vec<Owner>) {
        for sink in sinks {
            match sink {
                Sink::Flow(flow) => self.fail_flow(flow),
                Sink::Transit(transit) => self.drop_transit(transit, false),
                Sink::Gather(_) | Sink::Discard => {}
            }
        }
        for owner in owners {
            match owner {
                Owner::Flow(flow) => self.fail_flow(flow),
                Owner::Transit(transit) => self.drop_transit(transit, true),
                Owner::Nobody => {}
            }
        }
    }
}

/// Sends as much of a transit's queue as its session has room for.
fn send_transit(
    id: Id,
    transit: &mut Transit,
    peer: &mut Peer,
    session: u16,
    now: Instant,
) -> Result<(), crate::channel::ChannelError> {
    let size = peer.endpoint.max_payload();
    let Room { transfers: mut room, bytes } = peer.endpoint.room(session);
    let mut payloads = Vec::new();
    let mut rest = transit.queue.bytes();
    let mut sent = 0;
    while room > 0 && (!rest.is_empty() || transit.complete) {
        let allowed = bytes.saturating_sub(sent);
        if allowed == 0 && !rest.is_empty() {
            if transit.waits.is_none() {
                transit.waits = Some(Wait::Room);
                peer.starve(Task::Transit(id), session, now);
            }
            break;
        }
        let (payload, after) = rest.split_at(rest.len().min(size).min(allowed));
        let part = if transit.complete && after.is_empty() { Part::Last } else { Part::More };
        peer.endpoint.put_transfer(session, payload.len(), part, &mut peer.out);
        payloads.push((peer.out.len(), payload));
        sent += payload.len();
        (room, rest) = (room - 1, after);
        if part == Part::Last {
            break;
        }
    }
    peer.endpoint.ask_early(session, &mut peer.out);
    let result = if payloads.is_empty() { Ok(()) } else { peer.send(&payloads) };
    transit.queue.advance(sent);
    result
}
