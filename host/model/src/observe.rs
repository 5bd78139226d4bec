//! Observations: what the kernel, a daemon or a file showed when it was asked, as typed records.
//! Counters are since the device or rule was made; times are milliseconds since the sandbox began.

use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A network device, as `ip -d -s link` shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// Interface index in its namespace.
    pub index: u32,
    /// Interface name.
    pub name: String,
    /// Kind by the kernel's name: `veth`, `bridge`, `vxlan`; `loopback`, or empty where it has none.
    pub kind: String,
    /// Hardware address as `02:00:00:00:00:01`; empty where it has none.
    pub mac: String,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// Whether somebody set it up (IFF_UP).
    pub up: bool,
    /// Whether it has a carrier (IFF_LOWER_UP).
    pub carrier: bool,
    /// The bridge that it is a port of.
    pub master: Option<String>,
    /// The other end's index for a veth, the underlying device's for a vxlan.
    pub link_index: Option<u32>,
    /// VXLAN's parameters.
    pub vxlan: Option<Vxlan>,
    /// Its counters.
    pub counters: Counters,
}

/// VXLAN's parameters, as `ip -d link` shows them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Vxlan {
    /// VXLAN network identifier.
    pub vni: u32,
    /// UDP port.
    pub port: u16,
    /// The address that outer packets are sent from.
    pub local: Option<IpAddr>,
    /// Whether it learns addresses from packets.
    pub learning: bool,
}

/// A device's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Counters {
    /// Packets received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Received packets that were dropped.
    pub rx_dropped: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets that were dropped instead of sent.
    pub tx_dropped: u64,
}

/// An address of a device, as `ip address` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Address {
    /// The device.
    pub interface: String,
    /// The address.
    pub address: IpAddr,
    /// Its prefix length.
    pub prefix: u8,
    /// `global`, `link`, `host` or `site`.
    pub scope: String,
}

/// The number of the routing table `main`.
pub const MAIN_TABLE: u32 = 254;

/// A route, as `ip route` shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Route {
    /// Destination as `11.10.0.0/20`, or `default`.
    pub destination: String,
    /// The next hop.
    pub gateway: Option<IpAddr>,
    /// The device.
    pub interface: Option<String>,
    /// The preferred source.
    pub source: Option<IpAddr>,
    /// The table, 254 is `main`.
    pub table: u32,
    /// `unicast`, `local`, `broadcast`, `unreachable`, ...
    pub kind: String,
    /// Who made it: `kernel`, `static`, `boot`, ...
    pub protocol: String,
    /// Its metric.
    pub metric: u32,
    /// Whether the next hop counts as reachable without a route to it.
    pub onlink: bool,
}

/// A neighbour entry, as `ip neighbour` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Neighbour {
    /// The device.
    pub interface: String,
    /// The neighbour's address.
    pub address: IpAddr,
    /// Its hardware address, where known.
    pub mac: Option<String>,
    /// `permanent`, `reachable`, `stale`, `incomplete`, ...
    pub state: String,
}

/// A forwarding entry of a bridge or VXLAN device, as `bridge fdb` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FdbEntry {
    /// The device.
    pub interface: String,
    /// The hardware address looked up.
    pub mac: String,
    /// Where a VXLAN device sends it.
    pub destination: Option<IpAddr>,
    /// The bridge that the entry belongs to; none for the device's own (`self`).
    pub master: Option<String>,
    /// Whether it never ages.
    pub permanent: bool,
}

/// A socket, as `ss` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Socket {
    /// `tcp` or `udp`.
    pub protocol: String,
    /// `listen`, `established`, ...; `unconnected` for UDP without a peer.
    pub state: String,
    /// Its own end.
    pub local: SocketAddr,
    /// The other end; all zero where there is none.
    pub remote: SocketAddr,
}

/// A process of the node side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Process {
    /// Its id, as `ps` on the node side shows it.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Its command line; the short name where that is empty.
    pub command: Vec<String>,
    /// `running`, `sleeping`, `zombie`, ...
    pub state: String,
    /// Resident memory in bytes.
    pub memory: u64,
}

/// A namespace that somebody gave a name, by `ip netns add` or the emulator's own container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NamedNamespace {
    /// The file under /run/netns.
    pub name: String,
    /// Its inode, the number that `lsns` and `readlink /proc/PID/ns/net` show.
    pub inode: u64,
    /// Whether it is a container of the emulator.
    pub container: bool,
}

/// A key of a cluster's etcd.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EtcdKey {
    /// The key.
    pub key: String,
    /// Its value; bytes that are not UTF-8 replaced.
    pub value: String,
    /// Seconds that its lease has left; none without a lease.
    pub ttl: Option<i64>,
}

/// One reply, or its absence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ping {
    /// Echo requests sent.
    pub sent: u32,
    /// Replies that came in time.
    pub received: u32,
    /// Round trips of the replies, in microseconds, in order.
    pub times_us: Vec<u64>,
    /// The last error answered instead, such as `Destination Host Unreachable`.
    pub error: Option<String>,
}

/// A TCP connection tried.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TcpProbe {
    /// Connections tried.
    pub tried: u32,
    /// Connections made.
    pub connected: u32,
    /// How long each that was made took, in microseconds.
    pub times_us: Vec<u64>,
    /// The last error, such as `Connection refused`.
    pub error: Option<String>,
}

/// An HTTP request made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HttpReply {
    /// The status code.
    pub status: u16,
    /// Header fields in order.
    pub headers: Vec<(String, String)>,
    /// The body, at most 64 KiB of it.
    #[serde(with = "serde_bytes_as_text")]
    #[schemars(with = "String")]
    pub body: Vec<u8>,
    /// From connecting to the last byte, in microseconds.
    pub time_us: u64,
}

/// JSON has no bytes: UTF-8 with what is not replaced.
mod serde_bytes_as_text {
    use serde::{Deserialize, Deserializer, Serializer};
    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(bytes))
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        String::deserialize(deserializer).map(String::into_bytes)
    }
}

/// Something the kernel announced, kept in order since the last reset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryEntry {
    /// When, in milliseconds since the sandbox began.
    pub at_ms: u64,
    /// Where: a node, `base`, or a container's whole name.
    pub place: String,
    /// What changed.
    pub change: Change,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// `link`, `address`, `route`, `neighbour`, `fdb`; nftables' `table`, `chain`, `rule`, `set`, `element`;
    /// `namespace`, `container`; `history` for the history itself.
    pub subject: String,
    /// `new`, `changed` or `gone`; `lost` where changes came too fast to be told.
    pub verb: String,
    /// Which, as its list names it: `eth0 up mtu 1450`, `11.10.0.0/20 via 11.10.0.0 dev flannel.100 onlink`,
    /// `ip nat postrouting handle 4`, `myns`.
    pub detail: String,
}
