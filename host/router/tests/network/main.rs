//! Networks of routers on one machine, each test in namespaces of its own: whole flows, failures, other people's
//! routers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod balance;
mod certificates;
mod common;
mod costs;
mod downloads;
mod failures;
mod flows;
mod interop;
mod pressure;
mod rows;
mod security;
