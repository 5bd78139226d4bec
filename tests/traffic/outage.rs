//! etcd away: what runs goes on, what needs it says so, and all works again afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::io::Read as _;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use knetsim_testing::cli::{Knetsim, until};
use serde_json::Value;

/// How long etcd is away, and what its leases have left then: they run out in that time.
const AWAY: Duration = Duration::from_secs(if cfg!(feature = "nightly") { 60 } else { 15 });
const LEFT: u32 = if cfg!(feature = "nightly") { 20 } else { 8 };

/// Two clusters: `C0` loses its etcd because it is stopped, `C1` because its links are down. `C0` has three subnets, so
/// that a third worker draws another's where it may.
const TOPOLOGY: &str = "
clusters:
  C0:
    flannel:
      { Network: 11.0.0.0/8, SubnetLen: 20, SubnetMin: 11.10.0.0, SubnetMax: 11.10.32.0, Backend: { Type: vxlan, VNI: 100 } }
    workers: 2
    containers: { c1: { worker: C0w1 }, c2: { worker: C0w2 } }
  C1: { workers: 2, containers: { c1: { worker: C1w1 }, c2: { worker: C1w2 } } }
";

/// Its workers' subnets, by name.
fn subnets(inventory: &Value, cluster: &str) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let nodes = inventory["nodes"].as_array().unwrap().iter();
    let workers = nodes.filter(|node| node["kind"] == "worker" && node["cluster"] == cluster);
    workers.map(|node| (text(&node["name"]), text(&node["subnet"]))).collect()
}

/// A sandbox and its name.
struct Outage {
    knetsim: Knetsim,
}

impl Outage {
    fn ok(&self, args: &[&str]) -> String {
        self.knetsim.ok(&[&["--name", "outage"], args].concat())
    }

    fn exec(&self, target: &str, command: &[&str]) -> String {
        self.ok(&[&["exec", target, "--"], command].concat())
    }

    fn address(&self, cluster: &str, container: &str) -> String {
        let inventory = self.knetsim.inspect("outage");
        let containers = inventory["containers"].as_array().unwrap();
        let found = containers.iter().find(|it| it["cluster"] == cluster && it["name"] == container);
        found.unwrap()["address"].as_str().unwrap().to_owned()
    }

    /// Five pings a second from one worker's container to the other's, until it is interrupted.
    fn ping_on(&self, cluster: &str) -> Child {
        let other = self.address(cluster, "c2");
        let from = format!("{cluster}w1.c1");
        self.knetsim.spawn(&["exec", "--name", "outage", &from, "--", "ping", "-q", "-i0.2", &other])
    }

    /// The processes of a cluster's etcd.
    fn members(&self, cluster: &str) -> Vec<String> {
        let processes = self.exec("base", &["ps", "-eo", "pid=,args="]);
        let ours = |line: &&str| line.contains(&format!("etcd --name={cluster}e"));
        processes.lines().filter(ours).map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
    }

    /// flannel's keys, with the seconds that each lasts yet.
    fn lasts(&self, cluster: &str) -> Vec<i64> {
        let etcd = format!("{cluster}e1");
        let keys = self.exec(&etcd, &["etcdctl", "get", "--prefix", "/coreos.com/network/subnets/", "-w", "json"]);
        let keys: Value = serde_json::from_str(&keys).unwrap();
        let lease = |key: &Value| format!("{:x}", key["lease"].as_i64().unwrap());
        let ttl = |lease: String| self.exec(&etcd, &["etcdctl", "lease", "timetolive", &lease, "-w", "json"]);
        let ttls = keys["kvs"].as_array().unwrap().iter().map(|key| ttl(lease(key)));
        ttls.map(|ttl| serde_json::from_str::<Value>(&ttl).unwrap()["ttl"].as_i64().unwrap()).collect()
    }

    /// Puts each of a cluster's leases under one that ends in so many seconds, as if the day were nearly over.
    fn shorten(&self, cluster: &str, seconds: u32) {
        let script = format!(
            "for key in $(etcdctl get --prefix --keys-only /coreos.com/network/subnets/); do
                 lease=$(etcdctl lease grant {seconds} | cut -d' ' -f2)
                 etcdctl put --lease=$lease $key \"$(etcdctl get --print-value-only $key)\"
             done"
        );
        self.exec(&format!("{cluster}e1"), &["sh", "-ec", &script]);
        assert!(self.lasts(cluster).iter().all(|left| *left <= i64::from(seconds)));
    }

    /// A worker more can't be made: the error says why, and nothing is left.
    fn no_worker(&self, cluster: &str) {
        let worker = format!("{cluster}w3");
        let error = self.knetsim.fails(1, &["create", "worker", &worker, "--name", "outage"]);
        assert!(error.contains("etcd") && error.contains(&worker), "{error}");
        assert!(!self.knetsim.inspect("outage").to_string().contains(&worker));
        assert!(!self.exec("base", &["ip", "-br", "link"]).contains(&worker));
        assert!(!self.exec("base", &["ls", "/tmp/knetsim"]).contains(&worker));
        assert!(!self.exec("base", &["ps", "-eo", "args"]).contains(&worker));
    }
}

impl Drop for Outage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for node in ["C0w1", "C0w2", "C0w3", "C1w1", "C1w2", "C1w3"] {
                let logs = self.knetsim.run(&["logs", node, "--name", "outage"]).stdout;
                eprintln!("{node}:\n{}", String::from_utf8_lossy(&logs));
            }
        }
    }
}

#[test]
fn without_etcd_containers_go_on_and_workers_wait() {
    let outage = Outage { knetsim: Knetsim::new(env!("CARGO_BIN_EXE_knetsim")) };
    let file = outage.knetsim.state().with_file_name("outage.yaml");
    std::fs::write(&file, TOPOLOGY).unwrap();
    outage.knetsim.ok(&["up", "-d", "--name", "outage", "-t", file.to_str().unwrap()]);
    let before = outage.knetsim.inspect("outage");
    let (stopped, cut) = (outage.members("C0"), ["C1e1:eth0", "C1e2:eth0"]);
    assert_eq!(stopped.len(), 2);
    // The leases of C0 run out while nobody can renew them.
    outage.shorten("C0", LEFT);
    let mut pings = ["C0", "C1"].map(|cluster| (cluster, outage.ping_on(cluster)));

    let begun = Instant::now();
    outage.exec("base", &[&["kill", "-STOP"], &stopped.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat());
    cut.iter().for_each(|link| drop(outage.ok(&["link", link, "down"])));
    let mut number = 0;
    while begun.elapsed() < AWAY {
        number += 1;
        for cluster in ["C0", "C1"] {
            outage.ok(&["create", "container", &format!("{cluster}w1.new{number}")]);
            let other = outage.address(cluster, "c2");
            outage.exec(&format!("{cluster}w1.new{number}"), &["ping", "-c1", "-W1", &other]);
            outage.no_worker(cluster);
            assert_eq!(subnets(&outage.knetsim.inspect("outage"), cluster), subnets(&before, cluster));
        }
    }
    for (cluster, ping) in &mut pings {
        Command::new("kill").args(["-INT", &ping.id().to_string()]).status().unwrap();
        assert!(ping.wait().unwrap().success(), "{cluster}");
        let mut said = String::new();
        ping.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(said.contains(" 0% packet loss"), "{cluster}: {said}");
    }

    outage.exec("base", &[&["kill", "-CONT"], &stopped.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat());
    cut.iter().for_each(|link| drop(outage.ok(&["link", link, "up"])));
    assert_eq!(outage.members("C0"), stopped, "it was never started anew");
    for cluster in ["C0", "C1"] {
        let create = ["create", "worker", &format!("{cluster}w3"), "--name", "outage"];
        until("a worker can be made again", Duration::from_secs(20), || {
            outage.knetsim.run(&create).status.success().then_some(())
        });
        outage.ok(&["create", "container", &format!("{cluster}w3.c3")]);
        // The agents that were cut off try again within seconds, and take their leases again.
        for to in ["c2", "c3"] {
            let other = outage.address(cluster, to);
            let from = format!("{cluster}w1.new1");
            let reach = ["exec", "--name", "outage", &from, "--", "ping", "-c1", "-W1", &other];
            until("the old workers know all others", Duration::from_secs(20), || {
                outage.knetsim.run(&reach).status.success().then_some(())
            });
        }
        until("each worker has a lease for a day", Duration::from_secs(20), || {
            let lasts = outage.lasts(cluster);
            (lasts.len() == 3 && lasts.iter().all(|left| *left > 86_000)).then_some(())
        });
        assert_eq!(&subnets(&outage.knetsim.inspect("outage"), cluster)[..2], &subnets(&before, cluster)[..]);
    }
}

#[test]
fn a_killed_etcd_is_said_and_started_again() {
    let knetsim = Knetsim::new(env!("CARGO_BIN_EXE_knetsim"));
    let file = knetsim.state().with_file_name("killed.yaml");
    std::fs::write(&file, "clusters: { C0: { workers: 1 } }").unwrap();
    knetsim.ok(&["up", "-d", "--name", "killed", "-t", file.to_str().unwrap()]);
    let exec =
        |target: &str, command: &[&str]| knetsim.run(&[&["exec", "--name", "killed", target, "--"], command].concat());
    let pid = || {
        let processes = exec("C0e1", &["sh", "-c", "ps -o pid= -C etcd"]).stdout;
        String::from_utf8_lossy(&processes).split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let was = pid();
    assert!(exec("base", &["kill", "-9", &was[0]]).status.success());
    until("etcd runs again, as another process", Duration::from_secs(10), || {
        let now = pid();
        (now.len() == was.len() && now != was).then_some(())
    });
    until("it answers", Duration::from_secs(10), || {
        exec("C0e1", &["etcdctl", "put", "a", "b"]).status.success().then_some(())
    });
    knetsim.ok(&["create", "worker", "C0w2", "--name", "killed"]);
}
