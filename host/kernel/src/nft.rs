//! nftables, through the `nft` program run in the namespace: the one program that this layer starts.
//!
//! As commands: `nft -j list ruleset`, `nft list ruleset`, `nft -j -f -`.

use nftables::schema::Nftables;

use crate::error::KernelError;
use crate::netns::NetNs;

/// The ruleset as `nft -j list ruleset` prints it (libnftables-json(5)).
pub async fn ruleset(namespace: &NetNs) -> Result<serde_json::Value, KernelError> {
    let _ = namespace;
    todo!()
}

/// The ruleset in nft's own language, with handles: `nft -a list ruleset`.
pub async fn ruleset_text(namespace: &NetNs) -> Result<String, KernelError> {
    let _ = namespace;
    todo!()
}

/// Applies a batch whole or not at all. nft 1.0.6 wants tables, chains, sets and maps, rules, elements in that order.
pub async fn apply(namespace: &NetNs, batch: &Nftables<'_>) -> Result<(), KernelError> {
    let _ = (namespace, batch);
    todo!()
}
