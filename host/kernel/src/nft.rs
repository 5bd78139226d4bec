//! nftables, through the `nft` program run in the namespace: the one program that this layer starts.
//!
//! Invariant: a batch is applied whole or not at all; nothing passes through a shell.
//!
//! As commands: `nft -j list ruleset`, `nft list ruleset`, `nft -j -f -`, `nft -f -`, `nft list table ip NAME`.

use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};

use netlink_packet_core::{NetlinkBuffer, NlasIterator};
/// The vocabulary of a batch, libnftables-json(5): `nftables::batch::Batch` and what goes in it.
pub use nftables;
use nftables::schema::Nftables;
use rustix::buffer::spare_capacity;
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with, sockopt};
use serde_json::Value;

use crate::error::KernelError;
use crate::netns::NetNs;

/// The ruleset as `nft -j list ruleset` prints it (libnftables-json(5)). Not typed: a learner's own
/// rules may hold what [`nftables`] has no type for.
pub async fn ruleset(namespace: &NetNs) -> Result<Value, KernelError> {
    let doing = format!("list ruleset of {namespace}");
    let text = nft(namespace, doing.clone(), vec!["-j", "list", "ruleset"], Vec::new()).await?;
    serde_json::from_slice(&text).map_err(|error| KernelError::answer(doing, error))
}

/// The ruleset in nft's own language: `nft list ruleset`.
pub async fn ruleset_text(namespace: &NetNs) -> Result<String, KernelError> {
    let doing = format!("list ruleset of {namespace}");
    let text = nft(namespace, doing, vec!["list", "ruleset"], Vec::new()).await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Applies a batch. nft 1.0.6 wants tables, chains, sets and maps, rules, elements in that order.
pub async fn apply(namespace: &NetNs, batch: &Nftables<'_>) -> Result<(), KernelError> {
    let doing = format!("change ruleset of {namespace}");
    let input = serde_json::to_vec(batch).map_err(|error| KernelError::answer(&doing, error))?;
    nft(namespace, doing, vec!["-j", "-f", "-"], input).await.map(drop)
}

/// Applies commands in nft's own language, in their order, as one batch: a third of the price of JSON.
pub async fn load(namespace: &NetNs, script: String) -> Result<(), KernelError> {
    let doing = format!("change ruleset of {namespace}");
    nft(namespace, doing, vec!["-f", "-"], script.into_bytes()).await.map(drop)
}

/// How many bytes of commands surely fit a batch of [`load`]: the kernel takes a batch as one message, and in a user
/// namespace `nft` can't have a greater buffer for it than the host's `net.core.wmem_default`.
///
/// # Errors
/// There can't be a socket.
pub fn room() -> Result<usize, KernelError> {
    /// What a command becomes for the kernel, against its text, at the most.
    const GROWTH: usize = 5;
    let asked = || {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(NETFILTER))?;
        sockopt::socket_send_buffer_size(&socket)
    };
    asked().map(|size| size / GROWTH).map_err(KernelError::doing("ask for room for a batch"))
}

/// A table of the family `ip` in nft's own language; none where there is no such table.
pub async fn table_text(namespace: &NetNs, table: &'static str) -> Result<Option<String>, KernelError> {
    let doing = format!("list table ip {table} of {namespace}");
    let listed = nft(namespace, doing, vec!["list", "table", "ip", table], Vec::new()).await;
    match listed {
        Ok(text) => Ok(Some(String::from_utf8_lossy(&text).into_owned())),
        // nft has one exit status for all that went wrong.
        Err(KernelError::Program { said, .. }) if said.contains("No such file or directory") => Ok(None),
        Err(error) => Err(error),
    }
}

/// The number of the ruleset's generation: each batch that was applied, by whomever, adds one.
pub fn generation(namespace: &NetNs) -> Result<u32, KernelError> {
    let doing = || format!("ask for the ruleset's generation of {namespace}");
    let answer = namespace.run(generation_answer)?.map_err(KernelError::doing(doing()))?;
    let message = NetlinkBuffer::new_checked(&answer[..]).map_err(|error| KernelError::answer(doing(), error))?;
    let attributes = message.payload().get(HEADER..).unwrap_or_default();
    let mut attributes = NlasIterator::new(attributes).map_while(Result::ok);
    let number = attributes.find(|attribute| attribute.kind() == GENERATION_ID);
    let number = number.and_then(|number| number.value().try_into().ok());
    number.map(u32::from_be_bytes).ok_or_else(|| KernelError::answer(doing(), "the answer has no number"))
}

/// `NFT_MSG_GETGEN` of `NFNL_SUBSYS_NFTABLES` (linux/netfilter/nf_tables.h).
const GET_GENERATION: u16 = 10 << 8 | 16;
/// `NLM_F_REQUEST` (linux/netlink.h).
const REQUEST: u16 = 1;
/// `sizeof(struct nfgenmsg)`: family, version, resource.
const HEADER: usize = 4;
/// `NFTA_GEN_ID`.
const GENERATION_ID: u16 = 1;

fn generation_answer() -> rustix::io::Result<Vec<u8>> {
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(NETFILTER))?;
    let mut question = [0; 20];
    question[..4].copy_from_slice(&20u32.to_ne_bytes());
    question[4..6].copy_from_slice(&GET_GENERATION.to_ne_bytes());
    question[6..8].copy_from_slice(&REQUEST.to_ne_bytes());
    sendto(&socket, &question, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut answer = Vec::with_capacity(1024);
    recv(&socket, spare_capacity(&mut answer), RecvFlags::empty())?;
    Ok(answer)
}

async fn nft(
    namespace: &NetNs,
    doing: String,
    arguments: Vec<&'static str>,
    input: Vec<u8>,
) -> Result<Vec<u8>, KernelError> {
    // A child starts in the namespace of the thread that starts it.
    namespace.run_async(move || run(doing, &arguments, &input)).await?
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
