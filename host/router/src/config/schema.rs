//! Sections and the attributes that each may have, from skrouterd's own schema (3.5.1's, and 2.7's where it has more).

use std::path::PathBuf;

use serde_json::{Map, Value};

use super::plain;

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can't be read.
    #[error("read the configuration {}", path.display())]
    Read {
        /// Of the file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is not JSON, or not of the form `[["section", {…}], …]`.
    #[error("the configuration isn't what skrouterd reads: {0}")]
    Syntax(String),
    /// It has no section that says which router this is.
    #[error("the configuration has no section \"router\"")]
    NoRouter,
    /// A section of a kind that skrouterd doesn't have, or this router doesn't.
    #[error("section {kind:?} is {problem}")]
    Section {
        /// As it is written.
        kind: String,
        /// What about it.
        problem: &'static str,
    },
    /// An attribute that the section doesn't have, with a value that it can't have, or that is missing.
    #[error("{section}, attribute {attribute:?}: {problem}")]
    Attribute {
        /// Kind and name of the section.
        section: String,
        /// As it is written.
        attribute: String,
        /// What about it.
        problem: String,
    },
}

/// What all sections have.
const ANY: &[&str] = &["name", "type", "identity"];

/// The sections that are read, with their attributes.
const SECTIONS: &[(&str, &[&str])] = &[
    (
        "router",
        &[
            "id",
            "vanId",
            "mode",
            "helloIntervalSeconds",
            "helloMaxAgeSeconds",
            "raIntervalSeconds",
            "raIntervalFluxSeconds",
            "remoteLsMaxAgeSeconds",
            "unreachableHoldoffSeconds",
            "workerThreads",
            "debugDumpFile",
            "saslConfigDir",
            "saslConfigName",
            "timestampsInUTC",
            "timestampFormat",
            "defaultDistribution",
            "metadata",
            "dataConnectionCount",
            "dropTcpConnections",
            "area",
        ],
    ),
    (
        "listener",
        &[
            "host",
            "port",
            "socketAddressFamily",
            "role",
            "cost",
            "sslProfile",
            "saslMechanisms",
            "authenticatePeer",
            "requireEncryption",
            "requireSsl",
            "maxFrameSize",
            "maxSessions",
            "maxSessionFrames",
            "idleTimeoutSeconds",
            "initialHandshakeTimeoutSeconds",
            "stripAnnotations",
            "linkCapacity",
            "failoverUrls",
            "healthz",
            "metrics",
            "websockets",
            "http",
            "httpRootDir",
            "messageLoggingComponents",
            "policyVhost",
            "openProperties",
        ],
    ),
    (
        "connector",
        &[
            "host",
            "port",
            "socketAddressFamily",
            "role",
            "cost",
            "sslProfile",
            "proxyProfile",
            "saslMechanisms",
            "allowRedirect",
            "maxFrameSize",
            "maxSessions",
            "maxSessionFrames",
            "idleTimeoutSeconds",
            "stripAnnotations",
            "linkCapacity",
            "verifyHostname",
            "saslUsername",
            "saslPassword",
            "messageLoggingComponents",
            "policyVhost",
            "openProperties",
        ],
    ),
    (
        "sslProfile",
        &[
            "ciphers",
            "protocols",
            "caCertFile",
            "certFile",
            "privateKeyFile",
            "password",
            "uidFormat",
            "uidNameMappingFile",
            "ordinal",
            "oldestValidOrdinal",
        ],
    ),
    (
        "tcpListener",
        &[
            "address",
            "host",
            "backlog",
            "port",
            "multiAddressStrategy",
            "siteId",
            "sslProfile",
            "authenticatePeer",
            "observer",
            "encapsulation",
        ],
    ),
    (
        "tcpConnector",
        &["address", "host", "port", "siteId", "processId", "sslProfile", "verifyHostname", "encapsulation"],
    ),
    ("address", &["prefix", "pattern", "distribution", "priority"]),
    ("log", &["module", "enable", "includeTimestamp", "includeSource", "outputFile"]),
    ("site", &["location", "provider", "version", "platform", "namespace"]),
];

/// Sections of skrouterd that mean nothing without what this router doesn't have.
const UNSUPPORTED: &[&str] =
    &["autoLink", "proxyProfile", "listenerAddress", "policy", "vhost", "vhostUserGroupSettings", "network"];

/// A section: its kind, and attributes that its kind has.
pub(super) struct Attributes {
    pub(super) kind: &'static str,
    values: Map<String, Value>,
}

impl Attributes {
    pub(super) fn new(kind: &str, values: Map<String, Value>) -> Result<Self, ConfigError> {
        let Some((kind, known)) = SECTIONS.iter().find(|(name, _)| *name == kind) else {
            let problem = if UNSUPPORTED.contains(&kind) { "not supported" } else { "unknown" };
            return Err(ConfigError::Section { kind: kind.to_owned(), problem });
        };
        let section = Attributes { kind, values };
        let all = || known.iter().chain(ANY).copied();
        if let Some(unknown) = section.values.keys().find(|name| !all().any(|known| known == name.as_str())) {
            let near = all().find(|known| known.eq_ignore_ascii_case(unknown));
            let problem = match near {
                Some(near) => format!("unknown: is {near:?} meant?"),
                None => format!("unknown: {} has {}", section.kind, known.join(", ")),
            };
            return Err(section.error(unknown, problem));
        }
        Ok(section)
    }

    pub(super) fn error(&self, attribute: &str, problem: impl Into<String>) -> ConfigError {
        let name = self.values.get("name").and_then(plain);
        let section = name.map_or(self.kind.to_owned(), |name| format!("{} {name:?}", self.kind));
        ConfigError::Attribute { section, attribute: attribute.to_owned(), problem: problem.into() }
    }

    pub(super) fn has(&self, attribute: &str) -> bool {
        self.values.contains_key(attribute)
    }

    pub(super) fn text(&self, attribute: &str) -> Result<Option<String>, ConfigError> {
        let Some(value) = self.values.get(attribute) else { return Ok(None) };
        plain(value).map(Some).ok_or_else(|| self.error(attribute, "a string is expected"))
    }

    pub(super) fn required(&self, attribute: &str) -> Result<String, ConfigError> {
        let text = self.text(attribute)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| self.error(attribute, "is missing"))
    }

    pub(super) fn number(&self, attribute: &str) -> Result<Option<u64>, ConfigError> {
        let number = |text: String| text.parse().map_err(|_| self.error(attribute, format!("{text:?} isn't a number")));
        self.text(attribute)?.map(number).transpose()
    }

    /// As skrouterd, besides JSON's own: yes, no, on, off, 1 and 0.
    pub(super) fn boolean(&self, attribute: &str) -> Result<Option<bool>, ConfigError> {
        let boolean = |text: String| match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err(self.error(attribute, format!("{text:?} is neither yes nor no"))),
        };
        self.text(attribute)?.map(boolean).transpose()
    }

    /// A number or the name of one of AMQP's two.
    pub(super) fn port(&self) -> Result<u16, ConfigError> {
        let text = self.text("port")?;
        match text.as_deref() {
            None if self.kind.starts_with("tcp") => Err(self.error("port", "is missing")),
            None | Some("amqp") => Ok(5672),
            Some("amqps") => Ok(5671),
            Some(text) => text.parse().map_err(|_| self.error("port", format!("{text:?} isn't a port"))),
        }
    }
}
