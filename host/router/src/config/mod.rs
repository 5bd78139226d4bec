//! skrouterd's configuration files, as they are: [`syntax`] reads them into sections, [`schema`] says what a section
//! may hold, and this makes of them what the router needs.
//!
//! As in skrouterd, a section or an attribute that isn't in the schema is an error. What skrouterd can do and this
//! router can't (edge routers, clients of its own, TLS on TCP listeners) is an error too, that says so; what has no
//! meaning here but does no harm (where logs go, thread counts) is taken and ignored.

mod schema;
mod syntax;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use schema::Attributes;
pub use schema::ConfigError;

/// What a router is to do.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The router's id, unique in its network.
    pub id: String,
    /// Whatever who wrote the file says of it.
    pub metadata: Option<String>,
    /// How often a neighbour is greeted.
    pub hello_interval: Duration,
    /// How long after its last greeting a neighbour is taken for gone.
    pub hello_max_age: Duration,
    /// How often the state of links and addresses is announced.
    pub ra_interval: Duration,
    /// How often it is while things change.
    pub ra_interval_flux: Duration,
    /// How long what another router said of its links holds.
    pub remote_ls_max_age: Duration,
    /// Where other routers connect to.
    pub listeners: Vec<Listener>,
    /// The routers to connect to.
    pub connectors: Vec<Connector>,
    /// Where clients of services connect to.
    pub tcp_listeners: Vec<TcpListener>,
    /// The services.
    pub tcp_connectors: Vec<TcpConnector>,
    /// How connections to addresses are spread over their connectors: the longest prefix decides.
    pub addresses: Vec<(String, Distribution)>,
    /// How they are where no prefix does.
    pub default_distribution: Distribution,
}

/// Whom a connection to an address goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// To the connector with the fewest open flows, a router's distance counting as some.
    Balanced,
    /// To the nearest one.
    Closest,
}

/// What both ends of a connection between routers have.
#[derive(Clone, Debug, PartialEq)]
pub struct Peering {
    /// What the section is called; else its host and port.
    pub name: String,
    /// Host name or address; empty: every address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// What a hop over this connection costs.
    pub cost: u32,
    /// TLS; None: plain text.
    pub tls: Option<SslProfile>,
    /// Mechanisms of the security layer that may be used; empty: any this router knows.
    pub mechanisms: Vec<String>,
    /// The longest frame that the peer may send, in bytes.
    pub max_frame: u32,
    /// Frames that the peer may have under way in a session.
    pub session_frames: u32,
    /// How long the peer may be silent.
    pub idle_timeout: Duration,
}

/// Where routers connect to.
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Address, TLS, limits.
    pub peering: Peering,
    /// Whether a peer must prove who it is.
    pub authenticate_peer: bool,
}

/// A router to connect to.
#[derive(Clone, Debug, PartialEq)]
pub struct Connector {
    /// Address, TLS, limits.
    pub peering: Peering,
    /// Whether the peer's certificate must be for the host that it is connected to by.
    pub verify_hostname: bool,
}

/// Files of keys and certificates, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SslProfile {
    /// What sections refer to it by.
    pub name: String,
    /// Certificates of who may sign the peer's.
    pub ca: Option<PathBuf>,
    /// This router's certificate, and those between it and its CA.
    pub certificate: Option<PathBuf>,
    /// The key of it.
    pub key: Option<PathBuf>,
}

/// Where clients of a service connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpListener {
    /// What the section is called; else its host and port.
    pub name: String,
    /// Address to listen on; empty: every address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The service's address in the network of routers.
    pub address: String,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcpConnector {
    /// What the section is called; else its host and port.
    pub name: String,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The service's address in the network of routers.
    pub address: String,
}

impl Config {
    /// Reads a file: JSON where its name ends in `.json`, else skrouterd's own syntax.
    ///
    /// # Errors
    /// The file can't be read, is in neither syntax, or asks for what this router can't do.
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let json = path.extension().is_some_and(|extension| extension == "json");
        Config::parse(&text, json)
    }

    /// Reads a file's text; files that it names are looked up when they are needed.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(text: &str, json: bool) -> Result<Config, ConfigError> {
        let sections = if json { syntax::json(text)? } else { syntax::conf(text)? };
        let sections = sections
            .into_iter()
            .map(|(kind, section)| Attributes::new(&kind, section))
            .collect::<Result<Vec<_>, _>>()?;
        from_sections(&sections)
    }
}

fn from_sections(sections: &[Attributes]) -> Result<Config, ConfigError> {
    let of = |kind: &'static str| sections.iter().filter(move |section| section.kind == kind);
    let router = of("router").next().ok_or(ConfigError::NoRouter)?;
    if let Some(second) = of("router").nth(1) {
        return Err(second.error("id", "a file describes one router"));
    }
    if router.text("mode")?.as_deref().unwrap_or("standalone") == "edge" {
        return Err(router.error("mode", "edge routers are not supported: use interior"));
    }
    let profiles = of("sslProfile").map(ssl_profile).collect::<Result<Vec<_>, _>>()?;
    let seconds = |name, default| Ok::<_, ConfigError>(Duration::from_secs(router.number(name)?.unwrap_or(default)));
    Ok(Config {
        id: router.text("id")?.ok_or_else(|| router.error("id", "is missing"))?,
        metadata: router.text("metadata")?,
        hello_interval: seconds("helloIntervalSeconds", 1)?,
        hello_max_age: seconds("helloMaxAgeSeconds", 3)?,
        ra_interval: seconds("raIntervalSeconds", 30)?,
        ra_interval_flux: seconds("raIntervalFluxSeconds", 4)?,
        remote_ls_max_age: seconds("remoteLsMaxAgeSeconds", 60)?,
        default_distribution: distribution(router, "defaultDistribution")?,
        listeners: of("listener").map(|section| listener(section, &profiles)).collect::<Result<_, _>>()?,
        connectors: of("connector").map(|section| connector(section, &profiles)).collect::<Result<_, _>>()?,
        tcp_listeners: of("tcpListener").map(tcp_listener).collect::<Result<_, _>>()?,
        tcp_connectors: of("tcpConnector").map(tcp_connector).collect::<Result<_, _>>()?,
        addresses: of("address").filter_map(|section| address(section).transpose()).collect::<Result<_, _>>()?,
    })
}

fn ssl_profile(section: &Attributes) -> Result<SslProfile, ConfigError> {
    if section.has("password") {
        return Err(section.error("password", "keys with a password are not supported: decrypt the key's file"));
    }
    let file = |name| Ok::<_, ConfigError>(section.text(name)?.map(PathBuf::from));
    let profile = SslProfile {
        name: section.required("name")?,
        ca: file("caCertFile")?,
        certificate: file("certFile")?,
        key: file("privateKeyFile")?,
    };
    if profile.certificate.is_some() != profile.key.is_some() {
        return Err(section.error("certFile", "a certificate and its privateKeyFile go together"));
    }
    Ok(profile)
}

/// The part that listener and connector share. `host` is what an absent one means.
fn peering(section: &Attributes, profiles: &[SslProfile], host: &str) -> Result<Peering, ConfigError> {
    let role = section.text("role")?;
    match role.as_deref().unwrap_or("normal") {
        "inter-router" => {}
        "normal" if section.kind == "listener" => {
            return Err(section.error("role", "clients of their own (role normal) are not supported"));
        }
        other => return Err(section.error("role", format!("{other} is not supported: inter-router is"))),
    }
    let tls = match section.text("sslProfile")? {
        None => None,
        Some(name) => {
            let profile = profiles.iter().find(|profile| profile.name == name).cloned();
            Some(profile.ok_or_else(|| section.error("sslProfile", format!("there is no sslProfile {name:?}")))?)
        }
    };
    let host = section.text("host")?.unwrap_or_else(|| host.to_owned());
    let port = section.port()?;
    let max_frame = section.number("maxFrameSize")?.unwrap_or(16_384).clamp(512, 1 << 20);
    let frames = section.number("maxSessionFrames")?.unwrap_or(SESSION_BYTES / max_frame).clamp(2, i32::MAX as u64);
    Ok(Peering {
        name: section.text("name")?.unwrap_or_else(|| format!("{host}:{port}")),
        host,
        port,
        cost: u32::try_from(section.number("cost")?.unwrap_or(1)).map_err(|_| section.error("cost", "is too large"))?,
        tls,
        mechanisms: section
            .text("saslMechanisms")?
            .iter()
            .flat_map(|list| list.split_whitespace())
            .map(String::from)
            .collect(),
        max_frame: max_frame as u32,
        session_frames: frames as u32,
        idle_timeout: Duration::from_secs(section.number("idleTimeoutSeconds")?.unwrap_or(16)),
    })
}

/// Bytes that a peer may have under way in one session, as skrouterd 3.5 grants. It has all its streams in one, so this
/// is far more than one stream's.
const SESSION_BYTES: u64 = 10 << 20;

fn listener(section: &Attributes, profiles: &[SslProfile]) -> Result<Listener, ConfigError> {
    let peering = peering(section, profiles, "")?;
    let authenticate_peer = section.boolean("authenticatePeer")?.unwrap_or(false);
    if authenticate_peer && peering.tls.as_ref().is_none_or(|tls| tls.ca.is_none()) {
        return Err(section.error("authenticatePeer", "needs an sslProfile with a caCertFile"));
    }
    if peering.tls.as_ref().is_some_and(|tls| tls.certificate.is_none()) {
        return Err(section.error("sslProfile", "a listener's has a certFile and a privateKeyFile"));
    }
    Ok(Listener { peering, authenticate_peer })
}

fn connector(section: &Attributes, profiles: &[SslProfile]) -> Result<Connector, ConfigError> {
    let verify_hostname = section.boolean("verifyHostname")?.unwrap_or(true);
    Ok(Connector { peering: peering(section, profiles, "127.0.0.1")?, verify_hostname })
}

fn no_tls(section: &Attributes) -> Result<(), ConfigError> {
    match section.text("sslProfile")? {
        Some(_) => Err(section.error("sslProfile", "TLS towards clients and services is not supported")),
        None => Ok(()),
    }
}

fn tcp_listener(section: &Attributes) -> Result<TcpListener, ConfigError> {
    no_tls(section)?;
    if section.text("multiAddressStrategy")?.is_some_and(|strategy| strategy != "none") {
        return Err(section.error("multiAddressStrategy", "listeners for several addresses are not supported"));
    }
    let host = section.text("host")?.unwrap_or_default();
    let port = section.port()?;
    let name = section.text("name")?.unwrap_or_else(|| format!("{host}:{port}"));
    Ok(TcpListener { name, host, port, address: section.required("address")? })
}

fn tcp_connector(section: &Attributes) -> Result<TcpConnector, ConfigError> {
    no_tls(section)?;
    let host = section.text("host")?.unwrap_or_else(|| "127.0.0.1".to_owned());
    let port = section.port()?;
    let name = section.text("name")?.unwrap_or_else(|| format!("{host}:{port}"));
    Ok(TcpConnector { name, host, port, address: section.required("address")? })
}

/// An address section; None for one about multicast, which TCP flows don't use.
fn address(section: &Attributes) -> Result<Option<(String, Distribution)>, ConfigError> {
    if section.has("pattern") {
        return Err(section.error("pattern", "patterns are not supported: use prefix"));
    }
    if section.text("distribution")?.as_deref() == Some("multicast") {
        return Ok(None);
    }
    Ok(Some((section.required("prefix")?, distribution(section, "distribution")?)))
}

fn distribution(section: &Attributes, attribute: &str) -> Result<Distribution, ConfigError> {
    match section.text(attribute)?.as_deref().unwrap_or("balanced") {
        "balanced" => Ok(Distribution::Balanced),
        "closest" => Ok(Distribution::Closest),
        other => Err(section.error(attribute, format!("{other} is not supported: balanced and closest are"))),
    }
}

/// The value as text, however the syntax wrote it.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
