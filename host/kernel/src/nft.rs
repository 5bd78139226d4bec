//! nftables, through the `nft` program run in the namespace: the one program that this layer starts.
//!
//! Invariant: a batch is applied whole or not at all; nothing passes through a shell.
//!
//! As commands: `nft -j list ruleset`, `nft list ruleset`, `nft -j -f -`.

use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};

/// The vocabulary of a batch, libnftables-json(5): `nftables::batch::Batch` and what goes in it.
pub use nftables;
use nftables::schema::Nftables;
use serde_json::Value;

use crate::error::KernelError;
use crate::netns::NetNs;

/// The ruleset as `nft -j list ruleset` prints it (libnftables-json(5)). Not typed: a learner's own
/// rules may hold what [`nftables`] has no type for.
pub async fn ruleset(namespace: &NetNs) -> Result<Value, KernelError> {
    let doing = format!("list ruleset of {namespace}");
    let text = nft(namespace, doing.clone(), &["-j", "list", "ruleset"], Vec::new()).await?;
    serde_json::from_slice(&text).map_err(|error| KernelError::answer(doing, error))
}

/// The ruleset in nft's own language: `nft list ruleset`.
pub async fn ruleset_text(namespace: &NetNs) -> Result<String, KernelError> {
    let doing = format!("list ruleset of {namespace}");
    let text = nft(namespace, doing, &["list", "ruleset"], Vec::new()).await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Applies a batch. nft 1.0.6 wants tables, chains, sets and maps, rules, elements in that order.
pub async fn apply(namespace: &NetNs, batch: &Nftables<'_>) -> Result<(), KernelError> {
    let doing = format!("change ruleset of {namespace}");
    let input = serde_json::to_vec(batch).map_err(|error| KernelError::answer(&doing, error))?;
    nft(namespace, doing, &["-j", "-f", "-"], input).await.map(drop)
}

async fn nft(
    namespace: &NetNs,
    doing: String,
    arguments: &'static [&'static str],
    input: Vec<u8>,
) -> Result<Vec<u8>, KernelError> {
    // A child starts in the namespace of the thread that starts it.
    namespace.run_async(move || run(doing, arguments, &input)).await?
}

const NFT: &str = "nft";

fn run(doing: String, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>, KernelError> {
    let mut command = Command::new(NFT);
    // An ordinary user's search path may lack sbin.
    command.args(arguments).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => KernelError::Missing { doing: doing.clone(), program: NFT },
        _ => KernelError::refused(&doing, error),
    })?;
    if let Some(mut stdin) = child.stdin.take() {
        // nft reads all of it before it says anything; where it ended early, it says why.
        let _ = stdin.write_all(input);
    }
    let output = child.wait_with_output().map_err(KernelError::doing(&doing))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(KernelError::Program { doing, program: NFT, said })
}
