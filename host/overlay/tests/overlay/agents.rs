//! Agents beside each other on one real etcd.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::common::{Cluster, Node, test, until};
use cap_std::fs::PermissionsExt;
use knetsim_model::flannel::{FlannelConfig, SUBNETS};
use knetsim_model::inventory::Health;
use knetsim_overlay::Clock;

#[test]
fn peers_reach_each_other_and_one_that_leaves_is_forgotten() {
    test(async || {
        let cluster = Cluster::start(1).await;
        let (one, two) = (cluster.node(3).await, cluster.node(4).await);
        one.knows(&two).await;
        assert!(one.pings(two.address()) && two.pings(one.address()));
        let three = cluster.node(5).await;
        for node in [&one, &two] {
            node.until("three is known", |state| state.peers.len() == 2).await;
        }
        assert!(three.pings(one.address()) && three.pings(two.address()));

        two.agent.release().await.unwrap();
        assert_eq!(two.agent.state().subnet, None);
        for node in [&one, &three] {
            node.until("two is forgotten", |state| state.peers.len() == 1).await;
            for list in ["ip route show dev flannel.100", "bridge fdb show dev flannel.100"] {
                let list = node.run(list);
                assert_eq!(list.lines().count(), 1, "{list}");
            }
            let permanent = node.run("ip neighbour show nud permanent");
            assert_eq!(permanent.lines().count(), 1, "{permanent}");
        }
        assert!(two.netlink.link("flannel.100").unwrap().is_none());
        assert_eq!(cluster.client().await.keys(SUBNETS).await.unwrap().len(), 2);
        two.agent.release().await.unwrap();
    });
}

#[test]
fn all_is_as_flanneld_leaves_it() {
    test(async || {
        let cluster = Cluster::start(1).await;
        let (one, two) = (cluster.node(3).await, cluster.node(4).await);
        one.knows(&two).await;
        let (subnet, peer) = (one.agent.state().subnet.unwrap(), two.agent.state().subnet.unwrap());
        let (mac, peer_mac) = (one.mac("flannel.100").await, two.mac("flannel.100").await);

        let key = format!("{SUBNETS}{}-20", subnet.network());
        let value = cluster.etcdctl(&["get", &key, "--print-value-only"]);
        let data = format!(r#"{{"VNI":100,"VtepMAC":"{mac}"}}"#);
        assert_eq!(
            value.trim(),
            format!(r#"{{"PublicIP":"10.0.0.3","PublicIPv6":null,"BackendType":"vxlan","BackendData":{data}}}"#)
        );
        let keys = cluster.client().await.keys(&key).await.unwrap();
        assert!((86_000..=86_400).contains(&keys[0].ttl.unwrap()), "{keys:?}");

        let link = one.run("ip -d link show flannel.100");
        for part in ["mtu 1450", "vxlan id 100 local 10.0.0.3 dev eth0", "dstport 8472 nolearning"] {
            assert!(link.contains(part), "{part}: {link}");
        }
        let base = peer.network();
        assert!(one.run("ip -o address show dev flannel.100").contains(&format!("inet {}/32", subnet.network())));
        assert_eq!(one.run("ip route show dev flannel.100").trim(), format!("{peer} via {base} onlink"));
        assert_eq!(one.run("ip neighbour show dev flannel.100").trim(), format!("{base} lladdr {peer_mac} PERMANENT"));
        assert_eq!(
            one.run("bridge fdb show dev flannel.100").trim(),
            format!("{peer_mac} dst 10.0.0.4 self permanent")
        );

        let first = Ipv4Addr::from(u32::from(subnet.network()) + 1);
        assert_eq!(
            one.files.read_to_string("run/flannel/subnet.env").unwrap(),
            format!("FLANNEL_NETWORK=11.0.0.0/8\nFLANNEL_SUBNET={first}/20\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=false\n")
        );
        let mode = one.files.metadata("run/flannel/subnet.env").unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        let files: Vec<_> = one.files.read_dir("run/flannel").unwrap().collect();
        assert_eq!(files.len(), 1, "something is left beside it");
        let log = one.files.read_to_string("var/log/flanneld.log").unwrap();
        assert!(log.contains(&format!("Allocated lease (ip: {subnet}) to current node (10.0.0.3)")), "{log}");
        assert!(log.contains(&format!("adding subnet: {peer} PublicIP: 10.0.0.4 VtepMAC: {peer_mac}")), "{log}");
    });
}

#[test]
fn etcd_away_and_back_changes_no_subnet_and_no_traffic() {
    test(async || {
        let mut cluster = Cluster::start(2).await;
        let (one, two) = (cluster.node(3).await, cluster.node(4).await);
        one.knows(&two).await;
        let before = (one.address(), two.address());
        cluster.kill_etcd(0..2);
        one.until("one noticed", |state| state.health != Health::Ready).await;
        assert!(one.pings(two.address()));
        // What somebody removes meanwhile is mended all the same.
        one.run(&format!("ip neighbour del {} dev flannel.100", two.address()));
        until("it is mended", async || one.run("ip neighbour show nud permanent").contains("flannel.100")).await;

        let (namespace, spec) = cluster.spec(5).await;
        let netlink = spec.netlink.clone();
        let refused = knetsim_overlay::Agent::start(spec, Duration::from_millis(500)).await.err().unwrap();
        let words = refused.to_string();
        assert!(words.contains("C0w5 was not ready within 500ms") && words.contains("Connection refused"), "{words}");
        assert!(netlink.link("flannel.100").unwrap().is_none());

        cluster.start_etcd();
        for node in [&one, &two] {
            node.until("ready again", |state| state.health == Health::Ready && state.peers.len() == 1).await;
        }
        assert_eq!((one.address(), two.address()), before);
        assert!(one.pings(two.address()));
        let mut spec = cluster.spec(6).await.1;
        (spec.netlink, spec.public_ip) = (namespace.netlink().unwrap(), Ipv4Addr::new(10, 0, 0, 5));
        let three = Node::start(namespace, spec).await.unwrap();
        one.until("one knows three", |state| state.peers.len() == 2).await;
        assert!(three.pings(one.address()));
    });
}

#[test]
fn a_member_that_dies_is_not_the_end_of_a_connection() {
    test(async || {
        let mut cluster = Cluster::start(3).await;
        let one = cluster.node(3).await;
        // The first member is the one that agents ask first.
        cluster.kill_etcd([0]);
        let two = cluster.node(4).await;
        one.until("one knows two", |state| state.peers.len() == 1 && state.health == Health::Ready).await;
        assert!(one.pings(two.address()));
        let statuses =
            [cluster.client_of(1).await.status().await.unwrap(), cluster.client_of(2).await.status().await.unwrap()];
        assert_eq!(statuses.iter().filter(|status| status.leads).count(), 1, "{statuses:?}");
        assert!(statuses[0].version.starts_with("3.") && statuses[0].size > 0, "{statuses:?}");
    });
}

#[test]
fn a_lease_is_renewed_an_hour_before_its_end() {
    test(async || {
        let cluster = Cluster::start(1).await;
        let (hand, clock) = Clock::adjustable();
        let (namespace, spec) = cluster.spec(3).await;
        let one = Node::start(namespace, knetsim_overlay::AgentSpec { clock, ..spec }).await.unwrap();
        let two = cluster.node(4).await;
        one.until("one knows two", |state| state.peers.len() == 1).await;
        let key = format!("{SUBNETS}{}-20", one.address());
        let lease = || {
            let found: serde_json::Value =
                serde_json::from_str(&cluster.etcdctl(&["get", &key, "-w", "json"])).unwrap();
            found["kvs"][0]["lease"].as_i64().unwrap()
        };
        let first = lease();
        hand.send(Duration::from_secs(23 * 3600 - 60)).unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(lease(), first, "renewed too early");
        hand.send(Duration::from_secs(23 * 3600)).unwrap();
        until("it is renewed", async || lease() != first).await;
        let second = lease();
        hand.send(Duration::from_secs(47 * 3600)).unwrap();
        until("it is renewed again", async || lease() != second).await;
        assert_eq!(one.agent.state().health, Health::Ready);
        assert!(two.pings(one.address()));
        let log = one.files.read_to_string("var/log/flanneld.log").unwrap();
        assert_eq!(log.matches("Lease renewed").count(), 2, "{log}");
    });
}

#[test]
fn a_compaction_during_a_cut_is_survived() {
    test(async || {
        let cluster = Cluster::start(1).await;
        let (one, two) = (cluster.node(3).await, cluster.node(4).await);
        one.knows(&two).await;
        // Cut off silently: nothing says that the connection is gone.
        cluster.base.run(|| knetsim_testing::run(&["ip", "link", "set", "w3", "down"])).unwrap();
        one.until("it noticed", |state| state.health != Health::Ready).await;
        let three = cluster.node(5).await;
        two.agent.release().await.unwrap();
        let status: serde_json::Value = serde_json::from_str(&cluster.etcdctl(&["get", "x", "-w", "json"])).unwrap();
        cluster.etcdctl(&["compact", &status["header"]["revision"].to_string()]);
        assert_eq!(one.agent.state().peers.len(), 1);
        cluster.base.run(|| knetsim_testing::run(&["ip", "link", "set", "w3", "up"])).unwrap();
        one.until("it works again", |state| state.health == Health::Ready).await;
        let routes = one.run("ip route show dev flannel.100");
        assert_eq!(routes.trim(), format!("{} via {} onlink", three.agent.state().subnet.unwrap(), three.address()));
        assert!(one.pings(three.address()));
    });
}

#[test]
fn a_lease_that_was_deleted_is_taken_again() {
    test(async || {
        let cluster = Cluster::start(1).await;
        let (one, two) = (cluster.node(3).await, cluster.node(4).await);
        one.knows(&two).await;
        let (before, key) = (one.address(), format!("{SUBNETS}{}-20", one.address()));
        cluster.etcdctl(&["del", &key]);
        let there = || !cluster.etcdctl(&["get", &key, "--keys-only"]).trim().is_empty();
        until("it is there again", async || there() && one.agent.state().health == Health::Ready).await;
        assert_eq!(one.address(), before);
        // The other one may not have heard yet that it was deleted.
        until("they reach each other", async || two.agent.state().peers.len() == 1 && two.pings(one.address())).await;
        // Taken by somebody else, it is theirs.
        let value = r#"{"PublicIP":"10.0.0.77","BackendType":"host-gw"}"#;
        cluster.etcdctl(&["put", &key, value]);
        one.until("it has another", |state| {
            state.health == Health::Ready && state.subnet.is_some_and(|subnet| subnet.network() != before)
        })
        .await;
        assert!(one.run("ip -o address show dev flannel.100").contains(&format!("inet {}/32", one.address())));
        assert!(!one.run("ip -o address show dev flannel.100").contains(&format!("inet {before}/32")));
        assert_eq!(cluster.etcdctl(&["get", &key, "--print-value-only"]).trim(), value);
        two.until("two knows the other", |state| state.peers.len() == 1).await;
        until("two leads there", async || two.pings(one.address())).await;
    });
}

#[test]
fn many_at_once_get_a_subnet_each() {
    test(async || {
        let cluster = Cluster::start(1).await;
        // Few subnets, so that they get into each other's way.
        let config = r#"{"Network":"11.0.0.0/8","SubnetLen":20,"SubnetMin":"11.10.0.0","SubnetMax":"11.10.144.0","Backend":{"Type":"vxlan"}}"#;
        cluster.etcdctl(&["put", "/coreos.com/network/config", config]);
        let mut starting = tokio::task::JoinSet::new();
        for number in 1..=10 {
            let (namespace, spec) = cluster.spec(number).await;
            starting.spawn(Node::start(namespace, spec));
        }
        let nodes: Vec<_> = starting.join_all().await.into_iter().map(Result::unwrap).collect();
        for (node, other) in nodes.iter().flat_map(|node| nodes.iter().map(move |other| (node, other))) {
            node.knows(other).await;
        }
        assert!(nodes[0].pings(nodes[9].address()));
        let (_, spec) = cluster.spec(11).await;
        let full = knetsim_overlay::Agent::start(spec, Duration::from_millis(300)).await.err().unwrap().to_string();
        assert!(full.contains("out of subnets: all from 11.10.0.0 to 11.10.144.0 are leased"), "{full}");
    });
}

#[test]
fn another_configuration_takes_effect_with_a_restart() {
    test(async || {
        let cluster = Cluster::start(1).await;
        let nodes = [cluster.node(3).await, cluster.node(4).await];
        nodes[0].knows(&nodes[1]).await;
        let text = r#"{"Network":"12.0.0.0/16","SubnetLen":26,"Backend":{"Type":"vxlan","VNI":7,"Port":4789,"MTU":1400,"DirectRouting":true}}"#;
        let config: FlannelConfig = serde_json::from_str(text).unwrap();
        cluster.client().await.put_config(&config).await.unwrap();
        for node in &nodes {
            node.agent.release().await.unwrap();
            node.agent.restart(Duration::from_secs(10)).await.unwrap();
        }
        let [one, two] = &nodes;
        one.knows(two).await;
        assert!(one.pings(two.address()));
        let link = one.run("ip -d link show flannel.7");
        assert!(link.contains("mtu 1350") && link.contains("dstport 4789"), "{link}");
        assert!(one.files.read_to_string("run/flannel/subnet.env").unwrap().contains("FLANNEL_MTU=1350"));
        assert!(one.netlink.link("flannel.100").unwrap().is_none());
        let subnet = two.agent.state().subnet.unwrap();
        assert_eq!(subnet.prefix_len(), 26);
        assert_eq!(one.run(&format!("ip route show {subnet}")).trim(), format!("{subnet} via 10.0.0.4 dev eth0"));
        assert_eq!(one.run("ip neighbour show dev flannel.7").trim(), "");
        // Direct routes do not go with the device.
        one.agent.release().await.unwrap();
        assert_eq!(one.run(&format!("ip route show {subnet}")).trim(), "");

        cluster.etcdctl(&[
            "put",
            "/coreos.com/network/config",
            r#"{"Network":"12.0.0.0/16","Backend":{"Type":"host-gw"}}"#,
        ]);
        let refused = one.agent.restart(Duration::from_millis(300)).await.unwrap_err().to_string();
        assert!(refused.contains("Backend.Type `host-gw` is not driven here"), "{refused}");
        cluster.etcdctl(&["put", "/coreos.com/network/config", "{"]);
        let refused = one.agent.restart(Duration::from_millis(300)).await.unwrap_err().to_string();
        assert!(refused.contains("/coreos.com/network/config is not flannel's"), "{refused}");
        cluster.etcdctl(&["del", "/coreos.com/network/config"]);
        let refused = one.agent.restart(Duration::from_millis(300)).await.unwrap_err().to_string();
        assert!(refused.contains("there is no /coreos.com/network/config"), "{refused}");
    });
}

#[test]
fn what_others_left_is_respected() {
    test(async || {
        let cluster = Cluster::start(1).await;
        // A subnet of old, somebody's of another backend that overlaps it, and what no lease explains on the device.
        cluster.etcdctl(&[
            "put",
            &format!("{SUBNETS}11.50.0.0-16"),
            r#"{"PublicIP":"10.0.0.9","PublicIPv6":null,"BackendType":"wireguard","BackendData":{"PublicKey":"x"}}"#,
        ]);
        cluster.etcdctl(&["put", &format!("{SUBNETS}nonsense"), "{"]);
        let old = |node: u8, subnet: &str| {
            let folder = cluster.folder.path().join(format!("w{node}/run/flannel"));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("subnet.env"), format!("FLANNEL_NETWORK=11.0.0.0/8\nFLANNEL_SUBNET={subnet}\n"))
                .unwrap();
        };
        old(3, "11.20.16.1/20");
        old(4, "11.50.16.1/20");
        let (namespace, spec) = cluster.spec(3).await;
        let set_up = || {
            for command in [
                "ip link add flannel.100 address 02:00:00:00:00:77 type vxlan id 100 local 10.0.0.3 dev eth0 dstport 8472 nolearning",
                "ip link set flannel.100 up",
                "ip route add 11.60.0.0/20 via 11.60.0.0 dev flannel.100 onlink",
                "ip neighbour add 11.60.0.0 lladdr 02:00:00:00:00:78 dev flannel.100",
                "bridge fdb add 02:00:00:00:00:78 dev flannel.100 dst 10.0.0.60 self permanent",
                "ip route add 11.61.0.0/20 dev eth0",
            ] {
                knetsim_testing::run(&command.split(' ').collect::<Vec<_>>());
            }
        };
        namespace.run(set_up).unwrap();
        let one = Node::start(namespace, spec).await.unwrap();
        let two = cluster.node(4).await;
        assert_eq!(one.address(), Ipv4Addr::new(11, 20, 16, 0));
        assert!(!"11.50.0.0/16".parse::<ipnet::Ipv4Net>().unwrap().contains(&two.address()), "{}", two.address());
        one.until("one knows two, and nobody else", |state| state.peers.len() == 1).await;
        assert_eq!(one.mac("flannel.100").await, "02:00:00:00:00:77");
        assert!(two.run("ip neighbour show dev flannel.100").contains("02:00:00:00:00:77"));
        assert_eq!(one.run("ip route show dev flannel.100").lines().count(), 1);
        assert_eq!(one.run("ip neighbour show dev flannel.100").lines().count(), 1);
        assert_eq!(one.run("bridge fdb show dev flannel.100").lines().count(), 1);
        assert!(one.run("ip route show dev eth0").contains("11.61.0.0/20"), "not its business");
        assert!(one.pings(two.address()));
    });
}
