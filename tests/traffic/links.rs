//! Clusters linked as Skupper links them, driven through the command line: services that cross, states and their
//! reasons, tokens, and links that are cut.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are parts of tests")]

use std::path::Path;
use std::time::Duration;

use knetsim_testing::cli::{Knetsim, until};
use serde_json::Value;

/// How long routers may take to agree.
const SOON: Duration = Duration::from_secs(20);

struct Scene {
    knetsim: Knetsim,
}

impl Scene {
    fn up(topology: &str) -> Self {
        let scene = Scene { knetsim: Knetsim::new(env!("CARGO_BIN_EXE_knetsim")) };
        scene.apply(topology);
        scene
    }

    /// With these files of tests/router for programs.
    fn up_with(topology: &str, programs: &[&str]) -> Self {
        let scene = Scene { knetsim: Knetsim::new(env!("CARGO_BIN_EXE_knetsim")) };
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/router").canonicalize().unwrap();
        let programs = programs.iter().map(|name| folder.join(name).to_str().unwrap().to_owned());
        let programs: Vec<_> = programs.flat_map(|file| ["--program".to_owned(), file]).collect();
        let file = scene.file(topology);
        let args = ["up", "-d", "-t", &file].into_iter().chain(programs.iter().map(String::as_str));
        scene.ok(&args.collect::<Vec<_>>());
        scene
    }

    fn file(&self, topology: &str) -> String {
        let file = self.knetsim.state().with_file_name("links.yaml");
        std::fs::write(&file, topology).unwrap();
        file.to_str().unwrap().to_owned()
    }

    fn apply(&self, topology: &str) {
        self.ok(&["up", "-d", "-t", &self.file(topology)]);
    }

    fn ok(&self, args: &[&str]) -> String {
        self.knetsim.ok(args)
    }

    fn exec(&self, target: &str, command: &[&str]) -> String {
        self.knetsim.ok(&[&["exec", target, "--"], command].concat())
    }

    /// What a request is answered; nothing where it isn't.
    fn get(&self, from: &str, url: &str) -> String {
        let asked = self.knetsim.run(&["exec", from, "--", "curl", "-s", "-m", "5", url]);
        String::from_utf8_lossy(&asked.stdout).trim().to_owned()
    }

    /// Waits until a request is answered so.
    fn answers(&self, from: &str, url: &str, answer: &str) {
        until(&format!("{url} from {from} says {answer:?}"), SOON, || (self.get(from, url) == answer).then_some(()));
    }

    /// The process that listens for routers on a worker; all nodes' processes are in one namespace.
    fn router(&self, worker: &str) -> Option<String> {
        let listening = self.exec(worker, &["ss", "-Hltnp", "sport = :55671"]);
        Some(listening.split_once("pid=")?.1.split(',').next().unwrap().to_owned())
    }

    /// How a part of a site is: `ready`, or why it isn't.
    fn state(&self, kind: &str, name: &str) -> String {
        let sites: Value = serde_json::from_str(&self.ok(&["inspect", "links", "-o", "json"])).unwrap();
        let (cluster, name) = name.split_once('.').unwrap_or((name, ""));
        let site = sites.as_array().unwrap().iter().find(|site| site["cluster"] == cluster).unwrap();
        let part = match kind {
            "site" => site,
            _ => site[kind].as_array().unwrap().iter().find(|part| part["name"] == name).unwrap(),
        };
        match &part["state"] {
            Value::String(state) => state.clone(),
            pending => pending["pending"].as_str().unwrap().to_owned(),
        }
    }

    /// Waits until a part is so.
    fn becomes(&self, kind: &str, name: &str, words: &str) {
        let mut last = String::new();
        let deadline = std::time::Instant::now() + SOON;
        while !last.contains(words) {
            assert!(std::time::Instant::now() < deadline, "{kind} {name} is not {words:?} but {last:?}");
            last = self.state(kind, name);
        }
    }
}

/// C0 has a server, C1 a listener for it.
const LINKED: &str = r#"
clusters:
  C0:
    workers: 2
    containers:
      c1: { worker: C0w1 }
      c4: { worker: C0w2, command: [knetsim, serve, FOUR] }
    connectors:
      backend: { routing_key: "backend:8080", container: c4, port: 8000 }
  C1:
    workers: 2
    containers:
      c1: { worker: C1w1 }
      c2: { worker: C1w2 }
    links:
      c0: { to: C0 }
    listeners:
      backend: { routing_key: "backend:8080", port: 1028 }
"#;

#[test]
fn a_service_is_reached_from_another_cluster() {
    let scene = Scene::up(LINKED);
    for from in ["C1.c1", "C1.c2", "C1w2"] {
        scene.answers(from, "C1w1:1028", "FOUR");
    }
    for (kind, name) in
        [("site", "C0"), ("site", "C1"), ("links", "C1.c0"), ("listeners", "C1.backend"), ("connectors", "C0.backend")]
    {
        scene.becomes(kind, name, "ready");
    }
    // One connection between the clusters, and it is encrypted.
    let sockets = scene.exec("C1w1", &["ss", "-Hnt", "state", "established", "dst", "10.0.0.3"]);
    assert_eq!(sockets.lines().count(), 1, "{sockets}");
    let config = scene.exec("C1w1", &["cat", "/etc/skupper-router/skrouterd.json"]);
    assert!(config.contains("\"sslProfile\": \"tls-c0\"") && config.contains("\"port\": \"1028\""), "{config}");
    // Its certificate is the other site's authority's, for its worker's name; and nobody gets in without one.
    let curl = "cd /etc/skupper-router/certs/tls-c0; exec curl -sv -m 5 --cacert ca.crt https://C0w1:55671";
    let asked = |more: &str| {
        let asked = scene.knetsim.run(&["exec", "C1w1", "--", "sh", "-c", &format!("{curl} {more}")]);
        String::from_utf8_lossy(&asked.stderr).into_owned()
    };
    let (without, with) = (asked(""), asked("--cert tls.crt --key tls.key"));
    assert!(with.contains("CN=C0 site CA") && with.contains("host \"C0w1\" matched"), "{with}");
    assert!(without.contains("certificate required") && !with.contains("certificate required"), "{without}\n{with}");
    // The same for Kubernetes.
    let skupper = scene.ok(&["inspect", "-o", "skupper"]);
    for words in [
        "kind: Site\nmetadata:\n  name: c0\n  namespace: c0\n",
        "  routingKey: backend:8080\n",
        "  host: c4\n  port: 8000\n",
        "kind: Link\nmetadata:\n  name: c0\n  namespace: c1\nspec:\n  cost: 1\n  endpoints:\n",
        "  tlsCredentials: link-c0\n",
        "kind: Listener\n",
    ] {
        assert!(skupper.contains(words), "{words}\nin\n{skupper}");
    }
    assert_eq!(skupper.matches("apiVersion: skupper.io/v2alpha1\n").count(), 5);
    let printed = scene.ok(&["inspect", "-o", "yaml"]);
    scene.apply(&printed);
    assert_eq!(scene.ok(&["inspect", "-o", "yaml"]), printed, "nothing has changed");
    scene.answers("C1.c2", "C1w1:1028", "FOUR");
}

/// The two clusters with a site each, and nothing that joins them.
const SITES: &str = r#"
clusters:
  C0:
    workers: 2
    containers:
      c1: { worker: C0w1 }
      a: { worker: C0w1, command: [knetsim, serve, A], labels: { app: web } }
    interconnect: embedded
  C1:
    workers: 2
    containers:
      c1: { worker: C1w1 }
    interconnect: embedded
"#;

#[test]
fn a_token_is_good_once_and_for_a_while() {
    let scene = Scene::up(SITES);
    let file = scene.knetsim.state().with_file_name("c0.token");
    let file = file.to_str().unwrap();
    let token = |name: &str, more: &[&str]| {
        let token = scene.ok(&[&["create", "token", name], more].concat());
        std::fs::write(file, &token).unwrap();
        token
    };
    let link = |status: i32| scene.knetsim.fails(status, &["create", "link", "C1.c0", "--token", file]);
    token("C0.t1", &[]);
    scene.ok(&["create", "link", "C1.c0", "--token", file, "--cost", "3"]);
    scene.becomes("links", "C1.c0", "ready");
    assert!(scene.state("tokens", "C0.t1").contains("was redeemed by link C1.c0 already"));
    scene.ok(&["delete", "link", "C1.c0"]);
    assert!(!scene.exec("C1w1", &["ls", "/etc/skupper-router/certs"]).contains("tls-c0"));
    // Used; of another code; expired; gone; of a site that hasn't issued it; no token at all.
    assert!(link(4).contains("token C0.t1: it was redeemed by link C1.c0 already"));
    scene.ok(&["delete", "token", "C0.t1"]);
    assert!(link(3).contains("site C0 has issued no token t1"));
    let old = token("C0.t2", &[]);
    scene.ok(&["delete", "token", "C0.t2"]);
    token("C0.t2", &[]);
    std::fs::write(file, old).unwrap();
    assert!(link(5).contains("token C0.t2: its code is another one"));
    token("C0.t3", &["--expires", "1"]);
    until("it expires", SOON, || scene.state("tokens", "C0.t3").contains("expired").then_some(()));
    let expired = link(1);
    assert!(expired.contains("token C0.t3: it expired") && expired.contains("knetsim create token"), "{expired}");
    std::fs::write(file, "C0.t3").unwrap();
    assert!(link(2).contains("the line that `knetsim create token` printed"));
    // What failed has used nothing up, and made nothing.
    token("C0.t4", &[]);
    scene.knetsim.fails(4, &["create", "site", "C0"]);
    scene.knetsim.fails(3, &["create", "link", "C9.c0", "--token", file]);
    scene.ok(&["create", "link", "C1.c0", "--token", file]);
    scene.becomes("links", "C1.c0", "ready");
}

#[test]
fn what_is_pending_says_why() {
    let scene = Scene::up(SITES);
    scene.ok(&["create", "listener", "C1.web"]);
    scene.becomes("listeners", "C1.web", "no connector of \"web\" can be reached");
    scene.ok(&["create", "connector", "C0.web", "--container", "b", "--port", "8000"]);
    scene.becomes("connectors", "C0.web", "there is no container C0.b");
    scene.ok(&["create", "connector", "C0.more", "--selector", "app=none", "--port", "8000"]);
    scene.becomes("connectors", "C0.more", "no container of C0 has app=none");
    // Nobody is there yet.
    scene.ok(&["link", "C0w1:eth0", "down"]);
    scene.ok(&["create", "link", "C1.c0", "--to", "C0"]);
    scene.becomes("links", "C1.c0", "peer unreachable: connect to ");
    scene.ok(&["link", "C0w1:eth0", "up"]);
    scene.becomes("links", "C1.c0", "ready");
    assert_eq!(scene.get("C1.c1", "C1w1:1028"), "", "there is a link, but no server yet");
    scene.ok(&["create", "container", "C0w2.b", "--", "knetsim", "serve", "B"]);
    scene.becomes("listeners", "C1.web", "ready");
    scene.answers("C1.c1", "C1w1:1028", "B");
    scene.ok(&["delete", "container", "C0.b"]);
    scene.becomes("listeners", "C1.web", "no connector of");
    // Its own site's certificate is not signed by who signs for C0.
    for file in ["tls.crt", "tls.key"] {
        let folder = "/etc/skupper-router/certs";
        scene.exec("C1w1", &["cp", &format!("{folder}/site-server/{file}"), &format!("{folder}/tls-c0/{file}")]);
    }
    scene.exec("C0w1", &["kill", &scene.router("C0w1").unwrap()]);
    scene.becomes("links", "C1.c0", "certificate refused: ");
    let log = scene.ok(&["logs", "C1w1"]);
    assert!(log.contains("the peer refuses this router's certificate"), "{log}");
    // Made anew, the link has a new one.
    scene.ok(&["delete", "link", "C1.c0"]);
    scene.ok(&["create", "link", "C1.c0", "--to", "C0"]);
    scene.becomes("links", "C1.c0", "ready");
}

#[test]
fn a_connector_by_selector_follows_its_containers() {
    let scene = Scene::up(SITES);
    scene.ok(&["create", "connector", "C0.web", "--selector", "app=web", "--port", "8000"]);
    scene.ok(&["create", "listener", "C1.web", "--port", "80"]);
    scene.ok(&["create", "link", "C1.c0", "--to", "C0"]);
    scene.answers("C1.c1", "C1w1", "A");
    scene.ok(&["create", "container", "C0w2.b", "--label", "app=web", "--", "knetsim", "serve", "B"]);
    // The new one is ready when it listens; until then a connection to it is closed.
    let both = |from: &str| {
        let mut seen = std::collections::BTreeSet::new();
        until(&format!("both answer {from}"), SOON, || {
            seen.insert(scene.get(from, "C1w1"));
            (seen.contains("A") && seen.contains("B")).then_some(())
        });
    };
    both("C1.c1");
    both("C1w2");
    scene.ok(&["delete", "container", "C0.a"]);
    for _ in 0..10 {
        assert_eq!(scene.get("C1.c1", "C1w1"), "B", "none goes to the one that has gone");
    }
    // Labels that a file changes count, too; and an address is one like any other.
    scene.ok(&["delete", "connector", "C0.web"]);
    scene.becomes("listeners", "C1.web", "no connector of");
    scene.ok(&["create", "service", "C0.s", "--vip", "100.64.1.1", "--port", "80:8000", "b"]);
    scene.ok(&["create", "connector", "C0.web", "--host", "100.64.1.1", "--port", "80"]);
    scene.answers("C1.c1", "C1w1", "B");
    // The way to the services goes with the cable, and comes back with it, where nobody mends anything else.
    scene.ok(&["repair", "off", "C0w1"]);
    scene.ok(&["link", "C0w1:eth0", "down"]);
    scene.becomes("links", "C1.c0", "peer unreachable: ");
    scene.ok(&["link", "C0w1:eth0", "up"]);
    scene.answers("C1.c1", "C1w1", "B");
}

#[test]
fn a_link_that_is_cut_refuses_and_comes_back() {
    let scene = Scene::up(LINKED);
    scene.answers("C1.c1", "C1w1:1028", "FOUR");
    scene.ok(&["link", "base:C0w1", "down"]);
    scene.becomes("listeners", "C1.backend", "no connector of \"backend:8080\" can be reached");
    scene.becomes("links", "C1.c0", "peer unreachable: ");
    assert_eq!(scene.get("C1.c1", "C1w1:1028"), "");
    scene.ok(&["link", "base:C0w1", "up"]);
    scene.becomes("links", "C1.c0", "ready");
    scene.answers("C1.c1", "C1w1:1028", "FOUR");
    // A router that is killed is started again.
    scene.exec("C0w1", &["kill", "-9", &scene.router("C0w1").unwrap()]);
    scene.answers("C1.c1", "C1w1:1028", "FOUR");
}

#[test]
fn a_file_is_followed_and_what_cannot_be_is_refused() {
    let scene = Scene::up(LINKED);
    scene.answers("C1.c1", "C1w1:1028", "FOUR");
    scene.ok(&["create", "listener", "C1.mine", "--routing-key", "backend:8080", "--port", "1100"]);
    let before = scene.router("C1w1");
    // Another port, another cost; what the user made stays.
    scene.apply(&LINKED.replace("port: 1028", "port: 1029").replace("{ to: C0 }", "{ to: C0, cost: 4 }"));
    scene.answers("C1.c1", "C1w1:1029", "FOUR");
    scene.answers("C1.c1", "C1w1:1100", "FOUR");
    assert_eq!((scene.get("C1.c1", "C1w1:1028"), scene.router("C1w1")), (String::new(), before));
    let fails = |status: i32, args: &[&str], words: &str| {
        let said = scene.knetsim.fails(status, args);
        assert!(said.contains(words), "{words}: {said}");
    };
    let printed = scene.ok(&["inspect", "-o", "yaml"]);
    fails(4, &["create", "link", "C0.back", "--to", "C1"], "link C1.c0 joins C0 and C1 already");
    fails(2, &["create", "link", "C0.self", "--to", "C0"], "its own site");
    fails(3, &["create", "link", "C0.c2", "--to", "C2"], "C2 has no site");
    fails(4, &["create", "listener", "C1.two", "--port", "1100"], "port 1100 of C1w1");
    fails(2, &["create", "listener", "C1.two", "--port", "55671"], "the routers' own");
    let both = "listener C1.mine and ingress C1.in both want port 1100 of C1w1";
    let ingress = ["create", "ingress", "C1.in", "--worker", "C1w1", "--default", "10.0.0.9:80", "--port"];
    fails(4, &[&ingress[..], &["1100"]].concat(), both);
    fails(4, &[&ingress[..], &["55671"]].concat(), "the router of site C1");
    scene.ok(&[&ingress[..], &["1101"]].concat());
    fails(4, &["create", "listener", "C1.two", "--port", "1101"], "ingress C1.in both want port 1101");
    scene.ok(&["delete", "ingress", "C1.in"]);
    let inside = scene.knetsim.run(&["exec", "C1w1", "--", "knetsim", "inspect"]);
    assert!(String::from_utf8_lossy(&inside.stderr).contains("this is inside of a sandbox"), "{inside:?}");
    fails(2, &["create", "connector", "C1.two", "--port", "80"], "--selector");
    fails(4, &["delete", "worker", "C0w1"], "link C1.c0 (of the topology file)");
    fails(4, &["delete", "site", "C0"], "connector C0.backend");
    fails(2, &["create", "site", "C1", "--interconnect", "other"], "embedded");
    assert_eq!(scene.ok(&["inspect", "-o", "yaml"]), printed);
    // With force it goes, and so does the link to it; with its cluster, too.
    let mine = "site/C1\nlistener/C1.backend\nlistener/C1.mine\n";
    scene.ok(&["delete", "cluster", "C0", "--force"]);
    assert_eq!(scene.ok(&["inspect", "links", "-o", "name"]), mine);
    scene.apply(LINKED);
    scene.answers("C1.c1", "C1w1:1028", "FOUR");
    scene.ok(&["delete", "site", "C0", "--force"]);
    assert_eq!(scene.ok(&["inspect", "links", "-o", "name"]), mine);
    assert_eq!(scene.router("C0w1"), None);
    assert_eq!(scene.exec("C0w1", &["ls", "/etc/skupper-router"]), "");
    scene.apply(LINKED);
    scene.answers("C1.c1", "C1w1:1028", "FOUR");
}

#[test]
fn an_open_connection_goes_on_while_other_parts_change() {
    use std::io::{BufRead, BufReader, Write};
    const ECHO: &str = "import socket\none = socket.create_server(('', 8000)).accept()[0]\nwhile part := one.recv(99): one.sendall(part)";
    const TALK: &str = "import socket, sys\none = socket.create_connection(('C1w1', 1028))\nfor line in sys.stdin:\n one.sendall(line.encode())\n print(one.recv(99).decode(), end='', flush=True)";
    let scene = Scene::up(LINKED);
    scene.answers("C1.c1", "C1w1:1028", "FOUR");
    scene.ok(&["delete", "container", "C0.c4"]);
    scene.ok(&["create", "container", "C0w2.c4", "--", "python3", "-c", ECHO]);
    until("it listens", SOON, || scene.exec("C0.c4", &["ss", "-Hltn"]).contains(":8000").then_some(()));
    scene.becomes("listeners", "C1.backend", "ready");
    let mut talk = scene.knetsim.command(&["exec", "-i", "C1.c1", "--", "python3", "-c", TALK]);
    let mut talk = talk.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let (mut say, mut hear) = (talk.stdin.take().unwrap(), BufReader::new(talk.stdout.take().unwrap()));
    let mut echo = |words: &str| {
        writeln!(say, "{words}").unwrap();
        let mut heard = String::new();
        hear.read_line(&mut heard).unwrap();
        assert_eq!(heard.trim(), words);
    };
    echo("before");
    scene.ok(&["create", "listener", "C1.more", "--port", "1029"]);
    scene.ok(&["create", "connector", "C0.more", "--selector", "app=none", "--port", "80"]);
    scene.ok(&["create", "token", "C0.t1"]);
    echo("between");
    scene.ok(&["delete", "listener", "C1.more"]);
    scene.ok(&["delete", "connector", "C0.more"]);
    echo("after");
    scene.ok(&["delete", "link", "C1.c0"]);
    drop(say);
    talk.wait().unwrap();
}

#[test]
fn sites_are_reached_through_others() {
    let scene = Scene::up(
        r#"
clusters:
  C0:
    workers: 1
    containers: { a: { worker: C0w1, command: [knetsim, serve, A] } }
    connectors: { a: { routing_key: a, container: a, port: 8000 } }
  C1:
    workers: 1
    links: { c0: { to: C0 } }
  C2:
    workers: 1
    links: { c1: { to: C1 } }
    listeners: { a: { routing_key: a, port: 1028 } }
"#,
    );
    scene.answers("C2w1", "C2w1:1028", "A");
    assert!(scene.exec("C2w1", &["ss", "-Hnt", "dst", "10.0.0.3"]).is_empty(), "not directly");
    until("each says that it reaches the others", SOON, || {
        let sites: Value = serde_json::from_str(&scene.ok(&["inspect", "links", "-o", "json"])).unwrap();
        let reaches: Vec<_> = sites.as_array().unwrap().iter().map(|site| site["reaches"].to_string()).collect();
        (reaches == [r#"["C1","C2"]"#, r#"["C0","C2"]"#, r#"["C0","C1"]"#]).then_some(())
    });
    // A way of its own that costs more is only taken when there is no other.
    scene.ok(&["create", "link", "C2.c0", "--to", "C0", "--cost", "9"]);
    scene.becomes("links", "C2.c0", "ready");
    scene.ok(&["delete", "link", "C2.c1"]);
    scene.answers("C2w1", "C2w1:1028", "A");
}

/// A service each way, between an embedded router and another one.
fn mixed(first: &str, second: &str, programs: &[&str]) {
    let scene = Scene::up_with(
        &format!(
            r#"
clusters:
  C0:
    interconnect: {first}
    workers: 1
    containers:
      c1: {{ worker: C0w1 }}
      a: {{ worker: C0w1, command: [knetsim, serve, A] }}
    connectors: {{ a: {{ routing_key: a, container: a, port: 8000 }} }}
    listeners: {{ b: {{ routing_key: b, port: 1028 }} }}
  C1:
    interconnect: {second}
    workers: 1
    containers:
      c1: {{ worker: C1w1 }}
      b: {{ worker: C1w1, command: [knetsim, serve, B] }}
    connectors: {{ b: {{ routing_key: b, container: b, port: 8000 }} }}
    listeners: {{ a: {{ routing_key: a, port: 1028 }}, more: {{ routing_key: more, port: 1029 }} }}
    links: {{ c0: {{ to: C0 }} }}
"#
        ),
        programs,
    );
    scene.answers("C1.c1", "C1w1:1028", "A");
    scene.answers("C0.c1", "C0w1:1028", "B");
    for (kind, name) in [
        ("site", "C0"),
        ("site", "C1"),
        ("links", "C1.c0"),
        ("listeners", "C1.a"),
        ("listeners", "C0.b"),
        ("connectors", "C0.a"),
        ("connectors", "C1.b"),
    ] {
        scene.becomes(kind, name, "ready");
    }
    scene.becomes("listeners", "C1.more", "no connector of \"more\" can be reached");
    // One more service: whichever router is told, both know it.
    scene.ok(&["create", "connector", "C0.more", "--host", "10.0.0.3", "--port", "8000"]);
    scene.ok(&["exec", "-d", "C0w1", "--", "knetsim", "serve", "NODE"]);
    scene.answers("C1.c1", "C1w1:1029", "NODE");
    scene.answers("C0.c1", "C0w1:1028", "B");
    // Without the way there, the one that dials says so.
    scene.ok(&["delete", "link", "C1.c0"]);
    scene.ok(&["link", "base:C0w1", "down"]);
    scene.ok(&["create", "link", "C1.c0", "--to", "C0"]);
    scene.becomes("links", "C1.c0", "peer unreachable: ");
    scene.ok(&["link", "base:C0w1", "up"]);
    scene.becomes("links", "C1.c0", "ready");
    scene.answers("C1.c1", "C1w1:1028", "A");
}

const STAND_IN: [&str; 3] = ["skrouterd", "skrouterd_standin.py", "amqpdec.py"];

/// Whether the real one can be had. Without it the tests are about that; where they are built with the feature
/// `skrouterd` it has to be.
fn has_skrouterd() -> bool {
    let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];
    let found = folders.iter().any(|folder| Path::new(folder).join("skrouterd").exists());
    assert!(found || !cfg!(feature = "skrouterd"), "no skrouterd in any of {folders:?}");
    found
}

#[test]
fn a_stand_in_for_skrouterd_connects() {
    mixed("embedded", "skrouterd", &STAND_IN);
}

#[test]
fn a_stand_in_for_skrouterd_is_connected_to() {
    mixed("skrouterd", "embedded", &STAND_IN);
}

#[test]
fn skrouterd_itself_is_linked_or_its_absence_named() {
    if has_skrouterd() {
        mixed("embedded", "skrouterd", &[]);
        mixed("skrouterd", "embedded", &[]);
        mixed("skrouterd", "skrouterd", &[]);
        return;
    }
    let scene = Scene::up(SITES);
    let before = scene.ok(&["inspect", "-o", "yaml"]);
    let file = scene.file(&SITES.replacen("interconnect: embedded", "interconnect: skrouterd", 1));
    let said = scene.knetsim.fails(1, &["up", "-t", &file]);
    assert!(said.contains("no skrouterd on PATH") && said.contains("interconnect: embedded"), "{said}");
    // It goes on with the other one.
    assert_eq!(scene.ok(&["inspect", "-o", "yaml"]), before);
    scene.becomes("site", "C0", "ready");
}

/// What a router reads, but for what is another one each time.
fn sections(text: &str) -> Value {
    let mut sections: Value = serde_json::from_str(text).unwrap();
    for section in sections.as_array_mut().unwrap() {
        let server = section[0] == "tcpConnector";
        let attributes = section[1].as_object_mut().unwrap();
        attributes.remove("metadata");
        if server {
            attributes.retain(|name, _| !["name", "host"].contains(&name.as_str()));
        }
    }
    sections
}

#[test]
fn the_examples_are_what_the_commands_of_the_course_make() {
    let scene = Scene::up(SITES);
    let same = |worker: &str, example: &str| {
        let written = scene.exec(worker, &["cat", "/etc/skupper-router/skrouterd.json"]);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf/skupper");
        let example = std::fs::read_to_string(folder.join(example)).unwrap();
        assert_eq!(sections(&written), sections(&example), "{worker}: {written}");
    };
    same("C0w1", "base.json");
    let key = ["-k", "backend:8080"];
    scene.ok(&["create", "link", "C1.c0", "--to", "C0"]);
    scene.ok(&[&["create", "connector", "C0.backend", "--container", "a", "--port", "8090"][..], &key].concat());
    scene.ok(&[&["create", "listener", "C1.backend"][..], &key].concat());
    same("C0w1", "solo0.json");
    same("C1w1", "solo1.json");
}

#[test]
fn a_sandbox_has_a_choice_of_its_own_for_sites() {
    let scene = Scene { knetsim: Knetsim::new(env!("CARGO_BIN_EXE_knetsim")) };
    let up = |choice: &str| {
        let mut up = scene.knetsim.command(&["up", "-d"]);
        up.env("KNETSIM_INTERCONNECT", choice).output().unwrap()
    };
    let refused = up("other");
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("KNETSIM_INTERCONNECT: `other` is not a router"));
    assert!(up("skrouterd").status.success());
    // The other one is to be had by its name, and is what there is where there is no skrouterd.
    scene.ok(&["create", "site", "C0", "--interconnect", "embedded"]);
    if !has_skrouterd() {
        assert!(scene.knetsim.fails(1, &["create", "site", "C1"]).contains("no skrouterd on PATH"));
        return;
    }
    scene.ok(&["create", "site", "C1"]);
    assert!(scene.ok(&["inspect", "-o", "yaml"]).contains("interconnect: skrouterd"));
}
