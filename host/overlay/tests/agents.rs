//! Agents beside each other on one real etcd, in namespaces of the test's own.

use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use knetsim_kernel::NetNs;
use knetsim_kernel::netlink::{Bridge, Netlink, Veth};
use knetsim_model::flannel::FlannelConfig;
use knetsim_model::inventory::Health;
use knetsim_overlay::{Agent, AgentSpec, Etcd, FLANNEL_LEASE, SUBNETS};
use knetsim_testing::{in_namespaces, run};
use tokio::runtime::Runtime;

/// One etcd member and a bridge in the test's own namespace, and a folder for everything.
struct Cluster {
    folder: tempfile::TempDir,
    base: NetNs,
    etcd: Child,
}

/// A node with its agent.
struct Node {
    namespace: NetNs,
    netlink: Netlink,
    agent: Agent,
}

const MEMBER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);

impl Cluster {
    async fn start() -> Self {
        run(&["ip", "link", "set", "lo", "up"]);
        let base = NetNs::current().unwrap();
        let netlink = base.netlink().unwrap();
        netlink.add_bridge(&Bridge { name: "eth0", up: true, ..Bridge::default() }).await.unwrap();
        run(&["ip", "address", "add", "10.1.0.1/8", "dev", "eth0"]);
        let folder = tempfile::tempdir().unwrap();
        let etcd = start_etcd(folder.path());
        let cluster = Cluster { folder, base, etcd };
        cluster.answers().await;
        cluster.client().await.put_config(&FlannelConfig::default()).await.unwrap();
        cluster
    }

    async fn client(&self) -> Etcd {
        Etcd::new(&self.base, &[MEMBER]).await.unwrap()
    }

    async fn answers(&self) {
        let client = self.client().await;
        let ready = async {
            while client.ready().await.is_err() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), ready).await.expect("etcd answers");
    }

    async fn node(&self, number: u8, lease: (u32, u32)) -> Node {
        let namespace = std::thread::spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            NetNs::current().unwrap()
        });
        let namespace = namespace.join().unwrap();
        let base = self.base.netlink().unwrap();
        let master = base.link("eth0").await.unwrap().unwrap().index;
        let name = format!("w{number}");
        let veth = Veth {
            name: &name,
            master: Some(master),
            up: true,
            peer_name: "eth0",
            peer_index: Some(2),
            peer_namespace: Some(&namespace),
            ..Veth::default()
        };
        base.add_veth(&veth).await.unwrap();
        let netlink = namespace.netlink().unwrap();
        let public_ip = Ipv4Addr::new(10, 0, 0, number);
        netlink.set_up(1, true).await.unwrap();
        netlink.set_up(2, true).await.unwrap();
        netlink.add_address(2, ipnet::IpNet::new_assert(public_ip.into(), 8)).await.unwrap();
        let files = self.folder.path().join(&name);
        std::fs::create_dir_all(files.join("run")).unwrap();
        std::fs::create_dir_all(files.join("var/log")).unwrap();
        let spec = AgentSpec {
            node: format!("C0w{number}").parse().unwrap(),
            public_ip,
            netlink: netlink.clone(),
            files: Dir::open_ambient_dir(&files, ambient_authority()).unwrap(),
            etcd: Etcd::new(&namespace, &[MEMBER]).await.unwrap(),
            ttl: lease.0,
            margin: lease.1,
        };
        let agent = Agent::start(spec, Duration::from_secs(10)).await.unwrap();
        Node { namespace, netlink, agent }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.etcd.kill();
        let _ = self.etcd.wait();
    }
}

fn start_etcd(folder: &std::path::Path) -> Child {
    let node = "C0e1".parse().unwrap();
    let mut argv = knetsim_overlay::etcd_command(&"C0".parse().unwrap(), &node, &[(node.clone(), MEMBER)]);
    argv.push(format!("--data-dir={}/data", folder.display()));
    let log = std::fs::File::create(folder.join("etcd.log")).unwrap();
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).envs(knetsim_overlay::etcd_environment()).stdout(Stdio::null()).stderr(log);
    command.spawn().expect("etcd (package etcd-server) starts")
}

impl Node {
    fn subnet(&self) -> Ipv4Addr {
        self.agent.state().subnet.unwrap().network()
    }

    fn pings(&self, to: Ipv4Addr) -> bool {
        let ping = || Command::new("ping").args(["-c1", "-W1", &to.to_string()]).output().unwrap().status.success();
        self.namespace.run(ping).unwrap()
    }

    /// Waits until its agent is in a state.
    async fn until(&self, what: &str, state: impl Fn(&knetsim_overlay::AgentState) -> bool) {
        let reached = async {
            while !state(&self.agent.state()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let reached = tokio::time::timeout(Duration::from_secs(15), reached).await;
        assert!(reached.is_ok(), "{what}: {:?}", self.agent.state());
    }
}

fn test(work: impl AsyncFnOnce()) {
    in_namespaces(|| Runtime::new().unwrap().block_on(work()));
}

#[test]
fn peers_reach_each_other_and_one_that_leaves_is_forgotten() {
    test(async || {
        let cluster = Cluster::start().await;
        let (one, two) = (cluster.node(3, FLANNEL_LEASE).await, cluster.node(4, FLANNEL_LEASE).await);
        one.until("one knows two", |state| state.peers == 1).await;
        assert!(one.pings(two.subnet()) && two.pings(one.subnet()));
        let keys = cluster.client().await.keys(SUBNETS).await.unwrap();
        assert_eq!(keys.len(), 2);
        assert!(keys[0].value.starts_with(r#"{"PublicIP":"10.0.0."#), "{}", keys[0].value);
        assert!((86_000..=86_400).contains(&keys[0].ttl.unwrap()));
        let link = one.netlink.link("flannel.100").await.unwrap().unwrap();
        assert_eq!((link.mtu, link.vxlan.as_ref().unwrap().vni), (1450, 100));
        assert!(keys.iter().any(|key| key.value.contains(&link.mac)));

        two.agent.release().await.unwrap();
        one.until("one forgot two", |state| state.peers == 0).await;
        assert!(!one.netlink.routes().await.unwrap().iter().any(|route| route.onlink), "a route is left");
        let neighbours = one.netlink.neighbours().await.unwrap();
        assert!(!neighbours.iter().any(|there| there.state == "permanent"), "{neighbours:?}");
        assert!(two.netlink.link("flannel.100").await.unwrap().is_none());
        assert_eq!(cluster.client().await.keys(SUBNETS).await.unwrap().len(), 1);
    });
}

#[test]
fn etcd_away_and_back_changes_no_subnet_and_no_traffic() {
    test(async || {
        let mut cluster = Cluster::start().await;
        let (one, two) = (cluster.node(3, FLANNEL_LEASE).await, cluster.node(4, FLANNEL_LEASE).await);
        one.until("one knows two", |state| state.peers == 1).await;
        let before = (one.subnet(), two.subnet());
        cluster.etcd.kill().unwrap();
        cluster.etcd.wait().unwrap();
        one.until("one noticed", |state| state.health != Health::Ready).await;
        assert!(one.pings(two.subnet()));
        cluster.etcd = start_etcd(cluster.folder.path());
        for node in [&one, &two] {
            node.until("ready again", |state| state.health == Health::Ready && state.peers == 1).await;
        }
        assert_eq!((one.subnet(), two.subnet()), before);
        assert!(one.pings(two.subnet()));
        let three = cluster.node(5, FLANNEL_LEASE).await;
        one.until("one knows three", |state| state.peers == 2).await;
        assert!(three.pings(one.subnet()));
    });
}

#[test]
fn what_somebody_removed_is_mended_or_said() {
    test(async || {
        let cluster = Cluster::start().await;
        let (one, two) = (cluster.node(3, FLANNEL_LEASE).await, cluster.node(4, FLANNEL_LEASE).await);
        one.until("one knows two", |state| state.peers == 1).await;
        let subnet = two.agent.state().subnet.unwrap().to_string();
        let mac = two.netlink.link("flannel.100").await.unwrap().unwrap().mac;
        let gateway = two.subnet().to_string();
        let break_all = || {
            run(&["ip", "route", "del", &subnet]);
            run(&["ip", "neighbour", "del", &gateway, "dev", "flannel.100"]);
            run(&["bridge", "fdb", "del", &mac, "dev", "flannel.100", "dst", "10.0.0.4", "self"]);
        };
        one.agent.set_repair(false);
        one.namespace.run(break_all).unwrap();
        one.agent.changed();
        one.until("it is said", |state| state.drift.len() == 3).await;
        let drift = one.agent.state().drift.join("; ");
        assert!(drift.contains(&format!("no neighbour entry for {gateway}")), "{drift}");
        assert!(!one.pings(two.subnet()));
        one.agent.set_repair(true);
        one.until("it is mended", |state| state.drift.is_empty()).await;
        assert!(one.pings(two.subnet()));
        // The whole device.
        one.namespace.run(|| run(&["ip", "link", "del", "flannel.100"])).unwrap();
        one.agent.changed();
        one.until("it noticed", |state| state.health != Health::Ready).await;
        one.until("it is there again", |state| state.health == Health::Ready).await;
        two.until("two heard of its new hardware address", |state| state.peers == 1).await;
        let reached = async { while !one.pings(two.subnet()) {} };
        tokio::time::timeout(Duration::from_secs(10), reached).await.expect("they reach each other again");
    });
}

#[test]
fn a_lease_is_renewed_before_its_end() {
    test(async || {
        let cluster = Cluster::start().await;
        // Four seconds, renewed when three are left.
        let one = cluster.node(3, (4, 3)).await;
        let client = cluster.client().await;
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_secs(7) {
            let keys = client.keys(SUBNETS).await.unwrap();
            assert!(keys.iter().any(|key| key.ttl.is_some_and(|ttl| ttl > 0)), "the lease ran out");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(one.agent.state().health, Health::Ready);
    });
}

#[test]
fn a_compaction_during_a_cut_is_survived() {
    test(async || {
        let mut cluster = Cluster::start().await;
        let one = cluster.node(3, FLANNEL_LEASE).await;
        cluster.etcd.kill().unwrap();
        cluster.etcd.wait().unwrap();
        one.until("it noticed", |state| state.health != Health::Ready).await;
        // While the agent is cut off by a link that is down, others come, go, and history is compacted.
        one.netlink.set_up(2, false).await.unwrap();
        cluster.etcd = start_etcd(cluster.folder.path());
        cluster.answers().await;
        let two = cluster.node(4, FLANNEL_LEASE).await;
        let compact = || {
            let status = run(&["etcdctl", "--endpoints=http://127.0.0.1:2379", "get", "x", "-w", "json"]);
            let revision =
                serde_json::from_str::<serde_json::Value>(&status).unwrap()["header"]["revision"].to_string();
            run(&["etcdctl", "--endpoints=http://127.0.0.1:2379", "compact", &revision]);
        };
        compact();
        one.netlink.set_up(2, true).await.unwrap();
        one.until("it knows two", |state| state.health == Health::Ready && state.peers == 1).await;
        assert!(one.pings(two.subnet()));
    });
}
