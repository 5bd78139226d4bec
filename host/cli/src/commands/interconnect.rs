//! What `knetsim create` and `knetsim delete` take for sites, tokens, links, listeners and connectors.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::Context;
use knetsim_model::interconnect::{
    ConnectorSpec, Interconnect, LISTENER_PORT, LinkSpec, ListenerSpec, TOKEN_SECONDS, Token,
};
use knetsim_model::{ClusterName, ConnectorRef, ContainerName, Failure, LinkRef, ListenerRef, Operation, TokenRef};

use super::create::label;
use crate::{completion, output, progress, sandboxes, topology};

/// A site: a router on the cluster's first worker, which links it with others
#[derive(Debug, clap::Args)]
pub(super) struct Site {
    /// Its cluster
    #[arg(value_name = "CLUSTER", add = completion::clusters())]
    cluster: ClusterName,
    /// Which program the router is: knetsim's own (embedded), or skrouterd; left out, what KNETSIM_INTERCONNECT said
    /// when the sandbox was made, and without it embedded
    #[arg(long, value_name = "ROUTER")]
    interconnect: Option<Interconnect>,
}

impl From<Site> for Operation {
    fn from(Site { cluster, interconnect }: Site) -> Self {
        Operation::CreateSite { cluster, interconnect }
    }
}

/// A token of a site, printed: whoever has it may link another site with this one, once
#[derive(Debug, clap::Args)]
pub(super) struct NewToken {
    /// Its name with the cluster, such as C0.t1
    #[arg(value_name = "CLUSTER.NAME")]
    token: TokenRef,
    /// How long it is good for
    #[arg(long, value_name = "SECONDS", default_value_t = TOKEN_SECONDS)]
    expires: u32,
}

impl NewToken {
    /// Makes it, and prints it.
    pub(super) fn run(self, name: Option<&str>) -> anyhow::Result<u8> {
        let NewToken { token, expires: seconds } = self;
        let inventory = sandboxes::talk(name, async |mut client| {
            let create = Operation::CreateToken { token: token.clone(), seconds };
            client.submit(create, |event| progress::report(&event)).await?;
            client.inspect().await
        })?;
        let sites = inventory.sites.into_iter().filter(|site| site.cluster == token.cluster);
        let made = sites.flat_map(|site| site.tokens).find(|made| made.name == token.name);
        let made = made.ok_or_else(|| Failure::not_found(format!("token {token} was deleted just now")))?;
        output::print(&Token { name: token, code: made.code }.to_string())?;
        Ok(0)
    }
}

/// A link from a site to another one, over mutual TLS; it carries services both ways
#[derive(Debug, clap::Args)]
pub(super) struct Link {
    /// Its name with the cluster that it leads from, such as C1.c0
    #[arg(value_name = "CLUSTER.NAME")]
    link: LinkRef,
    /// The cluster that it leads to, without a token
    #[arg(long, value_name = "CLUSTER", add = completion::clusters(), required_unless_present = "token")]
    to: Option<ClusterName>,
    /// A file with a token of the other site's; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "to")]
    token: Option<PathBuf>,
    /// What crossing it costs: of several ways, the cheapest is taken
    #[arg(long, default_value_t = 1)]
    cost: u32,
}

impl TryFrom<Link> for Operation {
    type Error = anyhow::Error;
    fn try_from(Link { link, to, token, cost }: Link) -> anyhow::Result<Self> {
        let token = token.map(|path| read_token(&path)).transpose()?;
        let to = to.or(token.as_ref().map(|token| token.name.cluster.clone()));
        let to = to.ok_or_else(|| Failure::invalid("say where the link leads to: --to or --token"))?;
        Ok(Operation::CreateLink { link, spec: LinkSpec { to, cost }, token })
    }
}

fn read_token(path: &std::path::Path) -> anyhow::Result<Token> {
    let name = topology::name_of(path);
    let text = topology::read_text(path).with_context(|| format!("reading {name}"))?;
    let token = String::from_utf8_lossy(&text).trim().parse();
    Ok(token.map_err(|error| Failure::invalid(format!("{name}: {error}")))?)
}

/// A port of a site's worker, from which connections go to the connectors of its routing key
#[derive(Debug, clap::Args)]
pub(super) struct Listener {
    /// Its name with the cluster, such as C1.backend
    #[arg(value_name = "CLUSTER.NAME")]
    listener: ListenerRef,
    /// What it has in common with its connectors; left out, its name
    #[arg(short = 'k', long, value_name = "KEY")]
    routing_key: Option<String>,
    /// The worker's address to listen on; left out, all of them
    #[arg(long, value_name = "ADDRESS")]
    host: Option<Ipv4Addr>,
    /// The port
    #[arg(short, long, default_value_t = LISTENER_PORT)]
    port: u16,
}

impl From<Listener> for Operation {
    fn from(Listener { listener, routing_key, host, port }: Listener) -> Self {
        let routing_key = routing_key.unwrap_or_else(|| listener.name.to_string());
        Operation::CreateListener { listener, spec: ListenerSpec { routing_key, host, port } }
    }
}

/// Servers of a site's cluster, to which connections come from the listeners of its routing key
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("servers").required(true))]
pub(super) struct Connector {
    /// Its name with the cluster, such as C0.backend
    #[arg(value_name = "CLUSTER.NAME")]
    connector: ConnectorRef,
    /// What it has in common with its listeners; left out, its name
    #[arg(short = 'k', long, value_name = "KEY")]
    routing_key: Option<String>,
    /// The port of the servers
    #[arg(short, long)]
    port: u16,
    /// A container of the cluster
    #[arg(long, value_name = "NAME", group = "servers")]
    container: Option<ContainerName>,
    /// The containers that have this label, as they come and go; several labels: those that have all of them
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = label, group = "servers")]
    selector: Vec<(String, String)>,
    /// An address that the worker reaches, such as a service's
    #[arg(long, value_name = "ADDRESS", group = "servers")]
    host: Option<Ipv4Addr>,
}

impl From<Connector> for Operation {
    fn from(Connector { connector, routing_key, port, container, selector, host }: Connector) -> Self {
        let routing_key = routing_key.unwrap_or_else(|| connector.name.to_string());
        let selector = (!selector.is_empty()).then(|| selector.into_iter().collect());
        Operation::CreateConnector { connector, spec: ConnectorSpec { routing_key, container, selector, host, port } }
    }
}
