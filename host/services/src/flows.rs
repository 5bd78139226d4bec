//! Tracked flows that the rules would not lead any more where they go.
//!
//! Who asks by datagrams has no connection that ends: the kernel leads the next ones where the first one went, whatever
//! the rules say by then. So such flows are forgotten. kube-proxy does so for endpoints that are gone; here it is done
//! for every change of a service, also of its ports, and for what was sent before there were rules.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use knetsim_kernel::conntrack::{self, Flow};
use knetsim_kernel::{KernelError, NetNs};
use knetsim_model::service::{Protocol, ServicePort};

use crate::layout::{Desired, Service};

/// The addresses of services that differ, before or after.
pub(crate) fn changed(old: &Desired, new: &Desired) -> BTreeSet<Ipv4Addr> {
    let differ = |one: &Desired, other: &Desired| {
        let differs = |(name, service): &(_, &Arc<Service>)| other.services.get(*name) != Some(service);
        addresses(one.services.iter().filter(differs).map(|(_, service)| service))
    };
    &differ(old, new) | &differ(new, old)
}

/// The addresses of those that are asked by datagrams.
pub(crate) fn addresses<'a>(services: impl Iterator<Item = &'a Arc<Service>>) -> BTreeSet<Ipv4Addr> {
    let datagrams = |port: &ServicePort| port.protocol == Protocol::Udp;
    let asked = |service: &&Arc<Service>| service.ports.is_empty() || service.ports.iter().any(datagrams);
    services.filter(asked).map(|service| service.vip).collect()
}

/// Forgets the flows to these addresses that go elsewhere than `desired` leads them.
pub(crate) async fn forget(
    namespace: &NetNs,
    addresses: BTreeSet<Ipv4Addr>,
    desired: &Desired,
) -> Result<(), KernelError> {
    if addresses.is_empty() {
        return Ok(());
    }
    let services = desired.services.values().filter(|service| addresses.contains(&service.vip));
    let services: BTreeMap<Ipv4Addr, Arc<Service>> = services.map(|service| (service.vip, service.clone())).collect();
    let stale = move |flow: &Flow| {
        let led = || services.get(&flow.to).is_some_and(|service| leads(service, flow));
        flow.protocol != conntrack::TCP && addresses.contains(&flow.to) && !led()
    };
    conntrack::forget(namespace, stale).await.map(drop)
}

/// Whether a service leads such a flow where it goes.
fn leads(service: &Service, flow: &Flow) -> bool {
    let same = |port: &ServicePort| {
        (port.protocol, flow.protocol) == (Protocol::Udp, conntrack::UDP)
            && (Some(port.port), Some(port.target())) == (flow.to_port, flow.answering_port)
    };
    let there = match service.ports.as_slice() {
        [] => flow.to_port == flow.answering_port,
        ports => ports.iter().any(same),
    };
    there && service.backends.contains(&flow.answered_by)
}
