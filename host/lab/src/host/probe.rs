//! Interface `probe`: `ping`, `nc -z`, `curl`, from the namespace of any target.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use knetsim_emulator::{Source, Tries};
use knetsim_model::{Failure, Target};
use wasmtime::component::Resource;

use super::wit::probe::{self, Host, HostProber, HttpReply, PingResult, TcpResult};
use super::{State, name};
use crate::grants::{Grant, Phase};

/// Where the lab may send from.
pub struct Prober(Source);

impl Host for State {
    async fn open(&mut self, target: String) -> Result<Resource<Prober>, Failure> {
        self.rights.need(Grant::Probe)?;
        let target = name(&target)?;
        let source = match self.rights.phase() {
            // Nothing that it looks at may change by its looking.
            Phase::Check { .. } => Source::Beside(Arc::new(self.emulator()?.beside(&target).await?)),
            _ => {
                self.emulator()?.namespace(&target)?;
                Source::At(target)
            }
        };
        self.hand_out(Prober(source))
    }
}

impl HostProber for State {
    fn target(&mut self, this: Resource<Prober>) -> wasmtime::Result<String> {
        Ok(self.handle(&this)?.0.target().to_string())
    }

    async fn ping(&mut self, this: Resource<Prober>, to: String, tries: probe::Tries) -> Result<PingResult, Failure> {
        let from = self.handle(&this)?.0.clone();
        let to = self.address(&to)?;
        let ping = self.emulator()?.ping(&from, to, checked(tries)?).await?;
        let (address, error) = (to.to_string(), ping.error);
        Ok(PingResult { address, sent: ping.sent, received: ping.received, times_us: ping.times_us, error })
    }

    async fn tcp(
        &mut self,
        this: Resource<Prober>,
        to: String,
        port: u16,
        tries: probe::Tries,
    ) -> Result<TcpResult, Failure> {
        let from = self.handle(&this)?.0.clone();
        let to = self.address(&to)?;
        let tcp = self.emulator()?.connect(&from, SocketAddr::from((to, port)), checked(tries)?).await?;
        let (address, error) = (to.to_string(), tcp.error);
        Ok(TcpResult { address, tried: tcp.tried, connected: tcp.connected, times_us: tcp.times_us, error })
    }

    async fn http_get(
        &mut self,
        this: Resource<Prober>,
        to: String,
        port: u16,
        path: String,
        host: Option<String>,
        timeout_ms: u32,
    ) -> Result<HttpReply, Failure> {
        let from = self.handle(&this)?.0.clone();
        let to = SocketAddr::from((self.address(&to)?, port));
        let within = timeout(timeout_ms)?;
        if !path.starts_with('/') {
            return Err(Failure::invalid(format!("http-get: a path begins with `/`, unlike {path:?}")));
        }
        let reply = self.emulator()?.http_get(&from, to, &path, host.as_deref(), within).await?;
        Ok(HttpReply { status: reply.status, headers: reply.headers, body: reply.body, time_us: reply.time_us })
    }

    async fn drop(&mut self, this: Resource<Prober>) -> wasmtime::Result<()> {
        self.drop_handle(this)
    }
}

impl State {
    /// An address as it is, or that of the node or container with that name.
    pub(super) fn address(&self, to: &str) -> Result<Ipv4Addr, Failure> {
        if let Ok(address) = to.parse() {
            return Ok(address);
        }
        let wrong = || Failure::invalid(format!("{to:?} is neither an IPv4 address nor a node or container"));
        let address = match to.parse::<Target>().map_err(|_| wrong())? {
            Target::Node(node) => self.node_info(&node)?.address,
            Target::Container(container) => self.container_info(&container)?.address,
            Target::Base | Target::Named(..) => return Err(wrong()),
        };
        address.parse().map_err(|_| wrong())
    }
}

fn checked(tries: probe::Tries) -> Result<Tries, Failure> {
    match tries.count {
        1..=1000 => Ok(Tries { count: tries.count, timeout: timeout(tries.timeout_ms)? }),
        count => Err(Failure::invalid(format!("a probe tries 1 to 1000 times, not {count}"))),
    }
}

fn timeout(ms: u32) -> Result<Duration, Failure> {
    match ms {
        1..=60_000 => Ok(Duration::from_millis(ms.into())),
        ms => Err(Failure::invalid(format!("a probe waits 1 to 60000 ms, not {ms}"))),
    }
}
