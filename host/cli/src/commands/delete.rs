//! `knetsim delete cluster|worker|scratch|container|service|ingress|site|token|link|listener|connector`.

use knetsim_model::{
    ClusterName, ConnectorRef, ContainerRef, IngressRef, LinkRef, ListenerRef, NodeName, Operation, ServiceRef,
    TokenRef,
};

use crate::{commands::submit, completion};

const EXAMPLES: &str = "\
Examples:
  knetsim delete container C0w1.c1 C0.c2
  knetsim delete worker C0w4
  knetsim delete ingress C0.grp1
  knetsim delete service C0.web
  knetsim delete link C1.c0
  knetsim delete site C0 --force             with its links, listeners and connectors
  knetsim delete cluster C1 --force          all that is in it, too";

/// Delete clusters, workers, scratch nodes, containers, services, ingresses, or what links clusters
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Clusters with their nodes
    Cluster {
        /// Which
        #[arg(required = true, value_name = "CLUSTER", add = completion::clusters())]
        clusters: Vec<ClusterName>,
        /// Also where containers run in them
        #[arg(short, long)]
        force: bool,
    },
    /// Workers, with their leases
    Worker {
        /// Which
        #[arg(required = true, value_name = "WORKER", add = completion::nodes())]
        workers: Vec<NodeName>,
        /// Also where containers run on them
        #[arg(short, long)]
        force: bool,
    },
    /// Scratch nodes
    Scratch {
        /// Which
        #[arg(required = true, value_name = "NODE", add = completion::nodes())]
        nodes: Vec<NodeName>,
    },
    /// Containers, with all that runs in them
    Container {
        /// Which, with worker or cluster
        #[arg(required = true, value_name = "WORKER.NAME", add = completion::containers())]
        containers: Vec<ContainerRef>,
    },
    /// Services
    Service {
        /// Which, with cluster
        #[arg(required = true, value_name = "CLUSTER.NAME", add = completion::services())]
        services: Vec<ServiceRef>,
    },
    /// Ingresses
    Ingress {
        /// Which, with cluster
        #[arg(required = true, value_name = "CLUSTER.NAME", add = completion::ingresses())]
        ingresses: Vec<IngressRef>,
    },
    /// Sites, with their routers
    Site {
        /// Of which clusters
        #[arg(required = true, value_name = "CLUSTER", add = completion::clusters())]
        clusters: Vec<ClusterName>,
        /// Also where they have links, listeners or connectors, or links lead to them
        #[arg(short, long)]
        force: bool,
    },
    /// Tokens; links that they were redeemed for stay
    Token {
        /// Which, with cluster
        #[arg(required = true, value_name = "CLUSTER.NAME", add = completion::tokens())]
        tokens: Vec<TokenRef>,
    },
    /// Links between sites; connections over them end
    Link {
        /// Which, with the cluster that they lead from
        #[arg(required = true, value_name = "CLUSTER.NAME", add = completion::links())]
        links: Vec<LinkRef>,
    },
    /// Listeners
    Listener {
        /// Which, with cluster
        #[arg(required = true, value_name = "CLUSTER.NAME", add = completion::listeners())]
        listeners: Vec<ListenerRef>,
    },
    /// Connectors
    Connector {
        /// Which, with cluster
        #[arg(required = true, value_name = "CLUSTER.NAME", add = completion::connectors())]
        connectors: Vec<ConnectorRef>,
    },
}

pub(crate) fn run(name: Option<&str>, args: Args) -> anyhow::Result<u8> {
    let operations = match args.what {
        What::Cluster { clusters, force } => {
            clusters.into_iter().map(|cluster| Operation::DeleteCluster { cluster, force }).collect()
        }
        What::Worker { workers, force } => {
            workers.into_iter().map(|worker| Operation::DeleteWorker { worker, force }).collect()
        }
        What::Scratch { nodes } => nodes.into_iter().map(|node| Operation::DeleteScratch { node }).collect(),
        What::Container { containers } => {
            containers.into_iter().map(|container| Operation::DeleteContainer { container }).collect()
        }
        What::Service { services } => {
            services.into_iter().map(|service| Operation::DeleteService { service }).collect()
        }
        What::Ingress { ingresses } => {
            ingresses.into_iter().map(|ingress| Operation::DeleteIngress { ingress }).collect()
        }
        What::Site { clusters, force } => {
            clusters.into_iter().map(|cluster| Operation::DeleteSite { cluster, force }).collect()
        }
        What::Token { tokens } => tokens.into_iter().map(|token| Operation::DeleteToken { token }).collect(),
        What::Link { links } => links.into_iter().map(|link| Operation::DeleteLink { link }).collect(),
        What::Listener { listeners } => {
            listeners.into_iter().map(|listener| Operation::DeleteListener { listener }).collect()
        }
        What::Connector { connectors } => {
            connectors.into_iter().map(|connector| Operation::DeleteConnector { connector }).collect()
        }
    };
    submit(name, operations)
}
