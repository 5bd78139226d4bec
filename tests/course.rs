//! The course's two clusters, driven through the command line: what is made, what crosses it, and
//! that nothing of it is seen outside or remains.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::process::Command;
use std::time::Duration;

use knetsim_testing::cli::{Knetsim, until};
use knetsim_testing::host;
use serde_json::Value;

const TOPOLOGY: &str = "
clusters:
  C0:
    workers: 3
    containers:
      c1: { worker: C0w1 }
      c2: { worker: C0w2 }
      c3: { worker: C0w1 }
  C1:
    workers: 3
    containers:
      c1: { worker: C1w1 }
scratch: [box]
";

fn knetsim() -> Knetsim {
    Knetsim::new(env!("CARGO_BIN_EXE_knetsim"))
}

/// Up in the background, from [`TOPOLOGY`].
fn up(knetsim: &Knetsim, name: &str) {
    let file = knetsim.state().with_file_name("course.yaml");
    std::fs::write(&file, TOPOLOGY).unwrap();
    knetsim.ok(&["up", "-d", "--name", name, "-t", file.to_str().unwrap()]);
}

fn address<'a>(inventory: &'a Value, kind: &str, name: &str, cluster: &str) -> &'a str {
    let objects = inventory[kind].as_array().unwrap();
    let found = objects.iter().find(|object| object["name"] == name && object["cluster"] == cluster);
    found.unwrap_or_else(|| panic!("no {name} in {inventory:#}"))["address"].as_str().unwrap()
}

#[test]
fn what_the_slides_show_and_the_host_never_sees() {
    let knetsim = knetsim();
    let before = host::snapshot();
    up(&knetsim, "course");
    host::assert_same(&before, &host::snapshot());

    let there = knetsim.inspect("course");
    assert_eq!(address(&there, "nodes", "C0w1", "C0"), "10.0.0.3");
    assert_eq!(address(&there, "nodes", "C1w1", "C1"), "10.0.0.8");
    assert_eq!(address(&there, "nodes", "C0e2", "C0"), "10.1.0.2");
    let exec =
        |target: &str, command: &[&str]| knetsim.ok(&[&["exec", "--name", "course", target, "--"], command].concat());
    // Workers reach each other, of the other cluster too, by name and by address.
    exec("C0w1", &["ping", "-c1", "-W2", "C1w3"]);
    exec("C0e1", &["ping", "-c1", "-W2", "10.0.0.3"]);
    // Containers: on the same node over the bridge, on another over VXLAN.
    exec("C0w1.c1", &["ping", "-c1", "-W2", address(&there, "containers", "c3", "C0")]);
    exec("C0w1.c1", &["ping", "-c1", "-W2", address(&there, "containers", "c2", "C0")]);
    assert!(exec("C0w1", &["ip", "-d", "link", "show", "flannel.100"]).contains("vxlan id 100 local 10.0.0.3"));
    assert!(exec("C0w1", &["cat", "/run/flannel/subnet.env"]).contains("FLANNEL_NETWORK=11.0.0.0/8"));
    assert!(exec("C0w1", &["ip", "netns", "list"]).contains("c1"));
    assert!(
        exec("C0e1", &["etcdctl", "get", "--prefix", "--keys-only", "/coreos.com/network/subnets/"])
            .contains("/coreos.com/network/subnets/11.")
    );
    assert!(exec("C0w2", &["hostname", "-I"]).starts_with("10.0.0.4"));
    assert_eq!(exec("C0w2", &["hostname"]).trim(), "C0w2");
    // A container has the files of its node, and another network.
    assert_eq!(exec("C0w1.c1", &["hostname"]).trim(), "C0w1");
    assert!(!exec("C0w1.c1", &["ip", "-o", "link"]).contains("flannel"));
    exec("C0w1.c1", &["ping", "-c1", "-W2", "127.0.0.1"]);
    // A scratch node is empty but has somewhere to send.
    assert_eq!(exec("box", &["nft", "list", "ruleset"]), "");
    assert!(exec("box", &["ip", "route"]).contains("default dev eth0"));
    // The node side's base has the bridges, and the nodes' files as in the slides.
    assert!(exec("base", &["ip", "-br", "link"]).contains("C0s0"));
    assert!(exec("base", &["ls", "/tmp/knetsim/C0w1"]).contains("flannel-subnet.env"));

    host::assert_same(&before, &host::snapshot());
    knetsim.ok(&["down", "--name", "course"]);
    host::assert_same(&before, &host::snapshot());
    assert_eq!(std::fs::read_dir(knetsim.state()).map_or(0, Iterator::count), 0, "a state folder is left");
    assert_eq!(std::fs::read_dir(knetsim.temporary()).unwrap().count(), 0, "a temporary file is left");
}

#[test]
fn two_sandboxes_with_the_same_names_and_addresses() {
    let knetsim = knetsim();
    for name in ["one", "two"] {
        up(&knetsim, name);
    }
    for name in ["one", "two"] {
        let there = knetsim.inspect(name);
        let other = address(&there, "containers", "c2", "C0");
        knetsim.ok(&["exec", "--name", name, "C0w1.c1", "--", "ping", "-c1", "-W2", other]);
        knetsim.ok(&["exec", "--name", name, "C0w1", "--", "sh", "-c", &format!("echo {name} > /tmp/whose")]);
    }
    for name in ["one", "two"] {
        assert_eq!(knetsim.ok(&["exec", "--name", name, "C0w2", "--", "cat", "/tmp/whose"]).trim(), name);
    }
}

#[test]
fn what_is_made_by_command_can_be_deleted_and_clashes_name_both() {
    let knetsim = knetsim();
    up(&knetsim, "verbs");
    let run = |args: &[&str]| knetsim.ok(&[&["--name", "verbs"], args].concat());
    let fails = |status, args: &[&str]| knetsim.fails(status, &[&["--name", "verbs"], args].concat());
    run(&["create", "container", "C0w3.c10"]);
    assert!(fails(4, &["create", "container", "C0w2.c10"]).contains("C0w3.c10"));
    assert!(fails(4, &["create", "container", "C0w2.c1"]).contains("the topology file"));
    assert!(fails(4, &["delete", "worker", "C0w3"]).contains("C0w3.c10"));
    run(&["delete", "container", "C0.c10"]);
    assert!(fails(3, &["delete", "container", "C0.c10"]).contains("there is no container C0.c10"));
    run(&["create", "worker", "C1w4"]);
    assert_eq!(address(&knetsim.inspect("verbs"), "nodes", "C1w4", "C1"), "10.0.0.12");
    run(&["delete", "worker", "C1w4"]);
    run(&["create", "worker", "C1w4"]);
    run(&["create", "cluster", "C2", "--workers", "1"]);
    run(&["exec", "C2w1", "--", "ping", "-c1", "-W2", "C0w1"]);
    run(&["delete", "cluster", "C2"]);
    assert!(!run(&["exec", "base", "--", "ip", "-br", "link"]).contains("C2"));
    // Any link, in the fabric too.
    run(&["link", "base:C0s0-t0", "down"]);
    let cut = ["exec", "--name", "verbs", "C0w1", "--", "ping", "-c1", "-W1", "C1w1"];
    assert!(!knetsim.run(&cut).status.success());
    run(&["link", "base:C0s0-t0", "up"]);
    until("the clusters reach each other again", Duration::from_secs(5), || {
        knetsim.run(&cut).status.success().then_some(())
    });
}

#[test]
fn a_container_ends_with_what_runs_in_it() {
    let knetsim = knetsim();
    up(&knetsim, "ends");
    let run = |args: &[&str]| knetsim.ok(&[&["--name", "ends"], args].concat());
    let exec =
        |target: &str, command: &[&str]| knetsim.ok(&[&["exec", "--name", "ends", target, "--"], command].concat());
    // In its own session, as a daemon would be, and with its output in the container's log.
    run(&["create", "container", "C0w1.busy", "--", "setsid", "sh", "-c", "echo begun; exec sleep 777"]);
    let sleeping = || exec("base", &["ps", "-eo", "args"]).contains("sleep 777");
    until("the command runs", Duration::from_secs(5), || sleeping().then_some(()));
    until("its log", Duration::from_secs(5), || run(&["logs", "C0w1.busy"]).contains("begun").then_some(()));
    run(&["delete", "container", "C0w1.busy"]);
    assert!(!sleeping());
    // The course's way, by hand.
    let by_hand =
        "ip netns add myns && CNI_PATH=/opt/cni/bin NETCONFPATH=/tmp/knetsim/C0w1 cnitool add C0w1 /var/run/netns/myns";
    assert!(exec("C0w1", &["sh", "-c", by_hand]).contains("\"ips\""));
    exec(
        "C0w1",
        &[
            "sh",
            "-c",
            "ip netns exec myns ping -c1 -W2 $(ip -4 -o addr show cni0 | awk '{sub(\"/.*\",\"\",$4); print $4}')",
        ],
    );
    exec(
        "C0w1",
        &[
            "sh",
            "-c",
            "CNI_PATH=/opt/cni/bin NETCONFPATH=/tmp/knetsim/C0w1 cnitool del C0w1 /var/run/netns/myns && ip netns del myns",
        ],
    );
}

#[test]
fn cnitool_and_knetsim_take_turns_on_a_container() {
    let knetsim = knetsim();
    up(&knetsim, "cni");
    let run = |args: &[&str]| knetsim.ok(&[&["--name", "cni"], args].concat());
    let exec = |target: &str, command: &str| knetsim.run(&["exec", "--name", "cni", target, "--", "sh", "-c", command]);
    let cnitool = |verb: &str| {
        let tool = "CNI_PATH=/opt/cni/bin NETCONFPATH=/tmp/knetsim/C0w3 cnitool";
        exec("C0w3", &format!("{tool} {verb} C0w3 /var/run/netns/c10"))
    };
    let reserved =
        || String::from_utf8(exec("C0w3", "cd /var/lib/cni/networks/C0w3; ls | grep -c ^11").stdout).unwrap();
    let is_connected = || exec("C0w3.c10", "ip link show eth0").status.success();
    run(&["create", "container", "C0w3.c10"]);
    // What is connected can't be connected again, and stays as it is.
    let again = cnitool("add");
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("without DEL"), "{again:?}");
    assert!(is_connected());
    assert!(cnitool("check").status.success());
    assert!(cnitool("del").status.success());
    assert!(!is_connected());
    assert_eq!(reserved(), "0\n");
    assert!(cnitool("add").status.success());
    assert!(is_connected());
    assert_eq!(reserved(), "1\n");
    run(&["delete", "container", "C0.c10"]);
    assert_eq!(reserved(), "0\n");
    // What was taken away by hand is no hindrance.
    run(&["create", "container", "C0w3.c10"]);
    assert!(cnitool("del").status.success());
    run(&["delete", "container", "C0.c10"]);
    assert_eq!(reserved(), "0\n");
}

#[test]
fn exec_keeps_status_streams_and_signals() {
    let knetsim = knetsim();
    up(&knetsim, "exec");
    let exec = |command: &[&str]| knetsim.run(&[&["exec", "--name", "exec", "C0w1.c1", "--"], command].concat());
    let both = exec(&["sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!(
        (both.status.code(), both.stdout.as_slice(), both.stderr.as_slice()),
        (Some(7), &b"out\n"[..], &b"err\n"[..])
    );
    assert_eq!(exec(&["no-such-program"]).status.code(), Some(127));
    assert_eq!(exec(&["sh", "-c", "kill -9 $$"]).status.code(), Some(137));
    // A signal to the client reaches the command, whose answer comes back.
    let script = "trap 'echo got; exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    let mut client = knetsim.spawn(&["exec", "--name", "exec", "C0w1.c1", "--", "sh", "-c", script]);
    let mut first = String::new();
    let mut reader = std::io::BufReader::new(client.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut reader, &mut first).unwrap();
    Command::new("kill").arg(client.id().to_string()).status().unwrap();
    assert_eq!(client.wait().unwrap().code(), Some(3));
    std::io::BufRead::read_line(&mut reader, &mut first).unwrap();
    assert_eq!(first, "ready\ngot\n");
    // A client that dies ends its command, and nothing else.
    let mut client = knetsim.spawn(&["exec", "--name", "exec", "C0w1.c1", "--", "sleep", "778"]);
    let running = || knetsim.ok(&["exec", "--name", "exec", "base", "--", "ps", "-eo", "args"]).contains("sleep 778");
    until("it runs", Duration::from_secs(5), || running().then_some(()));
    client.kill().unwrap();
    client.wait().unwrap();
    until("it ended", Duration::from_secs(5), || (!running()).then_some(()));
}

/// The file with all of the slides' scene, and what they do with it in C5 and in the tutorial of nftables.
#[test]
fn the_file_of_the_course_has_its_whole_scene() {
    let knetsim = knetsim();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../conf/k8s-netsim.yaml");
    knetsim.ok(&["up", "-d", "--name", "whole", "-t", file]);
    let exec =
        |target: &str, command: &[&str]| knetsim.ok(&[&["exec", "--name", "whole", target, "--"], command].concat());
    // From C1 to c4 in C0, by both routers: the listener's port opens when they have met.
    let asked = ["exec", "--name", "whole", "C1w2.c2", "--", "curl", "-s", "--max-time", "5", "10.0.0.8:1028"];
    let answered = || Some(knetsim.run(&asked)).filter(|asked| asked.status.success());
    let answer = until("c4 answers", Duration::from_secs(20), answered);
    assert_eq!(String::from_utf8_lossy(&answer.stdout), "C4\n");
    // Both routers' files where the slides have them, on the node side's base and on a worker.
    for (place, cluster, section) in
        [("base", "C0", "tcpConnector"), ("C1w1", "C1", "tcpListener"), ("base", "C1", "C0w1")]
    {
        let file = exec(place, &["cat", &format!("/tmp/knetsim/skupper/{cluster}.json")]);
        assert!(file.contains(section) && file.contains("backend:8080"), "{file}");
    }
    let json: Value = serde_json::from_str(&exec("base", &["cat", "/tmp/knetsim/skupper/C0.json"])).unwrap();
    assert_eq!(json[0][0], "router");
    // A site that goes takes its file along.
    knetsim.ok(&["--name", "whole", "delete", "link", "C1.c0"]);
    knetsim.ok(&["--name", "whole", "delete", "site", "C1", "--force"]);
    assert_eq!(exec("base", &["ls", "/tmp/knetsim/skupper"]), "C0.json\n");

    // What is sent to an address of nobody passes `output` of a worker, and is counted there.
    exec("C0w2", &["nft", "add", "table", "ip", "table1"]);
    exec("C0w2", &["nft", "add chain ip table1 chain1 { type filter hook output priority 0; policy accept; }"]);
    exec("C0w2", &["nft", "add", "rule", "ip", "table1", "chain1", "ip", "daddr", "8.8.8.8", "counter"]);
    let ping = knetsim.run(&["exec", "--name", "whole", "C0w2", "--", "ping", "-c1", "-W1", "8.8.8.8"]);
    assert_eq!(ping.status.code(), Some(1), "nobody answers: {ping:?}");
    let listed = exec("C0w2", &["nft", "list", "table", "ip", "table1"]);
    assert!(listed.contains("ip daddr 8.8.8.8 counter packets 1 bytes 84"), "{listed}");

    // The slides' call where its address is taken already: what it says.
    let clash = ["--name", "whole", "create", "service", "C0.mine", "--vip", "100.64.10.1", "c2", "c3"];
    let words = "100.64.10.1 is the address of service C0.slides already, made by the topology file, not by the user";
    let said = knetsim.fails(4, &clash);
    assert!(said.contains(words), "{said}");
}

/// What a node is given is there again when its cable is, and is told and mended like the rest.
#[test]
fn what_a_node_is_given_comes_back_with_its_cable() {
    let knetsim = knetsim();
    up(&knetsim, "cables");
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

    // Deleted by somebody: told while repair is off, mended when it is on again.
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
    // What has no effect is told, and what is meant.
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
