//! Addresses in plans: which network the nodes have, which numbers and indices are free in it, and that no pod
//! network holds a node's address.
//!
//! A pod network may lie inside the underlay, as flannel's own default does in the course's: the more specific route
//! wins on each worker. What must not be is a node's address in it: the workers would look for that node among pods.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use knetsim_model::flannel::FlannelConfig;
use knetsim_model::underlay::{SERVICES, Underlay, overlap};
use knetsim_model::{ClusterName, Code, Failure, NodeName};

use super::{ClusterPlan, NodePlan, Planner};

impl Planner {
    /// Another underlay, while no node has an address of it.
    pub(super) fn set_underlay(&mut self, wanted: Underlay) -> Result<(), Failure> {
        let now = self.view.underlay;
        if wanted == now {
            return Ok(());
        }
        if let Some(node) = self.view.nodes.values().next() {
            let message =
                format!("the underlay is {now} and can't become {wanted} while there are nodes, such as {}", node.name);
            return Err(Failure::invalid(message));
        }
        self.view.underlay = wanted;
        self.plan.underlay = Some(wanted);
        Ok(())
    }

    /// Adds a node under its number, which its address follows, unless that is given.
    pub(super) fn add_node(&mut self, name: &NodeName, address: Option<Ipv4Addr>) -> Result<(), Failure> {
        if let Some(node) = self.view.nodes.get(name) {
            return Err(self.exists("a node", name.as_str(), &node.owner));
        }
        let number = self.node_number(name, address.is_none())?;
        let underlay = self.view.underlay;
        let address = address.unwrap_or_else(|| underlay.node_address(number));
        let (owner, prefix) = (self.owner.clone(), underlay.prefix());
        let node = NodePlan { name: name.clone(), owner, number, address, prefix };
        self.view.nodes.insert(name.clone(), node.clone());
        self.plan.nodes.push(node);
        Ok(())
    }

    /// The number that a file gives, or the next free one that no file wants for another; `addressed`, where the
    /// node's address follows it.
    fn node_number(&self, name: &NodeName, addressed: bool) -> Result<u32, Failure> {
        let used: BTreeMap<u32, &NodePlan> = self.view.nodes.values().map(|node| (node.number, node)).collect();
        let underlay = self.view.underlay;
        let of_pods = |number: u32| self.pods_at(underlay.node_address(number)).filter(|_| addressed);
        let most = underlay.max_nodes();
        if let Some(number) = self.numbers.get(name) {
            if !(1..=most).contains(number) {
                return Err(Failure::invalid(format!("number {number} of {name} is not in 1 to {most}")));
            }
            if let Some(node) = used.get(number) {
                return Err(self.taken(&format!("number {number} is that of node {}", node.name), &node.owner));
            }
            return match of_pods(*number) {
                Some(cluster) => Err(in_pod_network(name, underlay.node_address(*number), cluster)),
                None => Ok(*number),
            };
        }
        let wanted: BTreeSet<u32> = self.numbers.values().copied().collect();
        let free = |number: &u32| !used.contains_key(number) && !wanted.contains(number) && of_pods(*number).is_none();
        (1..=most)
            .find(free)
            .ok_or_else(|| Failure::new(Code::Limit, format!("the underlay {underlay} has no room for another node")))
    }

    /// The index that a file gives, or the next free one whose addresses no pods have.
    pub(super) fn cluster_index(&self, new: &ClusterPlan, given: Option<u32>) -> Result<u32, Failure> {
        let name = &new.name;
        let used: BTreeMap<u32, &ClusterPlan> =
            self.view.clusters.values().map(|cluster| (cluster.index, cluster)).collect();
        let (underlay, most) = (self.view.underlay, self.view.underlay.max_clusters());
        let of_pods = |index: u32| {
            let addresses = [1, 2].map(|member| underlay.etcd_address(index, member));
            let own = |address: &Ipv4Addr| Some(new).filter(|new| new.flannel.network.contains(address));
            addresses.into_iter().find_map(|address| Some((address, own(&address).or_else(|| self.pods_at(address))?)))
        };
        match given {
            Some(index) if index >= most => {
                Err(Failure::invalid(format!("index {index} of cluster {name} is over {}", most - 1)))
            }
            Some(index) => match (used.get(&index), of_pods(index)) {
                (Some(other), _) => {
                    Err(self.taken(&format!("index {index} is that of cluster {}", other.name), &other.owner))
                }
                (None, Some((address, cluster))) => Err(in_pod_network(&name.etcd(1), address, cluster)),
                (None, None) => Ok(index),
            },
            None => (0..most).find(|index| !used.contains_key(index) && of_pods(*index).is_none()).ok_or_else(|| {
                Failure::new(Code::Limit, format!("the underlay {underlay} has no room for another cluster"))
            }),
        }
    }

    /// The cluster whose pods have that address.
    fn pods_at(&self, address: Ipv4Addr) -> Option<&ClusterPlan> {
        self.view.clusters.values().find(|cluster| cluster.flannel.network.contains(&address))
    }

    /// Refuses a configuration that flannel would refuse, or whose network is in use already.
    pub(super) fn check_flannel(&mut self, cluster: &ClusterName, config: &FlannelConfig) -> Result<(), Failure> {
        self.plan.notes.extend(config.warnings().iter().map(|words| format!("cluster {cluster}: {words}")));
        config.validate().map_err(|error| Failure::invalid(error.to_string()))?;
        let network = config.network;
        let refused = |range: Ipv4Net, why: &str| {
            Err(Failure::invalid(format!("flannel's Network {network} overlaps {range}, {why}")))
        };
        if overlap(network, SERVICES) {
            return refused(SERVICES, "which the services use");
        }
        let nodes = self.view.underlay.nodes();
        if network.contains(&nodes) {
            return refused(nodes, "where the nodes have their addresses: take another, or move the underlay");
        }
        match self.view.nodes.values().find(|node| network.contains(&node.address)) {
            Some(node) => Err(Failure::invalid(format!(
                "flannel's Network {network} holds {}, which is {}'s address: take another, or move the underlay",
                node.address, node.name
            ))),
            None => Ok(()),
        }
    }
}

fn in_pod_network(node: &NodeName, address: Ipv4Addr, cluster: &ClusterPlan) -> Failure {
    Failure::invalid(format!(
        "{node} can't have {address}: pods of cluster {} have it, by flannel's Network {}",
        cluster.name, cluster.flannel.network
    ))
}
