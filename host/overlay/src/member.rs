//! How a member of a cluster's etcd is started so that it is ready fast.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use knetsim_kernel::NetNs;
use knetsim_model::{ClusterName, NodeName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::etcd::CLIENT_PORT;

const PEER_PORT: u16 = 2380;
/// Milliseconds between heartbeats, and without one before an election. Members are neighbours on one machine: by
/// the default of 100 and 1000, the first election alone takes longer than all else. A fifth is the least that
/// etcd takes; more than that lets a busy machine miss some before its clusters look for leaders again.
const HEARTBEAT: u32 = 25;
const ELECTION: u32 = 150;
/// Bytes that the store may have. etcd maps as much memory at once, 10 GB by default.
const QUOTA: u32 = 64 << 20;

/// The command line of one member: `etcd --name C0e1 ...`, for etcd 3.4 and newer.
///
/// Its log preallocates 64 MB twice. Where fallocate(2) is answered with EOPNOTSUPP it makes them sparse.
pub fn etcd_command(cluster: &ClusterName, node: &NodeName, members: &[(NodeName, Ipv4Addr)]) -> Vec<String> {
    let own = members.iter().find(|(name, _)| name == node).map_or(Ipv4Addr::LOCALHOST, |(_, address)| *address);
    let peers: Vec<_> = members.iter().map(|(name, address)| format!("{name}=http://{address}:{PEER_PORT}")).collect();
    let peer = format!("http://{own}:{PEER_PORT}");
    let client = format!("http://{own}:{CLIENT_PORT}");
    // For `etcdctl` without options, on the node itself.
    let local = format!("http://127.0.0.1:{CLIENT_PORT}");
    let options = [
        ("name", node.to_string()),
        ("data-dir", "/var/lib/etcd/data".to_owned()),
        ("listen-peer-urls", peer.clone()),
        ("initial-advertise-peer-urls", peer),
        ("listen-client-urls", format!("{client},{local}")),
        ("advertise-client-urls", client),
        ("initial-cluster", peers.join(",")),
        ("initial-cluster-token", cluster.to_string()),
        ("initial-cluster-state", "new".to_owned()),
        ("heartbeat-interval", HEARTBEAT.to_string()),
        ("election-timeout", ELECTION.to_string()),
        ("quota-backend-bytes", QUOTA.to_string()),
        // Agents ask every two seconds whether it is still there; by its default it would hang up on them.
        ("grpc-keepalive-min-time", "1s".to_owned()),
    ];
    let options = options.into_iter().map(|(option, value)| format!("--{option}={value}"));
    std::iter::once("etcd".to_owned()).chain(options).collect()
}

/// Whether a member answers the others: `curl http://10.1.0.1:2380/version`, asked in its own namespace. It listens
/// long before.
///
/// # Errors
/// Not yet, in words.
pub async fn etcd_answers_peers(namespace: &NetNs, member: Ipv4Addr) -> Result<(), String> {
    let exchange = async {
        let mut stream = namespace.connect((member, PEER_PORT).into()).await?;
        stream.write_all(b"GET /version HTTP/1.0\r\n\r\n").await?;
        stream.read_u8().await
    };
    exchange.await.map(drop).map_err(|error| format!("GET http://{member}:{PEER_PORT}/version: {error}"))
}

/// What is added to a member's environment.
pub fn etcd_environment() -> BTreeMap<String, String> {
    // One thread of Go's at a time: it has little to do, and starts faster beside others.
    let mut environment = BTreeMap::from([("GOMAXPROCS".to_owned(), "1".to_owned())]);
    // etcd 3.4 asks for this on arm64.
    if cfg!(target_arch = "aarch64") {
        environment.insert("ETCD_UNSUPPORTED_ARCH".to_owned(), "arm64".to_owned());
    }
    environment
}
