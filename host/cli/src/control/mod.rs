//! The control socket: how a `knetsim` command and the supervisor of a sandbox talk.
//! What they say is [`knetsim_model::protocol`]; here are the lines, the client and the server.

pub(crate) mod client;
pub(crate) mod handed;
pub(crate) mod server;
pub(crate) mod wire;
