//! Networks of routers on one machine, each test in namespaces of its own: whole flows, failures, other people's
//! routers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod failures;
mod flows;
mod interop;
mod security;
