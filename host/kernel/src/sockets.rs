//! Sockets of a namespace, read from its `/proc/net`: `ss -tuan`.

use std::fs::File;
use std::io::BufReader;
use std::net::SocketAddr;

use knetsim_model::observe::Socket;
use procfs::net::{TcpNetEntries, TcpState, UdpNetEntries, UdpState};
use procfs::{FromBufReadSI, current_system_info};

use crate::error::KernelError;
use crate::netns::NetNs;

/// All TCP and UDP sockets, of both IP versions.
pub async fn list(namespace: &NetNs) -> Result<Vec<Socket>, KernelError> {
    namespace.run_async(read).await?
}

/// The same, waiting for it: for who has no other thread to go on with.
pub fn list_now(namespace: &NetNs) -> Result<Vec<Socket>, KernelError> {
    namespace.run(read)?
}

fn read() -> Result<Vec<Socket>, KernelError> {
    let mut sockets = Vec::new();
    for table in ["tcp", "tcp6"] {
        let Some(TcpNetEntries(entries)) = parse(table)? else { continue };
        let tcp = entries
            .into_iter()
            .map(|entry| socket("tcp", tcp_state(&entry.state), entry.local_address, entry.remote_address));
        sockets.extend(tcp);
    }
    for table in ["udp", "udp6"] {
        let Some(UdpNetEntries(entries)) = parse(table)? else { continue };
        let udp = entries.into_iter().map(|entry| {
            let state = if entry.state == UdpState::Established { "established" } else { "unconnected" };
            socket("udp", state, entry.local_address, entry.remote_address)
        });
        sockets.extend(udp);
    }
    Ok(sockets)
}

/// A table of the calling thread's namespace; none where the kernel has no such protocol.
fn parse<T: FromBufReadSI>(table: &str) -> Result<Option<T>, KernelError> {
    let path = format!("/proc/thread-self/net/{table}");
    let file = match File::open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(KernelError::doing(format!("open {path}")))?,
    };
    let entries = T::from_buf_read(BufReader::new(file), current_system_info());
    entries.map(Some).map_err(|error| KernelError::answer(format!("read {path}"), error))
}

fn socket(protocol: &str, state: &str, local: SocketAddr, remote: SocketAddr) -> Socket {
    Socket { protocol: protocol.to_owned(), state: state.to_owned(), local, remote }
}

fn tcp_state(state: &TcpState) -> &'static str {
    match state {
        TcpState::Established => "established",
        TcpState::SynSent => "syn-sent",
        TcpState::SynRecv | TcpState::NewSynRecv => "syn-received",
        TcpState::FinWait1 => "fin-wait-1",
        TcpState::FinWait2 => "fin-wait-2",
        TcpState::TimeWait => "time-wait",
        TcpState::Close => "closed",
        TcpState::CloseWait => "close-wait",
        TcpState::LastAck => "last-ack",
        TcpState::Listen => "listen",
        TcpState::Closing => "closing",
    }
}
