//! Ingresses, driven through the command line: what real nginx does with hosts, paths and limits, changes under load,
//! and the whole scene of the course.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are parts of tests")]

#[path = "ingress/objects.rs"]
mod objects;

use std::path::Path;
use std::time::{Duration, Instant};

use knetsim_testing::cli::{Knetsim, until};

/// Asks all the time until a line comes in, each time by a new connection, and prints how many answers there were and
/// what went wrong.
const LOAD: &str = r#"
import collections, http.client, json, select, sys
seen = collections.Counter()
while not select.select([sys.stdin], [], [], 0)[0]:
    try:
        one = http.client.HTTPConnection("127.0.0.1", 8001, timeout=5)
        one.request("GET", "/svc")
        answer = one.getresponse()
        body = answer.read().decode().strip()
        seen[body if answer.status == 200 else str(answer.status)] += 1
        one.close()
    except Exception as error:
        seen[repr(error)] += 1
print(json.dumps(seen))
"#;

struct Scene {
    knetsim: Knetsim,
}

impl Scene {
    fn up(topology: &str) -> Self {
        let scene = Scene { knetsim: Knetsim::new(env!("CARGO_BIN_EXE_knetsim")) };
        scene.apply(topology);
        scene
    }

    fn apply(&self, topology: &str) {
        let file = self.knetsim.state().with_file_name("ingress.yaml");
        std::fs::write(&file, topology).unwrap();
        self.knetsim.ok(&["up", "-d", "-t", file.to_str().unwrap()]);
    }

    fn ok(&self, args: &[&str]) -> String {
        self.knetsim.ok(args)
    }

    fn exec(&self, target: &str, command: &[&str]) -> String {
        self.knetsim.ok(&[&["exec", target, "--"], command].concat())
    }

    /// What a request on the worker is answered: its status, then its body's lines.
    fn ask(&self, host: &str, path: &str) -> Vec<String> {
        let (host, url) = (format!("Host: {host}"), format!("http://127.0.0.1:8001{path}"));
        let said =
            self.exec("C0w1", &["curl", "-s", "-o", "-", "-w", "\n%{http_code}", "--path-as-is", "-H", &host, &url]);
        let mut lines: Vec<_> = said.lines().map(str::to_owned).collect();
        lines.rotate_right(1);
        lines
    }

    /// Who answered, and which path it was asked for.
    fn led(&self, host: &str, path: &str) -> String {
        let answer = self.ask(host, &format!("{path}?echo"));
        match answer[0].as_str() {
            "200" => format!("{} {}", answer[1], answer[2].split(['?', ' ']).nth(1).unwrap()),
            status => status.to_owned(),
        }
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

/// Two services of a server each: a is b1's, b is b2's.
const SERVED: &str = r#"
clusters:
  C0:
    workers: 2
    containers:
      b1: { worker: C0w1, command: [knetsim, serve, B1] }
      b2: { worker: C0w2, command: [knetsim, serve, B2] }
    services:
      a: { vip: 100.64.10.1, ports: [{ port: 80, target: 8000 }], endpoints: [b1] }
      b: { vip: 100.64.10.2, ports: [{ port: 80, target: 8000 }], endpoints: [b2] }
"#;

fn served(ingress: &str) -> Scene {
    let scene = Scene::up(&format!("{SERVED}    ingresses:\n      web: {ingress}\n"));
    scene.listening(&["C0.b1", "C0.b2"]);
    scene
}

#[test]
fn the_whole_scene_of_the_course() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf/k8s-netsim.yaml");
    let knetsim = Knetsim::new(env!("CARGO_BIN_EXE_knetsim"));
    knetsim.ok(&["validate", file.to_str().unwrap()]);
    knetsim.ok(&["up", "-d", "-t", file.to_str().unwrap()]);
    let scene = Scene { knetsim };
    scene.listening(&["C0.ic0", "C0.ic1", "C0.ic2", "C0.ic3"]);
    scene.exec("C0w1.c1", &["ping", "-c1", "-W2", "100.64.10.1"]);
    scene.exec("C1w1.c1", &["ping", "-c1", "-W2", "100.64.10.1"]);
    // Directly, through the ingress from its node, and from a node outside: both replicas answer.
    for (from, url, names) in [
        ("C0w1", "100.64.11.1:8000", ["S1-W2", "S1-W3"]),
        ("C0w1", "localhost:8001/svc1", ["S1-W2", "S1-W3"]),
        ("C0w1", "localhost:8001/svc2", ["S2-W2", "S2-W3"]),
        ("C0e1", "C0w1:8001/svc2", ["S2-W2", "S2-W3"]),
        ("C0w2.c2", "C0w1:8001/svc1/below", ["S1-W2", "S1-W3"]),
    ] {
        let mut seen = std::collections::BTreeSet::new();
        until(url, Duration::from_secs(20), || {
            seen.insert(scene.exec(from, &["curl", "-s", url]).trim().to_owned());
            (seen.len() == 2).then_some(())
        });
        assert!(seen.iter().all(|name| names.contains(&name.as_str())), "{url} from {from}: {seen:?}");
    }
    let printed = scene.ok(&["inspect", "-o", "yaml"]);
    assert!(printed.contains("grp1"), "{printed}");
    let nginx = || scene.exec("C0w1", &["pgrep", "-of", "nginx: worker"]);
    let before = nginx();
    scene.apply(&printed);
    assert_eq!((scene.ok(&["inspect", "-o", "yaml"]), nginx()), (printed, before), "nothing has changed");
}

#[test]
fn requests_are_led_by_host_and_path() {
    let scene = served(
        r#"{ worker: C0w1, port: 8001, default: "b:80", paths: [
            { path: /one, backend: "a:80" },
            { path: /one/two/, backend: "b:80" },
            { path: /one, type: exact, backend: "100.64.10.2:80" },
            { path: /bare, backend: "a:80", rewrite: / },
            { path: /new, backend: "a:80", rewrite: /x/y },
            { path: /all, backend: "a:80", rewrite: "/it's;all", drop_rest: true },
            { host: shop.example, path: /in, backend: "a:80" },
            { host: "*.shop.example", path: /, backend: "a:80", rewrite: /any },
        ] }"#,
    );
    for (host, path, led) in [
        ("x", "/", "B2 /"),
        ("x", "/one", "B2 /one"),
        ("x", "/one/", "B1 /one/"),
        ("x", "/one/more%20of%2Fit", "B1 /one/more%20of%2Fit"),
        ("x", "/ones", "B2 /ones"),
        ("x", "/ONE/", "B2 /ONE/"),
        ("x", "/one/two", "B2 /one/two"),
        ("x", "/one/two/three", "B2 /one/two/three"),
        ("x", "/one/twofold", "B1 /one/twofold"),
        ("x", "/bare", "B1 /"),
        ("x", "/bare/1/2", "B1 /1/2"),
        ("x", "/new", "B1 /x/y"),
        ("x", "/new/1", "B1 /x/y/1"),
        ("x", "/all", "B1 /it's;all"),
        ("x", "/all/1/2", "B1 /it's;all"),
        ("shop.example", "/in/side", "B1 /in/side"),
        ("SHOP.example:8001", "/in", "B1 /in"),
        ("shop.example", "/one/", "B2 /one/"),
        ("a.shop.example", "/1", "B1 /any/1"),
        ("b.a.shop.example", "/1", "B2 /1"),
    ] {
        assert_eq!(scene.led(host, path), led, "{host}{path}");
    }
    let much = scene.exec("C0w1", &["curl", "-s", "100.64.10.1/?bytes=9"]);
    assert_eq!(much, "B1\n.........");
    // What a backend is told of its client.
    let told = scene.ask("x", "/one/?echo").join("\n");
    for header in ["host: x", "x-real-ip: 127.0.0.1", "x-forwarded-for: 127.0.0.1", "x-forwarded-port: 8001"] {
        assert!(told.contains(header), "{header} in {told}");
    }
    let logged = until("the last request's line", Duration::from_secs(5), || {
        let log = scene.exec("C0w1", &["cat", "/var/log/ingress-web.access.log"]);
        log.lines().last().filter(|line| line.contains("\"GET /one/?echo HTTP/1.1\" 200")).map(str::to_owned)
    });
    assert!(logged.contains("to=100.64.10.1:80"), "{logged}");
    assert!(scene.ok(&["logs", "C0w1"]).contains("==> ingress-web.access <=="));
}

#[test]
fn limits_hold_and_what_goes_wrong_is_said() {
    let scene =
        served(r#"{ worker: C0w1, port: 8001, timeout: 1, max_body: 10, paths: [{ path: /a, backend: "a:80" }] }"#);
    assert_eq!(scene.ask("x", "/other")[0], "404");
    let post = |body: &str| {
        scene.exec(
            "C0w1",
            &["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-d", body, "http://127.0.0.1:8001/a"],
        )
    };
    assert_eq!((post("0123456789"), post("01234567890")), ("200".into(), "413".into()));
    // One that accepts and says nothing.
    let silent = "import socket, time; one = socket.socket(); one.bind(('', 8000)); one.listen(); time.sleep(1000)";
    scene.ok(&["create", "container", "C0w2.mute", "--", "python3", "-c", silent]);
    scene.listening(&["C0.mute"]);
    scene.ok(&["create", "service", "C0.a", "--replace", "--port", "80:8000", "mute"]);
    assert_eq!(scene.ask("x", "/a")[0], "504");
    // One that is gone.
    scene.ok(&["delete", "container", "C0.mute"]);
    scene.ok(&["create", "service", "C0.a", "--replace", "--port", "80:8000", "--selector", "app=none"]);
    assert_eq!(scene.ask("x", "/a")[0], "502");
    assert!(scene.exec("C0w1", &["cat", "/var/log/ingress-web.log"]).contains("Connection refused"));
}

#[test]
fn a_change_under_load_loses_no_request() {
    use std::io::{Read, Write};
    let scene = served(r#"{ worker: C0w1, port: 8001, paths: [{ path: /svc, backend: "a:80" }] }"#);
    let mut load = scene.knetsim.command(&["exec", "-i", "C0w1", "--", "python3", "-c", LOAD]);
    let mut load = load.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut asked = Duration::ZERO;
    for round in 0..20 {
        let (name, backend) = if round % 2 == 0 { ("B2", "b:80") } else { ("B1", "a:80") };
        let begin = Instant::now();
        let path = format!("/svc={backend}");
        scene.ok(&["create", "ingress", "C0.web", "--replace", "--worker", "C0w1", "--port", "8001", "--path", &path]);
        asked = asked.max(begin.elapsed());
        // In force at once, for everybody.
        for _ in 0..3 {
            assert_eq!(scene.ask("x", "/svc")[1], name, "round {round}");
        }
    }
    load.stdin.take().unwrap().write_all(b"\n").unwrap();
    let mut said = String::new();
    load.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(load.wait().unwrap().success());
    println!("{said} the slowest command took {asked:?}");
    let seen: std::collections::BTreeMap<String, u64> = serde_json::from_str(&said).unwrap();
    assert!(seen.len() == 2 && seen["B1"] > 0 && seen["B2"] > 0, "{said}");
}

#[test]
fn a_dry_run_says_what_happens() {
    let ingress = "    ingresses:\n      web: { worker: C0w1, port: 8001, paths: [{ path: /a, backend: \"a:80\" }] }\n";
    let parts = "    links: { c1: { to: C1, cost: 2 } }\n    listeners: { a: { routing_key: a, port: 1028 } }\n    connectors: \
                 { a: { routing_key: a, container: b1, port: 80 } }\n  C1: { workers: 1, interconnect: embedded }\n";
    let first = format!("{SERVED}{ingress}{parts}");
    let scene = Scene::up(&first);
    let changed = SERVED.replace("b2: {", "b3: {").replace("endpoints: [b2]", "endpoints: [b3]");
    // A service and what leads to it, at another address; a container less and one more.
    let changed = format!("{changed}{}{parts}", ingress.replace("/a", "/b")).replace("100.64.10.1", "100.64.10.3");
    let changed = changed.replace("b3: { worker: C0w2", "b3: { worker: C0w1");
    // What of one object is another now.
    let relabelled = changed.replace("b3: { worker: C0w1", "b3: { worker: C0w1, labels: { app: b }");
    let links = relabelled.replace("cost: 2", "cost: 3").replace("port: 1028", "port: 1029");
    let connectors = links.replace("container: b1, port: 80 ", "container: b1, port: 81 ");
    let without = connectors.replace("    listeners: { a: { routing_key: a, port: 1029 } }\n", "");
    let flannel = "flannel: { Network: 12.0.0.0/8, SubnetLen: 20, Backend: { Type: vxlan } }";
    let renumbered = without.replace("C1: { workers: 1,", &format!("C1: {{ workers: 1, {flannel},"));
    for (text, expected) in [
        (
            changed,
            "container C0w1.b3 created\ncontainer C0w2.b2 deleted\ningress C0.web changed\nservice C0.a changed\nservice C0.b changed",
        ),
        (relabelled, "container C0w1.b3 changed"),
        (links, "link C0.c1 changed\nlistener C0.a changed"),
        (connectors, "connector C0.a changed"),
        (without, "listener C0.a deleted"),
        (renumbered, "cluster C1 changed"),
        (SERVED.replace("workers: 2", "workers: 3"), "ingress"),
        ("{}".to_owned(), "cluster C0 deleted"),
    ] {
        let file = scene.knetsim.state().with_file_name("changed.yaml");
        std::fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        let before = scene.ok(&["inspect", "-o", "yaml"]);
        let lines = |text: &str| {
            let mut lines: Vec<_> = text.lines().map(|line| line.trim_end_matches(" (dry run)").to_owned()).collect();
            lines.retain(|line| ["created", "changed", "deleted"].iter().any(|end| line.ends_with(end)));
            lines.sort();
            lines
        };
        let dry = lines(&scene.ok(&["up", "--dry-run", "-t", file]));
        assert_eq!(scene.ok(&["inspect", "-o", "yaml"]), before, "nothing is done");
        let done = scene.knetsim.run(&["up", "-d", "-t", file]);
        assert_eq!(lines(&String::from_utf8_lossy(&done.stderr)), dry);
        assert!(dry.join("\n").contains(expected), "{dry:#?}");
        assert_eq!(scene.ok(&["up", "--dry-run", "-t", file]), "", "it is as the file says");
    }
}

#[test]
fn what_cannot_be_is_refused_and_leaves_everything() {
    let scene = served(r#"{ worker: C0w1, port: 8001, paths: [{ path: /a, backend: "a:80" }] }"#);
    let create = |status: i32, more: &[&str]| {
        let args = [&["create", "ingress", "C0.other", "--worker", "C0w1"], more].concat();
        scene.knetsim.fails(status, &args)
    };
    let before = scene.ok(&["inspect", "-o", "yaml"]);
    assert!(create(4, &["--port", "8001", "--path", "/=a:80"]).contains("port 8001 of C0w1"));
    assert!(create(3, &["--port", "8002", "--path", "/=c:80"]).contains("no service C0.c"));
    assert!(create(2, &["--port", "8002", "--path", "/=a:81"]).contains("TCP port 81"));
    assert!(create(2, &["--port", "8002", "--path", "/..=a:80"]).contains("no path"));
    assert!(create(2, &["--port", "8002", "--path", "svc=a:80"]).contains("[<host>]<path>"));
    assert!(scene.knetsim.fails(4, &["delete", "service", "C0.a"]).contains("ingress C0.web"));
    assert!(scene.knetsim.fails(4, &["delete", "worker", "C0w1"]).contains("ingress C0.web"));
    // A port that something else has: the operation fails as a whole.
    let taken = "import socket, time; one = socket.socket(); one.bind(('', 8002)); one.listen(); time.sleep(1000)";
    scene.ok(&["exec", "-d", "C0w1", "--", "python3", "-c", taken]);
    until("the port is taken", Duration::from_secs(20), || {
        scene.exec("C0w1", &["ss", "-Hltn"]).contains(":8002").then_some(())
    });
    let failed = create(1, &["--port", "8002", "--path", "/=a:80"]);
    assert!(failed.contains("Address already in use"), "{failed}");
    assert_eq!(scene.ok(&["inspect", "-o", "yaml"]), before);
    assert_eq!(scene.exec("C0w1", &["pgrep", "-fc", "nginx: (master|worker)"]).trim(), "2");

    // It is started again where it is killed; and gone when it is deleted, with its files.
    scene.exec("C0w1", &["pkill", "-9", "-f", "nginx: master"]);
    until("nginx is back", Duration::from_secs(20), || {
        let said = scene.knetsim.run(&["exec", "C0w1", "--", "curl", "-s", "127.0.0.1:8001/a"]).stdout;
        (said == b"B1\n").then_some(())
    });
    scene.ok(&["create", "ingress", "C0.web", "--replace", "--worker", "C0w1", "--port", "8001", "--path", "/b=b:80"]);
    assert_eq!((scene.led("x", "/b"), scene.led("x", "/a")), ("B2 /b".into(), "404".into()));
    // Elsewhere it is another one.
    scene.ok(&["create", "ingress", "C0.web", "--replace", "--worker", "C0w2", "--port", "80", "--path", "/=a:80"]);
    assert_eq!(scene.exec("C0w1", &["curl", "-s", "C0w2/"]), "B1\n");
    scene.ok(&["delete", "ingress", "C0.web"]);
    for node in ["C0w1", "C0w2"] {
        assert!(!scene.exec(node, &["ls", "/var/lib"]).contains("ingress"), "{node}");
        assert!(!scene.exec(node, &["ps", "-ef"]).contains("nginx:"), "{node}");
    }
}
