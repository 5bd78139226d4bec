//! `knetsim inspect -o skupper`: the sites as Skupper's own objects (`skupper.io/v2alpha1`), for Kubernetes.
//!
//! Each cluster becomes a namespace, which Skupper takes for a site, too: `kubectl apply -f` makes them in one cluster,
//! and the parts can be given to several. What Kubernetes has no word for is what comes nearest to it:
//!
//! | knetsim | Skupper |
//! |---|---|
//! | a connector by container | `host`: a service of the container's name |
//! | a listener's port on the worker | `host`: a service of the listener's name |
//! | a token that can be redeemed | an AccessGrant for one redemption |
//! | a link's certificate | `tlsCredentials`: the name of a Secret, which `skupper link generate` makes at the other site |

use std::collections::BTreeMap;

use knetsim_model::interconnect::Condition;
use knetsim_model::inventory::{ConnectorInfo, Inventory, SiteInfo};
use serde_json::{Value, json};

/// One YAML document an object.
pub(super) fn export(inventory: &Inventory) -> anyhow::Result<String> {
    let mut text = String::new();
    for site in &inventory.sites {
        for object in objects(site, &inventory.sites) {
            text.push_str("---\n");
            text.push_str(&serde_saphyr::to_string(&object)?);
        }
    }
    Ok(text)
}

fn objects(site: &SiteInfo, all: &[SiteInfo]) -> Vec<Value> {
    let namespace = namespace(site);
    let object = |kind: &str, name: &str, spec: Value| {
        json!({
            "apiVersion": "skupper.io/v2alpha1",
            "kind": kind,
            "metadata": { "name": name, "namespace": namespace },
            "spec": spec,
        })
    };
    let mut objects = vec![object("Site", &namespace, json!({ "linkAccess": "default" }))];
    for token in site.tokens.iter().filter(|token| token.state == Condition::Ready) {
        objects.push(object("AccessGrant", token.name.as_str(), json!({ "redemptionsAllowed": 1 })));
    }
    for link in &site.links {
        let other = all.iter().find(|other| other.cluster == link.spec.to);
        let endpoint = |other: &SiteInfo| json!({ "name": "inter-router", "host": other.worker.as_str(), "port": other.port.to_string() });
        let endpoints: Vec<_> = other.map(endpoint).into_iter().collect();
        let credentials = format!("link-{}", link.name);
        let spec = json!({ "cost": link.spec.cost, "endpoints": endpoints, "tlsCredentials": credentials });
        objects.push(object("Link", link.name.as_str(), spec));
    }
    for listener in &site.listeners {
        let name = listener.name.as_str();
        let spec = json!({ "routingKey": listener.spec.routing_key, "host": name, "port": listener.spec.port });
        objects.push(object("Listener", name, spec));
    }
    objects.extend(site.connectors.iter().map(|it| object("Connector", it.name.as_str(), connector(it))));
    objects
}

fn connector(connector: &ConnectorInfo) -> Value {
    let spec = &connector.spec;
    let mut object = json!({ "routingKey": spec.routing_key, "port": spec.port });
    let labels = |labels: &BTreeMap<String, String>| {
        labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
    };
    if let Some(selector) = &spec.selector {
        object["selector"] = json!(labels(selector));
    } else if let Some(container) = &spec.container {
        object["host"] = json!(container.as_str());
    } else if let Some(host) = spec.host {
        object["host"] = json!(host.to_string());
    }
    object
}

/// Names of namespaces have small letters only.
fn namespace(site: &SiteInfo) -> String {
    site.cluster.as_str().to_ascii_lowercase()
}
