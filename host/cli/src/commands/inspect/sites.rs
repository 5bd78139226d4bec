//! `knetsim inspect links`: sites and what they have, and why what does not work doesn't.

use knetsim_model::Failure;
use knetsim_model::inventory::{Inventory, SiteInfo};

use super::{Form, joined, or_dash, owner, skupper};
use crate::output;

pub(super) fn run(inventory: &Inventory, format: Form) -> anyhow::Result<u8> {
    match format {
        Form::Table => output::print(&tables(inventory, false).join("\n"))?,
        Form::Wide => output::print(&tables(inventory, true).join("\n"))?,
        Form::Json => output::print_json(&inventory.sites)?,
        Form::Yaml => {
            let failure = "a topology file is of everything: `knetsim inspect -o yaml`";
            return Err(Failure::invalid(failure).into());
        }
        Form::Skupper => output::print(&skupper::export(inventory)?)?,
        Form::Name => output::print(&inventory.sites.iter().flat_map(names).collect::<String>())?,
    }
    Ok(0)
}

/// One table a kind, of those of which there is something.
pub(super) fn tables(inventory: &Inventory, wide: bool) -> Vec<String> {
    let table = |header: &[&str], rows: Vec<Vec<String>>| {
        let header: Vec<_> = header.iter().copied().chain(wide.then_some("OWNER")).collect();
        (!rows.is_empty()).then(|| output::table(&header, rows))
    };
    let rows = |row: fn(&SiteInfo) -> Vec<Vec<String>>| {
        let mut rows: Vec<_> = inventory.sites.iter().flat_map(row).collect();
        if !wide {
            rows.iter_mut().for_each(|row| drop(row.pop()));
        }
        rows
    };
    [
        table(&["SITE", "ROUTER", "ADDRESS", "REACHES", "STATE"], rows(site_rows)),
        table(&["LINK", "TO", "COST", "STATE"], rows(link_rows)),
        table(&["LISTENER", "ROUTING KEY", "PORT", "STATE"], rows(listener_rows)),
        table(&["CONNECTOR", "ROUTING KEY", "PORT", "SERVERS", "STATE"], rows(connector_rows)),
        table(&["TOKEN", "STATE"], rows(token_rows)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

// Each row's last cell is its owner, for the wide form.

fn site_rows(site: &SiteInfo) -> Vec<Vec<String>> {
    let reaches = (!site.reaches.is_empty()).then(|| joined(&site.reaches));
    let place = format!("{}:{}", site.worker, site.port);
    let router = site.interconnect.to_string();
    let row = [site.cluster.to_string(), router, place, or_dash(reaches), site.state.to_string(), owner(&site.owner)];
    vec![row.to_vec()]
}

fn link_rows(site: &SiteInfo) -> Vec<Vec<String>> {
    let row = site.links.iter().map(|link| {
        let name = format!("{}.{}", site.cluster, link.name);
        let (to, cost) = (link.spec.to.to_string(), link.spec.cost.to_string());
        vec![name, to, cost, link.state.to_string(), owner(&link.owner)]
    });
    row.collect()
}

fn listener_rows(site: &SiteInfo) -> Vec<Vec<String>> {
    let row = site.listeners.iter().map(|listener| {
        let (name, spec) = (format!("{}.{}", site.cluster, listener.name), &listener.spec);
        let host = spec.host.map_or_else(|| site.worker.to_string(), |host| host.to_string());
        let place = format!("{host}:{}", spec.port);
        vec![name, spec.routing_key.clone(), place, listener.state.to_string(), owner(&listener.owner)]
    });
    row.collect()
}

fn connector_rows(site: &SiteInfo) -> Vec<Vec<String>> {
    let row = site.connectors.iter().map(|connector| {
        let (name, spec) = (format!("{}.{}", site.cluster, connector.name), &connector.spec);
        let servers = or_dash((!connector.servers.is_empty()).then(|| joined(&connector.servers)));
        let (key, port, state) = (spec.routing_key.clone(), spec.port.to_string(), connector.state.to_string());
        vec![name, key, port, servers, state, owner(&connector.owner)]
    });
    row.collect()
}

fn token_rows(site: &SiteInfo) -> Vec<Vec<String>> {
    let row = site.tokens.iter().map(|token| {
        let state = token.state.to_string();
        vec![format!("{}.{}", site.cluster, token.name), state, owner(&token.owner)]
    });
    row.collect()
}

/// One name a line, with its kind.
pub(super) fn names(site: &SiteInfo) -> Vec<String> {
    let part = |kind: &str, name: &dyn std::fmt::Display| format!("{kind}/{}.{name}\n", site.cluster);
    let links = site.links.iter().map(|it| part("link", &it.name));
    let listeners = site.listeners.iter().map(|it| part("listener", &it.name));
    let connectors = site.connectors.iter().map(|it| part("connector", &it.name));
    let tokens = site.tokens.iter().map(|it| part("token", &it.name));
    let own = std::iter::once(format!("site/{}\n", site.cluster));
    own.chain(links).chain(listeners).chain(connectors).chain(tokens).collect()
}
