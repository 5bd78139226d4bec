//! Two nested sets of namespaces that own everything, and the only spawner.
//!
//! ```text
//! launcher ── clone3 ──> first level's init ──> supervisor (tokio: the emulator, the lab host)
//!                              │                     │ requests over a socket pair
//!                              └──> node side's init ┘ makes namespaces, starts every process
//! ```
//!
//! Invariants: nothing is made in the host's namespaces; when the first level's init ends, by
//! whatever cause, the kernel ends and frees all the rest; nothing on the node side can see, trace
//! or signal the first level.

mod error;
mod first;
mod ids;
mod launch;
mod memory;
mod node;
mod node_side;
mod options;
mod process;
mod root;
mod sandbox;
mod spawn;
mod state;
mod sweep;
mod wire;

pub use error::SandboxError;

pub use launch::{Launched, Seat, launch};
pub use memory::OverMemory;
pub use node::{Node, NodeSpec};
pub use options::{BindMount, Limits, Options};
pub use sandbox::{Happened, Sandbox};
pub use spawn::{Child, Exit, Profile, Spawn, Stdio, quoted};
pub use state::StateFolder;
