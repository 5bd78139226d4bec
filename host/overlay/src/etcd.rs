//! A client of etcd whose connections are made inside a network namespace, reconnects included.
//!
//! Equals `etcdctl --endpoints http://10.1.0.1:2379,http://10.1.0.2:2379 ...` run there. Clones share
//! one HTTP/2 connection. Invariant: every call ends by its deadline; a member that went silent is
//! noticed, and the next connection is tried with the next member.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{Channel, Client, ConnectOptions, Error, GetOptions};
use hyper_util::rt::TokioIo;
use knetsim_kernel::NetNs;
use knetsim_model::chain;
use knetsim_model::observe::EtcdKey;
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::transport::Endpoint;
use tower::service_fn;

/// The port that etcd's clients use.
pub const CLIENT_PORT: u16 = 2379;

/// How long one call may take.
const CALL: Duration = Duration::from_secs(3);
/// How long one attempt to connect may take, so that the next member gets its turn within a call.
const CONNECT: Duration = Duration::from_secs(1);
/// How long what was sent may stay unacknowledged before the connection counts as cut.
const SILENCE: Duration = Duration::from_secs(2);
/// How often a connection that only waits is tried; `etcd_command` allows it.
const PING: Duration = Duration::from_secs(2);

/// Why etcd did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum EtcdError {
    /// It refused, or could not be reached.
    #[error("etcd: {doing}: {why}")]
    Call {
        /// The call and its key.
        doing: String,
        /// What etcd or the connection said.
        why: String,
    },
    /// No answer in time.
    #[error("etcd: {doing}: no answer within {CALL:?}")]
    Timeout {
        /// The call and its key.
        doing: String,
    },
    /// A watch asked for more of the past than etcd kept.
    #[error("etcd: {doing}: all before revision {kept_from} was compacted")]
    Compacted {
        /// The call and its prefix.
        doing: String,
        /// The oldest revision that is kept.
        kept_from: i64,
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
    #[error("etcd: there is no {}", knetsim_model::flannel::CONFIG_KEY)]
    NoConfig,
}

/// A client of one cluster's etcd. Cheap to clone: clones share one connection.
#[derive(Clone)]
pub struct Etcd {
    client: Client,
}

/// What a member says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    /// etcd's version, such as `3.4.23`.
    pub version: String,
    /// Whether it leads the cluster.
    pub leads: bool,
    /// Bytes of its store.
    pub size: i64,
}

impl Etcd {
    /// A client in `namespace`, of the members at these addresses. Connects when it is first used.
    ///
    /// # Errors
    /// None is to be expected: nothing is asked yet.
    pub async fn new(namespace: &NetNs, members: &[Ipv4Addr]) -> Result<Self, EtcdError> {
        let dial =
            Arc::new(Dial { namespace: namespace.clone(), members: members.to_vec(), next: AtomicUsize::default() });
        let connect = service_fn(move |_| {
            let dial = dial.clone();
            async move { dial.connect().await.map(TokioIo::new) }
        });
        // The name is only what HTTP's authority says; the connector knows the addresses.
        let channel = Endpoint::from_static("http://etcd:2379")
            .http2_keep_alive_interval(PING)
            .keep_alive_timeout(SILENCE)
            .buffer_size(8)
            .connect_with_connector_lazy(connect);
        // A member that lost its leader says so at once instead of keeping its callers waiting.
        let options = ConnectOptions::new().with_require_leader(true);
        let client = Client::from_channel(Channel::Tonic(channel), Some(options)).await;
        let client = client.map_err(|error| refused("connect".to_owned(), error))?;
        Ok(Etcd { client })
    }

    /// `etcdctl put KEY VALUE`.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn put(&self, key: &str, value: &str) -> Result<(), EtcdError> {
        within(format!("put {key}"), self.client().put(key, value, None)).await.map(drop)
    }

    /// `etcdctl get --prefix PREFIX`, with the seconds that each key's lease has left.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn keys(&self, prefix: &str) -> Result<Vec<EtcdKey>, EtcdError> {
        let mut client = self.client();
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

    /// `etcdctl endpoint status`, of the member that this client is connected to.
    ///
    /// # Errors
    /// No answer, or a refusal.
    pub async fn status(&self) -> Result<MemberStatus, EtcdError> {
        let status = within("status".to_owned(), self.client().status()).await?;
        let own = status.header().map(|header| header.member_id());
        let leads = own.is_some_and(|own| own == status.leader());
        Ok(MemberStatus { version: status.version().to_owned(), leads, size: status.db_size() })
    }

    /// To ask with: a call takes its client for itself.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }
}

/// Makes connections.
struct Dial {
    namespace: NetNs,
    members: Vec<Ipv4Addr>,
    /// With which member the next attempt begins.
    next: AtomicUsize,
}

impl Dial {
    /// Connects to the first member that accepts.
    async fn connect(&self) -> io::Result<TcpStream> {
        let mut failed = Vec::new();
        for _ in &self.members {
            let at = self.next.fetch_add(1, Ordering::Relaxed) % self.members.len();
            let member = SocketAddr::from((self.members[at], CLIENT_PORT));
            match timeout(CONNECT, self.connect_to(member)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => failed.push(format!("{member}: {error}")),
                Err(_) => failed.push(format!("{member}: no answer within {CONNECT:?}")),
            }
        }
        Err(io::Error::other(failed.join("; ")))
    }

    async fn connect_to(&self, member: SocketAddr) -> io::Result<TcpStream> {
        let stream = self.namespace.connect(member).await?;
        stream.set_nodelay(true)?;
        set_tcp_user_timeout(&stream, SILENCE.as_millis() as u32)?;
        Ok(stream)
    }
}

/// Makes a call and waits for its answer, not for ever.
pub(crate) async fn within<T>(doing: String, call: impl Future<Output = Result<T, Error>>) -> Result<T, EtcdError> {
    match timeout(CALL, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(refused(doing, error)),
        Err(_) => Err(EtcdError::Timeout { doing }),
    }
}

/// An error in as few words as say it: what etcd answered, or what became of the connection.
pub(crate) fn refused(doing: String, error: Error) -> EtcdError {
    let why = match &error {
        Error::GRpcStatus(status) => match std::error::Error::source(status) {
            Some(source) => root(source),
            None => status.message().to_owned(),
        },
        other => chain(other),
    };
    EtcdError::Call { doing, why }
}

/// The first cause.
fn root(mut error: &(dyn std::error::Error + 'static)) -> String {
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
