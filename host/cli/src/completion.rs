//! What a shell may complete: names asked of the running sandbox, nothing where there is none.

use std::sync::OnceLock;

use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use knetsim_model::inventory::{Inventory, SiteInfo};
use knetsim_model::names::BASE;
use knetsim_sandbox::StateFolder;

use crate::{chapters, sandboxes};

/// Names of running sandboxes.
pub(crate) fn sandboxes() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let names = StateFolder::base().and_then(|base| StateFolder::running(&base));
        names.unwrap_or_default().into_iter().map(CompletionCandidate::new).collect()
    })
}

/// Names of chapters that come with knetsim.
pub(crate) fn chapters() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        chapters::shipped().into_iter().map(|(name, _)| CompletionCandidate::new(name)).collect()
    })
}

/// Names of clusters.
pub(crate) fn clusters() -> ArgValueCandidates {
    from_inventory(|inventory| inventory.clusters.iter().map(|cluster| cluster.name.to_string()).collect())
}

/// Names of nodes.
pub(crate) fn nodes() -> ArgValueCandidates {
    from_inventory(node_names)
}

/// Whole names of containers.
pub(crate) fn containers() -> ArgValueCandidates {
    from_inventory(container_names)
}

/// Whole names of services.
pub(crate) fn services() -> ArgValueCandidates {
    from_inventory(service_names)
}

/// Whole names of ingresses.
pub(crate) fn ingresses() -> ArgValueCandidates {
    from_inventory(|inventory| inventory.ingresses.iter().map(|i| format!("{}.{}", i.cluster, i.name)).collect())
}

/// Whole names of tokens.
pub(crate) fn tokens() -> ArgValueCandidates {
    from_inventory(|inventory| parts(inventory, |site| site.tokens.iter().map(|it| it.name.to_string()).collect()))
}

/// Whole names of links between sites.
pub(crate) fn links() -> ArgValueCandidates {
    from_inventory(|inventory| parts(inventory, |site| site.links.iter().map(|it| it.name.to_string()).collect()))
}

/// Whole names of listeners.
pub(crate) fn listeners() -> ArgValueCandidates {
    from_inventory(|inventory| parts(inventory, |site| site.listeners.iter().map(|it| it.name.to_string()).collect()))
}

/// Whole names of connectors.
pub(crate) fn connectors() -> ArgValueCandidates {
    from_inventory(|inventory| parts(inventory, |site| site.connectors.iter().map(|it| it.name.to_string()).collect()))
}

fn parts(inventory: &Inventory, names: fn(&SiteInfo) -> Vec<String>) -> Vec<String> {
    let whole = |site| names(site).into_iter().map(|name| format!("{}.{name}", site.cluster));
    inventory.sites.iter().flat_map(whole).collect()
}

/// Whatever a command can run in.
pub(crate) fn targets() -> ArgValueCandidates {
    ArgValueCandidates::new(|| target_names(false).into_iter().map(CompletionCandidate::new).collect())
}

/// The same as text; with services, which are no targets but have addresses, where they are asked for.
pub(crate) fn target_names(services: bool) -> Vec<String> {
    let targets =
        |inventory: &Inventory| [vec![BASE.to_owned()], node_names(inventory), container_names(inventory)].concat();
    match services {
        false => ask(targets),
        true => ask(move |inventory| [targets(inventory), service_names(inventory)].concat()),
    }
}

/// From now on, names are those of that sandbox.
pub(crate) fn of_sandbox(name: String) {
    // It is the same for all of this program's life.
    let _ = SANDBOX.set(name);
}

/// Whose names they are, where this program is the console of one.
static SANDBOX: OnceLock<String> = OnceLock::new();

fn node_names(inventory: &Inventory) -> Vec<String> {
    inventory.nodes.iter().map(|node| node.name.to_string()).collect()
}

fn container_names(inventory: &Inventory) -> Vec<String> {
    inventory.containers.iter().map(|c| format!("{}.{}", c.worker, c.name)).collect()
}

fn service_names(inventory: &Inventory) -> Vec<String> {
    inventory.services.iter().map(|s| format!("{}.{}", s.cluster, s.name)).collect()
}

fn from_inventory(names: fn(&Inventory) -> Vec<String>) -> ArgValueCandidates {
    ArgValueCandidates::new(move || ask(names).into_iter().map(CompletionCandidate::new).collect())
}

fn ask(names: impl FnOnce(&Inventory) -> Vec<String>) -> Vec<String> {
    let name = SANDBOX.get().cloned().or_else(|| std::env::var("KNETSIM_NAME").ok());
    let inventory = sandboxes::talk(name.as_deref(), async |mut client| client.inspect().await);
    inventory.map(|inventory| names(&inventory)).unwrap_or_default()
}
