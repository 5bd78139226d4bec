//! A client of etcd whose connections are made inside a network namespace, reconnects included.
//!
//! Equals `etcdctl --endpoints http://10.1.0.1:2379,http://10.1.0.2:2379 ...` run there. Every call
//! has a deadline; a connection that is cut off silently is noticed by HTTP/2's own pings.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use etcd_client::{
    Channel, Client, Compare, CompareOp, Error, GetOptions, PutOptions, Txn, TxnOp, WatchOptions, WatchStream,
};
use hyper_util::rt::TokioIo;
use knetsim_kernel::NetNs;
use knetsim_model::flannel::{FlannelConfig, Lease};
use knetsim_model::observe::EtcdKey;
use tokio::time::timeout;
use tonic::transport::Endpoint;
use tower::service_fn;

/// The port that etcd's clients use.
pub const CLIENT_PORT: u16 = 2379;
/// flannel's configuration.
pub const CONFIG_KEY: &str = "/coreos.com/network/config";
/// Below it, one key per leased subnet.
pub const SUBNETS: &str = "/coreos.com/network/subnets/";

/// How long one call may take.
const CALL: Duration = Duration::from_secs(3);
/// How long one attempt to connect may take, so that the next member gets its turn within a call.
const CONNECT: Duration = Duration::from_secs(1);

/// Why etcd did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    /// It refused, or could not be reached.
    #[error("etcd: {doing}: {source}")]
    Call {
        /// The call and its key.
        doing: String,
        /// What etcd or the connection said.
        source: Box<Error>,
    },
    /// No answer in time.
    #[error("etcd: {doing}: no answer within {CALL:?}")]
    Timeout {
        /// The call and its key.
        doing: String,
    },
    /// What lies under a key is not what flannel writes there.
    #[error("etcd: the value of {key} is not flannel's: {source}")]
    Value {
        /// The key.
        key: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// flannel's configuration is not there.
    #[error("etcd: there is no {CONFIG_KEY}")]
    NoConfig,
}

/// A client of one cluster's etcd. Cheap to clone: clones share one connection.
#[derive(Clone)]
pub struct Etcd {
    client: Client,
}

/// Leases as they were at one revision.
pub(crate) struct Leases {
    pub(crate) revision: i64,
    pub(crate) leases: Vec<Lease>,
}

impl Etcd {
    /// A client in `namespace`, of the members at these addresses. Connects when it is first used.
    ///
    /// # Errors
    /// None is to be expected: nothing is asked yet.
    pub async fn new(namespace: &NetNs, members: &[Ipv4Addr]) -> Result<Self, EtcdError> {
        let (namespace, members) = (namespace.clone(), members.to_vec());
        let connect = service_fn(move |_| {
            let (namespace, members) = (namespace.clone(), members.clone());
            async move { any(&namespace, &members).await.map(TokioIo::new) }
        });
        // The name is only what HTTP's authority says; the connector knows the addresses.
        let channel = Endpoint::from_static("http://etcd:2379")
            .http2_keep_alive_interval(Duration::from_secs(2))
            .keep_alive_timeout(Duration::from_secs(2))
            .keep_alive_while_idle(true)
            .buffer_size(8)
            .connect_with_connector_lazy(connect);
        let client = Client::from_channel(Channel::Tonic(channel), None).await;
        let client =
            client.map_err(|source| EtcdError::Call { doing: "connect".to_owned(), source: Box::new(source) })?;
        Ok(Etcd { client })
    }

    /// Whether it answers a put.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn ready(&self) -> Result<(), EtcdError> {
        self.put("/knetsim/ready", "yes").await
    }

    /// `etcdctl put KEY VALUE`.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn put(&self, key: &str, value: &str) -> Result<(), EtcdError> {
        let mut client = self.client.clone();
        within(format!("put {key}"), client.put(key, value, None)).await.map(drop)
    }

    /// `etcdctl get --prefix PREFIX`, with the seconds that each key's lease has left.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn keys(&self, prefix: &str) -> Result<Vec<EtcdKey>, EtcdError> {
        let mut client = self.client.clone();
        let options = GetOptions::new().with_prefix();
        let found = within(format!("get {prefix}"), client.get(prefix, Some(options))).await?;
        let mut keys = Vec::new();
        for pair in found.kvs() {
            let ttl = match pair.lease() {
                0 => None,
                id => Some(within(format!("lease {id}"), client.lease_time_to_live(id, None)).await?.ttl()),
            };
            let (key, value) = (String::from_utf8_lossy(pair.key()), String::from_utf8_lossy(pair.value()));
            keys.push(EtcdKey { key: key.into_owned(), value: value.into_owned(), ttl });
        }
        Ok(keys)
    }

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
        let mut client = self.client.clone();
        let found = within(format!("get {CONFIG_KEY}"), client.get(CONFIG_KEY, None)).await?;
        let pair = found.kvs().first().ok_or(EtcdError::NoConfig)?;
        serde_json::from_slice(pair.value()).map_err(not_flannel(CONFIG_KEY))
    }

    /// Reads all subnet leases. A key or value that is not flannel's is left out: it is somebody else's mistake.
    pub(crate) async fn leases(&self) -> Result<Leases, EtcdError> {
        let mut client = self.client.clone();
        let options = GetOptions::new().with_prefix();
        let found = within(format!("get {SUBNETS}"), client.get(SUBNETS, Some(options))).await?;
        let leases = found.kvs().iter().filter_map(|pair| Lease::parse(pair.key(), pair.value())).collect();
        Ok(Leases { revision: found.header().map_or(0, |header| header.revision()), leases })
    }

    /// Writes a lease under a new etcd lease of `ttl` seconds; only where the key is not there yet, if `create`.
    /// Gives false where it is there.
    pub(crate) async fn put_lease(&self, lease: &Lease, ttl: i64, create: bool) -> Result<bool, EtcdError> {
        let key = lease.key();
        let mut client = self.client.clone();
        let value = serde_json::to_string(&lease.value).map_err(not_flannel(&key))?;
        let granted = within(format!("grant a lease for {key}"), client.lease_grant(ttl, None)).await?;
        let options = PutOptions::new().with_lease(granted.id());
        let mut txn = Txn::new();
        if create {
            txn = txn.when([Compare::version(key.as_str(), CompareOp::Equal, 0)]);
        }
        let txn = txn.and_then([TxnOp::put(key.as_str(), value, Some(options))]);
        let done = within(format!("put {key}"), client.txn(txn)).await?;
        if !done.succeeded() {
            within(format!("revoke the lease for {key}"), client.lease_revoke(granted.id())).await?;
        }
        Ok(done.succeeded())
    }

    /// Removes a lease.
    pub(crate) async fn delete_lease(&self, lease: &Lease) -> Result<(), EtcdError> {
        let mut client = self.client.clone();
        within(format!("delete {}", lease.key()), client.delete(lease.key(), None)).await.map(drop)
    }

    /// Follows the leases from a revision on.
    pub(crate) async fn watch_leases(&self, revision: i64) -> Result<WatchStream, EtcdError> {
        let mut client = self.client.clone();
        let options = WatchOptions::new().with_prefix().with_start_revision(revision);
        within(format!("watch {SUBNETS}"), client.watch(SUBNETS, Some(options))).await
    }
}

/// Connects to the first member that accepts.
async fn any(namespace: &NetNs, members: &[Ipv4Addr]) -> io::Result<tokio::net::TcpStream> {
    let mut last = io::Error::other("it has no members");
    for member in members {
        match timeout(CONNECT, namespace.connect(SocketAddr::from((*member, CLIENT_PORT)))).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = io::Error::new(error.kind(), format!("{member}: {error}")),
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, format!("{member} does not answer")),
        }
    }
    Err(last)
}

async fn within<T>(doing: String, call: impl Future<Output = Result<T, Error>>) -> Result<T, EtcdError> {
    match timeout(CALL, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(source)) => Err(EtcdError::Call { doing, source: Box::new(source) }),
        Err(_) => Err(EtcdError::Timeout { doing }),
    }
}

fn not_flannel(key: &str) -> impl FnOnce(serde_json::Error) -> EtcdError {
    let key = key.to_owned();
    move |source| EtcdError::Value { key, source }
}
