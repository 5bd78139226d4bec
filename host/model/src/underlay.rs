//! Addresses of the underlay, as the course prints them: one /8 on-link, a node's number the next
//! free one when it is made (etcd nodes before workers), kept for life.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// Prefix length of every underlay address.
pub const PREFIX: u8 = 8;
/// The underlay: `10.0.0.0/8`.
pub const UNDERLAY: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), PREFIX);
/// Where virtual addresses of services come from; every worker has a route to it.
pub const SERVICES: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 16);
/// The largest packet of a node's `eth0`, in bytes: a veth pair's, unless somebody changes it.
pub const MTU: u32 = 1500;
/// The most nodes there can be: numbers 1 to 65534 under `10.0.0.0/16`.
pub const MAX_NODES: u32 = 65_534;
/// The most clusters there can be: `10.1.0.0/16` to `10.255.0.0/16` hold their etcd nodes.
pub const MAX_CLUSTERS: u32 = 255;

/// The address of the node with that number, 1 to [`MAX_NODES`]: the course's C0w1 is number 3, `10.0.0.3`.
pub fn node_address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(UNDERLAY.addr()) + number)
}

/// The address of etcd member `member` (1 or 2) of the cluster with index `cluster` (0 to 254): `10.1.0.1`.
pub fn etcd_address(cluster: u32, member: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(UNDERLAY.addr()) + ((cluster + 1) << 16) + member)
}
