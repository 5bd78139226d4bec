//! Sites: a router on a worker, its certificates, and the links, listeners and connectors that it serves.
//!
//! What a site says of itself is asked of its router ([`Router::seen`]) whenever somebody looks.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use futures::future::join_all;
use knetsim_interconnect::{Authority, InterconnectError, Router, Seen, Wanted, WantedConnector, WantedLink};
use knetsim_model::interconnect::{Condition, ConnectorSpec, ROUTER_PORT, site_worker};
use knetsim_model::inventory::{ConnectorInfo, ListenerInfo, SiteInfo, SiteLinkInfo, TokenInfo};
use knetsim_model::{ClusterName, Code, ConnectorName, Event, Failure};

use crate::Emulator;
use crate::plan::{ContainerKey, Owned, Plan, SitePlan, TokenView, site_events};
use crate::state::{Container, Node, State};

/// The folder in which the slides have the routers' files, below that of the nodes.
pub(crate) const SLIDES: &str = "skupper";

/// A site.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) plan: Arc<SitePlan>,
    /// Its worker's.
    address: Ipv4Addr,
    authority: Arc<Authority>,
    router: Arc<Router>,
}

/// Sites as they were before they were made or changed; none for those that were not there.
pub(crate) type SitesBefore = Vec<(ClusterName, Option<Site>)>;

type Containers = BTreeMap<ContainerKey, Arc<Container>>;

/// The time, in seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Where the connections of a connector go, when those containers have gone.
fn servers(
    cluster: &ClusterName,
    spec: &ConnectorSpec,
    containers: &Containers,
    leaving: &[ContainerKey],
) -> Vec<Ipv4Addr> {
    let there = containers.iter().filter(|(key, _)| key.0 == *cluster && !leaving.contains(key));
    let chosen = there.filter(|((_, name), container)| match &spec.selector {
        None => spec.container.as_ref() == Some(name),
        Some(labels) => labels.iter().all(|(key, value)| container.plan.labels.get(key) == Some(value)),
    });
    let mut servers: Vec<_> = spec.host.into_iter().chain(chosen.map(|(_, container)| container.address)).collect();
    servers.sort_unstable();
    servers
}

impl State {
    /// What a site's router shall do, when those containers have gone.
    fn wanted(&self, plan: &SitePlan, leaving: &[ContainerKey]) -> Wanted {
        // A link leads to a site, and a site has a worker.
        let links = plan.links.iter().filter_map(|(name, Owned { spec, .. })| {
            let host = site_worker(&spec.to);
            let address = self.nodes.get(&host)?.plan.address;
            Some(WantedLink { name: name.clone(), host, address, cost: spec.cost })
        });
        let listeners = plan.listeners.iter().map(|(name, listener)| (name.clone(), listener.spec.clone()));
        let connectors = plan.connectors.iter().map(|(name, Owned { spec, .. })| WantedConnector {
            name: name.clone(),
            routing_key: spec.routing_key.clone(),
            port: spec.port,
            servers: servers(&plan.cluster, spec, &self.containers, leaving),
        });
        let (site, connectors) = (plan.cluster.clone(), connectors.collect());
        Wanted { site, links: links.collect(), listeners: listeners.collect(), connectors }
    }
}

impl Site {
    pub(crate) fn info(&self, state: &State) -> SiteInfo {
        let (plan, seen, told) = (&*self.plan, self.router.seen(), self.router.wanted());
        let tokens = state.tokens.iter().filter(|(key, _)| key.0 == plan.cluster);
        let links = plan.links.iter().map(|(name, Owned { owner, spec })| SiteLinkInfo {
            name: name.clone(),
            owner: owner.clone(),
            spec: spec.clone(),
            state: seen.link(name),
        });
        let listeners = plan.listeners.iter().map(|(name, Owned { owner, spec })| ListenerInfo {
            name: name.clone(),
            owner: owner.clone(),
            spec: spec.clone(),
            state: seen.listener(name),
        });
        let connectors = plan.connectors.iter().map(|(name, Owned { owner, spec })| {
            let servers = told.connectors.iter().find(|connector| connector.name == *name);
            let servers = servers.map(|connector| connector.servers.clone()).unwrap_or_default();
            let state = connector_state(&seen, (&plan.cluster, name, spec), &servers);
            ConnectorInfo { name: name.clone(), owner: owner.clone(), spec: spec.clone(), servers, state }
        });
        SiteInfo {
            cluster: plan.cluster.clone(),
            owner: plan.owner.clone(),
            interconnect: plan.interconnect,
            worker: site_worker(&plan.cluster),
            address: self.address,
            port: ROUTER_PORT,
            tokens: tokens.map(|(_, token)| token_info(token)).collect(),
            links: links.collect(),
            listeners: listeners.collect(),
            connectors: connectors.collect(),
            // A router that is no site's has no place here.
            reaches: seen.reaches.iter().filter_map(|id| id.parse().ok()).collect(),
            state: seen.state,
        }
    }
}

fn connector_state(
    seen: &Seen,
    (cluster, name, spec): (&ClusterName, &ConnectorName, &ConnectorSpec),
    servers: &[Ipv4Addr],
) -> Condition {
    let labels = |labels: &BTreeMap<String, String>| {
        labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
    };
    match (&seen.state, &spec.container, &spec.selector) {
        (Condition::Pending(why), ..) => Condition::Pending(why.clone()),
        _ if servers.iter().any(|server| !seen.has_server(name, *server)) => {
            Condition::Pending("the router hasn't taken it over yet".to_owned())
        }
        _ if !servers.is_empty() => Condition::Ready,
        (_, Some(container), _) => Condition::Pending(format!("there is no container {cluster}.{container}")),
        (_, _, Some(selector)) => Condition::Pending(format!("no container of {cluster} has {}", labels(selector))),
        _ => Condition::Pending("it has no servers".to_owned()),
    }
}

fn token_info(token: &TokenView) -> TokenInfo {
    let state = match token.is_good(now()) {
        Ok(()) => Condition::Ready,
        Err(failure) => Condition::Pending(failure.message),
    };
    TokenInfo {
        name: token.plan.key.1.clone(),
        owner: token.plan.owner.clone(),
        code: token.code.clone(),
        expires: token.plan.expires,
        redeemed: token.redeemed.clone(),
        state,
    }
}

impl Emulator {
    /// Makes and changes the sites of a plan, and tells all routers; or leaves all as it was. Gives what was before.
    pub(crate) async fn make_sites(&self, plan: &Plan) -> Result<SitesBefore, Failure> {
        let mut before = SitesBefore::new();
        let made = self.make_each_site(plan, &mut before).await;
        let made = match made {
            Ok(()) => self.tell_routers(&[]).await,
            failed => failed,
        };
        match made {
            Ok(()) => Ok(before),
            Err(failure) => {
                self.restore_sites(before).await;
                Err(failure)
            }
        }
    }

    async fn make_each_site(&self, plan: &Plan, before: &mut SitesBefore) -> Result<(), Failure> {
        // A link needs the authority of the site that it leads to, which may be as new as its own.
        let mut authorities: BTreeMap<ClusterName, Arc<Authority>> =
            self.state().sites.iter().map(|(cluster, site)| (cluster.clone(), site.authority.clone())).collect();
        for site in &plan.sites {
            if !authorities.contains_key(&site.cluster) {
                let authority = Authority::new(&site.cluster).map_err(|error| failed(&site.cluster, &error))?;
                authorities.insert(site.cluster.clone(), Arc::new(authority));
            }
        }
        for site in &plan.sites {
            let there = self.state().sites.get(&site.cluster).cloned();
            before.push((site.cluster.clone(), there.clone()));
            self.make_site(site, there, &authorities).await?;
        }
        Ok(())
    }

    /// Makes a site, or makes one that is there another.
    async fn make_site(
        &self,
        plan: &Arc<SitePlan>,
        there: Option<Site>,
        authorities: &BTreeMap<ClusterName, Arc<Authority>>,
    ) -> Result<(), Failure> {
        let cluster = &plan.cluster;
        let failed = |error: &InterconnectError| failed(cluster, error);
        let node = self.state().node(&site_worker(cluster))?;
        let same = there.clone().filter(|site| site.router.kind() == plan.interconnect);
        if let (Some(other), None) = (&there, &same) {
            // Whatever becomes of the new one, this one is not there any more.
            self.state().sites.remove(cluster);
            other.router.stop().await.map_err(|error| failed(&error))?;
        }
        let authority = |of: &ClusterName| {
            authorities.get(of).cloned().ok_or_else(|| Failure::not_found(format!("{of} has no site")))
        };
        for (name, link) in &plan.links {
            let has = |site: &Site| site.plan.links.get(name).is_some_and(|old| old.spec.to == link.spec.to);
            if !same.as_ref().is_some_and(has) {
                let given = authority(&link.spec.to)?.client(cluster);
                given.and_then(|given| Router::give(&node.place, name, &given)).map_err(|error| failed(&error))?;
            }
        }
        let wanted = self.state().wanted(plan, &[]);
        let site = match same {
            Some(site) => {
                site.change(&node, wanted).await?;
                for name in site.plan.links.keys().filter(|name| !plan.links.contains_key(*name)) {
                    Router::take_back(&node.place, name).map_err(|error| failed(&error))?;
                }
                Site { plan: plan.clone(), ..site }
            }
            None => {
                let authority = authority(cluster)?;
                let server = authority.server(&node.plan.name).map_err(|error| failed(&error))?;
                let (events, what) = (self.inner.events.clone(), (plan.interconnect, wanted));
                let router = Router::start(self.sandbox(), &node.place, what, &server, events).await;
                let router = Arc::new(router.map_err(|error| failed(&error))?);
                Site { plan: plan.clone(), address: node.plan.address, authority, router }
            }
        };
        self.state().sites.insert(cluster.clone(), site);
        if let Err(error) = self.show_file(cluster) {
            // The site works without; somebody put something else there, or filled the disk.
            self.say(Event::Warning { message: format!("site {cluster}: {SLIDES} in /tmp/knetsim: {error}") });
        }
        self.say_site(there.as_ref().map(|site| &*site.plan), Some(plan));
        Ok(())
    }

    /// Puts a router's file where the slides have it, too: /tmp/knetsim/skupper/C0.json leads to it.
    fn show_file(&self, cluster: &ClusterName) -> std::io::Result<()> {
        let files = self.sandbox().files();
        files.create_dir_all(SLIDES)?;
        self.hide_file(cluster)?;
        let file = format!("../{}/etc/skupper-router/skrouterd.json", site_worker(cluster));
        files.symlink(file, format!("{SLIDES}/{cluster}.json"))
    }

    /// Takes it away. Can be repeated.
    fn hide_file(&self, cluster: &ClusterName) -> std::io::Result<()> {
        match self.sandbox().files().remove_file(format!("{SLIDES}/{cluster}.json")) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn say_site(&self, before: Option<&SitePlan>, after: Option<&SitePlan>) {
        site_events(before, after).into_iter().for_each(|event| self.say(event));
    }

    /// Makes sites again what they were before a plan. The failure that led to this is the one to tell.
    pub(crate) async fn restore_sites(&self, before: SitesBefore) {
        let authorities =
            before.iter().filter_map(|(cluster, site)| Some((cluster.clone(), site.as_ref()?.authority.clone())));
        let mut all: BTreeMap<_, _> =
            self.state().sites.iter().map(|(cluster, site)| (cluster.clone(), site.authority.clone())).collect();
        all.extend(authorities);
        for (cluster, site) in before {
            let _ = match site {
                None => self.stop_site(&cluster).await,
                Some(site) => {
                    let now = self.state().sites.get(&cluster).cloned();
                    self.make_site(&site.plan, now, &all).await
                }
            };
        }
    }

    /// Tells the routers where servers are, when those containers have gone. Goes on past errors.
    pub(crate) async fn tell_routers(&self, leaving: &[ContainerKey]) -> Result<(), Failure> {
        let changes: Vec<_> = {
            let state = self.state();
            let change = |site: &Site| {
                let wanted = state.wanted(&site.plan, leaving);
                let node = state.nodes.get(&site_worker(&site.plan.cluster))?.clone();
                (wanted != *site.router.wanted()).then(|| (site.clone(), node, wanted))
            };
            state.sites.values().filter_map(change).collect()
        };
        let told = changes.into_iter().map(async |(site, node, wanted)| site.change(&node, wanted).await);
        all(join_all(told).await)
    }

    /// Stops the sites that a plan deletes, with their flows. Goes on past errors.
    pub(crate) async fn stop_sites(&self, plan: &Plan) -> Result<(), Failure> {
        let stopped = join_all(plan.delete_sites.iter().map(|cluster| self.stop_site(cluster))).await;
        plan.delete_tokens.iter().for_each(|key| drop(self.state().tokens.remove(key)));
        all(stopped)
    }

    async fn stop_site(&self, cluster: &ClusterName) -> Result<(), Failure> {
        let Some(site) = self.state().sites.remove(cluster) else { return Ok(()) };
        let stopped = site.router.stop().await.map_err(|error| failed(cluster, &error));
        // What somebody made of it meanwhile leads nowhere.
        let _ = self.hide_file(cluster);
        self.say_site(Some(&site.plan), None);
        stopped
    }

    /// Issues and redeems the tokens of a plan, when everything else of it is done.
    pub(crate) fn settle_tokens(&self, plan: &Plan) -> Result<(), Failure> {
        for token in &plan.tokens {
            let code = code().map_err(|error| Failure::failed(format!("token {}", token.reference()), &error))?;
            let there = TokenView { plan: token.clone(), code, redeemed: None };
            self.state().tokens.insert(token.key.clone(), there);
            self.created("token", &token.reference().to_string());
        }
        for (key, link) in &plan.redeem {
            if let Some(token) = self.state().tokens.get_mut(key) {
                token.redeemed = Some(link.clone());
            }
        }
        Ok(())
    }
}

impl Site {
    async fn change(&self, node: &Node, wanted: Wanted) -> Result<(), Failure> {
        if wanted == *self.router.wanted() {
            return Ok(());
        }
        self.router.change(&node.place, wanted).await.map_err(|error| failed(&self.plan.cluster, &error))
    }
}

/// 128 bits that nobody guesses, in hexadecimal digits.
fn code() -> std::io::Result<String> {
    use std::io::Read;
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn all(results: Vec<Result<(), Failure>>) -> Result<(), Failure> {
    results.into_iter().collect()
}

fn failed(cluster: &ClusterName, error: &InterconnectError) -> Failure {
    let failure = Failure::failed(format!("site {cluster}"), error);
    match error {
        InterconnectError::NoSkrouterd => Failure { code: Code::Unavailable, ..failure },
        _ => failure,
    }
}
