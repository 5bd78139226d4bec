//! Interface `ingresses`: `knetsim create|delete ingress`.

use knetsim_model::ingress::{IngressPath, IngressSpec, PathType};
use knetsim_model::{Failure, IngressRef, Operation};
use wasmtime::component::Resource;

use super::observe::end_of;
use super::wit::ingresses::{Host, HostIngress, IngressInfo};
use super::wit::types;
use super::{State, name};
use crate::grants::Grant;
use crate::limits::Limit;

/// An ingress that the lab may change.
pub struct Ingress(IngressRef);

impl Host for State {
    async fn create(&mut self, ingress: String, spec: types::IngressSpec) -> Result<Resource<Ingress>, Failure> {
        self.rights.need(Grant::Ingresses)?;
        self.room(Limit::Ingresses, self.made.ingresses.len(), 1)?;
        let (ingress, spec) = (name::<IngressRef>(&ingress)?, spec.try_into()?);
        self.submit(Operation::CreateIngress { ingress: ingress.clone(), spec, replace: false }).await?;
        self.made.ingresses.insert(ingress.clone());
        self.hand_out(Ingress(ingress))
    }

    async fn open(&mut self, ingress: String) -> Result<Resource<Ingress>, Failure> {
        self.rights.need(Grant::Ingresses)?;
        let ingress = name(&ingress)?;
        self.ingress_info(&ingress)?;
        self.hand_out(Ingress(ingress))
    }
}

impl HostIngress for State {
    fn name(&mut self, this: Resource<Ingress>) -> wasmtime::Result<String> {
        Ok(self.handle(&this)?.0.to_string())
    }

    async fn info(&mut self, this: Resource<Ingress>) -> Result<IngressInfo, Failure> {
        self.ingress_info(&self.handle(&this)?.0)
    }

    async fn change(&mut self, this: Resource<Ingress>, spec: types::IngressSpec) -> Result<(), Failure> {
        let ingress = self.handle(&this)?.0.clone();
        // One that is gone is not made again.
        self.ingress_info(&ingress)?;
        self.submit(Operation::CreateIngress { ingress, spec: spec.try_into()?, replace: true }).await
    }

    async fn access_log(&mut self, this: Resource<Ingress>) -> Result<Vec<u8>, Failure> {
        let ingress = self.handle(&this)?.0.clone();
        let log = self.emulator()?.access_log(&ingress)?;
        end_of(vec![log], &format!("the access log of {ingress}")).await
    }

    async fn delete(&mut self, this: Resource<Ingress>) -> Result<(), Failure> {
        let ingress = self.handle(&this)?.0.clone();
        self.submit(Operation::DeleteIngress { ingress: ingress.clone() }).await?;
        self.made.ingresses.remove(&ingress);
        Ok(())
    }

    async fn drop(&mut self, this: Resource<Ingress>) -> wasmtime::Result<()> {
        self.drop_handle(this)
    }
}

impl TryFrom<types::IngressSpec> for IngressSpec {
    type Error = Failure;
    fn try_from(spec: types::IngressSpec) -> Result<Self, Failure> {
        Ok(IngressSpec {
            worker: name(&spec.worker)?,
            port: spec.port,
            paths: spec.paths.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            default: spec.default_backend.as_deref().map(name).transpose()?,
            connect_timeout: spec.connect_timeout,
            timeout: spec.timeout,
            max_body: spec.max_body,
        })
    }
}

impl From<IngressSpec> for types::IngressSpec {
    fn from(spec: IngressSpec) -> Self {
        types::IngressSpec {
            worker: spec.worker.to_string(),
            port: spec.port,
            paths: spec.paths.into_iter().map(Into::into).collect(),
            default_backend: spec.default.map(|backend| backend.to_string()),
            connect_timeout: spec.connect_timeout,
            timeout: spec.timeout,
            max_body: spec.max_body,
        }
    }
}

impl TryFrom<types::IngressPath> for IngressPath {
    type Error = Failure;
    fn try_from(path: types::IngressPath) -> Result<Self, Failure> {
        let path_type = match path.path_type.as_str() {
            "prefix" => PathType::Prefix,
            "exact" => PathType::Exact,
            "regex" => PathType::Regex,
            other => {
                let words = format!("`{}` is no type of a path: prefix, exact or regex", other.escape_debug());
                return Err(Failure::invalid(words));
            }
        };
        let host = path.host.as_deref().map(name).transpose()?;
        let backend = name(&path.backend)?;
        let types::IngressPath { path, rewrite, drop_rest, .. } = path;
        Ok(IngressPath { host, path, path_type, backend, rewrite, drop_rest })
    }
}

impl From<IngressPath> for types::IngressPath {
    fn from(path: IngressPath) -> Self {
        let path_type = match path.path_type {
            PathType::Prefix => "prefix",
            PathType::Exact => "exact",
            PathType::Regex => "regex",
        };
        types::IngressPath {
            host: path.host.map(|host| host.to_string()),
            path: path.path,
            path_type: path_type.to_owned(),
            backend: path.backend.to_string(),
            rewrite: path.rewrite,
            drop_rest: path.drop_rest,
        }
    }
}
