//! Sockets of a namespace, read from its `/proc/net`: `ss -tuan`.

use knetsim_model::observe::Socket;

use crate::error::KernelError;
use crate::netns::NetNs;

/// All TCP and UDP sockets.
pub async fn list(namespace: &NetNs) -> Result<Vec<Socket>, KernelError> {
    let _ = namespace;
    todo!()
}
