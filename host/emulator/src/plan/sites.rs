//! Sites in plans: which there will be, with which links, listeners and connectors, and which tokens are redeemed.
//!
//! A site is planned as a whole: whatever of it changes, its router is told all that it shall do.

use std::collections::BTreeMap;
use std::sync::Arc;

use knetsim_model::interconnect::{
    ConnectorSpec, Interconnect, LinkSpec, ListenerSpec, ROUTER_PORT, Token, site_worker,
};
use knetsim_model::topology::Topology;
use knetsim_model::{
    ClusterName, Code, ConnectorName, ConnectorRef, Failure, LinkName, LinkRef, ListenerName, ListenerRef, Owner,
    TokenName, TokenRef,
};

use super::Planner;

/// A token's identity: its name is unique at its site.
pub type TokenKey = (ClusterName, TokenName);

/// A site as it is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct SitePlan {
    /// Its cluster.
    pub cluster: ClusterName,
    /// Who makes it.
    pub owner: Owner,
    /// Which program its router is.
    pub interconnect: Interconnect,
    /// Links that lead from it.
    pub links: Parts<LinkName, LinkSpec>,
    /// Where clients connect to.
    pub listeners: Parts<ListenerName, ListenerSpec>,
    /// Where services are.
    pub connectors: Parts<ConnectorName, ConnectorSpec>,
}

/// Parts of a site by name.
pub type Parts<N, S> = BTreeMap<N, Owned<S>>;

/// A part of a site.
#[derive(Clone, Debug, PartialEq)]
pub struct Owned<S> {
    /// Who makes it.
    pub owner: Owner,
    /// What it is.
    pub spec: S,
}

/// A token as it is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenPlan {
    /// The site that issues it, and its name there.
    pub key: TokenKey,
    /// Who makes it.
    pub owner: Owner,
    /// Until when it is good, in seconds since 1970.
    pub expires: u64,
}

/// A token that there is.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenView {
    /// How it was made.
    pub plan: TokenPlan,
    /// Its secret.
    pub code: String,
    /// The link that it was redeemed for.
    pub redeemed: Option<LinkRef>,
}

impl TokenPlan {
    /// Its whole name.
    pub fn reference(&self) -> TokenRef {
        let (cluster, name) = self.key.clone();
        TokenRef { cluster, name }
    }
}

impl TokenView {
    /// Why it can't be redeemed at that time, in seconds since 1970.
    ///
    /// # Errors
    /// It was redeemed, or has expired.
    pub fn is_good(&self, now: u64) -> Result<(), Failure> {
        let anew = "make another one by `knetsim create token`";
        if let Some(link) = &self.redeemed {
            let words = format!("it was redeemed by link {link} already, and is good for one link: {anew}");
            return Err(Failure::exists(words));
        }
        match now.checked_sub(self.plan.expires) {
            None => Ok(()),
            Some(ago) => Err(Failure::new(Code::Timeout, format!("it expired {ago} s ago: {anew}"))),
        }
    }
}

impl Planner {
    pub(super) fn create_site(
        &mut self,
        cluster: &ClusterName,
        interconnect: Option<Interconnect>,
    ) -> Result<(), Failure> {
        let interconnect = interconnect.unwrap_or(self.view.interconnect);
        if let Some(there) = self.view.sites.get(cluster) {
            return Err(self.exists("a site", cluster.as_str(), &there.owner));
        }
        if !self.view.clusters.contains_key(cluster) {
            return Err(Failure::not_found(format!("there is no cluster {cluster}")));
        }
        let (links, listeners, connectors) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let owner = self.owner.clone();
        let site = SitePlan { cluster: cluster.clone(), owner, interconnect, links, listeners, connectors };
        self.view.sites.insert(cluster.clone(), Arc::new(site));
        Ok(())
    }

    pub(super) fn delete_site(&mut self, cluster: &ClusterName, force: bool) -> Result<(), Failure> {
        let site = self.site(cluster)?.clone();
        let part =
            |kind: &str, name: &dyn std::fmt::Display, owner: &Owner| format!("{kind} {cluster}.{name} (of {owner})");
        let links = site.links.iter().map(|(name, link)| part("link", name, &link.owner));
        let listeners = site.listeners.iter().map(|(name, listener)| part("listener", name, &listener.owner));
        let connectors = site.connectors.iter().map(|(name, connector)| part("connector", name, &connector.owner));
        let users: Vec<_> = self.links_to(cluster).chain(links).chain(listeners).chain(connectors).take(5).collect();
        if !(users.is_empty() || force) {
            let message =
                format!("site {cluster} is in use by {}: delete them first, or use --force", users.join(", "));
            return Err(Failure::exists(message));
        }
        self.drop_site(cluster);
        Ok(())
    }

    /// The links of other sites that lead to one, for a person.
    pub(super) fn links_to<'a>(&'a self, cluster: &'a ClusterName) -> impl Iterator<Item = String> + 'a {
        self.view.sites.values().flat_map(move |site| {
            let links = site.links.iter().filter(move |(_, link)| link.spec.to == *cluster);
            links.map(|(name, link)| format!("link {}.{name} (of {})", site.cluster, link.owner))
        })
    }

    /// Deletes a site, its tokens, and the links of others that lead to it.
    pub(super) fn drop_site(&mut self, cluster: &ClusterName) {
        if self.view.sites.remove(cluster).is_none() {
            return;
        }
        self.plan.delete_sites.push(cluster.clone());
        let tokens: Vec<_> = self.view.tokens.keys().filter(|key| key.0 == *cluster).cloned().collect();
        tokens.into_iter().for_each(|key| self.drop_token(key));
        for site in self.view.sites.values_mut().filter(|site| site.links.values().any(|it| it.spec.to == *cluster)) {
            Arc::make_mut(site).links.retain(|_, link| link.spec.to != *cluster);
        }
    }

    fn drop_token(&mut self, key: TokenKey) {
        self.view.tokens.remove(&key);
        self.plan.delete_tokens.push(key);
    }

    fn site(&self, cluster: &ClusterName) -> Result<&Arc<SitePlan>, Failure> {
        self.view.sites.get(cluster).ok_or_else(|| no_site(cluster))
    }

    fn site_mut(&mut self, cluster: &ClusterName) -> Result<&mut SitePlan, Failure> {
        self.view.sites.get_mut(cluster).map(Arc::make_mut).ok_or_else(|| no_site(cluster))
    }

    pub(super) fn create_token(&mut self, token: TokenRef, seconds: u32) -> Result<(), Failure> {
        self.site(&token.cluster)?;
        let key = (token.cluster, token.name);
        if let Some(there) = self.view.tokens.get(&key) {
            return Err(self.exists("a token", &there.plan.reference().to_string(), &there.plan.owner));
        }
        if seconds == 0 {
            return Err(Failure::invalid("it would have expired at once: give it a second or more"));
        }
        let expires = self.view.now + u64::from(seconds);
        self.plan.tokens.push(TokenPlan { key, owner: self.owner.clone(), expires });
        Ok(())
    }

    pub(super) fn delete_token(&mut self, token: &TokenRef) -> Result<(), Failure> {
        let key = (token.cluster.clone(), token.name.clone());
        if !self.view.tokens.contains_key(&key) {
            return Err(Failure::not_found(format!("there is no token {token}")));
        }
        self.drop_token(key);
        Ok(())
    }

    pub(super) fn create_link(&mut self, link: LinkRef, spec: LinkSpec, token: Option<&Token>) -> Result<(), Failure> {
        if let Some(token) = token {
            self.redeem(token, &link, &spec.to)?;
        }
        let owner = self.owner.clone();
        let taken = self.site_mut(&link.cluster)?.links.insert(link.name.clone(), Owned { owner, spec });
        self.unused(taken, "a link", &link)
    }

    /// Refuses a part that is there already.
    fn unused<S>(&self, taken: Option<Owned<S>>, kind: &str, name: &impl ToString) -> Result<(), Failure> {
        match taken {
            Some(there) => Err(self.exists(kind, &name.to_string(), &there.owner)),
            None => Ok(()),
        }
    }

    fn redeem(&mut self, token: &Token, link: &LinkRef, to: &ClusterName) -> Result<(), Failure> {
        let name = &token.name;
        if name.cluster != *to {
            return Err(Failure::invalid(format!("token {name} is of site {}, not of {to}", name.cluster)));
        }
        let key = (name.cluster.clone(), name.name.clone());
        let there = self.view.tokens.get(&key).ok_or_else(|| {
            let message = format!("site {} has issued no token {}, or it was deleted since", name.cluster, name.name);
            Failure::not_found(message)
        })?;
        if there.code != token.code {
            let message = format!("token {name}: its code is another one: was it made anew under its old name?");
            return Err(Failure::new(Code::Denied, message));
        }
        let good = there.is_good(self.view.now);
        good.map_err(|failure| Failure::new(failure.code, format!("token {name}: {}", failure.message)))?;
        self.plan.redeem.push((key, link.clone()));
        Ok(())
    }

    pub(super) fn delete_link(&mut self, link: &LinkRef) -> Result<(), Failure> {
        there(self.site_mut(&link.cluster)?.links.remove(&link.name), "link", link)
    }

    pub(super) fn create_listener(&mut self, listener: ListenerRef, spec: ListenerSpec) -> Result<(), Failure> {
        let owner = self.owner.clone();
        let listeners = &mut self.site_mut(&listener.cluster)?.listeners;
        let taken = listeners.insert(listener.name.clone(), Owned { owner, spec });
        self.unused(taken, "a listener", &listener)
    }

    pub(super) fn delete_listener(&mut self, listener: &ListenerRef) -> Result<(), Failure> {
        there(self.site_mut(&listener.cluster)?.listeners.remove(&listener.name), "listener", listener)
    }

    pub(super) fn create_connector(&mut self, connector: ConnectorRef, spec: ConnectorSpec) -> Result<(), Failure> {
        let owner = self.owner.clone();
        let connectors = &mut self.site_mut(&connector.cluster)?.connectors;
        let taken = connectors.insert(connector.name.clone(), Owned { owner, spec });
        self.unused(taken, "a connector", &connector)
    }

    pub(super) fn delete_connector(&mut self, connector: &ConnectorRef) -> Result<(), Failure> {
        there(self.site_mut(&connector.cluster)?.connectors.remove(&connector.name), "connector", connector)
    }

    /// Checks all sites, when everything else is planned, and plans those that change.
    pub(super) fn settle_sites(&mut self) -> Result<(), Failure> {
        for site in self.view.sites.values() {
            self.check_ports(site)?;
            let before = self.sites_before.get(&site.cluster);
            let before = before.filter(|_| !self.plan.delete_sites.contains(&site.cluster));
            if before == Some(site) {
                continue;
            }
            self.check_site(site)?;
            self.plan.sites.push(site.clone());
        }
        Ok(())
    }

    /// Refuses ports of a site's worker that two want. An ingress has its own at all addresses.
    fn check_ports(&self, site: &SitePlan) -> Result<(), Failure> {
        let worker = site_worker(&site.cluster);
        type Wants<'a> = (String, &'a Owner);
        let clash = |port: u16, (one, of_one): Wants<'_>, (other, of_other): Wants<'_>| {
            let of = |owner: &Owner| if of_one == of_other { String::new() } else { format!(" (of {owner})") };
            let both = format!("{one}{} and {other}{}", of(of_one), of(of_other));
            Err(Failure::exists(format!("{both} both want port {port} of {worker}: give one of them another")))
        };
        let listener = |name: &ListenerName| format!("listener {}.{name}", site.cluster);
        for (name, one) in &site.listeners {
            let mut others = site.listeners.iter().filter(|(other, _)| *other > name);
            if let Some((other, there)) = others.find(|(_, other)| other.spec.overlaps(&one.spec)) {
                return clash(one.spec.port, (listener(name), &one.owner), (listener(other), &there.owner));
            }
        }
        for ingress in self.view.ingresses.values().filter(|ingress| ingress.spec.worker == worker) {
            let (port, there) = (ingress.spec.port, (format!("ingress {}", ingress.reference()), &ingress.owner));
            if port == ROUTER_PORT {
                return clash(port, (format!("the router of site {}", site.cluster), &site.owner), there);
            }
            if let Some((name, one)) = site.listeners.iter().find(|(_, listener)| listener.spec.port == port) {
                return clash(port, (listener(name), &one.owner), there);
            }
        }
        Ok(())
    }

    fn check_site(&self, site: &SitePlan) -> Result<(), Failure> {
        let cluster = &site.cluster;
        let worker = site_worker(cluster);
        if !self.view.nodes.contains_key(&worker) {
            let message = format!("site {cluster} needs worker {worker} for its router: make it first");
            return Err(Failure::not_found(message));
        }
        for (name, link) in &site.links {
            let (whole, to) = (format!("link {cluster}.{name}"), &link.spec.to);
            if to == cluster {
                return Err(Failure::invalid(format!("{whole} leads to its own site: give it another cluster")));
            }
            let other = self.site(to).map_err(|failure| Failure::new(failure.code, format!("{whole}: {failure}")))?;
            if link.spec.cost == 0 {
                return Err(Failure::invalid(format!("{whole}: its cost is 0: give it 1 or more")));
            }
            let twin = site.links.iter().find(|(other, twin)| *other != name && twin.spec.to == *to);
            let back = other.links.iter().find(|(_, back)| back.spec.to == *cluster);
            let twin = twin.map(|(name, _)| format!("{cluster}.{name}"));
            if let Some(there) = twin.or(back.map(|(name, _)| format!("{to}.{name}"))) {
                let message = format!("{whole}: link {there} joins {cluster} and {to} already, and carries both ways");
                return Err(Failure::exists(message));
            }
        }
        for (name, listener) in &site.listeners {
            let whole = format!("listener {cluster}.{name}");
            listener.spec.validate().map_err(|why| Failure::invalid(format!("{whole}: {why}")))?;
        }
        for (name, connector) in &site.connectors {
            let whole = format!("connector {cluster}.{name}");
            connector.spec.validate().map_err(|why| Failure::invalid(format!("{whole}: {why}")))?;
        }
        Ok(())
    }

    /// Deletes what the file owned and no longer says so.
    pub(super) fn delete_unwanted_sites(&mut self, wanted: &Topology) -> Result<(), Failure> {
        for (cluster, site) in &mut self.view.sites {
            let spec = wanted.clusters.get(cluster);
            let site = Arc::make_mut(site);
            keep(&mut site.links, spec.map(|spec| &spec.links));
            keep(&mut site.listeners, spec.map(|spec| &spec.listeners));
            keep(&mut site.connectors, spec.map(|spec| &spec.connectors));
        }
        let stays = |cluster: &ClusterName| wanted.clusters.get(cluster).is_some_and(|spec| spec.has_site());
        let owned = self.view.sites.values().filter(|site| site.owner == Owner::File && !stays(&site.cluster));
        let unwanted: Vec<_> = owned.map(|site| site.cluster.clone()).collect();
        unwanted.iter().try_for_each(|cluster| self.delete_site(cluster, false))
    }

    /// Makes and changes the sites of a file, when its workers are planned.
    pub(super) fn apply_sites(&mut self, wanted: &Topology) -> Result<(), Failure> {
        for (cluster, spec) in wanted.clusters.iter().filter(|(_, spec)| spec.has_site()) {
            let interconnect = spec.interconnect.unwrap_or(self.view.interconnect);
            match self.view.sites.get(cluster).cloned() {
                None => self.create_site(cluster, spec.interconnect)?,
                Some(there) if there.owner == Owner::File => self.site_mut(cluster)?.interconnect = interconnect,
                Some(there) if spec.interconnect.is_some_and(|wanted| wanted != there.interconnect) => {
                    let what = format!("site {cluster} is there already, with another router");
                    return Err(self.taken(&what, &there.owner));
                }
                Some(_) => {}
            }
            let site = self.site_mut(cluster)?;
            let clash = put(&mut site.links, &spec.links)
                .map(|(name, owner)| ("another link", name.to_string(), owner))
                .or(put(&mut site.listeners, &spec.listeners)
                    .map(|(name, owner)| ("another listener", name.to_string(), owner)))
                .or(put(&mut site.connectors, &spec.connectors)
                    .map(|(name, owner)| ("another connector", name.to_string(), owner)));
            if let Some((kind, name, owner)) = clash {
                return Err(self.exists(kind, &format!("{cluster}.{name}"), &owner));
            }
        }
        Ok(())
    }

    /// Sites and their parts that are not of the file.
    pub(super) fn other_sites(&self) -> Vec<(String, Owner)> {
        let mut others = Vec::new();
        for site in self.view.sites.values() {
            let cluster = &site.cluster;
            others.push((format!("site {cluster}"), site.owner.clone()));
            let part = |kind: &str, name: &dyn std::fmt::Display| format!("{kind} {cluster}.{name}");
            others.extend(site.links.iter().map(|(name, it)| (part("link", name), it.owner.clone())));
            others.extend(site.listeners.iter().map(|(name, it)| (part("listener", name), it.owner.clone())));
            others.extend(site.connectors.iter().map(|(name, it)| (part("connector", name), it.owner.clone())));
        }
        others.retain(|(_, owner)| *owner != Owner::File);
        others
    }
}

/// Leaves of a site what others own, and what a file still names.
fn keep<N: Ord, S>(there: &mut Parts<N, S>, wanted: Option<&BTreeMap<N, S>>) {
    there.retain(|name, part| part.owner != Owner::File || wanted.is_some_and(|wanted| wanted.contains_key(name)));
}

/// Gives a site what a file says; or the name and owner of what is in its way.
fn put<N: Ord + Clone, S: Clone + PartialEq>(there: &mut Parts<N, S>, wanted: &BTreeMap<N, S>) -> Option<(N, Owner)> {
    for (name, spec) in wanted {
        match there.get(name) {
            Some(part) if part.spec == *spec => {}
            Some(part) if part.owner != Owner::File => return Some((name.clone(), part.owner.clone())),
            _ => drop(there.insert(name.clone(), Owned { owner: Owner::File, spec: spec.clone() })),
        }
    }
    None
}

fn there<S>(removed: Option<Owned<S>>, kind: &str, name: &impl ToString) -> Result<(), Failure> {
    let missing = || Failure::not_found(format!("there is no {kind} {}", name.to_string()));
    removed.map(drop).ok_or_else(missing)
}

fn no_site(cluster: &ClusterName) -> Failure {
    Failure::not_found(format!(
        "{cluster} has no site: make it by `knetsim create site {cluster}`, or by `interconnect: embedded` in a \
         topology file"
    ))
}
