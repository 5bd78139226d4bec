//! Packets as they pass an interface, decoded header by header, and which of them somebody wants to see.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A packet that passed an interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Packet {
    /// Its number among those that the filter let through, from 1 on.
    pub number: u64,
    /// When it passed, in microseconds since the sandbox began.
    pub at_us: u64,
    /// Whether it left the namespace by the interface; else it came in by it.
    pub outgoing: bool,
    /// Its whole length in bytes.
    pub length: u32,
    /// Its headers, from the outermost to the innermost.
    pub layers: Vec<Layer>,
    /// Its first bytes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bytes: Vec<u8>,
}

/// One header of a packet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "layer", rename_all = "kebab-case")]
pub enum Layer {
    /// Ethernet. Addresses as `02:00:00:00:00:01`.
    Ethernet {
        /// Where it is from.
        source: String,
        /// Where it is sent.
        destination: String,
        /// What it carries, 0x0800 is IPv4.
        ether_type: u16,
    },
    /// A question or an answer of ARP.
    Arp {
        /// `request`, `reply`, or the operation's number.
        operation: String,
        /// Who sends it.
        sender_mac: String,
        /// The sender's address.
        sender: Ipv4Addr,
        /// Whose address is asked for; all zero in a question.
        target_mac: String,
        /// The address that is asked for.
        target: Ipv4Addr,
    },
    /// IPv4 or IPv6.
    Ip {
        /// Where it is from.
        source: IpAddr,
        /// Where it is sent.
        destination: IpAddr,
        /// How many routers it may still pass.
        ttl: u8,
        /// What it carries, 17 is UDP.
        protocol: u8,
        /// IPv4's identification, the same on every interface that the packet passes.
        identification: Option<u16>,
    },
    /// ICMP of either version.
    Icmp {
        /// `echo-request`, `echo-reply`, `unreachable`, `time-exceeded`, `other`.
        kind: String,
        /// The type's number in this version of IP.
        number: u8,
        /// The code.
        code: u8,
        /// An echo's identifier.
        id: Option<u16>,
        /// An echo's number.
        sequence: Option<u16>,
    },
    /// TCP.
    Tcp {
        /// The sender's port.
        source_port: u16,
        /// The receiver's port.
        destination_port: u16,
        /// Number of its first byte.
        sequence: u32,
        /// Number of the byte expected next.
        acknowledgment: u32,
        /// Its flags.
        flags: TcpFlags,
        /// Bytes that it carries.
        length: u32,
    },
    /// UDP.
    Udp {
        /// The sender's port.
        source_port: u16,
        /// The receiver's port.
        destination_port: u16,
        /// Bytes that it carries.
        length: u32,
    },
    /// VXLAN: a whole Ethernet frame follows.
    Vxlan {
        /// VXLAN network identifier.
        vni: u32,
    },
    /// What is not decoded any further, in words.
    Other {
        /// `fragment`, `IP protocol 132`, `cut short`.
        what: String,
    },
}

/// Flags of a TCP segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "their names are the protocol's own")]
pub struct TcpFlags {
    pub syn: bool,
    pub ack: bool,
    pub fin: bool,
    pub rst: bool,
    pub psh: bool,
    pub urg: bool,
}

/// Which packets are wanted: those for which all that is given holds, each in any layer of the packet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Filter {
    /// What one of its headers is.
    pub protocol: Option<Protocol>,
    /// A source or destination address.
    pub host: Option<IpAddr>,
    /// A source or destination port of TCP or UDP.
    pub port: Option<u16>,
    /// A VXLAN network identifier.
    pub vni: Option<u32>,
    /// Those that leave the namespace by the interface, or those that come in.
    pub outgoing: Option<bool>,
}

/// What a filter can ask for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "their names are the protocols' own")]
pub enum Protocol {
    Arp,
    Ip,
    Icmp,
    Tcp,
    Udp,
    Vxlan,
}

impl Protocol {
    /// All that there are.
    pub const ALL: [Protocol; 6] =
        [Protocol::Arp, Protocol::Ip, Protocol::Icmp, Protocol::Tcp, Protocol::Udp, Protocol::Vxlan];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Arp => "arp",
            Protocol::Ip => "ip",
            Protocol::Icmp => "icmp",
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Vxlan => "vxlan",
        }
    }
}

impl std::str::FromStr for Protocol {
    type Err = String;
    fn from_str(name: &str) -> Result<Self, String> {
        Protocol::ALL.into_iter().find(|protocol| protocol.as_str() == name).ok_or_else(|| {
            let known = Protocol::ALL.map(Protocol::as_str).join(", ");
            format!("a filter knows no protocol `{}`; it knows {known}", name.escape_debug())
        })
    }
}

impl Filter {
    /// Whether it lets a packet through.
    pub fn passes(&self, packet: &Packet) -> bool {
        let any = |holds: &dyn Fn(&Layer) -> bool| packet.layers.iter().any(holds);
        self.outgoing.is_none_or(|outgoing| outgoing == packet.outgoing)
            && self.protocol.is_none_or(|protocol| any(&|layer| layer.protocol() == Some(protocol)))
            && self.host.is_none_or(|host| any(&|layer| layer.hosts().is_some_and(|hosts| hosts.contains(&host))))
            && self.port.is_none_or(|port| any(&|layer| layer.ports().is_some_and(|ports| ports.contains(&port))))
            && self.vni.is_none_or(|wanted| any(&|layer| matches!(layer, Layer::Vxlan { vni } if *vni == wanted)))
    }
}

impl Layer {
    fn protocol(&self) -> Option<Protocol> {
        match self {
            Layer::Arp { .. } => Some(Protocol::Arp),
            Layer::Ip { .. } => Some(Protocol::Ip),
            Layer::Icmp { .. } => Some(Protocol::Icmp),
            Layer::Tcp { .. } => Some(Protocol::Tcp),
            Layer::Udp { .. } => Some(Protocol::Udp),
            Layer::Vxlan { .. } => Some(Protocol::Vxlan),
            Layer::Ethernet { .. } | Layer::Other { .. } => None,
        }
    }

    /// The addresses in it, source first.
    fn hosts(&self) -> Option<[IpAddr; 2]> {
        match self {
            Layer::Ip { source, destination, .. } => Some([*source, *destination]),
            Layer::Arp { sender, target, .. } => Some([(*sender).into(), (*target).into()]),
            _ => None,
        }
    }

    /// The ports in it, source first.
    fn ports(&self) -> Option<[u16; 2]> {
        match self {
            Layer::Tcp { source_port, destination_port, .. } | Layer::Udp { source_port, destination_port, .. } => {
                Some([*source_port, *destination_port])
            }
            _ => None,
        }
    }
}

/// A line for people; what a tunnel carries stands behind `|`:
/// `10.0.0.3:41871 > 10.0.0.4:8472 VXLAN 100 | 11.14.176.2 > 11.15.48.2 ICMP echo-request id 7 seq 1`.
impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tunnels = self.layers.split_inclusive(|layer| matches!(layer, Layer::Vxlan { .. }));
        for (depth, layers) in tunnels.enumerate() {
            if depth > 0 {
                f.write_str(" | ")?;
            }
            write_frame(f, layers)?;
        }
        Ok(())
    }
}

/// One frame: what is sent from where to where, then what it is.
fn write_frame(f: &mut fmt::Formatter<'_>, layers: &[Layer]) -> fmt::Result {
    let hosts = layers.iter().find_map(|layer| if let Layer::Ip { .. } = layer { layer.hosts() } else { None });
    let ports = layers.iter().find_map(Layer::ports);
    match (hosts, ports) {
        (Some([from, to]), Some([source, destination])) => {
            write!(f, "{} > {}", socket(from, source), socket(to, destination))?;
        }
        (Some([from, to]), None) => write!(f, "{from} > {to}")?,
        (None, _) => {
            if let Some(Layer::Ethernet { source, destination, .. }) = layers.first() {
                write!(f, "{source} > {destination}")?;
            }
        }
    }
    // A tunnel's own datagram is as long as what it carries: that says nothing.
    let tunnel = matches!(layers.last(), Some(Layer::Vxlan { .. }));
    let said = |layer: &&Layer| match layer {
        Layer::Ip { .. } | Layer::Ethernet { .. } => false,
        Layer::Udp { .. } => !tunnel,
        _ => true,
    };
    for layer in layers.iter().filter(said) {
        write!(f, " {layer}")?;
    }
    Ok(())
}

fn socket(address: IpAddr, port: u16) -> std::net::SocketAddr {
    (address, port).into()
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Layer::Ethernet { source, destination, .. } => write!(f, "{source} > {destination}"),
            Layer::Arp { operation, sender, sender_mac, target, .. } => match operation.as_str() {
                "request" => write!(f, "ARP who has {target}? tell {sender}"),
                "reply" => write!(f, "ARP {sender} is at {sender_mac}"),
                other => write!(f, "ARP operation {other}"),
            },
            Layer::Ip { source, destination, .. } => write!(f, "{source} > {destination}"),
            Layer::Icmp { kind, id: Some(id), sequence: Some(sequence), .. } => {
                write!(f, "ICMP {kind} id {id} seq {sequence}")
            }
            Layer::Icmp { kind, number, code, .. } => write!(f, "ICMP {kind} type {number} code {code}"),
            Layer::Tcp { flags, length, .. } => write!(f, "TCP {flags} {length} bytes"),
            Layer::Udp { length, .. } => write!(f, "UDP {length} bytes"),
            Layer::Vxlan { vni } => write!(f, "VXLAN {vni}"),
            Layer::Other { what } => f.write_str(what),
        }
    }
}

/// As `SYN,ACK`; `-` where none is set.
impl fmt::Display for TcpFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TcpFlags { syn, ack, fin, rst, psh, urg } = *self;
        let named = [(syn, "SYN"), (ack, "ACK"), (fin, "FIN"), (rst, "RST"), (psh, "PSH"), (urg, "URG")];
        let set: Vec<_> = named.into_iter().filter_map(|(set, name)| set.then_some(name)).collect();
        f.write_str(if set.is_empty() { "-" } else { "" })?;
        f.write_str(&set.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(source: [u8; 4], destination: [u8; 4], protocol: u8) -> Layer {
        let [source, destination] = [source, destination].map(IpAddr::from);
        Layer::Ip { source, destination, ttl: 64, protocol, identification: Some(7) }
    }

    fn ethernet() -> Layer {
        let mac = |end| format!("02:00:00:00:00:0{end}");
        Layer::Ethernet { source: mac(1), destination: mac(2), ether_type: 0x0800 }
    }

    fn ping_in_vxlan() -> Packet {
        let echo = Layer::Icmp { kind: "echo-request".into(), number: 8, code: 0, id: Some(7), sequence: Some(1) };
        let layers = vec![
            ethernet(),
            ip([10, 0, 0, 3], [10, 0, 0, 4], 17),
            Layer::Udp { source_port: 41871, destination_port: 8472, length: 106 },
            Layer::Vxlan { vni: 100 },
            ethernet(),
            ip([11, 14, 176, 2], [11, 15, 48, 2], 1),
            echo,
        ];
        Packet { number: 1, at_us: 0, outgoing: true, length: 148, layers, bytes: vec![] }
    }

    #[test]
    fn a_packet_is_a_line() {
        assert_eq!(
            ping_in_vxlan().to_string(),
            "10.0.0.3:41871 > 10.0.0.4:8472 VXLAN 100 | \
             11.14.176.2 > 11.15.48.2 ICMP echo-request id 7 seq 1"
        );
        let arp = Layer::Arp {
            operation: "request".into(),
            sender_mac: String::new(),
            sender: [11, 0, 0, 1].into(),
            target_mac: String::new(),
            target: [11, 0, 0, 2].into(),
        };
        let packet = Packet { layers: vec![ethernet(), arp], ..ping_in_vxlan() };
        assert_eq!(packet.to_string(), "02:00:00:00:00:01 > 02:00:00:00:00:02 ARP who has 11.0.0.2? tell 11.0.0.1");
        let flags = TcpFlags { syn: true, ack: true, ..TcpFlags::default() };
        assert_eq!((flags.to_string(), TcpFlags::default().to_string()), ("SYN,ACK".into(), "-".into()));
    }

    #[test]
    fn a_filter_looks_into_tunnels() {
        let packet = ping_in_vxlan();
        let none = Filter::default();
        assert!(none.passes(&packet));
        for (filter, passes) in [
            (Filter { protocol: Some(Protocol::Icmp), ..none.clone() }, true),
            (Filter { protocol: Some(Protocol::Vxlan), ..none.clone() }, true),
            (Filter { protocol: Some(Protocol::Arp), ..none.clone() }, false),
            (Filter { host: Some([11, 15, 48, 2].into()), ..none.clone() }, true),
            (Filter { host: Some([10, 0, 0, 3].into()), ..none.clone() }, true),
            (Filter { host: Some([10, 0, 0, 5].into()), ..none.clone() }, false),
            (Filter { port: Some(8472), ..none.clone() }, true),
            (Filter { port: Some(80), ..none.clone() }, false),
            (Filter { vni: Some(100), ..none.clone() }, true),
            (Filter { vni: Some(101), ..none.clone() }, false),
            (Filter { outgoing: Some(false), ..none.clone() }, false),
            (Filter { outgoing: Some(true), vni: Some(100), port: Some(80), ..none }, false),
        ] {
            assert_eq!(filter.passes(&packet), passes, "{filter:?}");
        }
    }
}
