//! How a member of a cluster's etcd is started.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use knetsim_model::{ClusterName, NodeName};

use crate::etcd::CLIENT_PORT;

const PEER_PORT: u16 = 2380;

/// The command line of one member: `etcd --name C0e1 ...`, for etcd 3.4 and newer.
///
/// Heartbeats each 10 ms and elections after 50 ms, because its members are neighbours on one machine:
/// by the default, a second, an election alone would take longer than all else.
pub fn etcd_command(cluster: &ClusterName, node: &NodeName, members: &[(NodeName, Ipv4Addr)]) -> Vec<String> {
    let own = members.iter().find(|(name, _)| name == node).map_or(Ipv4Addr::LOCALHOST, |(_, address)| *address);
    let peers: Vec<_> = members.iter().map(|(name, address)| format!("{name}=http://{address}:{PEER_PORT}")).collect();
    let peer = format!("http://{own}:{PEER_PORT}");
    let client = format!("http://{own}:{CLIENT_PORT}");
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
        ("heartbeat-interval", "10".to_owned()),
        ("election-timeout", "50".to_owned()),
        // Agents ask every two seconds whether it is still there; by its default it would hang up on them.
        ("grpc-keepalive-min-time", "1s".to_owned()),
        ("log-level", "warn".to_owned()),
    ];
    let options = options.into_iter().map(|(option, value)| format!("--{option}={value}"));
    std::iter::once("etcd".to_owned()).chain(options).collect()
}

/// What is added to a member's environment.
pub fn etcd_environment() -> BTreeMap<String, String> {
    BTreeMap::from([("ETCD_UNSUPPORTED_ARCH".to_owned(), std::env::consts::ARCH.to_owned())])
}
