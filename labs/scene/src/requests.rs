//! What captures saw of requests by HTTP and their answers. In the chapters, each of them fits in a packet.

use knetsim_sdk::records::Packet;
use knetsim_sdk::{Lab, Result};

/// A packet with the beginning of a request or an answer.
struct Message {
    from: String,
    to: String,
    /// The connection's port on the client's side tells which answer belongs to which request.
    client_port: u16,
    /// Its first line: `GET /svc1 HTTP/1.1`, `HTTP/1.1 200 OK`.
    line: String,
    is_request: bool,
}

/// A request that was answered.
pub struct Exchange {
    /// Who asked, by its address.
    pub client: String,
    /// The connection's port on the client's side: requests over one connection have the same.
    pub client_port: u16,
    /// Who answered, by its address.
    pub server: String,
    /// The path that was asked for, with what is behind its `?`.
    pub path: String,
    /// Of the answer, 0 where it says none.
    pub status: u16,
}

/// What a kept capture has seen of requests, each with its answer, in order.
///
/// # Errors
/// There is no such capture.
pub fn exchanges(lab: &Lab, capture: &str) -> Result<Vec<Exchange>> {
    let messages: Vec<_> = lab.kept_capture(capture)?.packets()?.iter().filter_map(message).collect();
    let mut exchanges = Vec::new();
    for (at, request) in messages.iter().enumerate().filter(|(_, message)| message.is_request) {
        let is_answer = |it: &&Message| {
            !it.is_request && it.client_port == request.client_port && it.from == request.to && it.to == request.from
        };
        let Some(answer) = messages[at..].iter().find(is_answer) else { continue };
        let word = |line: &str| line.split(' ').nth(1).unwrap_or_default().to_owned();
        exchanges.push(Exchange {
            client: request.from.clone(),
            client_port: request.client_port,
            server: request.to.clone(),
            path: word(&request.line),
            status: word(&answer.line).parse().unwrap_or_default(),
        });
    }
    Ok(exchanges)
}

fn message(packet: &Packet) -> Option<Message> {
    let (ip, tcp) = (packet.inner()?, packet.tcp()?);
    let bytes = String::from_utf8_lossy(&packet.bytes);
    let (line, is_request) = ["GET ", "HTTP/1."].iter().find_map(|begin| {
        let line = bytes[bytes.find(begin)?..].lines().next()?.to_owned();
        Some((line, *begin == "GET "))
    })?;
    let client_port = if is_request { tcp.source_port } else { tcp.destination_port };
    Some(Message { from: ip.source.clone(), to: ip.destination.clone(), client_port, line, is_request })
}
