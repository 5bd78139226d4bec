//! etcd away: what runs goes on, what needs it says so, and all works again afterwards.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::time::Duration;

use knetsim_testing::cli::{Knetsim, until};
use serde_json::Value;

fn subnets(inventory: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let nodes = inventory["nodes"].as_array().unwrap().iter();
    nodes.filter(|node| node["kind"] == "worker").map(|node| (text(&node["name"]), text(&node["subnet"]))).collect()
}

#[test]
fn without_etcd_containers_go_on_and_workers_wait() {
    let knetsim = Knetsim::new(env!("CARGO_BIN_EXE_knetsim"));
    let file = knetsim.state().with_file_name("outage.yaml");
    let topology = "clusters: { C0: { workers: 2, containers: { c1: { worker: C0w1 }, c2: { worker: C0w2 } } } }";
    std::fs::write(&file, topology).unwrap();
    knetsim.ok(&["up", "-d", "--name", "outage", "-t", file.to_str().unwrap()]);
    let run = |args: &[&str]| knetsim.ok(&[&["--name", "outage"], args].concat());
    let before = knetsim.inspect("outage");
    let other = before["containers"][1]["address"].as_str().unwrap().to_owned();
    let ping = || knetsim.ok(&["exec", "--name", "outage", "C0w1.c1", "--", "ping", "-c1", "-W2", &other]);
    ping();

    for member in ["C0e1", "C0e2"] {
        run(&["link", &format!("{member}:eth0"), "down"]);
    }
    ping();
    run(&["create", "container", "C0w1.meanwhile"]);
    let error = knetsim.fails(1, &["create", "worker", "C0w3", "--name", "outage"]);
    assert!(error.contains("etcd") && error.contains("C0w3"), "{error}");
    let now = knetsim.inspect("outage");
    assert_eq!(subnets(&now), subnets(&before));
    assert!(!knetsim.ok(&["exec", "--name", "outage", "base", "--", "ip", "-br", "link"]).contains("C0w3"));
    assert!(!knetsim.ok(&["exec", "--name", "outage", "base", "--", "ls", "/tmp/knetsim"]).contains("C0w3"));

    for member in ["C0e1", "C0e2"] {
        run(&["link", &format!("{member}:eth0"), "up"]);
    }
    let create = ["create", "worker", "C0w3", "--name", "outage"];
    until("a worker can be made again", Duration::from_secs(20), || {
        knetsim.run(&create).status.success().then_some(())
    });
    run(&["create", "container", "C0w3.c3"]);
    let third = knetsim.inspect("outage")["containers"][2]["address"].as_str().unwrap().to_owned();
    // The agents that were cut off try again every few seconds.
    let reach = ["exec", "--name", "outage", "C0w1.c1", "--", "ping", "-c1", "-W1", &third];
    until("the old workers learn of the new one", Duration::from_secs(20), || {
        knetsim.run(&reach).status.success().then_some(())
    });
    ping();
    assert_eq!(&subnets(&knetsim.inspect("outage"))[..2], &subnets(&before)[..]);
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
