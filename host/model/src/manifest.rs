//! Kubernetes' own Ingress object, `networking.k8s.io/v1`, as an [`IngressSpec`].
//!
//! The object says which requests go where; which worker and port its nginx has, it doesn't: in a cluster its class
//! and the controller's Service say so. Annotations are those of ingress-nginx
//! (<https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/annotations/>), and what a path means
//! under them is what it means there. What would be lost is refused or warned about; docs/ingress.md has the table.

mod annotations;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::ingress::{Backend, BackendHost, Host, IngressPath, IngressSpec, PathType, shown};
use crate::names::{IngressName, NodeName, ServiceName};

use annotations::Annotations;

/// An Ingress as `kubectl` takes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IngressManifest {
    api_version: ApiVersion,
    kind: Kind,
    metadata: Metadata,
    spec: Spec,
    #[serde(default, rename = "status")]
    _status: IgnoredAny,
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
    namespace: Option<String>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
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
    rules: Option<Vec<Rule>>,
    #[serde(default)]
    tls: Option<Vec<IgnoredAny>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    host: Option<String>,
    #[serde(default)]
    http: Option<Http>,
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

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IngressBackend {
    #[serde(default)]
    service: Option<BackendService>,
    #[serde(default)]
    resource: Option<IgnoredAny>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BackendService {
    name: ServiceName,
    port: BackendPort,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BackendPort {
    #[serde(default)]
    number: Option<NonZeroU16>,
    #[serde(default)]
    name: Option<String>,
}

/// What an object became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translated {
    /// The ingress.
    pub spec: IngressSpec,
    /// What of the object is not done, in words for a person, without control characters.
    pub warnings: Vec<String>,
}

impl IngressManifest {
    /// Its name.
    pub fn name(&self) -> &IngressName {
        &self.metadata.name
    }

    /// The same ingress at that worker and port.
    ///
    /// # Errors
    /// It asks for something that can't be done, and without which it would be another one or answer whom it shall not;
    /// the words name it. Or it makes no sense by itself.
    pub fn translate(self, worker: NodeName, port: u16) -> Result<Translated, String> {
        let IngressManifest { api_version: ApiVersion::V1, kind: Kind::Ingress, metadata, spec, .. } = self;
        if spec.tls.is_some_and(|tls| !tls.is_empty()) {
            return Err("its `tls` can't be done: an ingress speaks plain HTTP".to_owned());
        }
        let (annotations, lost) = Annotations::read(&metadata.annotations.unwrap_or_default())?;
        let mut reading = Reading::new(&annotations);
        reading.warnings.extend(lost);
        reading.warnings.extend(metadata.namespace.as_deref().and_then(namespace_lost));
        let default = spec.default_backend.map(Backend::try_from).transpose()?;
        for rule in spec.rules.unwrap_or_default() {
            reading.rule(rule)?;
        }
        reading.rest_of_hosts(default.as_ref());
        let Reading { paths, warnings, .. } = reading;
        let Annotations { connect_timeout, timeout, max_body, .. } = annotations;
        let spec = IngressSpec { worker, port, paths, default, connect_timeout, timeout, max_body };
        spec.validate()?;
        Ok(Translated { spec, warnings })
    }
}

fn namespace_lost(namespace: &str) -> Option<String> {
    let lost = || format!("its namespace {} is left out: a cluster has one set of services", shown(namespace));
    (!matches!(namespace, "" | "default")).then(lost)
}

impl TryFrom<IngressBackend> for Backend {
    type Error = String;
    fn try_from(IngressBackend { service, resource }: IngressBackend) -> Result<Self, String> {
        let (Some(service), None) = (service, resource) else {
            return Err("one of its backends has no `service`: a `resource` can't be asked".to_owned());
        };
        match service.port {
            BackendPort { number: Some(number), name: None } => {
                Ok(Backend { to: BackendHost::Service(service.name), port: number.get() })
            }
            BackendPort { name, .. } => {
                let name = name.as_deref().map(|name| format!(", not the name `{}`", shown(name)));
                let (service, name) = (service.name, name.unwrap_or_default());
                Err(format!("its backend {service} needs the `number` of a port{name}"))
            }
        }
    }
}

/// An object while its rules are read.
struct Reading<'a> {
    annotations: &'a Annotations,
    /// The hosts that its rules name, none for all others, each with the paths that all of its rules give it.
    hosts: BTreeMap<Option<Host>, BTreeSet<String>>,
    paths: Vec<IngressPath>,
    warnings: Vec<String>,
}

impl<'a> Reading<'a> {
    fn new(annotations: &'a Annotations) -> Self {
        Reading { annotations, hosts: BTreeMap::new(), paths: Vec::new(), warnings: Vec::new() }
    }

    fn rule(&mut self, Rule { host, http }: Rule) -> Result<(), String> {
        let host: Option<Host> = match host.as_deref() {
            None | Some("") => None,
            Some(host) => Some(host.parse().map_err(|error| format!("{error}"))?),
        };
        self.hosts.entry(host.clone()).or_default();
        http.into_iter().flat_map(|http| http.paths).try_for_each(|path| self.path(path, &host))
    }

    fn path(&mut self, path: HttpPath, host: &Option<Host>) -> Result<(), String> {
        let text = path.path.unwrap_or_else(|| "/".to_owned());
        self.warnings.extend(self.path_warning(&text, path.path_type));
        let path_type = match path.path_type {
            ManifestPathType::Exact => PathType::Exact,
            ManifestPathType::Prefix | ManifestPathType::ImplementationSpecific => PathType::Prefix,
        };
        let entry = self.entry(text, path_type, host.clone(), path.backend.try_into()?);
        let first = self.hosts.entry(host.clone()).or_default().insert(entry.path.clone());
        if !first && entry.path_type == PathType::Regex {
            let words = "is given twice: as in ingress-nginx the first one counts";
            self.warnings.push(format!("its path `{}`{} {words}", shown(&entry.path), of_host(host)));
        } else {
            self.paths.push(entry);
        }
        Ok(())
    }

    /// What no path of a named host matches goes to the default backend, rewritten as paths are, where no path is `/`.
    /// Rules can share a host: all of them are read first.
    fn rest_of_hosts(&mut self, default: Option<&Backend>) {
        let rewritten = self.annotations.target.as_deref().is_some_and(|target| target != "/");
        for (host, paths) in std::mem::take(&mut self.hosts) {
            match default {
                // Without an entry of its own, a host without paths would be led by the paths of no host.
                Some(backend) if host.is_some() && !paths.contains("/") && (rewritten || paths.is_empty()) => {
                    self.paths.push(self.entry("/".to_owned(), PathType::Prefix, host, backend.clone()));
                }
                None if paths.is_empty() => {
                    let words = "without paths leads nowhere: it is left out";
                    self.warnings.push(format!("its rule{} {words}", of_host(&host)));
                }
                _ => {}
            }
        }
    }

    /// `use-regex` or `rewrite-target` make regular expressions of all paths of the object's hosts, whatever their type.
    /// A path that is its own target is not rewritten.
    fn entry(&self, path: String, path_type: PathType, host: Option<Host>, backend: Backend) -> IngressPath {
        let path_type = if self.annotations.regex() { PathType::Regex } else { path_type };
        let rewrite = self.annotations.target.clone().filter(|target| *target != path);
        IngressPath { host, path, path_type, backend, rewrite, drop_rest: false }
    }

    /// A warning of what people don't expect of a path, though ingress-nginx does the same.
    fn path_warning(&self, path: &str, path_type: ManifestPathType) -> Option<String> {
        let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/-._".contains(c));
        let words = match (self.annotations.regex(), path_type) {
            (true, ManifestPathType::Exact | ManifestPathType::Prefix) if !plain => {
                "is a regular expression, for which ingress-nginx wants `pathType: ImplementationSpecific`"
            }
            (true, ManifestPathType::Exact) => {
                "matches whatever begins with it: under use-regex or rewrite-target no path is `Exact`, as in ingress-nginx"
            }
            (false, _) if path.contains(['*', '(', '+']) => {
                "is taken literally: as in ingress-nginx it is a regular expression under the annotation use-regex"
            }
            _ => return None,
        };
        Some(format!("its path `{}` {words}", shown(path)))
    }
}

fn of_host(host: &Option<Host>) -> String {
    host.as_ref().map(|host| format!(" of host {host}")).unwrap_or_default()
}
