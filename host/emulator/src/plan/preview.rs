//! What a plan would do, in the events that doing it would send: nothing is done for it.

use std::collections::BTreeMap;

use knetsim_model::{ClusterName, ContainerRef, Event};

use super::{ContainerKey, Parts, Plan, SitePlan, View};

impl Plan {
    /// The objects that would be deleted, created and changed where there is `before`, and what a person should know.
    pub fn events(&self, before: &View) -> Vec<Event> {
        let mut events = Events(Vec::new());
        for message in &self.notes {
            events.0.push(Event::Warning { message: message.clone() });
        }
        self.deleted(before, &mut events);
        self.made(before, &mut events);
        events.0
    }

    fn deleted(&self, before: &View, events: &mut Events) {
        let dotted = |(cluster, name): (&ClusterName, &dyn std::fmt::Display)| format!("{cluster}.{name}");
        for (cluster, name) in &self.delete_ingresses {
            events.deleted("ingress", dotted((cluster, name)));
        }
        for cluster in &self.delete_sites {
            events.site(before.sites.get(cluster).map(|site| &**site), None);
        }
        for (cluster, name) in &self.delete_tokens {
            events.deleted("token", dotted((cluster, name)));
        }
        for (cluster, name) in &self.delete_services {
            events.deleted("service", dotted((cluster, name)));
        }
        for key in &self.delete_containers {
            let existing = before.containers.get(key);
            let (cluster, name) = key.clone();
            let bare = ContainerRef { cluster, worker: None, name };
            events.deleted("container", existing.map_or(bare, |existing| existing.reference()).to_string());
        }
        for node in &self.delete_nodes {
            events.deleted(node.kind().word(), node.to_string());
        }
        for cluster in &self.delete_clusters {
            events.deleted("cluster", cluster.to_string());
        }
    }

    fn made(&self, before: &View, events: &mut Events) {
        for cluster in &self.clusters {
            events.created("cluster", cluster.name.to_string());
        }
        for node in &self.nodes {
            events.created(node.name.kind().word(), node.name.to_string());
        }
        for (cluster, _) in &self.flannel {
            events.changed("cluster", cluster.to_string());
        }
        for container in &self.containers {
            events.created("container", container.reference().to_string());
        }
        for (key, _) in &self.labels {
            events.changed("container", container_name(before, key));
        }
        for service in &self.services {
            let existing = before.services.contains_key(&service.key) && !self.delete_services.contains(&service.key);
            events.made("service", service.reference().to_string(), existing);
        }
        for site in &self.sites {
            let existing =
                before.sites.get(&site.cluster).filter(|existing| !self.delete_sites.contains(&existing.cluster));
            events.site(existing.map(|site| &**site), Some(site));
        }
        for ingress in &self.ingresses {
            let existing = before.ingresses.contains_key(&ingress.key) && !self.delete_ingresses.contains(&ingress.key);
            events.made("ingress", ingress.reference().to_string(), existing);
        }
        for token in &self.tokens {
            events.created("token", token.reference().to_string());
        }
    }
}

/// The events of a site that was made, changed or deleted.
pub(crate) fn site_events(before: Option<&SitePlan>, after: Option<&SitePlan>) -> Vec<Event> {
    let mut events = Events(Vec::new());
    events.site(before, after);
    events.0
}

fn container_name(view: &View, key: &ContainerKey) -> String {
    view.containers.get(key).map_or_else(|| format!("{}.{}", key.0, key.1), |existing| existing.reference().to_string())
}

struct Events(Vec<Event>);

impl Events {
    fn created(&mut self, kind: &str, name: String) {
        self.0.push(Event::Created { kind: kind.to_owned(), name });
    }

    fn changed(&mut self, kind: &str, name: String) {
        self.0.push(Event::Changed { kind: kind.to_owned(), name });
    }

    fn deleted(&mut self, kind: &str, name: String) {
        self.0.push(Event::Deleted { kind: kind.to_owned(), name });
    }

    fn made(&mut self, kind: &str, name: String, existing: bool) {
        if existing { self.changed(kind, name) } else { self.created(kind, name) }
    }

    /// A site and its parts, before and after.
    fn site(&mut self, before: Option<&SitePlan>, after: Option<&SitePlan>) {
        let Some(cluster) = before.or(after).map(|site| site.cluster.clone()) else { return };
        match (before, after) {
            (None, _) => self.created("site", cluster.to_string()),
            (_, None) => self.deleted("site", cluster.to_string()),
            (Some(before), Some(after)) if before.interconnect != after.interconnect => {
                self.changed("site", cluster.to_string());
            }
            _ => {}
        }
        self.parts("link", &cluster, before.map(|site| &site.links), after.map(|site| &site.links));
        self.parts("listener", &cluster, before.map(|site| &site.listeners), after.map(|site| &site.listeners));
        self.parts("connector", &cluster, before.map(|site| &site.connectors), after.map(|site| &site.connectors));
    }

    fn parts<N: Ord + std::fmt::Display, S: PartialEq>(
        &mut self,
        kind: &str,
        cluster: &ClusterName,
        before: Option<&Parts<N, S>>,
        after: Option<&Parts<N, S>>,
    ) {
        let none = BTreeMap::new();
        let (before, after) = (before.unwrap_or(&none), after.unwrap_or(&none));
        for name in before.keys().filter(|name| !after.contains_key(name)) {
            self.deleted(kind, format!("{cluster}.{name}"));
        }
        for (name, part) in after {
            match before.get(name) {
                None => self.created(kind, format!("{cluster}.{name}")),
                Some(existing) if existing.spec != part.spec => self.changed(kind, format!("{cluster}.{name}")),
                Some(_) => {}
            }
        }
    }
}
