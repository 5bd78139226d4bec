//! Grants: what a lab may use, by name. The author asks for them in lab.toml, the person who runs
//! the lab gives them; what the lab imports says nothing, for compilers import what it never uses.

use std::fmt;
use std::str::FromStr;

use knetsim_model::{Code, Failure};

use crate::error::LabError;
use crate::manifest::UNNAMED;

/// Something that a lab may be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// Look at the kernel's state, at etcd, logs and files.
    Observe,
    /// Send pings and requests.
    Probe,
    /// Make, change and delete clusters.
    Clusters,
    /// Make, change and delete workers and scratch nodes, set links up and down.
    Workers,
    /// Make and delete containers.
    Containers,
    /// Make, change and delete services.
    Services,
    /// Make, change and delete ingresses.
    Ingresses,
    /// Make, change and delete what links clusters.
    Links,
    /// Run commands without the right to make or enter namespaces.
    Exec,
    /// Run commands as a learner does, namespaces included.
    ExecNode,
    /// See the packets that pass.
    Captures,
}

impl Grant {
    /// All that this knetsim knows.
    pub const ALL: [Grant; 11] = [
        Grant::Observe,
        Grant::Probe,
        Grant::Clusters,
        Grant::Workers,
        Grant::Containers,
        Grant::Services,
        Grant::Ingresses,
        Grant::Links,
        Grant::Exec,
        Grant::ExecNode,
        Grant::Captures,
    ];

    /// Its name in lab.toml and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Grant::Observe => "observe",
            Grant::Probe => "probe",
            Grant::Clusters => "clusters",
            Grant::Workers => "workers",
            Grant::Containers => "containers",
            Grant::Services => "services",
            Grant::Ingresses => "ingresses",
            Grant::Links => "links",
            Grant::Exec => "exec",
            Grant::ExecNode => "exec-node",
            Grant::Captures => "captures",
        }
    }

    /// What it allows, for the person who is asked: `make, change and delete clusters`.
    pub fn allows(self) -> &'static str {
        match self {
            Grant::Observe => "look at devices, routes, rules, processes, files and logs of the sandbox",
            Grant::Probe => "send pings and requests inside the sandbox",
            Grant::Clusters => "make, change and delete clusters",
            Grant::Workers => "make, change and delete workers and scratch nodes, set links up and down",
            Grant::Containers => "make and delete containers",
            Grant::Services => "make, change and delete services",
            Grant::Ingresses => "make, change and delete ingresses, read their access logs",
            Grant::Links => {
                "make, change and delete sites, and the links, listeners, connectors and tokens of all sites"
            }
            Grant::Exec => "run commands on nodes and in containers",
            Grant::ExecNode => "run commands that make and enter namespaces on the node side",
            Grant::Captures => "see the packets that pass inside the sandbox",
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Grant {
    type Err = LabError;
    fn from_str(name: &str) -> Result<Self, LabError> {
        Grant::ALL.into_iter().find(|grant| grant.as_str() == name).ok_or_else(|| {
            let known = Grant::ALL.map(Grant::as_str).join(", ");
            LabError::Option(format!("there is no grant `{}`; there are: {known}", name.escape_debug()))
        })
    }
}

/// What a lab is called for: what it was granted isn't for all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A script's `main`.
    Script,
    /// A chapter's text and tasks; there may be no sandbox.
    Outline,
    /// A chapter's `setup` or `solve`.
    Change,
    /// A chapter's `check`, which changes nothing.
    Check {
        /// The task says that it sends traffic.
        probes: bool,
    },
}

/// What one lab was granted. Asked where something is opened or made, never again: an instance lives in one phase.
#[derive(Clone, Debug)]
pub(crate) struct Rights {
    lab: String,
    granted: Vec<Grant>,
    phase: Phase,
}

impl Rights {
    /// The rights of the lab of that name.
    pub(crate) fn new(lab: &str, granted: &[String]) -> Result<Self, LabError> {
        let granted = granted.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
        Ok(Rights { lab: lab.to_owned(), granted, phase: Phase::Script })
    }

    /// The same in another phase.
    pub(crate) fn during(&self, phase: Phase) -> Self {
        Rights { phase, ..self.clone() }
    }

    /// What it is called for.
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// The lab that has them.
    pub(crate) fn lab(&self) -> &str {
        &self.lab
    }

    /// Refuses what was not granted, and says how it could be.
    pub(crate) fn need(&self, grant: Grant) -> Result<(), Failure> {
        let why = match (self.phase, grant) {
            (Phase::Script | Phase::Change, _)
            | (Phase::Check { .. }, Grant::Observe)
            | (Phase::Check { probes: true }, Grant::Probe) => None,
            (Phase::Check { probes: false }, Grant::Probe) => {
                Some("not while a check runs whose task doesn't say `probes`")
            }
            (Phase::Check { .. }, _) => Some("not while a check runs: it looks and changes nothing"),
            (Phase::Outline, _) => Some("not while the outline is asked for: there may be no sandbox"),
        };
        match why {
            Some(why) => Err(Failure::new(Code::Denied, format!("`{grant}`: {why}"))),
            None => self.granted(grant),
        }
    }

    /// The same for what only looks, where the grant also allows more.
    pub(crate) fn look(&self, grant: Grant) -> Result<(), Failure> {
        match self.phase {
            Phase::Outline => self.need(grant),
            _ => self.granted(grant),
        }
    }

    fn granted(&self, grant: Grant) -> Result<(), Failure> {
        if self.granted.contains(&grant) {
            return Ok(());
        }
        let lab = &self.lab;
        let author = match lab.as_str() {
            UNNAMED => "build it by `knetsim lab build`, which puts lab.toml into it: this file carries no manifest",
            _ => "let its author ask for it under `[grants]` in lab.toml",
        };
        let message =
            format!("`{lab}` asked for `{grant}` but was not granted it. Run it with `--allow {grant}`, or {author}.");
        Err(Failure::new(Code::Denied, message))
    }
}
