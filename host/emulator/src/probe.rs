//! Probes: traffic sent from a node, a container or a namespace, and what came of it.
//!
//! The sockets are made inside, and driven from here: no program is started. Equals `ping -c`,
//! `nc -z`, `curl`.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use etherparse::{IcmpEchoHeader, Icmpv4Header, Icmpv4Slice, Icmpv4Type, Ipv4Slice, icmpv4::DestUnreachableHeader};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use knetsim_kernel::netns::NetNs;
use knetsim_model::observe::{HttpReply, Ping, TcpProbe};
use knetsim_model::{Code, Failure, Target};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

use crate::{Beside, Emulator};

/// The longest body of a reply that is kept.
pub const MAX_BODY: usize = 64 << 10;

/// How often and how long a probe tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tries {
    /// How many, one after the other; at least 1.
    pub count: u32,
    /// How long each may take.
    pub timeout: Duration,
}

/// Where probes are sent from.
#[derive(Clone)]
pub enum Source {
    /// The target's own namespace.
    At(Target),
    /// One of its own, beside a target.
    Beside(Arc<Beside>),
}

impl Source {
    /// The target that was named.
    pub fn target(&self) -> &Target {
        match self {
            Source::At(target) => target,
            Source::Beside(beside) => beside.target(),
        }
    }

    fn namespace(&self, emulator: &Emulator) -> Result<NetNs, Failure> {
        match self {
            Source::At(target) => emulator.namespace(target),
            Source::Beside(beside) => Ok(beside.namespace().clone()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::At(target) => target.fmt(f),
            Source::Beside(beside) => beside.fmt(f),
        }
    }
}

/// The id of the next ping's echo requests.
static NEXT_ID: AtomicU16 = AtomicU16::new(1);

impl Emulator {
    /// `ping -c COUNT -W TIMEOUT`: each echo waits for its reply before the next is sent.
    ///
    /// # Errors
    /// There is no such target, or it can make no socket. That nobody answers is no error.
    pub async fn ping(&self, from: &Source, to: Ipv4Addr, tries: Tries) -> Result<Ping, Failure> {
        let socket =
            from.namespace(self)?.icmp().map_err(|error| Failure::failed(format!("ping from {from}"), &error))?;
        let mut result = Ping { sent: 0, received: 0, times_us: Vec::new(), error: None };
        // The kernel hands every raw socket of a namespace all replies: the id tells whose they are.
        // And to conntrack one id is one connection: with another each time, a service chooses each time.
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        for sequence in 1..=tries.count {
            result.sent += 1;
            let echo = IcmpEchoHeader { id, seq: sequence as u16 };
            match timeout(tries.timeout, echo_once(&socket, to, echo)).await {
                Ok(Ok(took)) => {
                    result.received += 1;
                    result.times_us.push(micros(took));
                }
                Ok(Err(error)) => result.error = Some(error),
                Err(_) => {}
            }
        }
        Ok(result)
    }

    /// `nc -z`: makes a TCP connection and closes it.
    ///
    /// # Errors
    /// There is no such target. That nobody accepts is no error.
    pub async fn connect(&self, from: &Source, to: SocketAddr, tries: Tries) -> Result<TcpProbe, Failure> {
        let namespace = from.namespace(self)?;
        let mut result = TcpProbe { tried: 0, connected: 0, times_us: Vec::new(), error: None };
        for _ in 0..tries.count {
            result.tried += 1;
            let began = Instant::now();
            match timeout(tries.timeout, namespace.connect(to)).await {
                Ok(Ok(_)) => {
                    result.connected += 1;
                    result.times_us.push(micros(began.elapsed()));
                }
                Ok(Err(error)) => result.error = Some(plain(&error)),
                Err(_) => result.error = Some("Connection timed out".to_owned()),
            }
        }
        Ok(result)
    }

    /// `curl -i http://TO/PATH`: one GET request over HTTP/1.1. `host` replaces the address in its Host field.
    ///
    /// # Errors
    /// There is no such target; nobody accepts; what answers is no HTTP; it takes too long.
    pub async fn http_get(
        &self,
        from: &Source,
        to: SocketAddr,
        path: &str,
        host: Option<&str>,
        within: Duration,
    ) -> Result<HttpReply, Failure> {
        let namespace = from.namespace(self)?;
        let doing = format!("GET http://{to}{path} from {from}");
        let host = host.map_or_else(|| to.to_string(), str::to_owned);
        let request =
            Request::get(path).header("host", host).header("user-agent", "knetsim").body(Empty::<Bytes>::new());
        let request = request.map_err(|error| Failure::invalid(format!("{doing}: {error}")))?;
        let began = Instant::now();
        let exchange = async {
            let stream = namespace
                .connect(to)
                .await
                .map_err(|error| Failure::new(Code::Failed, format!("{doing}: {}", plain(&error))))?;
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|error| Failure::failed(&doing, &error))?;
            let driver = tokio::spawn(connection);
            let answered = async {
                let response = sender.send_request(request).await.map_err(|error| Failure::failed(&doing, &error))?;
                let (head, body) = response.into_parts();
                let body = Limited::new(body, MAX_BODY)
                    .collect()
                    .await
                    .map_err(|error| Failure::new(Code::Failed, format!("{doing}: body: {error}")))?;
                Ok((head, body.to_bytes()))
            };
            let answered = answered.await;
            driver.abort();
            answered
        };
        let (head, body) = timeout(within, exchange)
            .await
            .map_err(|_| Failure::new(Code::Timeout, format!("{doing}: no answer within {within:?}")))??;
        let headers = head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
        Ok(HttpReply {
            status: head.status.as_u16(),
            headers: headers.collect(),
            body: body.to_vec(),
            time_us: micros(began.elapsed()),
        })
    }
}

/// Sends one echo request and waits for its reply, or for an error that somebody on the way answers.
async fn echo_once(socket: &UdpSocket, to: Ipv4Addr, echo: IcmpEchoHeader) -> Result<Duration, String> {
    const PAYLOAD: [u8; 56] = [0x6b; 56];
    let header = Icmpv4Header::with_checksum(Icmpv4Type::EchoRequest(echo), &PAYLOAD);
    let packet = [header.to_bytes().as_slice(), &PAYLOAD].concat();
    let began = Instant::now();
    socket.send_to(&packet, (to, 0)).await.map_err(|error| plain(&error))?;
    let mut buffer = [0; 2048];
    loop {
        let (length, _) = socket.recv_from(&mut buffer).await.map_err(|error| plain(&error))?;
        match answer(&buffer[..length], echo) {
            Some(Ok(())) => return Ok(began.elapsed()),
            Some(Err(error)) => return Err(error),
            None => {}
        }
    }
}

/// What a received IPv4 packet says to our echo request: a reply, an error, or nothing.
fn answer(packet: &[u8], ours: IcmpEchoHeader) -> Option<Result<(), String>> {
    let ip = Ipv4Slice::from_slice(packet).ok()?;
    let icmp = Icmpv4Slice::from_slice(ip.payload().payload).ok()?;
    let error = match icmp.icmp_type() {
        Icmpv4Type::EchoReply(echo) => return (echo == ours).then_some(Ok(())),
        Icmpv4Type::DestinationUnreachable(kind) => unreachable_words(&kind),
        Icmpv4Type::TimeExceeded(_) => "Time to live exceeded".to_owned(),
        _ => return None,
    };
    // An error quotes the packet that it is about, cut short: the header and eight bytes.
    let quoted = icmp.payload();
    let header = usize::from(quoted.first()? & 0x0f) * 4;
    let head = quoted.get(header..header + 8)?;
    let (id, seq) = (u16::from_be_bytes([head[4], head[5]]), u16::from_be_bytes([head[6], head[7]]));
    (head[0] == 8 && IcmpEchoHeader { id, seq } == ours).then_some(Err(error))
}

fn unreachable_words(kind: &DestUnreachableHeader) -> String {
    match kind {
        DestUnreachableHeader::Network => "Destination Net Unreachable".to_owned(),
        DestUnreachableHeader::Host => "Destination Host Unreachable".to_owned(),
        DestUnreachableHeader::Port => "Destination Port Unreachable".to_owned(),
        DestUnreachableHeader::FragmentationNeeded { next_hop_mtu } => {
            format!("Frag needed and DF set (mtu = {next_hop_mtu})")
        }
        other => format!("Destination Unreachable ({other:?})"),
    }
}

/// An error in the kernel's words, without Rust's number behind them.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

fn micros(time: Duration) -> u64 {
    time.as_micros().try_into().unwrap_or(u64::MAX)
}
