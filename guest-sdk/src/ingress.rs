//! Ingresses.

use std::fmt;
use std::time::Duration;

use crate::Result;
use crate::bindings::knetsim::lab::ingresses;
use crate::records::{IngressInfo, IngressPath, IngressSpec};

/// An ingress that may be changed. Dropping this does not delete it.
#[derive(Debug)]
pub struct Ingress {
    name: String,
    handle: ingresses::Ingress,
}

impl Ingress {
    pub(crate) fn create(name: &str, options: IngressOptions) -> Result<Self> {
        Ok(Ingress::new(ingresses::create(name, &options.spec)?))
    }

    pub(crate) fn open(name: &str) -> Result<Self> {
        Ok(Ingress::new(ingresses::open(name)?))
    }

    fn new(handle: ingresses::Ingress) -> Self {
        Ingress { name: handle.name(), handle }
    }

    /// Its whole name: `C0.grp1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is now.
    ///
    /// # Errors
    /// It is gone.
    pub fn info(&self) -> Result<IngressInfo> {
        Ok(self.handle.info()?)
    }

    /// Makes it another one. At the same worker and port no request is lost, and when this returns, none is answered
    /// the old way any more but those that had begun.
    ///
    /// # Errors
    /// It is gone, the options make no sense, a backend is not there, or something failed; then it is as it was.
    pub fn change(&self, options: IngressOptions) -> Result<()> {
        Ok(self.handle.change(&options.spec)?)
    }

    /// The end of its access log: a line for each request, with who was asked for the answer behind `to=`. nginx
    /// writes it when it has sent the answer: whoever was answered may look a moment too early.
    ///
    /// # Errors
    /// It is gone.
    pub fn access_log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.handle.access_log()?).into_owned())
    }

    /// Deletes it.
    ///
    /// # Errors
    /// It is gone, or something failed.
    pub fn delete(self) -> Result<()> {
        Ok(self.handle.delete()?)
    }
}

impl fmt::Display for Ingress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

/// An ingress as it shall be: see [`Lab::create_ingress`](crate::Lab::create_ingress).
///
/// A backend is a service of the cluster or an address, and a port: `web:80`, `100.64.11.1:8000`.
#[derive(Clone, Debug, PartialEq)]
pub struct IngressOptions {
    spec: IngressSpec,
}

impl IngressOptions {
    /// On that worker, asked at that port; paths or a default are to be said.
    pub fn new(worker: impl fmt::Display, port: u16) -> Self {
        let spec = IngressSpec {
            worker: worker.to_string(),
            port,
            paths: Vec::new(),
            default_backend: None,
            connect_timeout: None,
            timeout: None,
            max_body: None,
        };
        IngressOptions { spec }
    }

    /// Requests for that path, and for what is below it, go to that backend.
    #[must_use]
    pub fn path(self, path: impl Into<String>, backend: impl fmt::Display) -> Self {
        self.entry(path.into(), "prefix", backend.to_string())
    }

    /// Requests for that path alone go to that backend.
    #[must_use]
    pub fn exact(self, path: impl Into<String>, backend: impl fmt::Display) -> Self {
        self.entry(path.into(), "exact", backend.to_string())
    }

    /// Requests for what that regular expression finds, whatever the case of letters, go to that backend; the longest
    /// expression is tried first. `$1` to `$9` of a rewrite are its groups.
    #[must_use]
    pub fn regex(self, path: impl Into<String>, backend: impl fmt::Display) -> Self {
        self.entry(path.into(), "regex", backend.to_string())
    }

    fn entry(mut self, path: String, path_type: &str, backend: String) -> Self {
        let path_type = path_type.to_owned();
        self.spec.paths.push(IngressPath { host: None, path, path_type, backend, rewrite: None, drop_rest: false });
        self
    }

    /// The path that was said last is only that of this host: `shop.example`, `*.shop.example`.
    #[must_use]
    pub fn of_host(mut self, host: impl Into<String>) -> Self {
        if let Some(last) = self.spec.paths.last_mut() {
            last.host = Some(host.into());
        }
        self
    }

    /// The backend of the path that was said last sees `path` in its place.
    #[must_use]
    pub fn rewritten_to(mut self, path: impl Into<String>) -> Self {
        if let Some(last) = self.spec.paths.last_mut() {
            last.rewrite = Some(path.into());
        }
        self
    }

    /// What stands behind the path that was said last is dropped where it is rewritten.
    #[must_use]
    pub fn dropping_the_rest(mut self) -> Self {
        if let Some(last) = self.spec.paths.last_mut() {
            last.drop_rest = true;
        }
        self
    }

    /// All other requests go to that backend; without it they are answered by 404.
    #[must_use]
    pub fn otherwise(mut self, backend: impl fmt::Display) -> Self {
        self.spec.default_backend = Some(backend.to_string());
        self
    }

    /// How long a backend may be silent in the middle of a request, in whole seconds; without it, 60.
    #[must_use]
    pub fn timeout(mut self, within: Duration) -> Self {
        self.spec.timeout = Some(seconds(within));
        self
    }

    /// How long a backend may take to accept a connection, in whole seconds; without it, 5.
    #[must_use]
    pub fn connect_timeout(mut self, within: Duration) -> Self {
        self.spec.connect_timeout = Some(seconds(within));
        self
    }

    /// How many bytes the body of a request may have, 0 for any number; without it, 1 MiB.
    #[must_use]
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.spec.max_body = Some(bytes);
        self
    }
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}
