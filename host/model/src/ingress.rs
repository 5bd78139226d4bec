//! What an ingress is: nginx on a worker, and which requests it leads where.
//!
//! ```yaml
//! shop:
//!   worker: C0w1
//!   port: 8001
//!   paths:
//!     - { path: /svc1, backend: "100.64.11.1:8000" }
//!     - { path: /health, type: exact, backend: "web:80" }
//!     - { host: "*.shop.example", path: /api, backend: "api:80", rewrite: / }
//!     - { host: old.example, path: "/users/([0-9]+)", type: regex, backend: "web:80", rewrite: /people/$1 }
//!   default: "web:80"
//! ```
//!
//! The words are those of a Kubernetes Ingress, one entry of `paths` for each path of each of its rules. What its
//! annotations for nginx say (timeouts, the limit of a body, the rewriting of paths) has fields here.

mod check;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::names::{NodeName, ServiceName};
use crate::service::{BadText, bad};

pub(crate) use check::shown;
use check::{check_path, check_regex, check_target};

/// An ingress as it shall be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IngressSpec {
    /// The worker that its nginx runs on.
    pub worker: NodeName,
    /// The port that it is asked at, of every address of the worker, 1 to 65535.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// Which requests go where. Of several that match, the longest path counts, and `exact` before `prefix`. The paths of
    /// one host are all `regex`, or none of them is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<IngressPath>,
    /// Where requests go that no path matches; left out, they are answered by 404.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Backend>,
    /// How many seconds a backend may take to accept a connection; left out, 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 75))]
    pub connect_timeout: Option<u32>,
    /// How many seconds a backend may be silent in the middle of a request; left out, 60. Then 504 is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub timeout: Option<u32>,
    /// How many bytes the body of a request may have, 0 for any number; left out, 1 MiB. Over it 413 is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_body: Option<u64>,
}

/// Some requests, and where they go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IngressPath {
    /// The host that is asked for: `shop.example`, or `*.shop.example` for any one label in front. Left out, every host
    /// that no other entry names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
    /// The path that is asked for, without escapes: `/svc1`. For `regex`, a regular expression that begins with `/`.
    pub path: String,
    /// Whether it is the whole path, or its beginning, or a regular expression; left out, its beginning.
    #[serde(default, rename = "type", skip_serializing_if = "PathType::is_prefix")]
    pub path_type: PathType,
    /// Where the requests go.
    pub backend: Backend,
    /// What the backend sees in place of the path: with `/`, a request for /svc1/a becomes one for /a. For `regex` it
    /// takes the place of all that was asked for, and `$1` to `$9` are the expression's groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<String>,
    /// Whether what stands behind `path` is dropped: with `rewrite: /`, a request for /svc1/a becomes one for /, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drop_rest: bool,
}

/// What of a request's path has to be the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PathType {
    /// The beginning, element by element: `/a` matches /a, /a/ and /a/b, not /ab.
    #[default]
    Prefix,
    /// All of it: `/a` does not match /a/.
    Exact,
    /// A regular expression that nginx looks for at the beginning of the path, whatever the case of letters: as
    /// ingress-nginx does, it puts a `^` in front. Of alternatives without a group around them (`/a|/b`) that binds the
    /// first alone; the others match anywhere: write `/(a|b)`. Longer expressions are tried first, and the first that
    /// matches counts.
    Regex,
}

impl PathType {
    fn is_prefix(&self) -> bool {
        *self == PathType::Prefix
    }
}

/// A host that is asked for, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// Exactly that one.
    Exact(String),
    /// Any one label in front of that: `*.shop.example`.
    Wildcard(String),
}

/// Where requests go: a port of a service, or of any address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Backend {
    /// What has the port.
    pub to: BackendHost,
    /// Its TCP port.
    pub port: u16,
}

/// What has a backend's port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BackendHost {
    /// A service of the ingress's cluster.
    Service(ServiceName),
    /// An address.
    Address(Ipv4Addr),
}

/// Gives a type that is written as text its serde form and its schema.
macro_rules! as_text {
    ($type:ident, $description:literal) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "description": $description })
            }
        }
    };
}

as_text!(Host, "A host's name, such as shop.example, or *.shop.example for any one label in front.");
as_text!(Backend, "A service of the cluster or an IPv4 address, and a port: web:80, 100.64.11.1:8000.");

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Exact(name) => f.write_str(name),
            Host::Wildcard(rest) => write!(f, "*.{rest}"),
        }
    }
}

impl FromStr for Host {
    type Err = BadText;
    fn from_str(text: &str) -> Result<Self, BadText> {
        const FORM: &str =
            "a host's name: write lower case letters, digits, `-` and dots, such as `shop.example` or `*.shop.example`";
        let (name, wildcard) = match text.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let label = |label: &str| {
            let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            (1..=63).contains(&label.len())
                && label.chars().all(inner)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if text.len() > 253 || !name.split('.').all(label) || name.parse::<Ipv4Addr>().is_ok() {
            return Err(bad(text, FORM));
        }
        Ok(if wildcard { Host::Wildcard(name.to_owned()) } else { Host::Exact(name.to_owned()) })
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.to {
            BackendHost::Service(name) => write!(f, "{name}:{}", self.port),
            BackendHost::Address(address) => write!(f, "{address}:{}", self.port),
        }
    }
}

impl FromStr for Backend {
    type Err = BadText;
    fn from_str(text: &str) -> Result<Self, BadText> {
        let wrong = || bad(text, "a backend: write a service or an IPv4 address, and a port, such as `web:80`");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port: &u16| *port != 0).ok_or_else(wrong)?;
        // No service's name is an address: it has no dots.
        let address = host.parse().map(BackendHost::Address);
        let to = address.or_else(|_| host.parse().map(BackendHost::Service)).map_err(|_| wrong())?;
        Ok(Backend { to, port })
    }
}

impl fmt::Display for IngressPath {
    /// As [`IngressPath::from_str`] reads it, for one that is a prefix and keeps the rest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            write!(f, "{host}")?;
        }
        write!(f, "{}={}{}", self.path, self.backend, self.rewrite.as_deref().unwrap_or_default())
    }
}

impl FromStr for IngressPath {
    type Err = BadText;
    fn from_str(text: &str) -> Result<Self, BadText> {
        const FORM: &str = "a path with its backend: write `[<host>]<path>=<service or address>:<port>[<rewrite>]`, such \
                            as `/svc1=100.64.11.1:8000` or `shop.example/api=web:80/`";
        let wrong = || bad(text, FORM);
        let (from, to) = text.rsplit_once('=').ok_or_else(wrong)?;
        let (host, path) = from.split_at(from.find('/').ok_or_else(wrong)?);
        let (backend, rewrite) = to.split_at(to.find('/').unwrap_or(to.len()));
        Ok(IngressPath {
            host: (!host.is_empty()).then(|| host.parse()).transpose()?,
            path: path.to_owned(),
            path_type: PathType::Prefix,
            backend: backend.parse()?,
            rewrite: (!rewrite.is_empty()).then(|| rewrite.to_owned()),
            drop_rest: false,
        })
    }
}

impl IngressPath {
    /// The path without the slash at the end, which means nothing in a prefix; that of `/` is empty.
    pub fn prefix(&self) -> &str {
        self.path.strip_suffix('/').unwrap_or(&self.path)
    }

    /// Whether its path and its rewrite can be written into nginx's configuration and mean what they say.
    fn check(&self) -> Result<(), String> {
        match self.path_type {
            PathType::Prefix | PathType::Exact => {
                check_path(&self.path)?;
                self.rewrite.as_deref().map_or(Ok(()), check_path)
            }
            PathType::Regex => {
                check_regex(&self.path)?;
                self.rewrite.as_deref().map_or(Ok(()), check_target)
            }
        }
    }

    /// What no two paths of an ingress may share.
    fn identity(&self) -> (Option<&Host>, PathType, &str) {
        let path = if self.path_type.is_prefix() { self.prefix() } else { &self.path };
        (self.host.as_ref(), self.path_type, path)
    }
}

impl IngressSpec {
    /// All its backends.
    pub fn backends(&self) -> impl Iterator<Item = &Backend> {
        self.paths.iter().map(|path| &path.backend).chain(&self.default)
    }

    /// Whether it makes sense by itself.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    pub fn validate(&self) -> Result<(), String> {
        if self.port == 0 {
            return Err("0 is no port: take 1 to 65535".to_owned());
        }
        if self.paths.is_empty() && self.default.is_none() {
            return Err("it has neither paths nor a default backend: give it one of them".to_owned());
        }
        let (mut identities, mut by_host) = (BTreeSet::new(), BTreeMap::new());
        for path in &self.paths {
            path.check()?;
            if path.drop_rest && (path.rewrite.is_none() || path.path_type != PathType::Prefix) {
                let what = "its drop_rest is for a prefix with a rewrite";
                return Err(format!("path {}: {what}: give it both, or leave it out", path.path));
            }
            let of_host = || path.host.as_ref().map(|host| format!(" of host {host}")).unwrap_or_default();
            if !identities.insert(path.identity()) {
                return Err(format!("its path {}{} is given twice", path.path, of_host()));
            }
            let first: &mut &IngressPath = by_host.entry(path.host.as_ref()).or_insert(path);
            if (first.path_type == PathType::Regex) != (path.path_type == PathType::Regex) {
                let (first, path, host) = (&first.path, &path.path, of_host());
                let words =
                    "one is a regular expression, the other is not: nginx would ask all regular expressions first";
                return Err(format!("its paths {first} and {path}{host}: {words}"));
            }
        }
        for (seconds, what, most) in
            [(self.connect_timeout, "connect_timeout", 75), (self.timeout, "timeout", 24 * 3600)]
        {
            if let Some(seconds) = seconds.filter(|seconds| !(1..=most).contains(seconds)) {
                return Err(format!("its {what} of {seconds} seconds is not in 1 to {most}"));
            }
        }
        match self.max_body {
            Some(bytes) if bytes > i64::MAX as u64 => Err(format!("its max_body of {bytes} bytes is over 2^63")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> IngressPath {
        text.parse().unwrap()
    }

    fn spec(paths: &[&str]) -> IngressSpec {
        let paths = paths.iter().map(|text| path(text)).collect();
        let (worker, port) = ("C0w1".parse().unwrap(), 8001);
        IngressSpec { worker, port, paths, default: None, connect_timeout: None, timeout: None, max_body: None }
    }

    #[test]
    fn paths_are_read_as_they_are_written() {
        for text in ["/svc1=100.64.11.1:8000", "shop.example/a=b/c=web:80/", "*.a.b/=web:80", "/=web:80/x/y"] {
            assert_eq!(path(text).to_string(), text);
        }
        assert_eq!(path("shop.example/a=web:80/x").rewrite.as_deref(), Some("/x"));
        for text in
            ["", "/", "/a", "a=web:80", "/a=web", "/a=web:0", "/a=:80", "/a=WEB:80", "*/a=web:80", "a..b/=web:80"]
        {
            assert!(text.parse::<IngressPath>().is_err(), "{text}");
        }
        for host in ["", ".", "a.", "-a", "A", "*", "a.*.b", "*.*.a", "1.2.3.4", "a_b", &"a.".repeat(127)] {
            assert!(host.parse::<Host>().is_err(), "{host}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(spec(&["/a=web:80", "x.y/a=web:80", "/a/b=web:80"]).validate(), Ok(()));
        let exact = IngressPath { path_type: PathType::Exact, ..path("/a=web:80") };
        let dropping = |text: &str| {
            let mut spec = spec(&[text]);
            spec.paths[0].drop_rest = true;
            spec
        };
        assert_eq!(dropping("/a=web:80/b").validate(), Ok(()));
        let mut both = spec(&["/a=web:80"]);
        both.paths.push(exact);
        assert_eq!(both.validate(), Ok(()));
        let mut mixed = spec(&["x.y/a=web:80", "/b=web:80", "x.y/b=web:80"]);
        mixed.paths[1].path_type = PathType::Regex;
        assert_eq!(mixed.validate(), Ok(()), "hosts are apart");
        mixed.paths[2].path_type = PathType::Regex;
        for (wrong, word) in [
            (spec(&[]), "neither"),
            (IngressSpec { port: 0, ..spec(&["/=web:80"]) }, "no port"),
            (spec(&["/a=web:80", "/a/=web:81"]), "path /a/ is given twice"),
            (spec(&["x.y/a=web:80", "x.y/a=web:81"]), "of host x.y"),
            (spec(&["/a//b=web:80"]), "empty element"),
            (spec(&["/a/../b=web:80"]), "empty element"),
            (spec(&["/a b=web:80"]), "take letters"),
            (spec(&["/a%2f=web:80"]), "take letters"),
            (spec(&["/a\";}=web:80"]), "take letters"),
            (spec(&["/a=web:80/$x"]), "take letters"),
            (dropping("/a=web:80"), "/a: its drop_rest"),
            (mixed, "/a and /b of host x.y"),
            (IngressSpec { timeout: Some(0), ..spec(&["/=web:80"]) }, "timeout"),
            (IngressSpec { connect_timeout: Some(76), ..spec(&["/=web:80"]) }, "connect_timeout"),
        ] {
            let why = wrong.validate().unwrap_err();
            assert!(why.contains(word), "{word}: {why}");
        }
    }
}
