//! Packets as they pass an interface.

use std::fmt::{self, Display};
use std::time::Duration;

use crate::Result;
use crate::bindings::knetsim::lab::captures;
use crate::command::millis;
use crate::records::{Captured, Icmp, Ip, Layer, Packet, Tcp, Udp};

/// Packets that pass an interface, from when it was started until this is dropped, or for as long as the sandbox
/// is there where it is kept.
///
/// ```no_run
/// use std::time::Duration;
/// use knetsim_sdk::{Lab, NewCapture, Place};
/// # fn main() -> knetsim_sdk::Result<()> {
/// let lab = Lab::new();
/// let tunnel = lab.capture(NewCapture::new("C0w1:eth0").vni(100))?;
/// lab.place("C0w1.c1").ping("C0w2.c2")?;
/// for packet in tunnel.packets()? {
///     println!("{packet}");
/// }
/// # Ok(()) }
/// ```
///
/// What a learner does between two calls of a chapter is seen by a capture that `setup` starts and keeps:
///
/// ```no_run
/// use knetsim_sdk::{Lab, NewCapture, Result};
///
/// fn setup(lab: &Lab) -> Result<()> {
///     lab.capture(NewCapture::new("C0w1:eth0").protocol("vxlan"))?.keep("underlay")
/// }
///
/// fn check(lab: &Lab) -> Result<bool> {
///     let (near, far) = (lab.container("C0.c1")?.address()?, lab.container("C0.c2")?.address()?);
///     let seen = lab.kept_capture("underlay")?.packets()?;
///     Ok(seen.iter().any(|packet| packet.vni() == Some(100) && packet.is_ping(near, far)))
/// }
/// ```
#[derive(Debug)]
pub struct Capture(captures::Capture);

impl Capture {
    pub(crate) fn open(name: &str) -> Result<Self> {
        Ok(Capture(captures::open(name)?))
    }

    /// Where it captures: `C0w1:eth0`.
    pub fn interface(&self) -> String {
        self.0.interface_name()
    }

    /// The packets that are kept, the oldest first. Takes nothing away.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn packets(&self) -> Result<Vec<Packet>> {
        Ok(self.read()?.packets)
    }

    /// The same with how many there were in all, and how many were lost.
    ///
    /// # Errors
    /// As [`Capture::packets`].
    pub fn read(&self) -> Result<Captured> {
        Ok(self.0.read()?)
    }

    /// Waits until that many packets have passed in all, as long as `time`: a millisecond to a minute. Whether they
    /// have.
    ///
    /// # Errors
    /// The interface is gone, or the lab's own time is over.
    pub fn wait(&self, passed: u64, time: Duration) -> Result<bool> {
        Ok(self.0.wait(passed, millis(time))?)
    }

    /// Lets it go on until the sandbox ends: [`Lab::kept_capture`](crate::Lab::kept_capture) finds it by this name.
    /// It takes the place of one that was kept under the same name.
    ///
    /// # Errors
    /// It is no name: at most 63 letters, digits, `-`, `_` and `.`, a letter or digit at both ends.
    pub fn keep(&self, name: &str) -> Result<()> {
        Ok(self.0.keep(name)?)
    }
}

/// A capture as it is to be started: see [`Lab::capture`](crate::Lab::capture).
///
/// All that is asked for must hold of a packet; each may hold inside of a tunnel as well as outside.
#[derive(Clone, Debug, PartialEq)]
pub struct NewCapture {
    interface: String,
    filter: captures::Filter,
    room: captures::Room,
}

impl NewCapture {
    /// Of all packets that pass an interface; the last 1000 are kept, 256 bytes of each.
    pub fn new(interface: impl Into<String>) -> Self {
        let filter = captures::Filter { protocol: None, host: None, port: None, vni: None, outgoing: None };
        NewCapture { interface: interface.into(), filter, room: captures::Room { packets: 1000, bytes: 256 } }
    }

    /// Of `arp`, `ip`, `icmp`, `tcp`, `udp` or `vxlan`.
    #[must_use]
    pub fn protocol(mut self, name: impl Into<String>) -> Self {
        self.filter.protocol = Some(name.into());
        self
    }

    /// From or to an address; the name of a node or container stands for its address.
    #[must_use]
    pub fn host(mut self, host: impl Display) -> Self {
        self.filter.host = Some(host.to_string());
        self
    }

    /// From or to a port of TCP or UDP.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.filter.port = Some(port);
        self
    }

    /// Of a VXLAN network.
    #[must_use]
    pub fn vni(mut self, vni: u32) -> Self {
        self.filter.vni = Some(vni);
        self
    }

    /// Those that leave the namespace by the interface.
    #[must_use]
    pub fn outgoing(mut self) -> Self {
        self.filter.outgoing = Some(true);
        self
    }

    /// Those that come in by the interface.
    #[must_use]
    pub fn incoming(mut self) -> Self {
        self.filter.outgoing = Some(false);
        self
    }

    /// How much to keep: the last packets, 1 to 1000, and the first bytes of each, 64 to 2048.
    #[must_use]
    pub fn room(mut self, packets: u32, bytes: u32) -> Self {
        self.room = captures::Room { packets, bytes };
        self
    }

    pub(crate) fn start(self) -> Result<Capture> {
        Ok(Capture(captures::start(&self.interface, &self.filter, self.room)?))
    }
}

impl<T: Into<String>> From<T> for NewCapture {
    fn from(interface: T) -> Self {
        NewCapture::new(interface)
    }
}

/// A line, as `knetsim capture` prints it.
impl Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.summary)
    }
}

impl Packet {
    /// The identifier of the VXLAN network that it travels in; none for a packet that is in no tunnel.
    pub fn vni(&self) -> Option<u32> {
        self.layers.iter().find_map(|layer| if let Layer::Vxlan(header) = layer { Some(header.vni) } else { None })
    }

    /// The outermost IP header: from node to node, where it is in a tunnel.
    pub fn outer(&self) -> Option<&Ip> {
        self.layers.iter().find_map(as_ip)
    }

    /// The innermost IP header: from pod to pod, where it is in a tunnel; else the same as the outermost.
    pub fn inner(&self) -> Option<&Ip> {
        self.layers.iter().rev().find_map(as_ip)
    }

    /// The header of ICMP, in a tunnel or not.
    pub fn icmp(&self) -> Option<&Icmp> {
        self.layers.iter().find_map(|layer| if let Layer::Icmp(header) = layer { Some(header) } else { None })
    }

    /// The header of TCP, in a tunnel or not.
    pub fn tcp(&self) -> Option<&Tcp> {
        self.layers.iter().find_map(|layer| if let Layer::Tcp(header) = layer { Some(header) } else { None })
    }

    /// The innermost header of UDP; the tunnel's own where it carries no other.
    pub fn udp(&self) -> Option<&Udp> {
        self.layers.iter().rev().find_map(|layer| if let Layer::Udp(header) = layer { Some(header) } else { None })
    }

    /// Whether it is an echo request from one address to another, in a tunnel or not.
    pub fn is_ping(&self, from: impl Display, to: impl Display) -> bool {
        self.is_echo("echo-request", &from.to_string(), &to.to_string())
    }

    /// Whether it is the reply to an echo request, sent by `from` back to `to`, in a tunnel or not.
    pub fn is_pong(&self, from: impl Display, to: impl Display) -> bool {
        self.is_echo("echo-reply", &from.to_string(), &to.to_string())
    }

    fn is_echo(&self, kind: &str, from: &str, to: &str) -> bool {
        self.icmp().is_some_and(|icmp| icmp.kind == kind)
            && self.inner().is_some_and(|ip| ip.source == from && ip.destination == to)
    }
}

fn as_ip(layer: &Layer) -> Option<&Ip> {
    if let Layer::Ip(header) = layer { Some(header) } else { None }
}
