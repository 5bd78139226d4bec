//! How a file of a node is opened: whoever is root on the node may have put anything in its place.

use rustix::fs::OFlags;

/// For `custom_flags`: what lies there may be a pipe, and opening it must not wait for its other end.
pub const NONBLOCK: i32 = OFlags::NONBLOCK.bits().cast_signed();
