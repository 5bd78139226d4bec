//! What a plan would do, in the events that doing it would send: nothing is done for it.

use std::collections::BTreeMap;

use knetsim_model::{ClusterName, ContainerRef, Event};

use super::{ContainerKey, Parts, Plan, SitePlan, View};

impl Plan {
    /// The objects that would be deleted, created and changed where there is `before`, and what a person should know.
    pub fn events(&self, before: &View) -> Vec<Event> {
        let mut said = Said(Vec::new());
        for message in &self.notes {
            said.0.push(Event::Warning { message: message.clone() });
        }
        self.deleted(before, &mut said);
        self.made(before, &mut said);
        said.0
    }

    fn deleted(&self, before: &View, said: &mut Said) {
        let dotted = |(cluster, name): (&ClusterName, &dyn std::fmt::Display)| format!("{cluster}.{name}");
        for (cluster, name) in &self.delete_ingresses {
            said.deleted("ingress", dotted((cluster, name)));
        }
        for cluster in &self.delete_sites {
            said.site(before.sites.get(cluster).map(|site| &**site), None);
        }
        for (cluster, name) in &self.delete_tokens {
            said.deleted("token", dotted((cluster, name)));
        }
        for (cluster, name) in &self.delete_services {
            said.deleted("service", dotted((cluster, name)));
        }
        for key in &self.delete_containers {
            let there = before.containers.get(key);
            let (cluster, name) = key.clone();
            let bare = ContainerRef { cluster, worker: None, name };
            said.deleted("container", there.map_or(bare, |there| there.reference()).to_string());
        }
        for node in &self.delete_nodes {
            said.deleted(node.kind().word(), node.to_string());
        }
        for cluster in &self.delete_clusters {
            said.deleted("cluster", cluster.to_string());
        }
    }

    fn made(&self, before: &View, said: &mut Said) {
        for cluster in &self.clusters {
            said.created("cluster", cluster.name.to_string());
        }
        for node in &self.nodes {
            said.created(node.name.kind().word(), node.name.to_string());
        }
        for (cluster, _) in &self.flannel {
            said.changed("cluster", cluster.to_string());
        }
        for container in &self.containers {
            said.created("container", container.reference().to_string());
        }
        for (key, _) in &self.labels {
            said.changed("container", container_name(before, key));
        }
        for service in &self.services {
            let there = before.services.contains_key(&service.key) && !self.delete_services.contains(&service.key);
            said.made("service", service.reference().to_string(), there);
        }
        for site in &self.sites {
            let there = before.sites.get(&site.cluster).filter(|there| !self.delete_sites.contains(&there.cluster));
            said.site(there.map(|site| &**site), Some(site));
        }
        for ingress in &self.ingresses {
            let there = before.ingresses.contains_key(&ingress.key) && !self.delete_ingresses.contains(&ingress.key);
            said.made("ingress", ingress.reference().to_string(), there);
        }
        for token in &self.tokens {
            said.created("token", token.reference().to_string());
        }
    }
}

fn container_name(view: &View, key: &ContainerKey) -> String {
    view.containers.get(key).map_or_else(|| format!("{}.{}", key.0, key.1), |there| there.reference().to_string())
}

struct Said(Vec<Event>);

impl Said {
    fn created(&mut self, kind: &str, name: String) {
        self.0.push(Event::Created { kind: kind.to_owned(), name });
    }

    fn changed(&mut self, kind: &str, name: String) {
        self.0.push(Event::Changed { kind: kind.to_owned(), name });
    }

    fn deleted(&mut self, kind: &str, name: String) {
        self.0.push(Event::Deleted { kind: kind.to_owned(), name });
    }

    fn made(&mut self, kind: &str, name: String, there: bool) {
        if there { self.changed(kind, name) } else { self.created(kind, name) }
    }

    /// A site and its parts.
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
                Some(there) if there.spec != part.spec => self.changed(kind, format!("{cluster}.{name}")),
                Some(_) => {}
            }
        }
    }
}
