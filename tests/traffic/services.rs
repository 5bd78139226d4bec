//! Services of a cluster, driven through the command line: from each kind of source to each kind of endpoint, while
//! endpoints come and go, and while somebody spoils the rules.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use knetsim_testing::cli::{Knetsim, until};
use serde_json::Value;

/// Answers with its name: each TCP connection, and each UDP datagram.
const SERVER: &str = r#"
import os, socket, sys, threading
name = sys.argv[1].encode()
tcp, udp = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
for one in (tcp, udp): one.bind(("", 8000))
tcp.listen(1000)
def datagrams():
    while True:
        asked, who = udp.recvfrom(99)
        udp.sendto(name, who)
threading.Thread(target=datagrams, daemon=True).start()
def lines(one):
    one.sendall(name)
    while one.recv(9): one.sendall(name)
while True:
    one, _ = tcp.accept()
    threading.Thread(target=lines, args=(one,), daemon=True).start()
"#;

/// Makes `n` connections to an address and port, and prints how many each endpoint answered, and how many failed.
const CLIENT: &str = r#"
import collections, json, socket, struct, sys
kind, vip, port, n = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
seen = collections.Counter()
for _ in range(n):
    one = socket.socket(type=socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    one.settimeout(2)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    try:
        one.connect((vip, port))
        if kind == "udp": one.send(b"?")
        seen[one.recv(99).decode() or "nothing"] += 1
    except OSError as error:
        seen[type(error).__name__] += 1
    one.close()
print(json.dumps(seen))
"#;

struct Scene {
    knetsim: Knetsim,
}

type Seen = BTreeMap<String, u64>;

impl Scene {
    fn up(topology: &str) -> Self {
        let knetsim = Knetsim::new(env!("CARGO_BIN_EXE_knetsim"));
        let scene = Scene { knetsim };
        scene.apply(topology);
        scene
    }

    fn apply(&self, topology: &str) {
        let file = self.knetsim.state().with_file_name("services.yaml");
        std::fs::write(&file, topology).unwrap();
        self.knetsim.ok(&["up", "-d", "-t", file.to_str().unwrap()]);
    }

    fn ok(&self, args: &[&str]) -> String {
        self.knetsim.ok(args)
    }

    fn exec(&self, target: &str, command: &[&str]) -> String {
        self.knetsim.ok(&[&["exec", target, "--"], command].concat())
    }

    fn try_connections(&self, from: &str, kind: &str, vip: &str, port: &str, n: u32) -> Seen {
        let said = self.exec(from, &["python3", "-c", CLIENT, kind, vip, port, &n.to_string()]);
        serde_json::from_str(&said).unwrap()
    }

    /// Who answered `n` connections, all of which must have been answered.
    fn connections(&self, from: &str, kind: &str, vip: &str, port: &str, n: u32) -> Seen {
        let seen = self.try_connections(from, kind, vip, port, n);
        assert!(seen.keys().all(|name| name.starts_with('b')), "{kind} from {from} to {vip}:{port}: {seen:?}");
        seen
    }

    fn service(&self, name: &str) -> Value {
        let all = self.knetsim.inspect("default");
        let services = all["services"].as_array().unwrap().clone();
        services.into_iter().find(|service| service["name"] == name).unwrap_or_else(|| panic!("no {name} in {all:#}"))
    }

    fn drift(&self, node: &str) -> Value {
        let all = self.knetsim.inspect("default");
        all["nodes"].as_array().unwrap().iter().find(|there| there["name"] == node).unwrap()["drift"].clone()
    }

    /// Waits until servers listen in these containers.
    fn listening(&self, containers: &[&str]) {
        for container in containers {
            until(container, Duration::from_secs(20), || {
                self.exec(container, &["ss", "-Hltn"]).contains(":8000").then_some(())
            });
        }
    }
}

fn server(worker: &str, name: &str) -> String {
    let command = serde_json::to_string(&["python3", "-c", SERVER, name]).unwrap();
    format!("{{ worker: {worker}, labels: {{ app: web }}, command: {command} }}")
}

fn topology(layout: &str) -> String {
    format!(
        "
clusters:
  C0:
    workers: 3
    containers:
      c1: {{ worker: C0w1 }}
      c2: {{ worker: C0w2 }}
      b1: {}
      b2: {}
      b3: {}
    services:
      web: {{ layout: {layout}, vip: 100.64.10.1, ports: [{{ port: 80, target: 8000 }}, {{ port: 80, target: 8000, protocol: udp }}], selector: {{ app: web }} }}
      all: {{ vip: 100.64.10.2, endpoints: [b1, b2, b3] }}
      near: {{ layout: {layout}, vip: 100.64.10.3, ports: [{{ port: 80, target: 8000 }}], endpoints: [b1] }}
      sticky: {{ vip: 100.64.10.4, ports: [{{ port: 80, target: 8000 }}], selector: {{ app: web }}, affinity: 60 }}
      none: {{ layout: {layout}, vip: 100.64.10.5, ports: [{{ port: 80 }}], selector: {{ app: nothing }} }}
",
        server("C0w1", "b1"),
        server("C0w2", "b2"),
        server("C0w3", "b3")
    )
}

/// The chance that a fair choice gives a spread that is at least so uneven, for three endpoints: two degrees of
/// freedom, of which chi-square's tail is exp(-x/2).
fn chance(seen: &Seen) -> f64 {
    let expected = seen.values().sum::<u64>() as f64 / 3.0;
    let square = |count: u64| (count as f64 - expected).powi(2) / expected;
    let missing = 3 - seen.len() as u64;
    let chi: f64 = seen.values().map(|count| square(*count)).sum::<f64>() + missing as f64 * expected;
    (-chi / 2.0).exp()
}

#[test]
fn from_everywhere_to_everywhere() {
    everywhere(&Scene::up(&topology("chains")));
}

#[test]
fn from_everywhere_to_everywhere_by_maps() {
    let scene = Scene::up(&topology("maps"));
    let rules = scene.exec("C0w1", &["nft", "list", "table", "ip", "kube-proxy"]);
    assert!(rules.contains("map @endpoints-3") && !rules.contains("default/web"), "{rules}");
    everywhere(&scene);
    let refused = ["create", "service", "C0.odd", "--port", "80", "--maps", "--affinity=9", "b1"];
    assert!(scene.knetsim.fails(2, &refused).contains("--affinity"));
}

fn everywhere(scene: &Scene) {
    scene.listening(&["C0.b1", "C0.b2", "C0.b3"]);
    // Containers on any worker, workers, and endpoints themselves (to themselves, too).
    for from in ["C0.c1", "C0.c2", "C0w1", "C0w2", "C0w3", "C0.b1", "C0.b3"] {
        for (kind, vip, port) in
            [("tcp", "100.64.10.1", "80"), ("udp", "100.64.10.1", "80"), ("tcp", "100.64.10.2", "8000")]
        {
            let seen = scene.connections(from, kind, vip, port, 60);
            assert_eq!(seen.len(), 3, "{kind} from {from} to {vip}: {seen:?}");
        }
        scene.exec(from, &["ping", "-c1", "-W2", "100.64.10.2"]);
    }
    // The endpoint on the client's own bridge, and on no other.
    assert_eq!(scene.connections("C0.c1", "tcp", "100.64.10.3", "80", 20), Seen::from([("b1".into(), 20)]));
    assert_eq!(scene.connections("C0.b1", "tcp", "100.64.10.3", "80", 20), Seen::from([("b1".into(), 20)]));

    let seen = scene.connections("C0.c1", "tcp", "100.64.10.1", "80", 3000);
    assert!(chance(&seen) > 1e-6, "no even spread: {seen:?}");
    let seen = scene.connections("C0w2", "tcp", "100.64.10.2", "8000", 3000);
    assert!(chance(&seen) > 1e-6, "no even spread: {seen:?}");
    // Affinity: one client, one endpoint, whichever it is.
    for from in ["C0.c1", "C0.c2", "C0w3"] {
        assert_eq!(scene.connections(from, "tcp", "100.64.10.4", "80", 50).len(), 1, "from {from}");
    }

    // Rejected at once, not left waiting: no endpoint, a port that is not served, ICMP to a service with ports.
    for (from, vip, port) in
        [("C0.c1", "100.64.10.5", "80"), ("C0w1", "100.64.10.5", "80"), ("C0.c2", "100.64.10.1", "81")]
    {
        let refused = Seen::from([("ConnectionRefusedError".into(), 3)]);
        assert_eq!(scene.try_connections(from, "tcp", vip, port, 3), refused, "{from} {vip}:{port}");
    }
    let ping = scene.knetsim.run(&["exec", "C0.c1", "--", "ping", "-c1", "-W2", "100.64.10.1"]);
    assert!(String::from_utf8_lossy(&ping.stdout).contains("Port Unreachable"), "{ping:?}");

    // What prints what there is makes the same again.
    let printed = scene.ok(&["inspect", "-o", "yaml"]);
    scene.apply(&printed);
    assert_eq!(scene.ok(&["inspect", "-o", "yaml"]), printed);
    // Another worker has them all, too; it goes, and nothing minds.
    scene.ok(&["create", "worker", "C0w4"]);
    assert_eq!(scene.connections("C0w4", "tcp", "100.64.10.1", "80", 60).len(), 3);
    scene.ok(&["delete", "worker", "C0w4"]);
    let refused = scene.knetsim.fails(4, &["delete", "cluster", "C0"]);
    assert!(refused.contains("service C0.all (of the topology file)") || refused.contains("more"), "{refused}");
    scene.ok(&["delete", "service", "C0.web", "C0.all", "C0.near", "C0.sticky", "C0.none"]);
    assert!(!scene.exec("C0w1", &["nft", "list", "ruleset"]).contains("kube-proxy"));
}

#[test]
fn endpoints_come_and_go() {
    let scene = Scene::up(&topology("chains"));
    scene.listening(&["C0.b1", "C0.b2", "C0.b3"]);
    // A connection that lasts: each line is answered by the endpoint that was chosen at first.
    let talk = r#"
import socket, sys
one = socket.create_connection((sys.argv[1], 80)); one.settimeout(5)
for line in sys.stdin: print(one.recv(9).decode(), flush=True); one.sendall(b"x")
"#;
    let mut lasting = Lasting::start(&scene, "C0.c1", talk);
    let chosen = lasting.answer();
    let other = ["b1", "b2", "b3"].into_iter().find(|name| *name != chosen).unwrap();

    // While connections are made all the time, one endpoint goes: none of them fails.
    let client = std::thread::scope(|scope| {
        let client = scope.spawn(|| scene.try_connections("C0.c2", "tcp", "100.64.10.1", "80", 2000));
        std::thread::sleep(Duration::from_millis(300));
        let begin = Instant::now();
        scene.ok(&["delete", "container", &format!("C0.{other}")]);
        println!("deleted in {:?}", begin.elapsed());
        client.join().unwrap()
    });
    // What it had accepted when it ended may have been reset before it answered.
    let failed: u64 = client.iter().filter(|(name, _)| !name.starts_with('b')).map(|(_, count)| count).sum();
    assert!(failed <= 1, "{client:?}");
    assert_eq!(scene.service("web")["backends"].as_array().unwrap().len(), 2);
    let seen = scene.connections("C0.c1", "tcp", "100.64.10.1", "80", 100);
    assert!(seen.len() == 2 && !seen.contains_key(other), "{seen:?}");
    let seen = scene.connections("C0.c1", "udp", "100.64.10.1", "80", 100);
    assert!(seen.len() == 2 && !seen.contains_key(other), "{seen:?}");
    assert_eq!(lasting.answer(), chosen);

    // The fixed list keeps it, and its share fails: about a third.
    let seen = scene.try_connections("C0w1", "tcp", "100.64.10.2", "8000", 60);
    let dead: u64 = seen.iter().filter(|(name, _)| !name.starts_with('b')).map(|(_, count)| count).sum();
    assert!((5..=40).contains(&dead), "{seen:?}");

    // Another one joins, by its label.
    let command = ["python3", "-c", SERVER, "b9"];
    scene.ok(&[&["create", "container", "C0w3.b9", "--label", "app=web", "--"], &command[..]].concat());
    scene.listening(&["C0.b9"]);
    let seen = scene.connections("C0.c1", "tcp", "100.64.10.1", "80", 100);
    assert!(seen.len() == 3 && seen.contains_key("b9"), "{seen:?}");
    assert_eq!(lasting.answer(), chosen);
}

#[test]
fn datagrams_are_led_elsewhere_when_their_endpoint_goes() {
    let (b1, b2) = (server("C0w1", "b1"), server("C0w2", "b2"));
    let web = "{ vip: 100.64.10.1, ports: [{ port: 80, target: 8000, protocol: udp }], selector: { app: web } }";
    let scene = Scene::up(&format!(
        "clusters: {{ C0: {{ workers: 2, containers: {{ c1: {{ worker: C0w1 }}, b1: {b1}, b2: {b2} }}, services: {{ web: {web} }} }} }}"
    ));
    scene.listening(&["C0.b1", "C0.b2"]);
    // From one port all the time: to the kernel that is one connection, which does not end.
    let asks = r#"
import socket, sys
one = socket.socket(type=socket.SOCK_DGRAM); one.settimeout(2)
for line in sys.stdin: one.sendto(b"?", (sys.argv[1], 80)); print(one.recv(9).decode(), flush=True)
"#;
    let mut asking = Lasting::start(&scene, "C0.c1", asks);
    let first = asking.answer();
    assert_eq!(asking.answer(), first);
    scene.ok(&["delete", "container", &format!("C0.{first}")]);
    assert_ne!(asking.answer(), first);
}

#[test]
fn one_socket_is_led_by_the_service_as_it_is_now() {
    let b1 = server("C0w2", "b1");
    let scene = Scene::up(&format!(
        "clusters: {{ C0: {{ workers: 2, containers: {{ c1: {{ worker: C0w1 }}, c2: {{ worker: C0w2 }}, b1: {b1} }} }} }}"
    ));
    scene.listening(&["C0.b1"]);
    let asks = r#"
import socket, sys
one = socket.socket(type=socket.SOCK_DGRAM); one.settimeout(1)
for line in sys.stdin:
    try:
        one.sendto(b"?", (sys.argv[1], 80))
        print(one.recv(9).decode(), flush=True)
    except OSError: print("nobody", flush=True)
"#;
    // On another worker, beside the endpoint, and a node's own. They ask before there is a service, too.
    let mut asking = ["C0.c1", "C0.c2", "C0w1"].map(|from| Lasting::start(&scene, from, asks));
    let mut answered = || {
        asking.iter_mut().for_each(Lasting::ask);
        asking.each_mut().map(Lasting::read)
    };
    assert_eq!(answered(), ["nobody"; 3]);
    let create = ["create", "service", "C0.web", "--replace", "--vip", "100.64.10.1"];
    let way = ["--port", "80:8000/udp", "b1"];
    for (what, other) in [
        ("another port", &["--port", "81:8000/udp", "b1"][..]),
        ("another target", &["--port", "80:8001/udp", "b1"]),
        ("TCP alone", &["--port", "80:8000", "b1"]),
        ("every port", &["b1"]),
        ("no endpoint", &["--port", "80:8000/udp", "--selector", "app=none"]),
        ("by maps", &["--maps", "--port", "80:8001/udp", "b1"]),
        ("nothing", &[]),
    ] {
        scene.ok(&[&create[..], &way].concat());
        assert_eq!(answered(), ["b1"; 3], "before {what}");
        match other {
            [] => drop(scene.ok(&["delete", "service", "C0.web"])),
            other => drop(scene.ok(&[&create[..], other].concat())),
        }
        assert_eq!(answered(), ["nobody"; 3], "{what}");
    }
}

/// A command that answers line by line.
struct Lasting {
    child: std::process::Child,
    lines: std::io::Lines<std::io::BufReader<std::process::ChildStdout>>,
}

impl Lasting {
    fn start(scene: &Scene, from: &str, program: &str) -> Self {
        use std::io::BufRead;
        let mut command = scene.knetsim.command(&["exec", "-i", from, "--", "python3", "-uc", program, "100.64.10.1"]);
        let command = command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        Lasting { child, lines }
    }

    fn answer(&mut self) -> String {
        self.ask();
        self.read()
    }

    fn ask(&mut self) {
        use std::io::Write;
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    fn read(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

#[test]
fn spoilt_rules_are_mended_or_told() {
    let scene = Scene::up("clusters: { C0: { workers: 1, containers: { c1: { worker: C0w1 } } } }");
    let refused = scene.knetsim.fails(2, &["create", "service", "C0.web", "--vip", "10.1.2.3", "c1"]);
    assert!(refused.contains("no virtual address"), "{refused}");
    assert!(scene.knetsim.fails(3, &["create", "service", "C0.web", "c9"]).contains("C0.c9"));
    scene.ok(&["create", "service", "C0.web", "--port", "80", "--selector", "app=web"]);
    assert!(
        scene
            .knetsim
            .fails(4, &["create", "service", "C0.web", "c1"])
            .contains("there is already a service C0.web; to change it")
    );
    scene.ok(&["create", "service", "C0.web", "--replace", "c1"]);
    assert_eq!(scene.service("web")["spec"]["vip"], "100.64.0.1");
    scene.exec("C0.c1", &["ping", "-c1", "-W2", "100.64.0.1"]);

    let rules = || scene.exec("C0w1", &["nft", "list", "ruleset"]);
    let whole = rules();
    scene.exec("C0w1", &["nft", "flush", "ruleset"]);
    until("the rules are mended", Duration::from_secs(5), || {
        (rules().lines().count() == whole.lines().count()).then_some(())
    });
    scene.ok(&["repair", "off", "C0w1"]);
    scene.exec("C0w1", &["nft", "flush", "chain", "ip", "kube-proxy", "services"]);
    let drift = until("drift is told", Duration::from_secs(5), || {
        Some(scene.drift("C0w1").to_string()).filter(|drift| drift.contains("chain services lacks the rule"))
    });
    assert!(drift.contains("vmap @service-ips"), "{drift}");
    scene.ok(&["repair", "on", "C0w1"]);
    until("it is mended", Duration::from_secs(5), || (scene.drift("C0w1") == serde_json::json!([])).then_some(()));
    scene.exec("C0.c1", &["ping", "-c1", "-W2", "100.64.0.1"]);
}
