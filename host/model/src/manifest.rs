//! Kubernetes' own Ingress object, `networking.k8s.io/v1`, as an [`IngressSpec`].
//!
//! The object says which requests go where; which worker and port its nginx has, it doesn't: in a cluster its class
//! and the controller's Service say so. Annotations are those of ingress-nginx, as far as they have a field here
//! (<https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/annotations/>). Whatever would be lost is
//! refused, but for what only an apiserver or a controller writes.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::ingress::{Backend, BackendHost, Host, IngressPath, IngressSpec, PathType};
use crate::names::{IngressName, NodeName, ServiceName};

/// What ingress-nginx's annotations begin with.
const NGINX: &str = "nginx.ingress.kubernetes.io/";
/// What stands behind a path of which the rest is kept by `rewrite-target: /$2`.
const REST: &str = "(/|$)(.*)";

/// An Ingress as `kubectl` takes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IngressManifest {
    api_version: ApiVersion,
    kind: Kind,
    metadata: Metadata,
    spec: Spec,
    #[serde(default, rename = "status")]
    _status: serde::de::IgnoredAny,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum ApiVersion {
    #[serde(rename = "networking.k8s.io/v1")]
    V1,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum Kind {
    Ingress,
}

/// Its other fields, labels for one, mean nothing to an ingress.
#[derive(Clone, Debug, Deserialize)]
struct Metadata {
    name: IngressName,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    /// Whose business it is: here it is knetsim's, since somebody has given it to it.
    #[serde(default, rename = "ingressClassName")]
    _class: Option<String>,
    #[serde(default)]
    default_backend: Option<IngressBackend>,
    #[serde(default)]
    rules: Vec<Rule>,
    #[serde(default)]
    tls: Vec<serde::de::IgnoredAny>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    host: Option<Host>,
    http: Http,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Http {
    paths: Vec<HttpPath>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HttpPath {
    #[serde(default)]
    path: Option<String>,
    path_type: ManifestPathType,
    backend: IngressBackend,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum ManifestPathType {
    Exact,
    Prefix,
    ImplementationSpecific,
}

/// `resource` in place of `service` is refused as unknown.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IngressBackend {
    service: BackendService,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BackendService {
    name: ServiceName,
    port: BackendPort,
}

/// A port by name would need its Service, which is no part of the object.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BackendPort {
    number: std::num::NonZeroU16,
}

impl IngressManifest {
    /// Its name.
    pub fn name(&self) -> &IngressName {
        &self.metadata.name
    }

    /// The same ingress at that worker and port.
    ///
    /// # Errors
    /// It asks for something that has no meaning here; the words name it.
    pub fn into_spec(self, worker: NodeName, port: u16) -> Result<IngressSpec, String> {
        let IngressManifest { api_version: ApiVersion::V1, kind: Kind::Ingress, metadata, spec, .. } = self;
        if !spec.tls.is_empty() {
            return Err("its `tls` has no meaning here: an ingress speaks plain HTTP".to_owned());
        }
        let mut asked = Annotations::read(&metadata.annotations)?;
        let mut paths = Vec::new();
        for Rule { host, http } in spec.rules {
            for path in http.paths {
                paths.push(path.into_path(host.clone(), asked.rewrite.as_deref())?);
            }
        }
        Ok(IngressSpec {
            worker,
            port,
            paths,
            default: spec.default_backend.map(Into::into),
            connect_timeout: asked.connect_timeout.take(),
            timeout: asked.timeout.take(),
            max_body: asked.max_body.take(),
        })
    }
}

impl From<IngressBackend> for Backend {
    fn from(backend: IngressBackend) -> Self {
        Backend { to: BackendHost::Service(backend.service.name), port: backend.service.port.number.get() }
    }
}

impl HttpPath {
    fn into_path(self, host: Option<Host>, target: Option<&str>) -> Result<IngressPath, String> {
        let path = self.path.unwrap_or_else(|| "/".to_owned());
        let path_type = match self.path_type {
            ManifestPathType::Exact => PathType::Exact,
            ManifestPathType::Prefix | ManifestPathType::ImplementationSpecific => PathType::Prefix,
        };
        let backend = self.backend.into();
        let Some(target) = target else {
            return Ok(IngressPath { host, path, path_type, backend, rewrite: None, drop_rest: false });
        };
        // A target without groups takes the place of the whole path.
        if !target.contains('$') {
            let drop_rest = path_type == PathType::Prefix;
            return Ok(IngressPath { host, path, path_type, backend, rewrite: Some(target.to_owned()), drop_rest });
        }
        let parts = path.strip_suffix(REST).zip(target.strip_suffix("/$2"));
        let (path, target) = parts.filter(|(path, _)| !path.ends_with('/')).ok_or_else(|| {
            format!(
                "its rewrite-target `{target}` has no meaning here for the path `{path}`: for the rest of a path to be \
                 kept, write the path as `/svc1{REST}` and the target as `/$2`"
            )
        })?;
        let rewrite = Some(if target.is_empty() { "/" } else { target }.to_owned());
        Ok(IngressPath { host, path: path.to_owned(), path_type, backend, rewrite, drop_rest: false })
    }
}

/// What annotations ask for.
#[derive(Default)]
struct Annotations {
    rewrite: Option<String>,
    connect_timeout: Option<u32>,
    timeout: Option<u32>,
    max_body: Option<u64>,
}

impl Annotations {
    fn read(annotations: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut asked = Annotations::default();
        for (name, value) in annotations {
            let Some(what) = name.strip_prefix(NGINX) else { continue };
            let seconds = || value.parse::<u32>().map_err(|_| format!("its annotation {name}: `{value}` is no number"));
            match what {
                "rewrite-target" => asked.rewrite = Some(value.clone()),
                // Where the rest of a path is kept, paths are regular expressions anyway.
                "use-regex" => {}
                "proxy-connect-timeout" => asked.connect_timeout = Some(seconds()?),
                "proxy-read-timeout" | "proxy-send-timeout" => {
                    let seconds = seconds()?;
                    if asked.timeout.replace(seconds).is_some_and(|other| other != seconds) {
                        return Err(
                            "its proxy-read-timeout and proxy-send-timeout differ: here they are one".to_owned()
                        );
                    }
                }
                "proxy-body-size" => {
                    let bytes = bytes(value).ok_or_else(|| {
                        format!("its annotation {name}: `{value}` is no size, such as `8m`, `512k` or `0`")
                    })?;
                    asked.max_body = Some(bytes);
                }
                _ => return Err(format!("its annotation {name} has no meaning here")),
            }
        }
        Ok(asked)
    }
}

/// A size as nginx writes it: with `k`, `m` or `g` for powers of 1024.
fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// An object as the course's ingress would be one, with a change to its `spec`, and annotations.
    fn object(change: &Value, annotations: &Value) -> Result<IngressSpec, String> {
        let service = |name: &str, port: u16| json!({"service": {"name": name, "port": {"number": port}}});
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
        let object: IngressManifest = serde_json::from_value(object).map_err(|error| error.to_string())?;
        assert_eq!(object.name().as_str(), "shop");
        object.into_spec("C0w1".parse().unwrap(), 8001)
    }

    /// One path below the root with that type, under that target.
    fn rewritten(path: &str, kind: &str, target: &str) -> Result<IngressPath, String> {
        let backend = json!({"service": {"name": "one", "port": {"number": 80}}});
        let rules = json!([{"http": {"paths": [{"path": path, "pathType": kind, "backend": backend}]}}]);
        let target = json!({"nginx.ingress.kubernetes.io/rewrite-target": target});
        object(&json!({"rules": rules}), &target).map(|mut spec| spec.paths.remove(0))
    }

    #[test]
    fn an_object_is_what_our_own_words_say() {
        let annotations = json!({
            "nginx.ingress.kubernetes.io/proxy-connect-timeout": "3",
            "nginx.ingress.kubernetes.io/proxy-read-timeout": "30",
            "nginx.ingress.kubernetes.io/proxy-send-timeout": "30",
            "nginx.ingress.kubernetes.io/proxy-body-size": "8m",
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
        });
        let expected = json!({"worker": "C0w1", "port": 8001, "default": "web:80", "paths": [
            {"host": "shop.example", "path": "/svc1", "backend": "one:8000"},
            {"host": "shop.example", "path": "/health", "type": "exact", "backend": "two:8000"},
        ], "connect_timeout": 3, "timeout": 30, "max_body": 8 << 20});
        assert_eq!(serde_json::to_value(object(&json!({}), &annotations).unwrap()).unwrap(), expected);
    }

    #[test]
    fn the_rest_of_a_path_is_kept_as_ingress_nginx_keeps_it() {
        for (path, target, expected) in
            [("/svc1(/|$)(.*)", "/$2", ("/svc1", "/")), ("/svc1(/|$)(.*)", "/api/v1/$2", ("/svc1", "/api/v1"))]
        {
            let path = rewritten(path, "ImplementationSpecific", target).unwrap();
            assert_eq!((path.path.as_str(), path.rewrite.as_deref()), (expected.0, Some(expected.1)));
        }
        assert_eq!(rewritten("/a", "Exact", "/b").unwrap().rewrite.as_deref(), Some("/b"));
        assert!(rewritten("/(/|$)(.*)", "Prefix", "/$2").is_err(), "it matches nothing but / and //");
        assert!(rewritten("/svc1", "Prefix", "/$1").unwrap_err().contains("write the path as `/svc1(/|$)(.*)`"));
        let whole = rewritten("/svc1", "Prefix", "/").unwrap();
        assert_eq!((whole.rewrite.as_deref(), whole.drop_rest), (Some("/"), true));
    }

    #[test]
    fn what_would_be_lost_is_refused() {
        let service = |port: Value| json!({"defaultBackend": {"service": {"name": "web", "port": port}}});
        for (change, words) in [
            (json!({"tls": [{"hosts": ["a"]}]}), "tls"),
            (service(json!({"name": "http"})), "unknown field `name`"),
            (service(json!({"number": 0})), "nonzero"),
            (json!({"defaultBackend": {"resource": {"kind": "StorageBucket"}}}), "resource"),
            (json!({"rules": [{"host": "SHOP"}]}), "SHOP"),
            (json!({"rules": [{"host": "a.b"}]}), "http"),
            (json!({"rule": []}), "rule"),
        ] {
            let why = object(&change, &json!({})).unwrap_err();
            assert!(why.contains(words), "{change}: {why}");
        }
        for (name, value, words) in [
            ("proxy-body-size", "8x", "8x"),
            ("proxy-body-size", "99999999999g", "99999999999g"),
            ("proxy-read-timeout", "1h", "1h"),
            ("canary", "true", "canary"),
        ] {
            let why = object(&json!({}), &json!({format!("{NGINX}{name}"): value})).unwrap_err();
            assert!(why.contains(words), "{name}: {why}");
        }
    }
}
