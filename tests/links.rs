//! Clusters linked as Skupper links them, driven through the command line: services that cross, states and their
//! reasons, tokens, and links that are cut.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are parts of tests")]

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

    fn apply(&self, topology: &str) {
        let file = self.knetsim.state().with_file_name("links.yaml");
        std::fs::write(&file, topology).unwrap();
        self.knetsim.ok(&["up", "-d", "-t", file.to_str().unwrap()]);
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
    assert!(config.contains("\"sslProfile\": \"link-c0\"") && config.contains("\"port\": \"1028\""), "{config}");
    let files = "/etc/skupper-router/certs/link-c0/tls.crt";
    let shown = scene.exec("C1w1", &["openssl", "x509", "-in", files, "-noout", "-issuer", "-subject"]);
    assert!(shown.contains("CN = C0 site CA") && shown.contains("CN = C1"), "{shown}");
    let printed = scene.ok(&["inspect", "-o", "yaml"]);
    scene.apply(&printed);
    assert_eq!(scene.ok(&["inspect", "-o", "yaml"]), printed, "nothing has changed");
    scene.answers("C1.c2", "C1w1:1028", "FOUR");
}
