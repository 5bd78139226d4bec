//! A session and its links: windows, credit, and the deliveries under way.
//!
//! Invariant: a session never sends more transfers than its peer's window allows, nor begins more deliveries on a link
//! than its credit; and its peer's window and what it has sent and isn't taken yet are never more than the whole window.

use std::collections::{BTreeMap, HashMap};

use super::under_way::Sent;
use super::{Owner, Sink};
use crate::amqp::performative::{Attach, Flow};

/// Deliveries that a peer may begin on a link before it gets more credit, as skrouterd grants.
const CREDIT: u32 = 250;
/// Sent deliveries that one session may leave unsettled. skrouterd's settle when they end.
const MAX_UNSETTLED: usize = 1024;

/// What a link is for, by its terminus's capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// `qd.router`: the routing protocols.
    Control,
    /// `qd.router-data`: messages of a priority.
    Data,
    /// None: a stream at a time.
    Stream,
    /// None: questions for how much the peer has taken.
    Question,
}

impl Purpose {
    pub(super) fn capability(self) -> Option<&'static str> {
        match self {
            Purpose::Control => Some("qd.router"),
            Purpose::Data => Some("qd.router-data"),
            Purpose::Stream | Purpose::Question => None,
        }
    }

    pub(super) fn of(capability: Option<&str>) -> Self {
        match capability {
            Some("qd.router") => Purpose::Control,
            Some("qd.router-data") => Purpose::Data,
            _ => Purpose::Stream,
        }
    }
}

/// A delivery that is arriving.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// Its number in the session.
    pub(crate) delivery: u32,
    pub(crate) settled: bool,
    pub(crate) sink: Sink,
}

/// A delivery that is being sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing {
    pub(super) owner: Owner,
    pub(super) delivery: u32,
    /// Its first transfer has gone out.
    pub(super) begun: bool,
}

/// One end of a link.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) purpose: Purpose,
    /// This router receives on it.
    pub(super) receiver: bool,
    /// This router attached it first.
    pub(super) ours: bool,
    /// The peer's handle, when it has attached.
    pub(super) remote: Option<u32>,
    /// Deliveries so far.
    pub(super) count: u32,
    /// Deliveries that may still begin.
    pub(super) credit: u32,
    pub(super) incoming: Option<Incoming>,
}

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) remote: Option<u16>,
    /// This router began it.
    pub(super) ours: bool,
    next_outgoing: u32,
    remote_window: u32,
    next_incoming: u32,
    /// Transfers that the peer may still send, and how many it may after a flow.
    window: u32,
    full_window: u32,
    /// Bytes that count against the window, in frames of this size, since they arrived and wait here.
    occupied: usize,
    frame: u32,
    /// What is under way to the peer.
    pub(super) sent: Sent,
    pub(super) links: Vec<Option<Link>>,
    handles: HashMap<u32, u32>,
    /// Names of links that the peer hasn't attached yet.
    names: Vec<(String, u32)>,
    next_delivery: u32,
    pub(super) unsettled: BTreeMap<u32, Owner>,
    pub(super) outgoing: Option<Outgoing>,
    /// This router has ended it, and the peer hasn't yet.
    pub(super) ending: bool,
}

impl Session {
    pub(super) fn new(ours: bool, window: u32, frame: u32) -> Self {
        Session {
            remote: None,
            ours,
            next_outgoing: 0,
            remote_window: 0,
            next_incoming: 0,
            window,
            full_window: window,
            occupied: 0,
            frame,
            sent: Sent::default(),
            links: Vec::new(),
            handles: HashMap::new(),
            names: Vec::new(),
            next_delivery: 0,
            unsettled: BTreeMap::new(),
            outgoing: None,
            ending: false,
        }
    }

    /// The peer has begun its side.
    pub(super) fn begun(&mut self, remote: u16, next_outgoing: u32, window: u32) {
        self.remote = Some(remote);
        self.next_incoming = next_outgoing;
        self.remote_window = window;
        self.sent.full_window = window;
    }

    /// Adds a link's end of this router's; the number is its handle.
    pub(super) fn add_link(&mut self, purpose: Purpose, receiver: bool, name: Option<String>) -> u32 {
        let handle = self.links.iter().position(Option::is_none).unwrap_or(self.links.len());
        let link = Link { purpose, receiver, ours: name.is_some(), remote: None, count: 0, credit: 0, incoming: None };
        match self.links.get_mut(handle) {
            Some(place) => *place = Some(link),
            None => self.links.push(Some(link)),
        }
        let handle = handle as u32;
        self.names.extend(name.map(|name| (name, handle)));
        handle
    }

    /// The peer has attached: the handle of this router's end, and whether that had to be made.
    pub(super) fn attached(&mut self, attach: &Attach) -> (u32, bool) {
        let waiting = self.names.iter().position(|(name, _)| *name == attach.name);
        let (handle, new) = match waiting {
            Some(at) => (self.names.swap_remove(at).1, false),
            None => (self.add_link(Purpose::of(attach.capability.as_deref()), !attach.receiver, None), true),
        };
        self.handles.insert(attach.handle, handle);
        if let Some(link) = self.link(handle) {
            link.remote = Some(attach.handle);
            if link.receiver {
                link.count = attach.initial_count;
            }
        }
        (handle, new)
    }

    pub(super) fn is_remote_handle_taken(&self, remote: u32) -> bool {
        self.handles.contains_key(&remote)
    }

    pub(super) fn link(&mut self, handle: u32) -> Option<&mut Link> {
        self.links.get_mut(handle as usize)?.as_mut()
    }

    pub(super) fn handle_of(&self, remote: u32) -> Option<u32> {
        self.handles.get(&remote).copied()
    }

    pub(super) fn remove_link(&mut self, remote: u32) -> Option<(u32, Link)> {
        let handle = self.handles.remove(&remote)?;
        Some((handle, self.links.get_mut(handle as usize)?.take()?))
    }

    /// Whether another stream may be sent in it.
    pub(super) fn is_free(&self) -> bool {
        self.ours
            && !self.ending
            && self.outgoing.is_none()
            && self.unsettled.is_empty()
            && self.sender(Purpose::Stream).is_some()
    }

    /// Takes over what a flow frame grants; `frame` is the size of frames in which the peer counts.
    pub(super) fn granted(&mut self, flow: &Flow, frame: u32) {
        let base = flow.next_incoming.unwrap_or(0);
        // Serial arithmetic: what the peer hasn't seen yet counts against its window.
        self.remote_window = base.wrapping_add(flow.incoming_window).wrapping_sub(self.next_outgoing);
        if self.remote_window > i32::MAX as u32 {
            self.remote_window = 0;
        }
        self.sent.window_said(base, flow.incoming_window, frame);
        if let Some((remote, count, credit)) = flow.link
            && let Some(handle) = self.handle_of(remote)
            && let Some(link) = self.link(handle)
            && !link.receiver
        {
            let left = count.wrapping_add(credit).wrapping_sub(link.count);
            link.credit = if left > i32::MAX as u32 { 0 } else { left };
        }
    }

    /// Transfers that may be sent now.
    pub(super) fn window(&self) -> u32 {
        if self.remote.is_some() { self.remote_window } else { 0 }
    }

    /// The number of a new delivery on a link that has credit, for whoever owns it.
    pub(super) fn begin_delivery(&mut self, handle: u32) -> Option<u32> {
        let link = self.link(handle)?;
        if link.remote.is_none() || link.credit == 0 {
            return None;
        }
        link.credit -= 1;
        link.count = link.count.wrapping_add(1);
        let delivery = self.next_delivery;
        self.next_delivery = delivery.wrapping_add(1);
        Some(delivery)
    }

    pub(super) fn remember(&mut self, delivery: u32, owner: Owner) {
        if self.unsettled.len() >= MAX_UNSETTLED {
            self.unsettled.pop_first();
        }
        self.unsettled.insert(delivery, owner);
    }

    /// A transfer of so many bytes goes out.
    pub(super) fn sent(&mut self, payload: usize) {
        self.next_outgoing = self.next_outgoing.wrapping_add(1);
        self.remote_window = self.remote_window.saturating_sub(1);
        self.sent.bytes += payload as u64;
    }

    /// The peer is asked how much it has taken of all that was sent so far.
    pub(super) fn asked(&mut self) {
        self.sent.ask(self.next_outgoing);
    }

    /// A transfer came in; false where the window didn't allow it.
    pub(super) fn received(&mut self) -> bool {
        self.next_incoming = self.next_incoming.wrapping_add(1);
        let allowed = self.window > 0;
        self.window = self.window.saturating_sub(1);
        allowed
    }

    /// Of the window so many bytes are occupied instead of `before`.
    pub(super) fn occupy(&mut self, before: usize, now: usize) {
        self.occupied = (self.occupied + now).saturating_sub(before);
    }

    /// The flow frame that is due: the peer's window or its credit on a link has half run out.
    ///
    /// It names a link even where it is about the window alone: skrouterd's senders that wait for a window go on when
    /// one of their links is told of it (`AMQP_link_flow_handler` in its `src/adaptors/amqp/amqp_adaptor.c`).
    pub(super) fn flow_due(&mut self, handle: u32) -> Option<Flow> {
        let occupied = u32::try_from(self.occupied.div_ceil(self.frame.max(1) as usize)).unwrap_or(u32::MAX);
        let open = self.full_window.saturating_sub(occupied);
        let window_due = self.window <= self.full_window / 2 && open > self.window;
        let link = self.link(handle).filter(|link| link.receiver);
        let credit_due = link.as_ref().is_some_and(|link| link.incoming.is_none() && link.credit <= CREDIT / 2);
        if !window_due && !credit_due {
            return None;
        }
        let link = link.map(|link| {
            if credit_due {
                link.credit = CREDIT;
            }
            (handle, link.count, link.credit)
        });
        self.window = self.window.max(open);
        Some(self.flow(link))
    }

    /// A flow frame that says what holds now.
    pub(super) fn flow(&self, link: Option<(u32, u32, u32)>) -> Flow {
        Flow {
            next_incoming: self.remote.map(|_| self.next_incoming),
            incoming_window: self.window,
            next_outgoing: self.next_outgoing,
            link,
            echo: false,
        }
    }

    /// The handle of the link that streams are sent on, where there is one.
    pub(super) fn sender(&self, purpose: Purpose) -> Option<u32> {
        let sends = |link: &Option<Link>| link.as_ref().is_some_and(|link| !link.receiver && link.purpose == purpose);
        self.links.iter().position(sends).map(|handle| handle as u32)
    }

    /// What still has an interest in deliveries of this session.
    pub(super) fn interests(&mut self) -> (Vec<Sink>, Vec<Owner>) {
        let incoming = self.links.iter_mut().flatten().filter_map(|link| link.incoming.take());
        let sinks = incoming.map(|incoming| incoming.sink).collect();
        let mut owners: Vec<Owner> = std::mem::take(&mut self.unsettled).into_values().collect();
        owners.extend(self.outgoing.take().map(|outgoing| outgoing.owner));
        (sinks, owners)
    }
}
