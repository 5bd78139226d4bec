//! Tracked flows that go elsewhere than the rules lead now.
//!
//! A client that sends datagrams has no connection that ends: the kernel leads the next ones where the first one went,
//! whatever the rules say by then. So such flows are forgotten. kube-proxy (`CleanStaleEntries` of its package
//! `conntrack`, 1.33) forgets each UDP flow to a service's address and port that is answered by none of its serving
//! endpoints. It looks neither at the port that answers, nor at services without endpoints or that are gone. Here all
//! of these count, and what was sent before there were rules.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use knetsim_kernel::conntrack::{self, Flow};
use knetsim_kernel::{KernelError, NetNs};
use knetsim_model::service::{Protocol, ServicePort};

use crate::layout::{Desired, Service, Services};

/// Addresses whose flows are to be looked through, until that was done.
#[derive(Debug, Default)]
pub(crate) struct Pending(BTreeSet<Ipv4Addr>);

impl Pending {
    /// Adds some.
    pub(crate) fn add(&mut self, addresses: BTreeSet<Ipv4Addr>) {
        self.0.extend(addresses);
    }

    /// Has them looked through. When that fails, they stay.
    pub(crate) async fn settle<E>(
        &mut self,
        forget: impl AsyncFnOnce(BTreeSet<Ipv4Addr>) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.0.is_empty() {
            forget(self.0.clone()).await?;
            self.0.clear();
        }
        Ok(())
    }
}

/// The addresses of services that differ, before or after.
pub(crate) fn changed(old: &Desired, new: &Desired) -> BTreeSet<Ipv4Addr> {
    let differ = |one: &Desired, other: &Desired| {
        let differs = |(name, service): &(_, &Arc<Service>)| other.services.get(*name) != Some(service);
        addresses(one.services.iter().filter(differs).map(|(_, service)| service))
    };
    &differ(old, new) | &differ(new, old)
}

/// The addresses of services that are asked by datagrams.
pub(crate) fn addresses<'a>(services: impl Iterator<Item = &'a Arc<Service>>) -> BTreeSet<Ipv4Addr> {
    let datagrams = |port: &ServicePort| port.protocol == Protocol::Udp;
    let asked = |service: &&Arc<Service>| service.ports.is_empty() || service.ports.iter().any(datagrams);
    services.filter(asked).map(|service| service.vip).collect()
}

/// Forgets the flows to these addresses that go elsewhere than `services` lead them; not those over TCP and SCTP, whose
/// connections end.
pub(crate) async fn forget(
    namespace: &NetNs,
    addresses: BTreeSet<Ipv4Addr>,
    services: &Services,
) -> Result<(), KernelError> {
    let services = services.values().filter(|service| addresses.contains(&service.vip));
    let services: BTreeMap<Ipv4Addr, Arc<Service>> = services.map(|service| (service.vip, service.clone())).collect();
    let stale = move |flow: &Flow| {
        let led = || services.get(&flow.to).is_some_and(|service| leads(service, flow));
        let ends = matches!(flow.protocol, conntrack::TCP | conntrack::SCTP);
        !ends && addresses.contains(&flow.to) && !led()
    };
    conntrack::forget(namespace, stale).await.map(drop)
}

/// Whether a service leads such a flow where it goes.
fn leads(service: &Service, flow: &Flow) -> bool {
    let same = |port: &ServicePort| {
        (port.protocol, flow.protocol) == (Protocol::Udp, conntrack::UDP)
            && (Some(port.port), Some(port.target())) == (flow.to_port, flow.answering_port)
    };
    let served = match service.ports.as_slice() {
        [] => flow.to_port == flow.answering_port,
        ports => ports.iter().any(same),
    };
    served && service.backends.contains(&flow.answered_by)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "these are parts of tests")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_not_forgotten_stays_to_be_forgotten() {
        let (one, other) = (Ipv4Addr::new(100, 64, 0, 1), Ipv4Addr::new(100, 64, 0, 2));
        let mut pending = Pending::default();
        pending.add([one].into());
        assert_eq!(pending.settle(async |_| Err("refused")).await, Err("refused"));
        pending.add([other].into());
        let all = BTreeSet::from([one, other]);
        let forget = async |addresses| if addresses == all { Ok(()) } else { Err("others") };
        assert_eq!(pending.settle(forget).await, Ok(()));
        assert_eq!(pending.settle(async |_| Err("again")).await, Ok(()));
    }
}
