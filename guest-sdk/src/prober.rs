//! Traffic made to learn what gets through.

use std::fmt::Display;
use std::time::Duration;

use crate::Result;
use crate::bindings::knetsim::lab::probe;
use crate::command::millis;
use crate::records::{HttpReply, PingResult, TcpResult};

/// How often and how long to try: once, for a second, unless told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tries {
    /// How many, one after the other: 1 to 1000.
    pub count: u32,
    /// How long each may take: a millisecond to a minute.
    pub timeout: Duration,
}

impl Default for Tries {
    fn default() -> Self {
        Tries { count: 1, timeout: Duration::from_secs(1) }
    }
}

impl Tries {
    /// That many, a second each.
    pub fn times(count: u32) -> Self {
        Tries { count, ..Tries::default() }
    }

    fn as_record(self) -> probe::Tries {
        probe::Tries { count: self.count, timeout_ms: millis(self.timeout) }
    }
}

/// A place to send from. Wherever `to` is asked for, it is an IPv4 address, or the name of a node or container.
///
/// ```no_run
/// use knetsim_sdk::{Lab, Place, Tries};
/// # fn main() -> knetsim_sdk::Result<()> {
/// let prober = Lab::new().place("C0w1.c1").probe()?;
/// let ping = prober.ping("C0w2.c2", Tries::times(5))?;
/// println!("{} of {} came back, the fastest after {:?}", ping.received, ping.sent, ping.fastest());
/// let reply = prober.http_get("100.64.10.1", 80, "/")?;
/// println!("{} {}", reply.status, reply.text());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Prober(probe::Prober);

impl Prober {
    pub(crate) fn new(handle: probe::Prober) -> Self {
        Prober(handle)
    }

    /// Sends ICMP echo requests, `ping`.
    ///
    /// # Errors
    /// One of both is gone. That nobody answers is none.
    pub fn ping(&self, to: impl Display, tries: Tries) -> Result<PingResult> {
        Ok(self.0.ping(&to.to_string(), tries.as_record())?)
    }

    /// Makes TCP connections and closes them, `nc -z`.
    ///
    /// # Errors
    /// One of both is gone. That nobody accepts is none.
    pub fn tcp(&self, to: impl Display, port: u16, tries: Tries) -> Result<TcpResult> {
        Ok(self.0.tcp(&to.to_string(), port, tries.as_record())?)
    }

    /// Makes one HTTP GET request, `curl http://TO:PORT/PATH`, answered within ten seconds.
    ///
    /// # Errors
    /// One of both is gone, or nobody answers. A status such as 404 is none.
    pub fn http_get(&self, to: impl Display, port: u16, path: &str) -> Result<HttpReply> {
        self.http_get_with(to, port, path, None, Duration::from_secs(10))
    }

    /// The same with a `Host` field of its own, and a time of its own, a millisecond to a minute.
    ///
    /// # Errors
    /// As [`Prober::http_get`].
    pub fn http_get_with(
        &self,
        to: impl Display,
        port: u16,
        path: &str,
        host: Option<&str>,
        timeout: Duration,
    ) -> Result<HttpReply> {
        Ok(self.0.http_get(&to.to_string(), port, path, host, millis(timeout))?)
    }
}

impl PingResult {
    /// Whether every request was answered.
    pub fn all_answered(&self) -> bool {
        self.received == self.sent
    }

    /// The shortest round trip.
    pub fn fastest(&self) -> Option<Duration> {
        self.times_us.iter().min().map(|us| Duration::from_micros(*us))
    }
}

impl TcpResult {
    /// Whether every connection was made.
    pub fn all_connected(&self) -> bool {
        self.connected == self.tried
    }
}

impl HttpReply {
    /// The body, bytes that are not UTF-8 replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A field of the header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(there, _)| there == name).map(|(_, value)| value.as_str())
    }
}
