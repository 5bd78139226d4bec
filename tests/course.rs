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
