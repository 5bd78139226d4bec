//! `knetsim create cluster|worker|scratch|container|service|ingress|site|token|link|listener|connector`.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

use knetsim_model::ingress::{Backend, IngressPath, IngressSpec, PathType};
use knetsim_model::manifest::IngressManifest;
use knetsim_model::service::{Endpoint, Layout, ServicePort, ServiceSpec};
use knetsim_model::{ClusterName, ContainerRef, Failure, IngressRef, NodeName, Operation, ServiceRef};

use super::interconnect;
use crate::{commands::submit, completion, manifest, topology};

const EXAMPLES: &str = "\
Examples:
  knetsim create cluster C2 --workers 2
  knetsim create worker C0w4
  knetsim create scratch box
  knetsim create container C0w1.c1 C0w2.c2
  knetsim create container C0w1.web --label app=web -- python3 -m http.server 8000
  knetsim create service C0.web --port 80:8000 --selector app=web
  knetsim create service C0.slides --vip 100.64.10.1 c2 c3
  knetsim create ingress C0.grp1 --worker C0w1 --port 8001 --path /svc1=100.64.11.1:8000
  knetsim create ingress C0.shop --worker C0w2 --port 80 --path shop.example/api=api:80/ --default web:80
  knetsim create ingress --worker C0w1 --port 8001 -f ingress.yaml
  knetsim create site C0
  knetsim create token C0.t1 > c0.token
  knetsim create link C1.c0 --token c0.token
  knetsim create listener C1.backend --routing-key backend:8080 --port 1028
  knetsim create connector C0.backend --routing-key backend:8080 --container c4 --port 8090";

/// Make a cluster, a worker, a scratch node, a container, a service, an ingress, or what links clusters
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// A cluster with its switch, its etcd and its workers
    Cluster {
        /// Its name, such as C2
        cluster: ClusterName,
        /// How many workers
        #[arg(short, long, default_value_t = 3, value_name = "N")]
        workers: u32,
        /// flannel's configuration, in its own format (JSON); left out, the course's
        #[arg(long, value_name = "FILE")]
        flannel: Option<PathBuf>,
    },
    /// Workers of a cluster
    Worker {
        /// Their names, such as C0w4
        #[arg(required = true, value_name = "WORKER")]
        workers: Vec<NodeName>,
    },
    /// Nodes outside every cluster, empty
    Scratch {
        /// Their names, such as box
        #[arg(required = true, value_name = "NODE")]
        nodes: Vec<NodeName>,
    },
    /// Containers on a worker, joined to the pod network
    Container {
        /// Their names with the worker, such as C0w1.c1
        #[arg(required = true, value_name = "WORKER.NAME")]
        containers: Vec<ContainerRef>,
        /// A label, for selectors
        #[arg(short, long = "label", value_name = "KEY=VALUE", value_parser = label)]
        labels: Vec<(String, String)>,
        /// A program with its arguments, started in each
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    Service(Service),
    Ingress(Ingress),
    Site(interconnect::Site),
    Token(interconnect::NewToken),
    Link(interconnect::Link),
    Listener(interconnect::Listener),
    Connector(interconnect::Connector),
}

/// A virtual address, spread over endpoints by every worker of the cluster
#[derive(Debug, clap::Args)]
struct Service {
    /// Its name with the cluster, such as C0.web
    #[arg(value_name = "CLUSTER.NAME")]
    service: ServiceRef,
    /// Its endpoints, which stay whatever becomes of them: containers of the cluster, such as c2, or addresses
    #[arg(value_name = "ENDPOINT", required_unless_present = "selector")]
    endpoints: Vec<Endpoint>,
    /// Its address, of 100.64.0.0/16; left out, the lowest that is free
    #[arg(long, value_name = "ADDRESS")]
    vip: Option<Ipv4Addr>,
    /// A port to serve, such as 80, 80:8000, dns=53/udp; without any, every port and ICMP
    #[arg(short, long = "port", value_name = "[NAME=]PORT[:TARGET][/udp]")]
    ports: Vec<ServicePort>,
    /// In place of endpoints: the containers that have this label, as they come and go; several labels: those that
    /// have all of them
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = label, conflicts_with = "endpoints")]
    selector: Vec<(String, String)>,
    /// Keep each client's endpoint for that many seconds
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "10800", require_equals = true)]
    affinity: Option<u32>,
    /// Program it by entries of maps and not by chains as kube-proxy does: a change costs the same among any number of
    /// services
    #[arg(long, conflicts_with = "affinity", requires = "ports")]
    maps: bool,
    /// Change the service where there is one of that name
    #[arg(long)]
    replace: bool,
}

impl From<Service> for Operation {
    fn from(Service { service, endpoints, vip, ports, selector, affinity, maps, replace }: Service) -> Self {
        let layout = if maps { Layout::Maps } else { Layout::Chains };
        let selector = (!selector.is_empty()).then(|| selector.into_iter().collect());
        let spec = ServiceSpec { vip, ports, selector, endpoints, affinity, layout };
        Operation::CreateService { service, spec, replace }
    }
}

/// nginx on a worker, which leads requests to services by their host and path
#[derive(Debug, clap::Args)]
struct Ingress {
    /// Its name with the cluster, such as C0.grp1; left out beside a file, the object's name in the worker's cluster
    #[arg(value_name = "CLUSTER.NAME", required_unless_present = "file")]
    ingress: Option<IngressRef>,
    /// A Kubernetes Ingress object in YAML or JSON, which says the paths and, by ingress-nginx's annotations, timeouts
    /// and limits; - reads standard input
    #[arg(short, long, value_name = "FILE",
          conflicts_with_all = ["paths", "exact", "regex", "default", "connect_timeout", "timeout", "max_body"])]
    file: Option<PathBuf>,
    /// The worker that it runs on
    #[arg(short, long, value_name = "WORKER", add = completion::nodes())]
    worker: NodeName,
    /// The port that it is asked at, of every address of the worker
    #[arg(short, long)]
    port: u16,
    /// Requests for that path, or below it, go to that service or address. With a path behind, such as /svc1=web:80/,
    /// it stands in place of the path that was asked for
    #[arg(long = "path", value_name = "[HOST]PATH=BACKEND:PORT[PATH]", required_unless_present_any = ["exact", "regex", "default", "file"])]
    paths: Vec<IngressPath>,
    /// The same for that path alone, not below it
    #[arg(long, value_name = "[HOST]PATH=BACKEND:PORT[PATH]")]
    exact: Vec<IngressPath>,
    /// The same for what that regular expression finds, whatever the case of letters; the longest is tried first. $1 to
    /// $9 in the path behind, such as /users/(.*)=web:80/$1, are its groups
    #[arg(long, value_name = "[HOST]PATTERN=BACKEND:PORT[PATH]")]
    regex: Vec<IngressPath>,
    /// Where all other requests go; left out, they are answered by 404
    #[arg(long, value_name = "BACKEND:PORT")]
    default: Option<Backend>,
    /// How long a backend may take to accept a connection; left out, 5
    #[arg(long, value_name = "SECONDS")]
    connect_timeout: Option<u32>,
    /// How long a backend may be silent; left out, 60
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u32>,
    /// How long the body of a request may be, 0 for any length; left out, 1 MiB
    #[arg(long, value_name = "BYTES")]
    max_body: Option<u64>,
    /// Change the ingress where there is one of that name: no request is lost
    #[arg(long)]
    replace: bool,
}

impl Ingress {
    fn operation(self) -> anyhow::Result<Operation> {
        let Ingress {
            ingress,
            file,
            worker,
            port,
            mut paths,
            exact,
            regex,
            default,
            connect_timeout,
            timeout,
            max_body,
            replace,
        } = self;
        let (name, spec) = match file {
            None => {
                for (more, path_type) in [(exact, PathType::Exact), (regex, PathType::Regex)] {
                    paths.extend(more.into_iter().map(|path| IngressPath { path_type, ..path }));
                }
                (None, IngressSpec { worker, port, paths, default, connect_timeout, timeout, max_body })
            }
            Some(file) => {
                let object: IngressManifest = topology::read_yaml(&file, manifest::HINT)?;
                let name = worker.cluster().map(|cluster| IngressRef { cluster, name: object.name().clone() });
                (name, manifest::translate(&topology::name_of(&file), object, worker, port)?)
            }
        };
        let unnamed =
            || Failure::invalid(format!("an ingress runs on a worker, such as C0w1, and not on {}", spec.worker));
        let ingress = ingress.or(name).ok_or_else(unnamed)?;
        Ok(Operation::CreateIngress { ingress, spec, replace })
    }
}

pub(crate) fn run(name: Option<&str>, args: Args) -> anyhow::Result<u8> {
    let operations = match args.what {
        What::Cluster { cluster, workers, flannel } => {
            let flannel = flannel.map(|path| topology::read_yaml(&path, super::flannel::HINT)).transpose()?;
            vec![Operation::CreateCluster { cluster, workers, flannel }]
        }
        What::Worker { workers } => workers.into_iter().map(|worker| Operation::CreateWorker { worker }).collect(),
        What::Scratch { nodes } => nodes.into_iter().map(|node| Operation::CreateScratch { node }).collect(),
        What::Container { containers, labels, command } => {
            let labels: BTreeMap<_, _> = labels.into_iter().collect();
            let create =
                |container| Operation::CreateContainer { container, labels: labels.clone(), command: command.clone() };
            containers.into_iter().map(create).collect()
        }
        What::Service(service) => vec![service.into()],
        What::Ingress(ingress) => vec![ingress.operation()?],
        What::Site(site) => vec![site.into()],
        What::Token(token) => return token.run(name),
        What::Link(link) => vec![link.try_into()?],
        What::Listener(listener) => vec![listener.into()],
        What::Connector(connector) => vec![connector.into()],
    };
    submit(name, operations)
}

pub(super) fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}
