//! The nodes' underlay, driven through the command line: what a node is given on it, and which addresses it and the
//! pods on it may have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::time::Duration;

use knetsim_testing::cli::{Knetsim, until};
use serde_json::Value;

fn knetsim() -> Knetsim {
    Knetsim::new(env!("CARGO_BIN_EXE_knetsim"))
}

fn address<'a>(inventory: &'a Value, kind: &str, name: &str, cluster: &str) -> &'a str {
    let objects = inventory[kind].as_array().unwrap();
    let found = objects.iter().find(|object| object["name"] == name && object["cluster"] == cluster);
    found.unwrap_or_else(|| panic!("no {name} in {inventory:#}"))["address"].as_str().unwrap()
}

const TOPOLOGY: &str = "
clusters:
  C0:
    workers: 3
    containers:
      c1: { worker: C0w1 }
      c2: { worker: C0w2 }
scratch: [box]
";

/// What a node is given is there again when its cable is, and is reported and mended like the rest.
#[test]
fn what_a_node_is_given_comes_back_with_its_cable() {
    let knetsim = knetsim();
    let file = knetsim.state().with_file_name("cables.yaml");
    std::fs::write(&file, TOPOLOGY).unwrap();
    knetsim.ok(&["up", "-d", "--name", "cables", "-t", file.to_str().unwrap()]);
    let exec =
        |target: &str, command: &[&str]| knetsim.ok(&[&["exec", "--name", "cables", target, "--"], command].concat());
    let link = |interface: &str, state: &str| knetsim.ok(&["link", "--name", "cables", interface, state]);
    let routes = |target: &str| {
        let listed = exec(target, &["ip", "route"]);
        let mut lines: Vec<_> = listed.lines().map(|line| line.trim().to_owned()).collect();
        lines.sort();
        lines
    };
    let drift = |node: &str| {
        let inventory = knetsim.inspect("cables");
        let nodes = inventory["nodes"].as_array().unwrap();
        let found = nodes.iter().find(|node_info| node_info["name"] == node).unwrap();
        let drift = found["drift"].as_array().unwrap();
        drift.iter().map(|words| words.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let shows = |node: &str, words: &str| {
        until(words, Duration::from_secs(10), || drift(node).iter().any(|line| line == words).then_some(()));
    };
    let settled = |node: &str| until("no drift", Duration::from_secs(10), || drift(node).is_empty().then_some(()));

    // Nodes of all kinds, and a container; by knetsim, with repair off; it is there when the command ends.
    knetsim.ok(&["--name", "cables", "repair", "off", "C0w1", "C0w2", "C0e1"]);
    for (place, gone) in [("C0w1", "100.64.0.0/16"), ("C0e1", "default"), ("box", "default"), ("C0w1.c1", "default")] {
        let before = routes(place);
        assert!(before.iter().any(|route| route.starts_with(gone)), "{before:?}");
        link(&format!("{place}:eth0"), "down");
        assert!(!routes(place).iter().any(|route| route.starts_with(gone)));
        if !place.contains('.') {
            shows(place, &format!("{place}'s eth0 is down"));
        }
        link(&format!("{place}:eth0"), "up");
        assert_eq!(routes(place), before, "{place}");
        if !place.contains('.') {
            settled(place);
        }
    }
    exec("C0w1.c1", &["ping", "-c1", "-W2", "C0w1"]);
    // By hand on the node, in one go.
    let before = routes("C0w1");
    exec("C0w1", &["sh", "-c", "ip link set eth0 down; ip link set eth0 up"]);
    until("the routes are back", Duration::from_secs(10), || (routes("C0w1") == before).then_some(()));
    settled("C0w1");

    // Deleted by somebody: reported while repair is off, mended when it is on again.
    for (command, words) in [
        ("ip route del 100.64.0.0/16", "C0w2 has no route to 100.64.0.0/16 (dev eth0)"),
        ("ip route del default", "C0w2 has no route to default (dev eth0)"),
        ("ip route del throw 11.0.0.0/8", "C0w2 has no route to 11.0.0.0/8 (throw)"),
        ("ip route del 10.0.0.0/8", "C0w2 has no route to 10.0.0.0/8 (dev eth0)"),
        ("ip route replace 100.64.0.0/16 dev lo", "C0w2's route to 100.64.0.0/16 is dev lo instead of dev eth0"),
        ("ip address del 10.0.0.4/8 dev eth0", "C0w2's eth0 has no address 10.0.0.4/8"),
    ] {
        exec("C0w2", &["sh", "-c", command]);
        shows("C0w2", words);
        knetsim.ok(&["--name", "cables", "repair", "on", "C0w2"]);
        settled("C0w2");
        exec("C0w1", &["ping", "-c1", "-W2", "10.0.0.4"]);
        knetsim.ok(&["--name", "cables", "repair", "off", "C0w2"]);
    }
    // A pod's address that no route leads to is unreachable at once: packets for pods don't take the default route.
    let inventory = knetsim.inspect("cables");
    let (pod, nodes) = (address(&inventory, "containers", "c2", "C0"), inventory["nodes"].as_array().unwrap());
    let subnet = nodes.iter().find(|node_info| node_info["name"] == "C0w2").unwrap()["subnet"].as_str().unwrap();
    exec("C0w1", &["ip", "route", "del", subnet]);
    let ping = knetsim.run(&["exec", "--name", "cables", "C0w1.c1", "--", "ping", "-c1", "-W2", pod]);
    assert!(String::from_utf8_lossy(&ping.stdout).contains("Destination Net Unreachable"), "{ping:?}");
    // Where repair is on, it doesn't stay away.
    let before = routes("C0w3");
    exec("C0w3", &["ip", "route", "del", "100.64.0.0/16"]);
    until("the route is back", Duration::from_secs(10), || (routes("C0w3") == before).then_some(()));
}

const PODS_IN_THE_UNDERLAY: &str = "
clusters:
  C0:
    workers: 2
    flannel: { network: 10.244.0.0/16, Backend: { type: vxlan } }
    containers:
      c1: { worker: C0w1 }
      c2: { worker: C0w2 }
  C1:
    workers: 1
    flannel: { Network: 10.42.0.0/16, backend: { Type: vxlan, VNI: 2, Directrouting: true, mtu: 9000, Prot: 1 } }
    containers:
      c1: { worker: C1w1 }
";

#[test]
fn pods_may_have_addresses_of_the_underlay() {
    let knetsim = knetsim();
    let file = knetsim.state().with_file_name("pods.yaml");
    let scene = |text: &str| std::fs::write(&file, text).unwrap();
    scene(PODS_IN_THE_UNDERLAY);
    let file = file.to_str().unwrap();
    // A warning says what has no effect, and what is meant.
    for command in [&["validate", file][..], &["up", "-d", "--name", "pods", "-t", file]] {
        let done = knetsim.run(command);
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{said}");
        let port = "cluster C1: flannel doesn't know Backend.Prot and ignores it; did you mean Backend.Port?";
        let mtu = "flannel's Backend.MTU 9000 is more than the 1500 of the nodes' eth0: the tunnel's is 1450";
        assert!(said.contains(port) && said.contains(mtu), "{said}");
    }
    let exec =
        |target: &str, command: &[&str]| knetsim.ok(&[&["exec", "--name", "pods", target, "--"], command].concat());
    let inventory = knetsim.inspect("pods");
    let (one, two) = (address(&inventory, "containers", "c1", "C0"), address(&inventory, "containers", "c2", "C0"));
    assert!(one.starts_with("10.244.") && two.starts_with("10.244."), "{one} {two}");
    // Pod to pod across workers, worker to pods of both, node to node of both clusters, pod to node.
    for (from, to) in [
        ("C0w1.c1", two),
        ("C0w2.c2", one),
        ("C0w1", two),
        ("C0w1", one),
        ("C0w1", "C0w2"),
        ("C0w2", "C1w1"),
        ("C1w1", "C0e1"),
        ("C0w1.c1", "10.0.0.4"),
    ] {
        exec(from, &["ping", "-c1", "-W2", to]);
    }
    assert!(exec("C0w1", &["ip", "route", "get", two]).contains("dev flannel.1"));
    // The largest packets cross, and the file that containers are made by says the same as the device.
    exec("C0w1.c1", &["ping", "-c1", "-W2", "-M", "do", "-s", "1422", two]);
    assert!(exec("C1w1", &["ip", "link", "show", "flannel.2"]).contains("mtu 1450"));
    assert!(exec("C1w1", &["cat", "/run/flannel/subnet.env"]).contains("FLANNEL_MTU=1450\n"));
    // A running cluster's configuration becomes another.
    let other = PODS_IN_THE_UNDERLAY.replace(
        "network: 10.244.0.0/16, Backend: { type: vxlan",
        "network: 10.5.0.0/16, Backend: { type: vxlan, MTU: 9000",
    );
    scene(&other);
    knetsim.ok(&["up", "--name", "pods", "-t", file]);
    let routes = exec("C0w1", &["ip", "route"]);
    assert!(routes.contains("throw 10.5.0.0/16") && !routes.contains("10.244."), "{routes}");
    assert!(exec("C0w1", &["ip", "link", "show", "flannel.1"]).contains("mtu 1450"));
    assert!(exec("C0w1", &["cat", "/run/flannel/subnet.env"]).contains("FLANNEL_MTU=1450\n"));
    let inventory = knetsim.inspect("pods");
    exec("C0w1.c1", &["ping", "-c1", "-W2", "-M", "do", "-s", "1422", address(&inventory, "containers", "c2", "C0")]);
    assert!(
        inventory["nodes"].as_array().unwrap().iter().all(|node| node["drift"] == serde_json::json!([])),
        "{inventory}"
    );
}

#[test]
fn the_underlay_can_be_another_network() {
    let knetsim = knetsim();
    let file = knetsim.state().with_file_name("moved.yaml");
    let text = "clusters: { C0: { workers: 2, flannel: { Network: 10.0.0.0/8, Backend: { Type: vxlan } }, \
                containers: { c1: { worker: C0w1 }, c2: { worker: C0w2 } } } }";
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    assert!(
        knetsim.fails(2, &["validate", file]).contains("overlaps 10.0.0.0/16, where the nodes have their addresses")
    );
    knetsim.ok(&["up", "-d", "--name", "moved", "-t", file, "--underlay", "192.168.0.0/16"]);
    let inventory = knetsim.inspect("moved");
    assert_eq!(address(&inventory, "nodes", "C0w1", "C0"), "192.168.0.3");
    assert_eq!(address(&inventory, "nodes", "C0e2", "C0"), "192.168.1.2");
    let exec =
        |target: &str, command: &[&str]| knetsim.ok(&[&["exec", "--name", "moved", target, "--"], command].concat());
    exec("C0w1", &["ping", "-c1", "-W2", "C0e1"]);
    exec("C0w1.c1", &["ping", "-c1", "-W2", address(&inventory, "containers", "c2", "C0")]);
    let printed = knetsim.ok(&["inspect", "--name", "moved", "-o", "yaml"]);
    assert!(printed.contains("underlay: 192.168.0.0/16\n"), "{printed}");
    let refused = knetsim.fails(2, &["up", "--name", "moved", "-t", file, "--underlay", "172.16.0.0/12"]);
    assert!(refused.contains("can't become 172.16.0.0/12 while there are nodes"), "{refused}");
}
