//! flannel's keys in etcd: its configuration and the subnet leases.
//!
//! As flannel's `pkg/subnet/etcd` has it: a lease's key hangs on an etcd lease, is created only where it is
//! not there, and is renewed by being written again under a new etcd lease.

use std::time::Duration;

use etcd_client::{
    Compare, CompareOp, EventType, GetOptions, KeyValue, PutOptions, Txn, TxnOp, WatchOptions, WatchStream,
};
use ipnet::Ipv4Net;
use knetsim_model::flannel::{CONFIG_KEY, FlannelConfig, Lease, SUBNETS};

use crate::etcd::{Etcd, EtcdError, refused, within};

/// How long a lease lasts.
pub(crate) const LEASE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long before its end it is renewed.
pub(crate) const MARGIN: Duration = Duration::from_secs(60 * 60);

/// Leases as they were at one revision.
pub(crate) struct Leases {
    pub(crate) revision: i64,
    pub(crate) leases: Vec<Lease>,
}

/// What became of a lease.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// It is new, or says something else.
    Put(Lease),
    /// It is gone; a deletion carries no value.
    Gone(Ipv4Net),
}

impl Etcd {
    /// Writes flannel's configuration.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn put_config(&self, config: &FlannelConfig) -> Result<(), EtcdError> {
        let value = serde_json::to_string(config).map_err(not_flannel(CONFIG_KEY))?;
        self.put(CONFIG_KEY, &value).await
    }

    /// Reads flannel's configuration.
    pub(crate) async fn config(&self) -> Result<FlannelConfig, EtcdError> {
        let found = within(format!("get {CONFIG_KEY}"), self.client().get(CONFIG_KEY, None)).await?;
        let pair = found.kvs().first().ok_or(EtcdError::NoConfig)?;
        serde_json::from_slice(pair.value()).map_err(not_flannel(CONFIG_KEY))
    }

    /// Reads all leases. A key or value that is not flannel's is left out: it is somebody else's mistake.
    pub(crate) async fn leases(&self) -> Result<Leases, EtcdError> {
        let options = GetOptions::new().with_prefix();
        let found = within(format!("get {SUBNETS}"), self.client().get(SUBNETS, Some(options))).await?;
        let leases = found.kvs().iter().filter_map(lease).collect();
        Ok(Leases { revision: found.header().map_or(0, |header| header.revision()), leases })
    }

    /// Writes a lease, for [`LEASE`]; only where its key is not there yet, if `create`. False where it is there.
    pub(crate) async fn put_lease(&self, lease: &Lease, create: bool) -> Result<bool, EtcdError> {
        let key = lease.key();
        let value = serde_json::to_string(&lease.value).map_err(not_flannel(&key))?;
        let mut client = self.client();
        let granted = within(format!("grant a lease for {key}"), client.lease_grant(LEASE.as_secs() as i64, None));
        let granted = granted.await?.id();
        let put = TxnOp::put(key.as_str(), value, Some(PutOptions::new().with_lease(granted)));
        let absent = create.then(|| Compare::version(key.as_str(), CompareOp::Equal, 0));
        let txn = Txn::new().when(Vec::from_iter(absent)).and_then([put]);
        let done = within(format!("put {key}"), client.txn(txn)).await.map(|done| done.succeeded());
        if !matches!(done, Ok(true)) {
            // What is not revoked now ends by itself.
            let _ = within(format!("revoke the lease for {key}"), client.lease_revoke(granted)).await;
        }
        done
    }

    /// Removes a lease.
    pub(crate) async fn delete_lease(&self, lease: &Lease) -> Result<(), EtcdError> {
        within(format!("delete {}", lease.key()), self.client().delete(lease.key(), None)).await.map(drop)
    }

    /// Follows the leases from a revision on.
    pub(crate) async fn watch_leases(&self, revision: i64) -> Result<LeaseWatch, EtcdError> {
        let options = WatchOptions::new().with_prefix().with_start_revision(revision);
        let stream = within(format!("watch {SUBNETS}"), self.client().watch(SUBNETS, Some(options))).await?;
        Ok(LeaseWatch { stream })
    }
}

/// A watch of the leases.
pub(crate) struct LeaseWatch {
    stream: WatchStream,
}

impl LeaseWatch {
    /// What happened next. Cancel safe. After an error only a new list and a new watch help.
    pub(crate) async fn next(&mut self) -> Result<Vec<Event>, EtcdError> {
        let doing = || format!("watch {SUBNETS}");
        let ended = |why: &str| EtcdError::Call { doing: doing(), why: why.to_owned() };
        let message = self.stream.message().await.map_err(|error| refused(doing(), error))?;
        let message = message.ok_or_else(|| ended("etcd ended it"))?;
        if message.compact_revision() != 0 {
            return Err(EtcdError::Compacted { doing: doing(), kept_from: message.compact_revision() });
        }
        if message.canceled() {
            return Err(ended(message.cancel_reason()));
        }
        let event = |event: &etcd_client::Event| match event.event_type() {
            EventType::Put => lease(event.kv()?).map(Event::Put),
            EventType::Delete => Lease::subnet_of(event.kv()?.key()).map(Event::Gone),
        };
        Ok(message.events().iter().filter_map(event).collect())
    }
}

fn lease(pair: &KeyValue) -> Option<Lease> {
    Lease::parse(pair.key(), pair.value())
}

fn not_flannel(key: &str) -> impl FnOnce(serde_json::Error) -> EtcdError {
    let key = key.to_owned();
    move |source| EtcdError::Value { key, source }
}
