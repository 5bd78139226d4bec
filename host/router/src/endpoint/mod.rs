//! One end of an AMQP connection between routers: the security layer, open, sessions, links, deliveries.
//!
//! No input or output: [`Endpoint::consume`] is fed what arrives and says what it means for the router; what is to be
//! sent is appended to a buffer of the caller's. Whatever the peer sends, the worst that happens is an error, which
//! ends this connection.

mod handshake;
mod peer;
mod receive;
mod send;
mod session;
mod under_way;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::amqp::codec::DecodeError;
use crate::amqp::frame;
use crate::amqp::performative::{
    self, Attach, Begin, Condition, Disposition, Flow, Open, Outcome, Performative, Transfer,
};
use crate::arena::Id;
pub(crate) use session::{Incoming, Purpose};
use session::{Outgoing, Session};
pub(crate) use under_way::Room;

/// Sessions of one connection, and links that the peer may attach.
const MAX_SESSIONS: usize = 32_768;
const MAX_LINKS: usize = 16_384;
/// skrouterd's protocol wants these of a neighbour.
const CAPABILITIES: [&str; 2] = ["ANONYMOUS-RELAY", "qd.streaming-links"];
/// How skrouterd says it, to those that aren't interior routers.
const FORBIDDEN: &str = "Link attach forbidden on inter-router connection";

/// Why a connection can't go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the peer sent what isn't AMQP: {0}")]
    Malformed(#[from] DecodeError),
    #[error("the peer broke the protocol: {0}")]
    Protocol(&'static str),
    #[error("the peer wants a security layer (SASL) with {offered}, this router {wanted}")]
    Mechanisms { offered: String, wanted: String },
    #[error("the peer refused to let this router in (SASL outcome {0})")]
    Refused(u64),
    #[error("the peer closed the connection: {0}")]
    Closed(Condition),
    #[error("the peer closed the connection")]
    ClosedPlainly,
    #[error("{FORBIDDEN}: the peer is {0}, and this port is for interior routers (role inter-router)")]
    Role(String),
    #[error("the peer takes no interior router at this port ({0}): it must be one of role inter-router")]
    NotForRouters(Condition),
}

/// What takes an arriving delivery's bytes.
#[derive(Debug, PartialEq)]
pub(crate) enum Sink {
    /// Nothing yet: the head isn't whole.
    Gather(Vec<u8>),
    /// A flow of this router's.
    Flow(Id),
    /// Another router.
    Transit(Id),
    Discard,
}

/// Who sends a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    Flow(Id),
    Transit(Id),
    /// Who began it is gone, and its end hasn't been said yet for want of room.
    Nobody,
}

/// What a frame means for the router.
#[derive(Debug, PartialEq)]
pub(crate) enum Event<'a> {
    /// Nothing.
    None,
    /// The peer has said who it is.
    Opened,
    /// Messages of the routing protocols can be sent.
    ControlUp,
    /// A part of a delivery.
    Transfer { session: u16, link: u32, payload: &'a [u8], more: bool, aborted: bool },
    /// What became of deliveries that were sent, and whether that is final.
    States(Vec<(Owner, Option<Outcome>, bool)>),
    /// There may be room to send in a session.
    Room(Owner),
    /// A session or a link ended with these in it.
    Gone(Vec<Sink>, Vec<Owner>),
}

/// What this router says of itself and holds its peer to.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) server: bool,
    pub(crate) container: String,
    /// The host that was connected to.
    pub(crate) hostname: Option<String>,
    pub(crate) mechanisms: Vec<String>,
    /// A server only: do without the security layer where the peer does.
    pub(crate) sasl_optional: bool,
    pub(crate) max_frame: u32,
    pub(crate) session_frames: u32,
    pub(crate) idle_timeout: Duration,
    /// What a hop over the connection costs, as this end is configured.
    pub(crate) cost: u32,
    /// The connection's number, for the other end's logs.
    pub(crate) number: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The security layer's header is awaited.
    SaslHeader,
    SaslFrames,
    /// The plain protocol's header is awaited.
    Header,
    Frames,
}

/// One end of a connection.
pub(crate) struct Endpoint {
    settings: Settings,
    state: State,
    peer: Option<Open>,
    sessions: Vec<Option<Session>>,
    free_sessions: Vec<u16>,
    by_remote: HashMap<u16, u16>,
    /// Links that the peer has attached by itself.
    links: usize,
    /// Sessions with a stream's link that no stream uses: as many as there have been streams at once. One comes back
    /// when the peer has settled its stream; skrouterd loses the next if it comes sooner.
    pool: VecDeque<u16>,
    control: Option<(u16, u32)>,
    names: u64,
    /// All bytes that arrived and wait here for want of room elsewhere.
    untaken: usize,
    /// What is under way to the peer, whether it bounds that, the sessions in which it is, and that it became less.
    under_way: u64,
    bounded: bool,
    sending: Vec<u16>,
    eased: bool,
}

impl Endpoint {
    /// Starts a connection; `out` gets what is to be sent first.
    pub(crate) fn new(settings: Settings, out: &mut Vec<u8>) -> Self {
        if !settings.server {
            out.extend_from_slice(&frame::SASL_HEADER);
        }
        Endpoint {
            settings,
            state: State::SaslHeader,
            peer: None,
            sessions: Vec::new(),
            free_sessions: Vec::new(),
            by_remote: HashMap::new(),
            links: 0,
            pool: VecDeque::new(),
            control: None,
            names: 0,
            untaken: 0,
            under_way: 0,
            bounded: false,
            sending: Vec::new(),
            eased: false,
        }
    }

    /// Takes one header or frame off `bytes`: how many they were, and what it means. None: more must arrive first.
    ///
    /// # Errors
    /// The connection can't go on; `out` has the goodbye.
    pub(crate) fn consume<'a>(
        &mut self,
        bytes: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<(usize, Event<'a>)>, Failure> {
        if matches!(self.state, State::SaslHeader | State::Header) {
            return self.header(bytes, out);
        }
        let (frame, size) = match frame::split(bytes, self.settings.max_frame.max(frame::MIN_MAX_FRAME) as usize) {
            Ok(split) => split,
            Err(DecodeError::Truncated) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let event = match (self.state, frame.sasl) {
            (State::SaslFrames, true) => self.sasl(performative::decode_sasl(frame.body)?, out)?,
            (State::Frames, false) => match performative::decode(frame.body)? {
                Some((performative, payload)) => self.performative(frame.channel, performative, payload, out)?,
                None => Event::None,
            },
            _ => return Err(Failure::Protocol("a frame of the wrong layer")),
        };
        Ok(Some((size, event)))
    }

    fn performative<'a>(
        &mut self,
        channel: u16,
        performative: Performative,
        payload: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<Event<'a>, Failure> {
        if self.peer.is_none() && !matches!(performative, Performative::Open(_) | Performative::Close { .. }) {
            return Err(Failure::Protocol("its first frame isn't open"));
        }
        match performative {
            Performative::Open(open) => self.opened(open, out),
            Performative::Begin(begin) => self.begun(channel, begin, out),
            Performative::Attach(attach) => self.attached(channel, attach, out),
            Performative::Flow(flow) => self.flow(channel, flow, out),
            Performative::Transfer(transfer) => self.transfer(channel, transfer, payload),
            Performative::Disposition(disposition) => self.disposition(channel, &disposition),
            Performative::Detach { handle, error } => self.detached(channel, (handle, error), out),
            Performative::End { .. } => self.ended(channel, out),
            Performative::Close { error } => {
                performative::encode(out, 0, &Performative::Close { error: None });
                Err(error.map_or(Failure::ClosedPlainly, Failure::Closed))
            }
        }
    }

    fn opened<'a>(&mut self, open: Open, out: &mut Vec<u8>) -> Result<Event<'a>, Failure> {
        if self.peer.is_some() {
            return Err(Failure::Protocol("it opens the connection twice"));
        }
        if open.max_frame < frame::MIN_MAX_FRAME {
            return Err(Failure::Protocol("its frames are shorter than AMQP allows"));
        }
        self.peer = Some(open);
        self.know_product();
        if !self.settings.server {
            for purpose in [Purpose::Control, Purpose::Data] {
                if let Some(session) = self.begin_session(None, out) {
                    self.attach(session, purpose, true, out);
                    self.attach(session, purpose, false, out);
                }
            }
        }
        Ok(Event::Opened)
    }

    /// Begins a session of this router's, or answers the peer's; None where there are too many.
    fn begin_session(&mut self, remote: Option<u16>, out: &mut Vec<u8>) -> Option<u16> {
        let limit = self.peer.as_ref().map_or(0, |open| usize::from(open.channel_max) + 1).min(MAX_SESSIONS);
        let channel = match self.free_sessions.pop() {
            Some(channel) => channel,
            None if self.sessions.len() < limit => {
                self.sessions.push(None);
                (self.sessions.len() - 1) as u16
            }
            None => return None,
        };
        let session = Session::new(remote.is_none(), self.settings.session_frames, self.settings.max_frame);
        *self.sessions.get_mut(usize::from(channel))? = Some(session);
        let incoming_window = self.settings.session_frames;
        let begin = Begin { remote_channel: remote, next_outgoing: 0, incoming_window };
        performative::encode(out, channel, &Performative::Begin(begin));
        Some(channel)
    }

    /// Attaches a link's end of this router's; a receiver gets its credit when the peer has attached too.
    fn attach(&mut self, channel: u16, purpose: Purpose, receiver: bool, out: &mut Vec<u8>) -> Option<u32> {
        self.names += 1;
        let name = format!("{}.{:x}.{}", self.settings.container, self.settings.number, self.names);
        let capability = purpose.capability().map(str::to_owned);
        let handle = self.session(channel)?.add_link(purpose, receiver, Some(name.clone()));
        let attach = Attach { name, handle, receiver, capability, initial_count: 0 };
        performative::encode(out, channel, &Performative::Attach(attach));
        Some(handle)
    }

    fn session(&mut self, channel: u16) -> Option<&mut Session> {
        self.sessions.get_mut(usize::from(channel))?.as_mut()
    }

    /// The session of the peer's channel.
    fn remote_session(&mut self, remote: u16) -> Result<(u16, &mut Session), Failure> {
        let missing = Failure::Protocol("a frame on a channel without a session");
        let channel = *self.by_remote.get(&remote).ok_or(missing.clone())?;
        Ok((channel, self.session(channel).ok_or(missing)?))
    }

    fn begun<'a>(&mut self, remote: u16, begin: Begin, out: &mut Vec<u8>) -> Result<Event<'a>, Failure> {
        if self.by_remote.contains_key(&remote) {
            return Err(Failure::Protocol("it begins a session on a channel in use"));
        }
        let channel = match begin.remote_channel {
            Some(channel) => channel,
            None => self.begin_session(Some(remote), out).ok_or(Failure::Protocol("it begins too many sessions"))?,
        };
        let session = self.session(channel).filter(|session| session.remote.is_none());
        let session = session.ok_or(Failure::Protocol("it answers a session that wasn't begun"))?;
        session.begun(remote, begin.next_outgoing, begin.incoming_window);
        self.by_remote.insert(remote, channel);
        Ok(self.room_event(channel, out))
    }

    /// There may be room in a session: for whoever sends in it, or for the end of what nobody sends any more.
    fn room_event<'a>(&mut self, channel: u16, out: &mut Vec<u8>) -> Event<'a> {
        match self.session(channel).and_then(|session| session.outgoing) {
            Some(Outgoing { owner: Owner::Nobody, .. }) => {
                self.abort_stream(channel, out);
                Event::None
            }
            Some(Outgoing { owner, .. }) => Event::Room(owner),
            None => Event::None,
        }
    }

    fn attached<'a>(&mut self, remote: u16, attach: Attach, out: &mut Vec<u8>) -> Result<Event<'a>, Failure> {
        let full = self.links >= MAX_LINKS;
        let (channel, session) = self.remote_session(remote)?;
        if session.is_remote_handle_taken(attach.handle) {
            return Err(Failure::Protocol("it attaches a link with a handle in use"));
        }
        let (handle, new) = session.attached(&attach);
        if new {
            if full {
                return Err(Failure::Protocol("it attaches too many links"));
            }
            let foreigner = self.foreigner(&attach);
            let answer = Attach { handle, receiver: !attach.receiver, initial_count: 0, ..attach };
            performative::encode(out, channel, &Performative::Attach(answer));
            self.links += 1;
            if let Some(role) = foreigner {
                let failure = Failure::Role(role);
                let error = Some(Condition::new("qd:connection-role", failure.to_string()));
                performative::encode(out, channel, &Performative::Detach { handle, error });
                return Err(failure);
            }
        }
        let Some(session) = self.session(channel) else { return Ok(Event::None) };
        let Some(link) = session.link(handle) else { return Ok(Event::None) };
        let (purpose, receiver) = (link.purpose, link.receiver);
        if receiver {
            if let Some(flow) = session.flow_due(handle) {
                performative::encode(out, channel, &Performative::Flow(flow));
            }
        } else if purpose == Purpose::Control {
            self.control = Some((channel, handle));
        }
        Ok(Event::None)
    }

    fn flow<'a>(&mut self, remote: u16, flow: Flow, out: &mut Vec<u8>) -> Result<Event<'a>, Failure> {
        // A peer may say its windows before it has answered a begin.
        let Some(channel) = self.by_remote.get(&remote).copied() else { return Ok(Event::None) };
        let control = self.control.filter(|(session, _)| *session == channel);
        let frame = self.peer.as_ref().map_or(0, |open| open.max_frame);
        let Some(session) = self.session(channel) else { return Ok(Event::None) };
        let was_up = control.is_some_and(|(_, handle)| session.link(handle).is_some_and(|link| link.credit > 0));
        self.count_taken(channel, |session| session.granted(&flow, frame));
        let Some(session) = self.session(channel) else { return Ok(Event::None) };
        if flow.echo {
            let answer = session.flow(None);
            performative::encode(out, channel, &Performative::Flow(answer));
        }
        if let Some((_, handle)) = control {
            let up = session.link(handle).is_some_and(|link| link.credit > 0);
            return Ok(if up && !was_up { Event::ControlUp } else { Event::None });
        }
        Ok(self.room_event(channel, out))
    }

    fn transfer<'a>(&mut self, remote: u16, transfer: Transfer, payload: &'a [u8]) -> Result<Event<'a>, Failure> {
        let (channel, session) = self.remote_session(remote)?;
        if !session.received() {
            return Err(Failure::Protocol("it sends more than its window allows"));
        }
        let handle = session.handle_of(transfer.handle);
        let handle = handle.ok_or(Failure::Protocol("a transfer on a link that isn't attached"))?;
        let link = session.link(handle).filter(|link| link.receiver);
        let link = link.ok_or(Failure::Protocol("a transfer on a link the wrong way"))?;
        match &mut link.incoming {
            Some(incoming) => incoming.settled |= transfer.settled,
            None => {
                if link.credit == 0 {
                    return Err(Failure::Protocol("it sends more deliveries than its credit allows"));
                }
                let delivery = transfer.delivery.ok_or(Failure::Protocol("a delivery without a number"))?;
                link.credit -= 1;
                link.count = link.count.wrapping_add(1);
                let sink = Sink::Gather(Vec::new());
                link.incoming = Some(Incoming { delivery, settled: transfer.settled, sink });
            }
        }
        let (more, aborted) = (transfer.more && !transfer.aborted, transfer.aborted);
        Ok(Event::Transfer { session: channel, link: handle, payload, more, aborted })
    }

    fn disposition<'a>(&mut self, remote: u16, disposition: &Disposition) -> Result<Event<'a>, Failure> {
        let (channel, session) = self.remote_session(remote)?;
        if !disposition.receiver {
            return Ok(Event::None);
        }
        if disposition.last < disposition.first {
            return Err(Failure::Protocol("a disposition whose last delivery is before its first"));
        }
        let range = disposition.first..=disposition.last;
        let about: Vec<(u32, Owner)> =
            session.unsettled.range(range.clone()).map(|(id, owner)| (*id, *owner)).collect();
        let last = disposition.settled;
        let about_stream = !about.is_empty();
        if last {
            session.unsettled.retain(|delivery, _| !range.contains(delivery));
        }
        if last && about_stream && session.is_free() {
            self.pool.push_back(channel);
        }
        if about_stream {
            self.count_state(channel, disposition.state.as_ref(), last);
        }
        Ok(Event::States(about.into_iter().map(|(_, owner)| (owner, disposition.state.clone(), last)).collect()))
    }

    fn detached<'a>(
        &mut self,
        remote: u16,
        (handle, error): (u32, Option<Condition>),
        out: &mut Vec<u8>,
    ) -> Result<Event<'a>, Failure> {
        let (channel, session) = self.remote_session(remote)?;
        let removed = session.remove_link(handle);
        let (handle, link) = removed.ok_or(Failure::Protocol("it detaches a link that isn't attached"))?;
        let sends_streams = !link.receiver && link.purpose == Purpose::Stream;
        let owner = if sends_streams { session.outgoing.take() } else { None };
        let ours = session.ours;
        performative::encode(out, channel, &Performative::Detach { handle, error: None });
        self.links -= usize::from(!link.ours);
        if self.control == Some((channel, handle)) {
            let plainly = Failure::Protocol("it detached the link of the routing protocols");
            return Err(error.map_or(plainly, Failure::NotForRouters));
        }
        if ours && sends_streams {
            self.pool.retain(|pooled| *pooled != channel);
        }
        let sinks: Vec<Sink> = link.incoming.into_iter().map(|incoming| incoming.sink).collect();
        self.forget_gathered(&sinks);
        Ok(Event::Gone(sinks, owner.into_iter().map(|outgoing| outgoing.owner).collect()))
    }

    fn ended<'a>(&mut self, remote: u16, out: &mut Vec<u8>) -> Result<Event<'a>, Failure> {
        let (channel, session) = self.remote_session(remote)?;
        let (sinks, owners) = session.interests();
        let links = session.links.iter().flatten().filter(|link| !link.ours).count();
        if !session.ending {
            performative::encode(out, channel, &Performative::End { error: None });
        }
        self.by_remote.remove(&remote);
        self.links -= links;
        self.forget_gathered(&sinks);
        self.count_state(channel, None, true);
        self.sending.retain(|sending| *sending != channel);
        self.pool.retain(|pooled| *pooled != channel);
        if let Some(place) = self.sessions.get_mut(usize::from(channel)) {
            *place = None;
        }
        self.free_sessions.push(channel);
        if self.control.is_some_and(|(session, _)| session == channel) {
            return Err(Failure::Protocol("it ended the session of the routing protocols"));
        }
        Ok(Event::Gone(sinks, owners))
    }
}

/// Which part of a stream a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    More,
    Last,
    /// The stream ends before its time.
    Abort,
}

#[cfg(test)]
mod tests;
