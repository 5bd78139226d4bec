//! Who the peer is, by what it says of itself when the connection opens.

use std::time::Duration;

use super::session::Purpose;
use super::{Endpoint, under_way};
use crate::amqp::codec::Value;
use crate::amqp::frame;
use crate::amqp::performative::Attach;

/// The property that says what a connection is for: 4 is one for data alone, next to the one that routes.
const ROLE: &str = "qd.inter-router-role";
/// The property by which a router says how it annotates messages.
pub(super) const ANNOTATIONS_VERSION: &str = "qd.annotations-version";
/// The property that says what the link costs, at the end that says it.
pub(super) const COST: &str = "qd.inter-router-cost";

impl Endpoint {
    /// Who the peer says it is.
    pub(crate) fn peer(&self) -> Option<&str> {
        self.peer.as_ref().map(|open| open.container.as_str())
    }

    pub(super) fn property(&self, name: &str) -> Option<&Value> {
        let open = self.peer.as_ref()?;
        open.properties.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Whether the routing protocols run on this connection: not on one for data alone.
    pub(crate) fn is_routing(&self) -> bool {
        self.property(ROLE).and_then(Value::integer).is_none_or(|role| role == 1)
    }

    /// What a hop over this connection costs: what the end says at which it is more.
    pub(crate) fn cost(&self) -> u32 {
        let theirs = self.property(COST).and_then(Value::integer).and_then(|cost| u32::try_from(cost).ok());
        self.settings.cost.max(theirs.unwrap_or(1)).min(i32::MAX as u32)
    }

    /// How long this end may be silent before the peer gives it up.
    pub(crate) fn heartbeat(&self) -> Option<Duration> {
        let timeout = self.peer.as_ref()?.idle_timeout.filter(|timeout| *timeout > 0)?;
        Some(Duration::from_millis((timeout / 2).max(100).into()))
    }

    /// The longest payload of a transfer to the peer.
    pub(crate) fn max_payload(&self) -> usize {
        let limit = self.peer.as_ref().map_or(frame::MIN_MAX_FRAME, |open| open.max_frame);
        // A transfer's own part takes at most 8 + 3 + 9 + 5 + 5 + 6 + 2 + 4 bytes.
        limit.clamp(frame::MIN_MAX_FRAME, 1 << 20) as usize - 64
    }

    /// Who attaches a link that only an interior router may attach: None for an interior router, which has attached the
    /// link of the routing protocols before any other.
    pub(super) fn foreigner(&self, attach: &Attach) -> Option<String> {
        let stream = Purpose::of(attach.capability.as_deref()) == Purpose::Stream;
        if self.control.is_some() || !self.is_routing() || !stream {
            return None;
        }
        let name = self.peer().unwrap_or_default();
        // A router says this with any role. An edge router's first link has no capability that would tell.
        Some(match (self.property(ANNOTATIONS_VERSION), self.property(under_way::PRODUCT).and_then(Value::text)) {
            (Some(_), _) => {
                format!("the edge router {name:?} (role edge), or a router whose connector has role normal")
            }
            (None, Some(product)) => format!("{name:?} ({product}), a client (role normal)"),
            (None, None) => format!("{name:?}, a client (role normal)"),
        })
    }
}
