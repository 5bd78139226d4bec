//! The kernel's announcements, of changes that `ip`, `bridge` and `nft` make.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::time::Duration;

use common::{in_namespaces, new_namespace, run_in};
use ipnet::Ipv4Net;
use knetsim_kernel::NetNs;
use knetsim_kernel::monitor::{Monitor, NameMonitor};
use knetsim_kernel::netlink::{Bridge, Request, RouteSpec};
use knetsim_model::observe::Change;
use tokio::time::timeout;

/// More changes than any receive queue holds.
const MANY: u32 = 20_000;
const PATIENCE: Duration = Duration::from_secs(10);

/// What is announced, up to and with the change that `last` begins.
async fn until(monitor: &mut Monitor, last: &str) -> Vec<String> {
    let mut told = Vec::new();
    let collect = async {
        while told.last().is_none_or(|text: &String| !text.starts_with(last)) {
            told.push(text(&monitor.next().await.unwrap()));
        }
    };
    let ended = timeout(PATIENCE, collect).await;
    assert!(ended.is_ok(), "no `{last}` among {told:#?}");
    told
}

fn text(change: &Change) -> String {
    format!("{} {} {}", change.verb, change.subject, change.detail)
}

fn ip(namespace: &NetNs, command: &str) {
    run_in(namespace, &command.split_whitespace().collect::<Vec<_>>());
}

#[test]
fn links_addresses_routes_and_neighbours() {
    in_namespaces(async || {
        let namespace = new_namespace();
        ip(&namespace, "ip link add before address 02:00:00:00:00:03 type bridge");
        let mut monitor = Monitor::start(&namespace).await.unwrap();
        for command in [
            "ip link add br0 address 02:00:00:00:00:01 type bridge",
            "ip link set br0 up",
            "ip address add 10.0.0.3/8 dev br0",
            "ip route add 11.10.16.0/20 via 10.0.0.4 dev br0",
            "ip route replace 11.10.16.0/20 via 10.0.0.5 dev br0",
            "ip route add blackhole 11.10.32.0/20",
            "ip neighbour add 10.0.0.4 lladdr 02:00:00:00:00:04 dev br0",
            "ip neighbour replace 10.0.0.4 lladdr 02:00:00:00:00:05 dev br0",
            "ip neighbour delete 10.0.0.4 dev br0",
            "ip link add flannel.100 address 02:00:00:00:00:02 type vxlan id 100 dev br0 dstport 8472 nolearning",
            "bridge fdb add 02:00:00:00:00:04 dev flannel.100 dst 10.0.0.4",
            "bridge fdb delete 02:00:00:00:00:04 dev flannel.100 dst 10.0.0.4",
            "ip route delete 11.10.16.0/20",
            "ip address delete 10.0.0.3/8 dev br0",
            "ip link set before name after",
            "ip link delete br0",
        ] {
            ip(&namespace, command);
        }
        let told = until(&mut monitor, "gone link br0").await;
        let told: Vec<&str> =
            told.iter().map(String::as_str).filter(|text| !text.contains("fe80") && !text.contains("ff00")).collect();
        let bridge = "mtu 1500 address 02:00:00:00:00:01";
        assert_eq!(
            told,
            [
                &format!("new link br0 down {bridge}") as &str,
                &format!("changed link br0 up {bridge}"),
                "new address 10.0.0.3/8 dev br0",
                "new route 10.0.0.0/8 dev br0 src 10.0.0.3",
                "new route 11.10.16.0/20 via 10.0.0.4 dev br0",
                "changed route 11.10.16.0/20 via 10.0.0.5 dev br0",
                "new route blackhole 11.10.32.0/20",
                "new neighbour 10.0.0.4 dev br0 lladdr 02:00:00:00:00:04",
                "changed neighbour 10.0.0.4 dev br0 lladdr 02:00:00:00:00:05",
                "gone neighbour 10.0.0.4 dev br0",
                "new link flannel.100 down mtu 1450 address 02:00:00:00:00:02",
                "new fdb 02:00:00:00:00:04 dev flannel.100 dst 10.0.0.4",
                "gone fdb 02:00:00:00:00:04 dev flannel.100 dst 10.0.0.4",
                "gone route 11.10.16.0/20 via 10.0.0.5 dev br0",
                "gone address 10.0.0.3/8 dev br0",
                "gone route 10.0.0.0/8 dev br0 src 10.0.0.3",
                "changed link after down mtu 1500 address 02:00:00:00:00:03",
                &format!("changed link br0 down {bridge}"),
                // It stood on br0.
                "gone link flannel.100",
                "gone link br0",
            ]
        );
    });
}

#[test]
fn rules() {
    in_namespaces(async || {
        let namespace = new_namespace();
        let mut monitor = Monitor::start(&namespace).await.unwrap();
        for command in [
            "nft add table ip nat",
            "nft add chain ip nat output { type nat hook output priority 0 ; }",
            "nft add set ip nat vips { type ipv4_addr ; }",
            "nft add element ip nat vips { 100.64.0.1 }",
            "nft add rule ip nat output ip daddr @vips dnat to 11.10.0.2",
            "nft flush chain ip nat output",
            "nft delete table ip nat",
        ] {
            ip(&namespace, command);
        }
        let told = until(&mut monitor, "gone table").await;
        let told: Vec<&str> = told.iter().map(|text| text.split(" handle ").next().unwrap()).collect();
        let expected = [
            "new table ip nat",
            "new chain ip nat output",
            "new set ip nat vips",
            "new element ip nat vips",
            "new rule ip nat output",
            "gone rule ip nat output",
        ];
        assert_eq!(told[..expected.len()], expected);
    });
}

#[test]
fn an_overrun_is_told() {
    in_namespaces(async || {
        let namespace = new_namespace();
        let netlink = namespace.netlink().unwrap();
        let device = netlink.add_bridge(&Bridge { name: "br0", up: true, ..Bridge::default() }).unwrap();
        let mut monitor = Monitor::start(&namespace).await.unwrap();
        let network = |number: u32| Ipv4Net::new_assert(Ipv4Addr::from(0x0b00_0000 + (number << 8)), 24);
        let route = |number| RouteSpec { device: Some(device), ..RouteSpec::to(network(number)) };
        netlink.apply((0..MANY).map(|number| Request::replace_route(&route(number)))).unwrap();
        let missed = netlink.add_bridge(&Bridge { name: "missed", ..Bridge::default() }).unwrap();
        let told = until(&mut monitor, "lost history").await;
        assert!(told.len() < MANY as usize, "{}", told.len());
        netlink.delete_link(missed).unwrap();
        until(&mut monitor, "gone link missed").await;
    });
}

#[test]
fn only_the_kernel_is_believed() {
    in_namespaces(async || {
        let namespace = new_namespace();
        let mut monitor = Monitor::start(&namespace).await.unwrap();
        // Root of the namespace may speak to the group: NETLINK_ROUTE, RTNLGRP_LINK, an RTM_NEWLINK of `evil`.
        let forge = "import socket,struct\n\
            s=socket.socket(socket.AF_NETLINK,socket.SOCK_RAW,0)\n\
            s.bind((0,0))\n\
            name=struct.pack('HH',9,3)+b'evil\\0\\0\\0\\0'\n\
            body=struct.pack('BBHiII',0,0,1,77,0,0)+name\n\
            s.sendto(struct.pack('IHHII',16+len(body),16,0,0,0)+body,(0,1))\n";
        run_in(&namespace, &["python3", "-c", forge]);
        ip(&namespace, "ip link add honest type bridge");
        let told = until(&mut monitor, "new link honest").await;
        assert_eq!(told.len(), 1, "{told:?}");
    });
}

#[test]
fn names_of_namespaces() {
    in_namespaces(async || {
        let folders = tempfile::tempdir().unwrap();
        let monitor = NameMonitor::start().unwrap();
        for node in ["C0w1", "C0w2"] {
            std::fs::create_dir(folders.path().join(node)).unwrap();
            let folder = std::fs::File::open(folders.path().join(node)).unwrap();
            monitor.watch(node, folder.as_fd()).unwrap();
        }
        std::fs::write(folders.path().join("C0w1/myns"), "").unwrap();
        std::fs::write(folders.path().join("C0w2/other"), "").unwrap();
        std::fs::remove_file(folders.path().join("C0w1/myns")).unwrap();
        std::fs::remove_dir_all(folders.path().join("C0w2")).unwrap();
        let mut told = Vec::new();
        for _ in 0..4 {
            let (node, change) = timeout(PATIENCE, monitor.next()).await.unwrap().unwrap();
            told.push(format!("{}: {}", node.unwrap(), text(&change)));
        }
        let expected = [
            "C0w1: new namespace myns",
            "C0w2: new namespace other",
            "C0w1: gone namespace myns",
            "C0w2: gone namespace other",
        ];
        assert_eq!(told, expected);
    });
}
