//! An interior router that speaks skrouterd's wire: what Skupper links clusters with, embedded.
//!
//! It reads skrouterd's configuration files ([`Config`]) and talks to skrouterd, or to itself, as skrouterd does: AMQP
//! 1.0 with skupper-router's annotations, SASL over mutual TLS, HELLO, link states, mobile addresses, and TCP flows as
//! pairs of messages that don't end. `docs/interop.md` says which real routers it was tried with.
//!
//! | module | owns |
//! |---|---|
//! | `amqp` | bytes and values: types, frames, performatives, messages |
//! | `endpoint` | one end of a connection: sessions, links, windows, credit; no input or output |
//! | `routing` | who is where and has which addresses; no input or output |
//! | `tls`, `channel` | a connection's bytes |
//! | `reactor` | sockets, flows, services, the loop |
//!
//! What it parses comes from strangers, so it runs as a process of its own and holds each peer to limits: a peer that
//! breaks the protocol loses its connection, nothing else.

mod amqp;
mod arena;
mod channel;
mod command;
mod config;
mod endpoint;
mod reactor;
mod routing;
mod tls;

pub use command::{CommandError, serve};
pub use config::{
    Config, ConfigError, Connector, Distribution, Listener, Peering, SslProfile, TcpConnector, TcpListener,
};
pub use reactor::{
    Cause, ConnectorStatus, Handle, LinkState, LinkStatus, ListenerStatus, Router, RouterError, RouterStatus, Status,
};
