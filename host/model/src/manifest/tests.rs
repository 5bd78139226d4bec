use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// What the documentation says becomes of each field and annotation.
const DOCUMENTED: &str = include_str!("../../../../docs/ingress.md");
const NGINX: &str = "nginx.ingress.kubernetes.io/";

fn service(name: &str, port: u16) -> Value {
    json!({"service": {"name": name, "port": {"number": port}}})
}

/// An object with every part of which the documentation has a field.
fn whole() -> Value {
    let paths = json!([{"path": "/a", "pathType": "Prefix", "backend": service("web", 80)}]);
    json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "shop"},
        "spec": {"defaultBackend": service("web", 80), "rules": [{"http": {"paths": paths}}]}})
}

fn translated(object: Value) -> Result<(IngressName, Translated), String> {
    let object: IngressManifest = serde_json::from_value(object).map_err(|error| error.to_string())?;
    let name = object.name().clone();
    Ok((name, object.translate("C0w1".parse().unwrap(), 8001)?))
}

/// An object as the course's ingress would be one, with a change to its `spec`, and annotations.
fn object(change: &Value, annotations: &Value) -> Result<Translated, String> {
    let mut spec = json!({
        "ingressClassName": "nginx",
        "defaultBackend": service("web", 80),
        "rules": [{"host": "shop.example", "http": {"paths": [
            {"path": "/svc1", "pathType": "Prefix", "backend": service("one", 8000)},
            {"path": "/health", "pathType": "Exact", "backend": service("two", 8000)},
        ]}}],
    });
    let fields = spec.as_object_mut().unwrap();
    fields.extend(change.as_object().unwrap().clone());
    let object = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "status": {"loadBalancer": {}},
        "metadata": {"name": "shop", "labels": {"a": "b"}, "annotations": annotations}, "spec": spec});
    translated(object).map(|(_, translated)| translated)
}

/// One path with that type, under those annotations of ingress-nginx.
fn path(path: &str, kind: &str, annotations: &[(&str, &str)]) -> Result<Translated, String> {
    let backend = json!({"service": {"name": "one", "port": {"number": 80}}});
    let rules = json!([{"http": {"paths": [{"path": path, "pathType": kind, "backend": backend}]}}]);
    let annotations = annotations.iter().map(|(name, value)| (format!("{NGINX}{name}"), json!(value)));
    let annotations: serde_json::Map<_, _> = annotations.collect();
    object(&json!({"rules": rules, "defaultBackend": null}), &Value::Object(annotations))
}

#[test]
fn an_object_is_what_our_own_words_say() {
    let annotations = json!({
        "nginx.ingress.kubernetes.io/proxy-connect-timeout": "3",
        "nginx.ingress.kubernetes.io/proxy-read-timeout": "30",
        "nginx.ingress.kubernetes.io/proxy-send-timeout": "30",
        "nginx.ingress.kubernetes.io/proxy-body-size": "8m",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        "owner": "us",
    });
    let expected = json!({"worker": "C0w1", "port": 8001, "default": "web:80", "paths": [
        {"host": "shop.example", "path": "/svc1", "backend": "one:8000"},
        {"host": "shop.example", "path": "/health", "type": "exact", "backend": "two:8000"},
    ], "connect_timeout": 3, "timeout": 30, "max_body": 8 << 20});
    let Translated { spec, warnings } = object(&json!({}), &annotations).unwrap();
    assert_eq!((serde_json::to_value(spec).unwrap(), warnings), (expected, Vec::new()));
}

#[test]
fn under_regular_expressions_every_path_is_one() {
    for (text, kind, annotations, rewrite) in [
        ("/api/.*", "ImplementationSpecific", [("use-regex", "true")], None),
        ("/svc1(/|$)(.*)", "ImplementationSpecific", [("rewrite-target", "/$2")], Some("/$2")),
        ("/svc1", "Prefix", [("rewrite-target", "/")], Some("/")),
        ("/svc1", "Prefix", [("rewrite-target", "/svc1")], None),
    ] {
        let Translated { spec, warnings } = path(text, kind, &annotations).unwrap();
        let only = &spec.paths[0];
        assert_eq!((only.path.as_str(), only.path_type), (text, PathType::Regex));
        assert_eq!((only.rewrite.as_deref(), warnings), (rewrite, Vec::new()), "{text}");
    }
    let off = path("/svc1", "Prefix", &[("use-regex", "false")]).unwrap();
    assert_eq!(off.spec.paths[0].path_type, PathType::Prefix);
    // The default backend's requests are rewritten, too.
    let spec = object(&json!({}), &json!({"nginx.ingress.kubernetes.io/rewrite-target": "/x"})).unwrap().spec;
    let written: Vec<_> = spec.paths.iter().map(|path| (path.path.as_str(), path.rewrite.as_deref())).collect();
    assert_eq!(written, [("/svc1", Some("/x")), ("/health", Some("/x")), ("/", Some("/x"))]);
    assert!(spec.paths.iter().all(|path| path.path_type == PathType::Regex));
    // Those of no host are not.
    let paths = json!([{"path": "/a", "pathType": "Prefix", "backend": service("one", 80)}]);
    let rules = json!({"rules": [{"http": {"paths": paths}}]});
    let spec = object(&rules, &json!({"nginx.ingress.kubernetes.io/rewrite-target": "/x"})).unwrap().spec;
    assert_eq!(spec.paths.iter().map(|path| path.path.as_str()).collect::<Vec<_>>(), ["/a"]);
}

/// Where requests of host h go that ask for /, of an object with those rules and a default backend.
fn root_of(rules: &[&Value], rewrite: bool) -> (Vec<String>, Option<String>) {
    let annotations = if rewrite { json!({format!("{NGINX}rewrite-target"): "/x"}) } else { json!({}) };
    let spec = object(&json!({"rules": rules}), &annotations).unwrap().spec;
    let of_host = spec.paths.iter().filter(|path| path.host == Some("h".parse().unwrap()) && path.path == "/");
    (of_host.map(|path| path.backend.to_string()).collect(), spec.default.map(|default| default.to_string()))
}

#[test]
fn rules_that_share_a_host_are_read_together() {
    let rule = |path: &str| {
        let paths = json!([{"path": path, "pathType": "Prefix", "backend": service("one", 80)}]);
        json!({"host": "h", "http": {"paths": paths}})
    };
    let (root, other, empty) = (rule("/"), rule("/a"), json!({"host": "h", "http": null}));
    let default = Some("web:80".to_owned());
    let root_of = |rules: &[&Value], rewrite| {
        let mut reversed = rules.to_vec();
        reversed.reverse();
        let found = root_of(rules, rewrite);
        assert_eq!(found, root_of(&reversed, rewrite), "{rules:?}");
        assert_eq!(found.1, default);
        found.0
    };
    for rewrite in [false, true] {
        assert_eq!(root_of(&[&other, &root], rewrite), ["one:80"]);
        assert_eq!(root_of(&[&empty, &root], rewrite), ["one:80"]);
        assert_eq!(root_of(&[&empty, &empty], rewrite), ["web:80"]);
    }
    // Without a rewrite it goes to the default backend as everything does that no path of its host matches.
    assert_eq!(root_of(&[&other, &empty], false), Vec::<String>::new());
    assert_eq!(root_of(&[&other, &empty], true), ["web:80"]);
    let without = object(&json!({"rules": [empty, other], "defaultBackend": null}), &json!({})).unwrap();
    assert_eq!(without.warnings, Vec::<String>::new(), "the host has a path");
    let without = object(&json!({"rules": [empty, {"http": null}], "defaultBackend": null}), &json!({}));
    assert!(without.unwrap_err().contains("neither paths nor a default backend"));
}

#[test]
fn what_a_path_does_unexpectedly_is_warned_about() {
    for (text, kind, annotations, words) in [
        ("/api/.*", "ImplementationSpecific", &[][..], "`/api/.*` is taken literally"),
        ("/api/.*", "Prefix", &[("use-regex", "true")], "wants `pathType: ImplementationSpecific`"),
        ("/health", "Exact", &[("rewrite-target", "/")], "no path is `Exact`"),
    ] {
        let warnings = path(text, kind, annotations).unwrap().warnings;
        assert!(warnings.len() == 1 && warnings[0].contains(words), "{words}: {warnings:?}");
    }
    let twice = json!([{"http": {"paths": [
        {"path": "/a", "pathType": "Exact", "backend": service("one", 80)},
        {"path": "/a", "pathType": "Prefix", "backend": service("two", 80)},
    ]}}]);
    let Translated { spec, warnings } =
        object(&json!({"rules": twice}), &json!({"nginx.ingress.kubernetes.io/use-regex": "true"})).unwrap();
    assert_eq!(spec.paths.iter().map(|path| path.backend.to_string()).collect::<Vec<_>>(), ["one:80"]);
    assert!(warnings.iter().any(|warning| warning.contains("`/a` is given twice")), "{warnings:?}");
}

#[test]
fn what_would_be_lost_is_refused() {
    let default = |port: Value| json!({"defaultBackend": {"service": {"name": "web", "port": port}}});
    for (change, words) in [
        (json!({"tls": [{"hosts": ["a"]}]}), "tls"),
        (default(json!({"name": "http"})), "not the name `http`"),
        (default(json!({})), "backend web needs the `number`"),
        (default(json!({"number": 0})), "nonzero"),
        (json!({"defaultBackend": {"resource": {"kind": "StorageBucket"}}}), "resource"),
        (json!({"rules": [{"host": "SHOP"}]}), "SHOP"),
        (json!({"rule": []}), "rule"),
    ] {
        let why = object(&change, &json!({})).unwrap_err();
        assert!(why.contains(words), "{change}: {why}");
    }
    for (name, value, words) in [
        ("proxy-body-size", "8x", "8x"),
        ("proxy-body-size", "99999999999g", "99999999999g"),
        ("proxy-read-timeout", "1h", "1h"),
        ("use-regex", "yes", "neither `true` nor `false`"),
        ("canary", "true", "nginx.ingress.kubernetes.io/canary: requests would go elsewhere"),
        ("rewrite-target", "http://a.example/", "begins with neither"),
        ("rewrite-target", "/$host", "nginx's variables"),
        ("rewrite-target", "/\"; deny all", "take letters"),
    ] {
        let why = object(&json!({}), &json!({format!("{NGINX}{name}"): value})).unwrap_err();
        assert!(why.contains(words), "{name}: {why}");
    }
    let several = json!({"haproxy.org/allow-list": "a", "nginx.org/basic-auth-secret": "b", "x.example/colour": "red"});
    let why = object(&json!({}), &several).unwrap_err();
    assert!(why.contains("haproxy.org/allow-list") && why.contains("basic-auth-secret"), "{why}");
}

/// What a row of the documentation is about.
fn put(field: &str, value: &str) -> Value {
    let mut object = whole();
    if field.contains('/') {
        object["metadata"]["annotations"] = json!({field: value});
        return object;
    }
    let mut place = &mut object;
    for part in field.split('.') {
        place = match part.strip_suffix("[]") {
            Some(list) => {
                let list = &mut place[list];
                if list.is_null() {
                    *list = json!([null]);
                }
                &mut list[0]
            }
            None => &mut place[part],
        };
    }
    *place = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
    object
}

#[test]
fn what_is_documented_happens() {
    let before = translated(whole()).unwrap();
    let mut documented = BTreeSet::new();
    let (_, tables) = DOCUMENTED.split_once("## Fields").unwrap();
    for line in tables.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, value, expected, _] = cells[..] else { panic!("a row has four cells: {line}") };
        let (name, value) = (name.trim_matches('`'), value.trim_matches('`'));
        let known = format!("{NGINX}{name}");
        let field = match annotations::known().any(|one| one == known) {
            true => &known,
            false => name,
        };
        documented.insert(field.to_owned());
        let happens = match translated(put(field, value)) {
            Err(why) => {
                let fields = name.split(['.', '[', ']']).filter(|part| !matches!(*part, "" | "spec" | "metadata"));
                let named =
                    why.contains(name) || why.contains(value) || fields.into_iter().any(|part| why.contains(part));
                assert!(named, "{line}\nnames neither: {why}");
                "refused"
            }
            Ok((_, after)) if !after.warnings.is_empty() => {
                assert!(after.warnings.iter().any(|words| words.contains(name) || words.contains(value)), "{line}");
                "warning"
            }
            Ok(after) if after == before => "no change",
            Ok(_) => "done",
        };
        assert_eq!(happens, expected, "{line}");
    }
    let missing: Vec<_> = annotations::known().filter(|known| !documented.contains(known)).collect();
    assert_eq!(missing, Vec::<String>::new(), "docs/ingress.md has no row for these");
    assert!(documented.len() > 150, "the table isn't read: {}", documented.len());
}

#[test]
fn false_is_harmless_where_it_switches_nothing_on() {
    for (name, value, refused) in [
        ("x.example/auth", "true", true),
        ("x.example/auth", "false", false),
        ("x.example/disable-auth", "false", true),
        ("x.example/skip-auth", "off", true),
        ("x.example/auth-bypass", "false", true),
        ("x.example/no-tls", "false", true),
        ("x.example/rewrite", "/", true),
        ("x.example/ssl-redirect", "false", false),
        ("konghq.com/strip-path", "true", true),
        ("alb.ingress.kubernetes.io/scheme", "internal", true),
        ("alb.ingress.kubernetes.io/scheme", "internet-facing", false),
        ("x.example/internal", "true", true),
    ] {
        assert_eq!(object(&json!({}), &json!({name: value})).is_err(), refused, "{name}: {value}");
    }
}

proptest! {
    /// Whatever an annotation is called and says: what a person is shown of it can't speak to their terminal.
    #[test]
    fn no_annotation_speaks_to_the_terminal(name in "\\PC{0,5}[\u{0}-\u{9f}\u{202e}]{1,5}(/auth)?", value in ".{0,20}") {
        let name = format!("x.example/{name}");
        let shown = match object(&json!({}), &json!({name: value})) {
            Ok(Translated { warnings, .. }) => warnings.join(" "),
            Err(why) => why,
        };
        prop_assert!(!shown.contains(|c: char| c.is_control() || c == '\u{202e}'), "{shown:?}");
    }

    /// The same of values that an error shows.
    #[test]
    fn no_value_speaks_to_the_terminal(value in "/?\\PC{0,5}[\u{1}-\u{8}\u{e}-\u{1f}\u{7f}-\u{9f}\u{202e}]{1,5}") {
        for name in ["rewrite-target", "use-regex", "proxy-body-size", "proxy-read-timeout"] {
            let why = object(&json!({}), &json!({format!("{NGINX}{name}"): value})).unwrap_err();
            prop_assert!(!why.contains(|c: char| c.is_control() || c == '\u{202e}'), "{name}: {why:?}");
            prop_assert!(why.contains("\\u{"), "{name} shows it: {why:?}");
        }
    }
}
