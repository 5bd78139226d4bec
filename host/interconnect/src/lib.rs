//! The work of Skupper's controller: [`Router`] runs a site's router on a worker and keeps it in line with what it
//! shall do ([`Wanted`]), [`Authority`] makes the certificates by which routers know each other, and [`Seen`] is what
//! the router says of itself.
//!
//! All files lie where a person on the worker can read them: [`CONFIGURATION`], and certificates beside it.

mod certificates;
mod config;
mod error;
mod router;
mod seen;

pub use certificates::{Authority, Credentials};
pub use config::{CONFIGURATION, Wanted, WantedConnector, WantedLink, write};
pub use error::InterconnectError;
pub use router::Router;
pub use seen::Seen;
