//! The overlay with real etcd members, in namespaces of each test's own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod agents;
mod common;
mod drift;
