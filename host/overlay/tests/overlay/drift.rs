//! What somebody changed by hand is mended, or only said.

use crate::common::{Cluster, Node, test, until};

async fn pair() -> (Cluster, Node, Node) {
    let cluster = Cluster::start(1).await;
    let (one, two) = (cluster.node(3).await, cluster.node(4).await);
    one.knows(&two).await;
    (cluster, one, two)
}

/// What is done to the first node, and what is said of it.
async fn mischief(one: &Node, two: &Node) -> Vec<(String, String)> {
    let (own_mac, peer_mac) = (one.mac("flannel.100").await, two.mac("flannel.100").await);
    let (own, base, subnet) = (one.address(), two.address(), two.agent.state().subnet.unwrap());
    vec![
        (format!("ip neighbour del {base} dev flannel.100"), format!("C0w3 has no neighbour entry for {base} (C0w4)")),
        (
            format!("ip neighbour replace {base} lladdr 02:00:00:00:00:99 dev flannel.100"),
            format!("C0w3's neighbour entry for {base} (C0w4) is 02:00:00:00:00:99 instead of {peer_mac}"),
        ),
        (
            format!("bridge fdb del {peer_mac} dev flannel.100 dst 10.0.0.4 self"),
            format!("C0w3 has no forwarding entry for {peer_mac} (C0w4)"),
        ),
        (
            format!("bridge fdb replace {peer_mac} dev flannel.100 dst 10.0.0.99 self permanent"),
            format!("C0w3's forwarding entry for {peer_mac} (C0w4) is 10.0.0.99 instead of 10.0.0.4"),
        ),
        (format!("ip route del {subnet}"), format!("C0w3 has no route to {subnet} (C0w4)")),
        (
            format!("ip route replace {subnet} via 10.0.0.99 dev eth0"),
            format!("C0w3's route to {subnet} (C0w4) is via 10.0.0.99 dev eth0 instead of via {base} dev flannel.100"),
        ),
        (format!("ip address del {own}/32 dev flannel.100"), format!("C0w3's flannel.100 has no address {own}/32")),
        ("ip link set flannel.100 down".to_owned(), "C0w3's flannel.100 is down".to_owned()),
        ("ip link set flannel.100 mtu 1300".to_owned(), "C0w3's flannel.100 has MTU 1300 instead of 1450".to_owned()),
        (
            "ip link set flannel.100 address 02:00:00:00:00:99".to_owned(),
            format!("C0w3's flannel.100 has the hardware address 02:00:00:00:00:99 instead of {own_mac}"),
        ),
        ("ip link del flannel.100".to_owned(), "C0w3 has no device flannel.100".to_owned()),
        (
            "ip link set flannel.100 type vxlan id 100 local 10.0.0.99".to_owned(),
            "C0w3's flannel.100 has local address 10.0.0.99 instead of 10.0.0.3".to_owned(),
        ),
    ]
}

#[test]
fn it_is_mended() {
    test(async || {
        let (_cluster, one, two) = pair().await;
        let lists = ["ip -d link", "ip -o -4 address", "ip neighbour show nud permanent", "bridge fdb", "ip route"];
        let look = || {
            let text = lists.map(|list| one.run(list)).concat();
            // A new device has another index.
            text.split_whitespace().filter(|word| !word.ends_with(':')).collect::<Vec<_>>().join(" ")
        };
        let before = look();
        for (command, words) in mischief(&one, &two).await {
            one.run(&command);
            let log = || one.files.read_to_string("var/log/flanneld.log").unwrap();
            until(&words, async || log().contains(&format!("{words}, mending"))).await;
            until(&format!("mended: {words}"), async || look() == before).await;
            assert!(one.pings(two.address()), "after: {words}");
            assert_eq!(one.agent.state().drift, [""; 0]);
        }
    });
}

#[test]
fn it_is_only_said_where_repair_is_off() {
    test(async || {
        let (cluster, one, two) = pair().await;
        for (command, words) in mischief(&one, &two).await {
            one.agent.set_repair(false);
            one.run(&command);
            one.until(&words, |state| state.drift.contains(&words)).await;
            one.agent.set_repair(true);
            one.until(&format!("mended: {words}"), |state| state.drift.is_empty()).await;
            assert!(one.pings(two.address()), "after: {words}");
        }
        // Others that come and go change nothing of it, nor does etcd.
        one.agent.set_repair(false);
        one.run("ip link del flannel.100");
        one.until("it is said", |state| state.drift == ["C0w3 has no device flannel.100"]).await;
        let three = cluster.node(5).await;
        one.until("one knows three", |state| state.peers.len() == 2).await;
        cluster.base.run(|| knetsim_testing::run(&["ip", "link", "set", "w3", "down"])).unwrap();
        one.until("cut off", |state| state.health != knetsim_model::inventory::Health::Ready).await;
        cluster.base.run(|| knetsim_testing::run(&["ip", "link", "set", "w3", "up"])).unwrap();
        one.until("back", |state| state.health == knetsim_model::inventory::Health::Ready).await;
        assert!(one.netlink.link("flannel.100").unwrap().is_none());
        assert_eq!(one.agent.state().drift, ["C0w3 has no device flannel.100"]);
        one.agent.set_repair(true);
        one.until("it is mended", |state| state.drift.is_empty()).await;
        assert!(one.pings(two.address()) && one.pings(three.address()));
    });
}

#[test]
fn direct_routes_come_back_with_the_cable() {
    test(async || {
        let cluster = Cluster::start_bare(1).await;
        // As people write it, and flannel takes it.
        let config =
            r#"{"network":"11.0.0.0/8","subnetlen":20,"backend":{"type":"vxlan","vni":100,"Directrouting":true}}"#;
        cluster.etcdctl(&["put", "/coreos.com/network/config", config]);
        let (one, two, three) = (cluster.node(3).await, cluster.node(4).await, cluster.node(5).await);
        one.knows(&two).await;
        one.knows(&three).await;
        let (subnet, other) = (two.agent.state().subnet.unwrap(), three.agent.state().subnet.unwrap());
        let route = |to| one.run(&format!("ip route show {to}")).trim().to_owned();
        let (direct, to_other) = (format!("{subnet} via 10.0.0.4 dev eth0"), format!("{other} via 10.0.0.5 dev eth0"));
        assert_eq!(route(subnet), direct);
        one.agent.set_repair(false);
        one.run("ip link set eth0 down");
        assert_eq!(route(subnet), "");
        one.until("what is missing is told", |state| state.drift.len() == 2).await;
        one.run("ip link set eth0 up");
        until("the direct routes are back", async || {
            (route(subnet), route(other)) == (direct.clone(), to_other.clone())
        })
        .await;
        one.until("nothing differs", |state| state.drift.is_empty()).await;
        // What somebody deletes stays away, whether that was told or the interface goes at once.
        let words = format!("C0w3 has no route to {subnet} (C0w4)");
        for told in [true, false] {
            one.run(&format!("ip route del {subnet}"));
            if told {
                one.until(&words, |state| state.drift.contains(&words)).await;
            }
            one.run("ip link set eth0 down");
            one.run("ip link set eth0 up");
            until("the other route is back", async || route(other) == to_other).await;
            one.run("ip link set flannel.100 mtu 1300");
            let later = "C0w3's flannel.100 has MTU 1300 instead of 1450".to_owned();
            one.until("a later look", |state| state.drift == [later.clone(), words.clone()]).await;
            assert_eq!(route(subnet), "");
            one.agent.set_repair(true);
            one.until("it is mended", |state| state.drift.is_empty()).await;
            one.agent.set_repair(false);
        }
    });
}

#[test]
fn what_leads_through_the_device_comes_back_with_it() {
    test(async || {
        let (cluster, one, two) = pair().await;
        let three = cluster.node(5).await;
        one.knows(&three).await;
        let (peer_mac, base) = (two.mac("flannel.100").await, two.address());
        let lists = ["ip neighbour show nud permanent", "bridge fdb", "ip route"];
        let look = || {
            let mut lines: Vec<_> = lists.map(|list| one.run(list)).concat().lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        one.agent.set_repair(false);
        let whole = look();
        let down = "C0w3's flannel.100 is down".to_owned();
        for pause in [true, false] {
            one.run("ip link set flannel.100 down");
            if pause {
                one.until(&down, |state| state.drift == [down.clone()]).await;
            }
            one.run("ip link set flannel.100 up");
            until("all is back", async || look() == whole).await;
            one.until("nothing differs", |state| state.drift.is_empty()).await;
            assert!(one.pings(base) && one.pings(three.address()));
        }
        // What somebody deleted before stays away.
        let subnet = two.agent.state().subnet.unwrap();
        one.run(&format!("ip route del {subnet}"));
        one.run(&format!("ip neighbour del {base} dev flannel.100"));
        one.run(&format!("bridge fdb del {peer_mac} dev flannel.100 dst 10.0.0.4 self"));
        one.until("three differences", |state| state.drift.len() == 3).await;
        let (left, drift) = (look(), one.agent.state().drift);
        one.run("ip link set flannel.100 down");
        one.until(&down, |state| state.drift == [down.clone()]).await;
        one.run("ip link set flannel.100 up");
        one.until("as before", |state| state.drift == drift).await;
        assert_eq!(look(), left);
        assert!(one.pings(three.address()));
        one.agent.set_repair(true);
        until("it is mended", async || look() == whole).await;
        // In one go, so that it is not looked at in between.
        one.agent.set_repair(false);
        let (delete, name) = (format!("ip neighbour del {base} dev flannel.100"), "flannel.100");
        let all = format!("{delete}; ip link set {name} down; ip link set {name} up");
        one.namespace.run(|| knetsim_testing::run(&["sh", "-c", &all])).unwrap();
        let words = format!("C0w3 has no neighbour entry for {base} (C0w4)");
        until("the rest is back", async || look().len() == whole.len() - 1).await;
        one.until(&words, |state| state.drift == [words.clone()]).await;
        assert_eq!(look().len(), whole.len() - 1);
    });
}

#[test]
fn the_tunnel_carries_no_more_than_the_underlay() {
    test(async || {
        let cluster = Cluster::start_bare(1).await;
        let config = r#"{"Network":"11.0.0.0/8","Backend":{"Type":"vxlan","MTU":9000,"SubnetLen":20}}"#;
        cluster.etcdctl(&["put", "/coreos.com/network/config", config]);
        let one = cluster.node(3).await;
        let env = || one.files.read_to_string("run/flannel/subnet.env").unwrap();
        let mtu = || one.netlink.link("flannel.1").unwrap().unwrap().mtu;
        assert_eq!((mtu(), env().contains("FLANNEL_MTU=1450\n")), (1450, true), "{}", env());
        assert_eq!(one.agent.state().drift, [""; 0]);
        let log = one.files.read_to_string("var/log/flanneld.log").unwrap();
        assert!(
            log.contains("flannel doesn't know Backend.SubnetLen and ignores it; did you mean SubnetLen?"),
            "{log}"
        );
        // An underlay that carries more, and one that carries less, before the device is made anew.
        for (underlay, tunnel) in [(4000, 3950), (1400, 1350)] {
            one.run(&format!("ip link set eth0 mtu {underlay}"));
            one.run("ip link del flannel.1");
            until("the device is there again", async || one.netlink.link("flannel.1").unwrap().is_some()).await;
            until("file and device agree", async || {
                mtu() == tunnel && env().contains(&format!("FLANNEL_MTU={tunnel}\n"))
            })
            .await;
        }
    });
}
