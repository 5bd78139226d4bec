//! Interface `links`: `knetsim create|delete site|token|link|listener|connector`.

use knetsim_model::interconnect::{Condition, ConnectorSpec, LinkSpec, ListenerSpec, Token};
use knetsim_model::inventory::{ConnectorInfo, ListenerInfo, SiteInfo, SiteLinkInfo, TokenInfo};
use knetsim_model::{ClusterName, ConnectorRef, Failure, LinkRef, ListenerRef, Operation, Owner, TokenRef};
use wasmtime::component::Resource;

use super::info::owner;
use super::wit::links::{Host, HostSite};
use super::wit::types;
use super::{State, name};
use crate::grants::Grant;
use crate::limits::Limit;

/// A site that the lab may change.
pub struct Site(ClusterName);

impl Host for State {
    async fn create(&mut self, cluster: String, interconnect: Option<String>) -> Result<Resource<Site>, Failure> {
        self.rights.need(Grant::Links)?;
        let cluster: ClusterName = name(&cluster)?;
        let interconnect = interconnect.as_deref().map(name).transpose()?;
        self.make(Operation::CreateSite { cluster: cluster.clone(), interconnect }).await?;
        self.hand_out(Site(cluster))
    }

    async fn open(&mut self, cluster: String) -> Result<Resource<Site>, Failure> {
        self.rights.need(Grant::Links)?;
        let cluster = name(&cluster)?;
        self.site(&cluster)?;
        self.hand_out(Site(cluster))
    }
}

impl HostSite for State {
    fn cluster(&mut self, this: Resource<Site>) -> wasmtime::Result<String> {
        Ok(self.handle(&this)?.0.to_string())
    }

    async fn info(&mut self, this: Resource<Site>) -> Result<types::SiteInfo, Failure> {
        Ok(self.site(&self.handle(&this)?.0)?.into())
    }

    async fn issue_token(&mut self, this: Resource<Site>, token: String, seconds: u32) -> Result<String, Failure> {
        let token = TokenRef { cluster: self.handle(&this)?.0.clone(), name: name(&token)? };
        self.make(Operation::CreateToken { token: token.clone(), seconds }).await?;
        let made = self.site(&token.cluster)?.tokens.into_iter().find(|made| made.name == token.name);
        let code = made.ok_or_else(|| Failure::not_found(format!("token {token} was deleted just now")))?.code;
        Ok(Token { name: token, code }.to_string())
    }

    async fn delete_token(&mut self, this: Resource<Site>, token: String) -> Result<(), Failure> {
        let token = TokenRef { cluster: self.handle(&this)?.0.clone(), name: name(&token)? };
        self.submit(Operation::DeleteToken { token }).await
    }

    async fn add_link(
        &mut self,
        this: Resource<Site>,
        link: String,
        spec: types::SiteLinkSpec,
        token: Option<String>,
    ) -> Result<(), Failure> {
        let link = LinkRef { cluster: self.handle(&this)?.0.clone(), name: name(&link)? };
        let spec = LinkSpec { to: name(&spec.to)?, cost: spec.cost };
        self.make(Operation::CreateLink { link, spec, token: token.as_deref().map(name).transpose()? }).await
    }

    async fn delete_link(&mut self, this: Resource<Site>, link: String) -> Result<(), Failure> {
        let link = LinkRef { cluster: self.handle(&this)?.0.clone(), name: name(&link)? };
        self.submit(Operation::DeleteLink { link }).await
    }

    async fn add_listener(
        &mut self,
        this: Resource<Site>,
        listener: String,
        spec: types::ListenerSpec,
    ) -> Result<(), Failure> {
        let listener = ListenerRef { cluster: self.handle(&this)?.0.clone(), name: name(&listener)? };
        let host = spec.host.as_deref().map(name).transpose()?;
        let spec = ListenerSpec { routing_key: spec.routing_key, host, port: spec.port };
        self.make(Operation::CreateListener { listener, spec }).await
    }

    async fn delete_listener(&mut self, this: Resource<Site>, listener: String) -> Result<(), Failure> {
        let listener = ListenerRef { cluster: self.handle(&this)?.0.clone(), name: name(&listener)? };
        self.submit(Operation::DeleteListener { listener }).await
    }

    async fn add_connector(
        &mut self,
        this: Resource<Site>,
        connector: String,
        spec: types::ConnectorSpec,
    ) -> Result<(), Failure> {
        let connector = ConnectorRef { cluster: self.handle(&this)?.0.clone(), name: name(&connector)? };
        let spec = ConnectorSpec {
            routing_key: spec.routing_key,
            container: spec.container.as_deref().map(name).transpose()?,
            selector: (!spec.selector.is_empty()).then(|| spec.selector.into_iter().collect()),
            host: spec.host.as_deref().map(name).transpose()?,
            port: spec.port,
        };
        self.make(Operation::CreateConnector { connector, spec }).await
    }

    async fn delete_connector(&mut self, this: Resource<Site>, connector: String) -> Result<(), Failure> {
        let connector = ConnectorRef { cluster: self.handle(&this)?.0.clone(), name: name(&connector)? };
        self.submit(Operation::DeleteConnector { connector }).await
    }

    async fn delete(&mut self, this: Resource<Site>, force: bool) -> Result<(), Failure> {
        let cluster = self.handle(&this)?.0.clone();
        self.submit(Operation::DeleteSite { cluster, force }).await
    }

    async fn drop(&mut self, this: Resource<Site>) -> wasmtime::Result<()> {
        self.drop_handle(this)
    }
}

impl State {
    /// Makes one more of what is limited together.
    async fn make(&mut self, operation: Operation) -> Result<(), Failure> {
        let own = Owner::Lab(self.rights.lab().to_owned());
        let count = |site: SiteInfo| {
            let links = site.links.into_iter().map(|it| it.owner);
            let listeners = site.listeners.into_iter().map(|it| it.owner);
            let connectors = site.connectors.into_iter().map(|it| it.owner);
            let tokens = site.tokens.into_iter().map(|it| it.owner);
            let all = links.chain(listeners).chain(connectors).chain(tokens).chain([site.owner]);
            all.filter(|owner| *owner == own).count()
        };
        let there = self.emulator()?.inventory().sites.into_iter().map(count).sum();
        self.room(Limit::Links, there, 1)?;
        self.submit(operation).await
    }

    fn site(&self, cluster: &ClusterName) -> Result<SiteInfo, Failure> {
        let found = self.emulator()?.inventory().sites.into_iter().find(|site| site.cluster == *cluster);
        found.ok_or_else(|| Failure::not_found(format!("there is no site {cluster}")))
    }
}

fn pending(state: Condition) -> Option<String> {
    match state {
        Condition::Ready => None,
        Condition::Pending(why) => Some(why),
    }
}

impl From<SiteInfo> for types::SiteInfo {
    fn from(site: SiteInfo) -> Self {
        let whole = |name: &dyn std::fmt::Display| format!("{}.{name}", site.cluster);
        types::SiteInfo {
            links: site.links.into_iter().map(|it| link(whole(&it.name), it)).collect(),
            listeners: site.listeners.into_iter().map(|it| listener(whole(&it.name), it)).collect(),
            connectors: site.connectors.into_iter().map(|it| connector(whole(&it.name), it)).collect(),
            tokens: site.tokens.into_iter().map(|it| token(whole(&it.name), it)).collect(),
            cluster: site.cluster.to_string(),
            interconnect: site.interconnect.to_string(),
            worker: site.worker.to_string(),
            address: site.address.to_string(),
            port: site.port,
            pending: pending(site.state),
            reaches: site.reaches.iter().map(ToString::to_string).collect(),
            owner: owner(&site.owner),
        }
    }
}

fn link(name: String, info: SiteLinkInfo) -> types::SiteLinkInfo {
    let spec = types::SiteLinkSpec { to: info.spec.to.to_string(), cost: info.spec.cost };
    types::SiteLinkInfo { name, spec, pending: pending(info.state), owner: owner(&info.owner) }
}

fn listener(name: String, info: ListenerInfo) -> types::ListenerInfo {
    let ListenerSpec { routing_key, host, port } = info.spec;
    let spec = types::ListenerSpec { routing_key, host: host.map(|host| host.to_string()), port };
    types::ListenerInfo { name, spec, pending: pending(info.state), owner: owner(&info.owner) }
}

fn connector(name: String, info: ConnectorInfo) -> types::ConnectorInfo {
    let ConnectorSpec { routing_key, container, selector, host, port } = info.spec;
    let spec = types::ConnectorSpec {
        routing_key,
        container: container.map(|container| container.to_string()),
        selector: selector.unwrap_or_default().into_iter().collect(),
        host: host.map(|host| host.to_string()),
        port,
    };
    let servers = info.servers.iter().map(ToString::to_string).collect();
    types::ConnectorInfo { name, spec, servers, pending: pending(info.state), owner: owner(&info.owner) }
}

fn token(name: String, info: TokenInfo) -> types::TokenInfo {
    types::TokenInfo {
        name,
        expires: info.expires,
        redeemed: info.redeemed.map(|link| link.to_string()),
        pending: pending(info.state),
        owner: owner(&info.owner),
    }
}
