//! The WebAssembly host: runs labs, which see of knetsim only the WIT package `knetsim:lab`.
//!
//! A lab is one file ([`package`]): a component with its manifest ([`Manifest`]). [`Host::compile`]
//! makes it ready, [`Lab::run`] runs it: in a fresh instance, with the rights that a person granted
//! ([`Grant`]), within limits ([`Limit`]), its output cleaned of control characters. What teaches is a [`Chapter`].
//!
//! Invariants: a lab reaches the emulator, its streams, clocks and randomness, and nothing else; a
//! grant is checked where something is opened, and the handle then carries it; an endless loop in a
//! lab never keeps the runtime from other work.

mod chapter;
mod componentize;
mod engine;
mod error;
mod grants;
mod host;
mod limits;
mod manifest;
mod outline;
mod output;
pub mod package;
mod run;

pub use chapter::Chapter;
pub use componentize::componentize;
pub use engine::{Host, Lab, cache_key};
pub use error::LabError;
pub use grants::Grant;
pub use limits::{Limit, Limits};
pub use manifest::Manifest;
pub use run::Streams;
