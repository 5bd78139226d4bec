//! `knetsim inspect`: what there is, for people and for programs.

use std::collections::BTreeMap;

use clap::ValueEnum;
use knetsim_model::ingress::{IngressPath, PathType};
use knetsim_model::inventory::{ContainerInfo, Health, IngressInfo, Inventory, NodeInfo, ServiceInfo, SiteInfo};
use knetsim_model::names::NodeKind;
use knetsim_model::operation::Owner;
use knetsim_model::topology::Topology;

use crate::output;
use crate::{sandboxes, topology};

mod sites;
mod skupper;

const EXAMPLES: &str = "\
Examples:
  knetsim inspect -o wide
  knetsim inspect links                      sites, links, listeners, connectors: how they are, and why
  knetsim inspect -o json | jq '.nodes[].address'
  knetsim inspect -o yaml > lab.yaml         a file that makes the same again
  knetsim inspect -o skupper                 sites and what they have, for Kubernetes";

/// Show clusters, nodes, containers, services, ingresses and what links clusters
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, visible_alias = "get")]
pub(crate) struct Args {
    /// Only what links clusters, with tokens
    #[arg(value_enum)]
    what: Option<What>,
    /// How to print them
    #[arg(short, long, value_enum, default_value = "table")]
    output: Form,
    /// Only what was made by the topology file, by labs, or by commands
    #[arg(long, value_enum)]
    owner: Option<Kind>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// Columns for a person
    Table,
    /// More columns
    Wide,
    /// One JSON value, documented by `knetsim schema`
    Json,
    /// A topology file
    Yaml,
    /// One name a line
    Name,
    /// What links clusters, as Skupper's objects for Kubernetes (YAML)
    Skupper,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    Links,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    File,
    Lab,
    User,
}

pub(crate) fn run(name: Option<&str>, args: Args) -> anyhow::Result<u8> {
    let mut inventory = sandboxes::talk(name, async |mut client| client.inspect().await)?;
    if let Some(kind) = args.owner {
        keep(&mut inventory, kind);
    }
    if let Some(What::Links) = args.what {
        return sites::run(&inventory, args.output);
    }
    match args.output {
        Form::Table => output::print(&tables(&inventory, false))?,
        Form::Wide => output::print(&tables(&inventory, true))?,
        Form::Json => output::print_json(&inventory)?,
        Form::Yaml => output::print(&topology::write(&Topology::of(&inventory))?)?,
        Form::Name => output::print(&names(&inventory))?,
        Form::Skupper => output::print(&skupper::export(&inventory)?)?,
    }
    Ok(0)
}

/// Leaves what has that kind of owner, and the clusters that it is in.
fn keep(inventory: &mut Inventory, kind: Kind) {
    let wanted = |owner: &Owner| {
        matches!((kind, owner), (Kind::File, Owner::File) | (Kind::Lab, Owner::Lab(_)) | (Kind::User, Owner::User))
    };
    inventory.containers.retain(|container| wanted(&container.owner));
    inventory.services.retain(|service| wanted(&service.owner));
    inventory.ingresses.retain(|ingress| wanted(&ingress.owner));
    inventory.nodes.retain(|node| wanted(&node.owner));
    for site in &mut inventory.sites {
        site.tokens.retain(|token| wanted(&token.owner));
        site.links.retain(|link| wanted(&link.owner));
        site.listeners.retain(|listener| wanted(&listener.owner));
        site.connectors.retain(|connector| wanted(&connector.owner));
    }
    let empty = |site: &SiteInfo| site.links.is_empty() && site.listeners.is_empty() && site.connectors.is_empty();
    inventory.sites.retain(|site| wanted(&site.owner) || !empty(site));
    let used: Vec<_> = inventory.nodes.iter().filter_map(|node| node.cluster.clone()).collect();
    let others = inventory.containers.iter().map(|container| &container.cluster);
    let others = others.chain(inventory.services.iter().map(|service| &service.cluster));
    let others = others.chain(inventory.ingresses.iter().map(|ingress| &ingress.cluster));
    let others = others.chain(inventory.sites.iter().map(|site| &site.cluster));
    let used: Vec<_> = used.into_iter().chain(others.cloned()).collect();
    inventory.clusters.retain(|cluster| wanted(&cluster.owner) || used.contains(&cluster.name));
}

fn tables(inventory: &Inventory, wide: bool) -> String {
    let mut header = vec!["NODE", "KIND", "ADDRESS", "SUBNET", "STATE"];
    header.extend(["NUMBER", "PID", "OWNER", "REPAIR", "DRIFT"].iter().filter(|_| wide));
    let mut text = output::table(&header, inventory.nodes.iter().map(|node| node_row(node, wide)).collect());
    if !inventory.containers.is_empty() {
        let mut header = vec!["CONTAINER", "ADDRESS", "COMMAND"];
        header.extend(["OWNER", "LABELS"].iter().filter(|_| wide));
        let rows = inventory.containers.iter().map(|container| container_row(container, wide));
        text.push('\n');
        text.push_str(&output::table(&header, rows.collect()));
    }
    if !inventory.services.is_empty() {
        let mut header = vec!["SERVICE", "ADDRESS", "PORTS", "GOES TO"];
        header.extend(["OWNER", "ENDPOINTS", "AFFINITY"].iter().filter(|_| wide));
        let rows = inventory.services.iter().map(|service| service_row(service, wide));
        text.push('\n');
        text.push_str(&output::table(&header, rows.collect()));
    }
    if !inventory.ingresses.is_empty() {
        let mut header = vec!["INGRESS", "WORKER", "ADDRESS", "PATHS", "STATE"];
        header.extend(["OWNER", "TIMEOUT", "BODY"].iter().filter(|_| wide));
        let rows = inventory.ingresses.iter().map(|ingress| ingress_row(ingress, wide));
        text.push('\n');
        text.push_str(&output::table(&header, rows.collect()));
    }
    for table in sites::tables(inventory, wide) {
        text.push('\n');
        text.push_str(&table);
    }
    if !inventory.warnings.is_empty() {
        let rows = inventory.warnings.iter().map(|warning| vec![warning.clone()]);
        text.push('\n');
        text.push_str(&output::table(&["WARNING"], rows.collect()));
    }
    text
}

fn node_row(node: &NodeInfo, wide: bool) -> Vec<String> {
    let kind = match node.kind {
        NodeKind::Worker => "worker",
        NodeKind::Etcd => "etcd",
        NodeKind::Scratch => "scratch",
    };
    let state = match &node.health {
        Health::Ready if !node.drift.is_empty() => "ready, drifted".to_owned(),
        health => state(health),
    };
    let subnet = node.subnet.map(|subnet| subnet.to_string());
    let mut row = vec![node.name.to_string(), kind.to_owned(), node.address.to_string(), or_dash(subnet), state];
    if wide {
        let repair = if node.repair { "on" } else { "off" };
        let drift = (!node.drift.is_empty()).then(|| node.drift.join("; "));
        row.extend([node.number.to_string(), node.pid.to_string(), owner(&node.owner)]);
        row.extend([repair.to_owned(), or_dash(drift)]);
    }
    row
}

fn container_row(container: &ContainerInfo, wide: bool) -> Vec<String> {
    let command = (!container.command.is_empty()).then(|| container.command.join(" "));
    let name = format!("{}.{}", container.worker, container.name);
    let mut row = vec![name, container.address.to_string(), or_dash(command)];
    if wide {
        let labels: Vec<_> = container.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        row.extend([owner(&container.owner), or_dash((!labels.is_empty()).then(|| labels.join(",")))]);
    }
    row
}

fn joined<T: ToString>(parts: impl IntoIterator<Item = T>) -> String {
    parts.into_iter().map(|part| part.to_string()).collect::<Vec<_>>().join(",")
}

fn service_row(service: &ServiceInfo, wide: bool) -> Vec<String> {
    let spec = &service.spec;
    let ports = if spec.ports.is_empty() { "all".to_owned() } else { joined(&spec.ports) };
    let backends = (!service.backends.is_empty()).then(|| joined(&service.backends));
    let vip = spec.vip.map(|vip| vip.to_string());
    let mut row = vec![format!("{}.{}", service.cluster, service.name), or_dash(vip), ports, or_dash(backends)];
    if wide {
        let labels =
            |labels: &BTreeMap<String, String>| joined(labels.iter().map(|(key, value)| format!("{key}={value}")));
        row.extend([owner(&service.owner), spec.selector.as_ref().map_or_else(|| joined(&spec.endpoints), labels)]);
        row.push(or_dash(spec.affinity.map(|seconds| format!("{seconds} s"))));
    }
    row
}

fn ingress_row(ingress: &IngressInfo, wide: bool) -> Vec<String> {
    let spec = &ingress.spec;
    let path = |path: &IngressPath| match path.path_type {
        PathType::Prefix => path.to_string(),
        PathType::Exact => format!("{path} (exact)"),
        PathType::Regex => format!("{path} (regex)"),
    };
    let default = spec.default.iter().map(|backend| format!("*={backend}"));
    let mut row = vec![format!("{}.{}", ingress.cluster, ingress.name), spec.worker.to_string()];
    row.extend([format!("{}:{}", ingress.address, spec.port), joined(spec.paths.iter().map(path).chain(default))]);
    row.push(state(&ingress.health));
    if wide {
        let seconds = |seconds: u32| format!("{seconds} s");
        row.extend([
            owner(&ingress.owner),
            or_dash(spec.timeout.map(seconds)),
            or_dash(spec.max_body.map(|bytes| bytes.to_string())),
        ]);
    }
    row
}

fn state(health: &Health) -> String {
    match health {
        Health::Ready => "ready".to_owned(),
        Health::Broken(why) => format!("broken: {why}"),
    }
}

fn owner(owner: &Owner) -> String {
    match owner {
        Owner::File => "file".to_owned(),
        Owner::Lab(name) => format!("lab {name}"),
        Owner::User => "user".to_owned(),
    }
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}

fn names(inventory: &Inventory) -> String {
    let clusters = inventory.clusters.iter().map(|cluster| format!("cluster/{}\n", cluster.name));
    let nodes = inventory.nodes.iter().map(|node| format!("node/{}\n", node.name));
    let containers = inventory.containers.iter().map(|c| format!("container/{}.{}\n", c.worker, c.name));
    let services = inventory.services.iter().map(|s| format!("service/{}.{}\n", s.cluster, s.name));
    let ingresses = inventory.ingresses.iter().map(|i| format!("ingress/{}.{}\n", i.cluster, i.name));
    let sites = inventory.sites.iter().flat_map(sites::names);
    clusters.chain(nodes).chain(containers).chain(services).chain(ingresses).chain(sites).collect()
}
