//! What crosses a sandbox, driven through the command line. One program, so that one test's waits are another's turns.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are parts of tests")]

mod links;
mod outage;
mod services;
