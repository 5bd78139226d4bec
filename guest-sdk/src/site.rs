//! Sites: what links clusters.

use std::fmt;
use std::time::Duration;

use crate::Result;
use crate::bindings::knetsim::lab::links;
use crate::records::{ConnectorSpec, ListenerSpec, SiteInfo, SiteLinkSpec};

/// A site that may be changed. Dropping this does not delete it. Its parts are named within it: `backend`.
#[derive(Debug)]
pub struct Site {
    cluster: String,
    handle: links::Site,
}

impl Site {
    pub(crate) fn create(cluster: &str, interconnect: Option<&str>) -> Result<Self> {
        Ok(Site::new(links::create(cluster, interconnect)?))
    }

    pub(crate) fn open(cluster: &str) -> Result<Self> {
        Ok(Site::new(links::open(cluster)?))
    }

    fn new(handle: links::Site) -> Self {
        Site { cluster: handle.cluster(), handle }
    }

    /// Its cluster's name.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// What it is now, as its router says: each part with the reason where it does not work.
    ///
    /// # Errors
    /// It is gone.
    pub fn info(&self) -> Result<SiteInfo> {
        Ok(self.handle.info()?)
    }

    /// Issues a token, by which another site may link itself with this one: once, within that time, in whole seconds.
    ///
    /// # Errors
    /// There is one of that name, or the site is gone.
    pub fn issue_token(&self, name: &str, good_for: Duration) -> Result<String> {
        let seconds = u32::try_from(good_for.as_secs()).unwrap_or(u32::MAX);
        Ok(self.handle.issue_token(name, seconds)?)
    }

    /// Deletes a token; the link that it was redeemed for stays.
    ///
    /// # Errors
    /// There is none.
    pub fn delete_token(&self, name: &str) -> Result<()> {
        Ok(self.handle.delete_token(name)?)
    }

    /// Links it with another site, of which `token` is. Returns when the router has taken the link over, not when it
    /// is up.
    ///
    /// # Errors
    /// The token was redeemed, has expired, or is none of that site's; or the two sites are linked already.
    pub fn link_by_token(&self, name: &str, to: impl fmt::Display, token: &str) -> Result<()> {
        Ok(self.handle.add_link(name, &SiteLinkSpec { to: to.to_string(), cost: 1 }, Some(token))?)
    }

    /// Links it with another site; crossing the link costs `cost`, 1 or more.
    ///
    /// # Errors
    /// There is no such site, or the two are linked already.
    pub fn link(&self, name: &str, to: impl fmt::Display, cost: u32) -> Result<()> {
        Ok(self.handle.add_link(name, &SiteLinkSpec { to: to.to_string(), cost }, None)?)
    }

    /// Deletes a link; connections over it end.
    ///
    /// # Errors
    /// There is none.
    pub fn unlink(&self, name: &str) -> Result<()> {
        Ok(self.handle.delete_link(name)?)
    }

    /// Adds a listener at a port of the site's worker. It is open while a connector of that routing key can be reached.
    ///
    /// # Errors
    /// There is one of that name or at that port.
    pub fn add_listener(&self, name: &str, routing_key: &str, port: u16) -> Result<()> {
        let spec = ListenerSpec { routing_key: routing_key.to_owned(), host: None, port };
        Ok(self.handle.add_listener(name, &spec)?)
    }

    /// Deletes a listener.
    ///
    /// # Errors
    /// There is none.
    pub fn delete_listener(&self, name: &str) -> Result<()> {
        Ok(self.handle.delete_listener(name)?)
    }

    /// Adds a connector: connections from listeners of that routing key go to that port of those servers.
    ///
    /// # Errors
    /// There is one of that name.
    pub fn add_connector(&self, name: &str, routing_key: &str, servers: Servers, port: u16) -> Result<()> {
        let routing_key = routing_key.to_owned();
        let mut spec = ConnectorSpec { routing_key, container: None, selector: Vec::new(), host: None, port };
        match servers {
            Servers::Container(container) => spec.container = Some(container),
            Servers::Selector(labels) => spec.selector = labels,
            Servers::Host(address) => spec.host = Some(address),
        }
        Ok(self.handle.add_connector(name, &spec)?)
    }

    /// Deletes a connector.
    ///
    /// # Errors
    /// There is none.
    pub fn delete_connector(&self, name: &str) -> Result<()> {
        Ok(self.handle.delete_connector(name)?)
    }

    /// Deletes the site, and with `force` all that it has and the links that lead to it.
    ///
    /// # Errors
    /// It is gone, or in use.
    pub fn delete(self, force: bool) -> Result<()> {
        Ok(self.handle.delete(force)?)
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.cluster)
    }
}

/// Where the connections of a connector go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// To a container of the cluster: `c4`.
    Container(String),
    /// To the containers of the cluster that have all these labels, as they come and go.
    Selector(Vec<(String, String)>),
    /// To an address that the site's worker reaches, such as a service's: `100.64.10.1`.
    Host(String),
}

impl Servers {
    /// A container of the cluster.
    pub fn container(name: impl fmt::Display) -> Self {
        Servers::Container(name.to_string())
    }

    /// The containers that have that label.
    pub fn labelled(key: impl Into<String>, value: impl Into<String>) -> Self {
        Servers::Selector(vec![(key.into(), value.into())])
    }

    /// An address.
    pub fn host(address: impl fmt::Display) -> Self {
        Servers::Host(address.to_string())
    }
}
