//! Kubernetes objects, and what ingress-nginx makes of them: regular expressions, rewrites, what is refused, what is lost.

use super::{SERVED, Scene};

/// A Kubernetes object with those annotations of ingress-nginx and those paths of no host, each with its type and service.
fn object(annotations: &[(&str, &str)], paths: &[(&str, &str, &str)]) -> String {
    let annotations = annotations.iter().map(|(name, value)| {
        let name = if name.contains('/') { (*name).to_owned() } else { format!("nginx.ingress.kubernetes.io/{name}") };
        (name, serde_json::json!(value))
    });
    let annotations: serde_json::Map<_, _> = annotations.collect();
    let path = |(path, kind, service): &(&str, &str, &str)| {
        let backend = serde_json::json!({"service": {"name": service, "port": {"number": 80}}});
        serde_json::json!({"path": path, "pathType": kind, "backend": backend})
    };
    let paths: Vec<_> = paths.iter().map(path).collect();
    let object = serde_json::json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "web", "annotations": annotations},
        "spec": {"rules": [{"http": {"paths": paths}}]},
    });
    object.to_string()
}

/// Makes an ingress of an object that a file holds, or changes it.
struct Objects {
    scene: Scene,
    file: tempfile::NamedTempFile,
}

impl Objects {
    fn new() -> Self {
        let scene = Scene::up(SERVED);
        scene.listening(&["C0.b1", "C0.b2"]);
        Objects { scene, file: tempfile::NamedTempFile::new().unwrap() }
    }

    fn create(&self, object: &str) -> std::process::Output {
        std::fs::write(self.file.path(), object).unwrap();
        let file = self.file.path().to_str().unwrap();
        let create = ["create", "ingress", "--replace", "--worker", "C0w1", "--port", "8001", "-f", file];
        self.scene.knetsim.run(&create)
    }

    /// What is said to standard error of one that is taken.
    fn taken(&self, object: &str) -> String {
        let output = self.create(object);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{object}: {said}");
        said
    }

    /// The same of one that is refused.
    fn refused(&self, object: &str) -> String {
        let output = self.create(object);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{object}: {said}");
        said
    }

    fn led(&self, ways: &[(&str, &str)]) {
        for (path, led) in ways {
            assert_eq!(self.scene.led("x", path), *led, "{path}");
        }
    }
}

#[test]
fn a_kubernetes_object_is_an_ingress_too() {
    let objects = Objects::new();
    let two = object(&[], &[("/svc1", "Prefix", "a"), ("/two", "Exact", "b")]);
    let missing = objects.create(&two.replace(r#""name":"b""#, r#""name":"none""#));
    assert_eq!(missing.status.code(), Some(3), "{missing:?}");
    let wrong = objects.refused(&two.replace(r#""kind":"Ingress""#, r#""kind":"Service""#));
    assert!(wrong.contains("kind: Ingress") && wrong.contains("Service"), "{wrong}");
    assert!(objects.refused("# nothing\n").contains("it is empty"));
    objects.taken(&two);
    objects.led(&[("/svc1/one", "B1 /svc1/one"), ("/two", "B2 /two"), ("/two/", "404"), ("/SVC1/one", "404")]);
    assert!(objects.scene.ok(&["inspect", "-o", "name"]).contains("C0.web"));
}

/// What ingress-nginx does with the same object.
#[test]
fn regular_expressions_and_rewrites_are_those_of_ingress_nginx() {
    let objects = Objects::new();
    let specific = "ImplementationSpecific";
    let regex = [("use-regex", "true")];
    objects.taken(&object(
        &regex,
        &[
            ("/api/.*", specific, "a"),
            ("/api/users/(.*)", specific, "b"),
            ("/plain", "Prefix", "a"),
            ("/whole", "Exact", "b"),
        ],
    ));
    objects.led(&[
        ("/api/x", "B1 /api/x"),
        ("/API/x", "B1 /API/x"),
        ("/api", "404"),
        ("/api/users/7", "B2 /api/users/7"),
        ("/x/api/users/7", "404"),
        // No type means what it says.
        ("/plainly", "B1 /plainly"),
        ("/whole/too", "B2 /whole/too"),
    ]);
    for (target, path, ways) in [
        (
            "/$2",
            "/svc1(/|$)(.*)",
            &[("/svc1", "B1 /"), ("/svc1/", "B1 /"), ("/svc1/a/b", "B1 /a/b"), ("/svc10", "404")][..],
        ),
        ("/api/v1/$2", "/svc1(/|$)(.*)", &[("/svc1/a", "B1 /api/v1/a"), ("/SVC1/a", "B1 /api/v1/a")]),
        ("/", "/foo/(.*)", &[("/foo/", "B1 /"), ("/foo/a/b", "B1 /"), ("/foo", "404")]),
        ("/all", "/svc1", &[("/svc1", "B1 /all"), ("/svc1/a", "B1 /all"), ("/svc10", "B1 /all")]),
        ("/$2/$1", "/([a-z]+)/([0-9]{2})$", &[("/ab/12", "B1 /12/ab"), ("/ab/123", "404")]),
        ("/p/$1", "/u/(.*)", &[("/u/a%20b%2Fc%3Fd", "B1 /p/a%20b/c%3Fd"), ("/u/$1", "B1 /p/$1")]),
    ] {
        objects.taken(&object(&[("rewrite-target", target)], &[(path, specific, "a")]));
        objects.led(ways);
    }
    // The same in our own words.
    let create = ["create", "ingress", "C0.web", "--replace", "--worker", "C0w1", "--port", "8001"];
    objects.scene.ok(&[&create[..], &["--regex", "/u/([0-9]+)=a:80/p/$1", "--regex", "/u/=b:80"]].concat());
    objects.led(&[("/u/17", "B1 /p/17"), ("/U/x", "B2 /U/x")]);
    let mixed =
        objects.scene.knetsim.fails(2, &[&create[..], &["--regex", "/u/.*=a:80", "--path", "/v=b:80"]].concat());
    assert!(mixed.contains("/u/.*") && mixed.contains("/v"), "{mixed}");
    let printed = objects.scene.ok(&["inspect", "-o", "yaml"]);
    objects.scene.apply(&printed);
    assert_eq!(objects.scene.ok(&["inspect", "-o", "yaml"]), printed);
}

#[test]
fn what_nginx_refuses_is_refused_by_its_path_and_changes_nothing() {
    let objects = Objects::new();
    let specific = "ImplementationSpecific";
    objects.taken(&object(&[("use-regex", "true")], &[("/a/.*", specific, "a")]));
    let before = objects.scene.ok(&["inspect", "-o", "yaml"]);
    for (path, why) in [
        ("/api/(", "missing"),
        ("/api/[a-", "missing"),
        ("/a**", "nothing to repeat|quantifier does not follow a repeatable item"),
        ("/\\", "\\ at end of pattern"),
    ] {
        let said = objects.refused(&object(&[("use-regex", "true")], &[("/b", "Prefix", "b"), (path, specific, "a")]));
        let named = said.contains(&format!("path `{path}`"));
        assert!(named && why.split('|').any(|why| said.contains(why)), "{path}: {said}");
        objects.led(&[("/a/1", "B1 /a/1"), ("/b", "404")]);
        assert_eq!(objects.scene.ok(&["inspect", "-o", "yaml"]), before, "{path}");
    }
    let other = ["create", "ingress", "C0.other", "--worker", "C0w1", "--port", "8002", "--regex", "/x/[=a:80"];
    assert!(objects.scene.knetsim.fails(2, &other).contains("path `/x/[`"));
    assert_eq!(objects.scene.ok(&["inspect", "-o", "yaml"]), before);
    assert!(!objects.scene.exec("C0w1", &["ls", "/var/lib"]).contains("ingress-other"));
    // Words of nginx's configuration are letters of an expression like others; of a path most are refused.
    for (path, taken) in [
        ("/q\"; return 200; }\nlocation /pwned { return 200 yes; } #", false),
        ("/q\"; } location /pwned { return 200 yes; } location ~ \"", true),
        ("/q\\\"; } location /pwned { return 200 yes; } location ~ \"", true),
        ("/q' } location /pwned { return 200 yes; } #", true),
        ("/q$host${host}", true),
        ("/q{1,2};", true),
    ] {
        let expression = object(&[("use-regex", "true")], &[(path, specific, "a"), ("/led", specific, "b")]);
        if taken {
            objects.taken(&expression);
            objects.led(&[("/led", "B2 /led")]);
        } else {
            objects.refused(&expression);
        }
        objects.led(&[("/pwned", "404"), ("/pwned/too", "404")]);
        objects.refused(&object(&[], &[(path, specific, "a")]));
        objects.refused(&object(&[("rewrite-target", path)], &[("/c", specific, "a")]));
    }
}

#[test]
fn what_of_an_object_is_not_done_is_told() {
    let objects = Objects::new();
    let paths = [("/a", "Prefix", "a")];
    let before = objects.scene.ok(&["inspect", "-o", "yaml"]);
    let (bell, quiet) = ("x.example/\u{1b}]0;gone\u{7}", ("kubectl.kubernetes.io/last-applied-configuration", "{}"));
    let lost = [("affinity", "cookie"), ("haproxy.org/load-balance", "a"), (bell, "a"), quiet];
    let forbidden = [("auth-type", "basic"), ("haproxy.org/allow-list", "10.0.0.0/8"), ("nginx.org/jwt-key", "a")];
    let validate = |object: &str| {
        std::fs::write(objects.file.path(), object).unwrap();
        let output = objects.scene.knetsim.run(&["validate", objects.file.path().to_str().unwrap()]);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for annotation in forbidden {
        let object = object(&[annotation, lost[0]], &paths);
        let name = annotation.0.rsplit('/').next().unwrap();
        let said = objects.refused(&object);
        assert!(said.contains(name) && said.contains("turns requests away"), "{said}");
        let (status, said) = validate(&object);
        assert!(status == Some(2) && said.contains(name), "{said}");
    }
    assert_eq!(objects.scene.ok(&["inspect", "-o", "yaml"]), before);
    let object = object(&lost, &paths);
    let (status, validated) = validate(&object);
    assert_eq!(status, Some(0), "{validated}");
    for said in [validated, objects.taken(&object)] {
        assert!(said.contains("warning:"), "{said}");
        for name in ["nginx.ingress.kubernetes.io/affinity", "haproxy.org/load-balance", "x.example/"] {
            assert!(said.contains(name), "{name}: {said}");
        }
        assert!(!said.contains("kubectl") && !said.contains(['\u{1b}', '\u{7}']), "{said:?}");
    }
    objects.led(&[("/a", "B1 /a")]);
}
