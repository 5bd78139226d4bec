//! Limits: how much a lab may use. Ours, unless the manifest has others, unless the person who runs it has.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use knetsim_model::{Code, Failure};
use tokio::sync::Semaphore;

use crate::error::LabError;

/// Something that is limited, with the unit in its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// Workers and scratch nodes that it made and that are there at the same time.
    Workers,
    /// Containers that it made and that are there at the same time.
    Containers,
    /// Services that it made and that are there at the same time.
    Services,
    /// Ingresses that it made and that are there at the same time.
    Ingresses,
    /// Sites, links, listeners, connectors and tokens that it made and that are there at the same time.
    Links,
    /// Processes that it started, in whatever call, and that run at the same time; what these start counts against the
    /// sandbox's limit.
    Processes,
    /// Its memory and tables, in MiB.
    MemoryMib,
    /// One call into it, in seconds; a script's `main` is one call.
    CallSeconds,
    /// All calls into it together, in seconds: a chapter's from when it is loaded into a sandbox, so that a reset begins
    /// anew. Its checks are not among them.
    TotalSeconds,
    /// What it writes in one call to its standard output and error together, in KiB.
    OutputKib,
}

impl Limit {
    /// All that there are.
    pub const ALL: [Limit; 10] = [
        Limit::Workers,
        Limit::Containers,
        Limit::Services,
        Limit::Ingresses,
        Limit::Links,
        Limit::Processes,
        Limit::MemoryMib,
        Limit::CallSeconds,
        Limit::TotalSeconds,
        Limit::OutputKib,
    ];

    /// Its name in lab.toml and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Limit::Workers => "workers",
            Limit::Containers => "containers",
            Limit::Services => "services",
            Limit::Ingresses => "ingresses",
            Limit::Links => "links",
            Limit::Processes => "processes",
            Limit::MemoryMib => "memory-mib",
            Limit::CallSeconds => "call-seconds",
            Limit::TotalSeconds => "total-seconds",
            Limit::OutputKib => "output-kib",
        }
    }

    /// What holds when nobody says otherwise.
    pub fn default_value(self) -> u64 {
        match self {
            Limit::Workers => 64,
            Limit::Containers => 1000,
            Limit::Services => 1000,
            Limit::Ingresses => 20,
            Limit::Links => 200,
            Limit::Processes => 128,
            Limit::MemoryMib => 256,
            Limit::CallSeconds => 600,
            Limit::TotalSeconds => 3600,
            Limit::OutputKib => 16 << 10,
        }
    }

    /// The most that can be asked for.
    pub fn ceiling(self) -> u64 {
        match self {
            Limit::Workers | Limit::Services | Limit::Ingresses | Limit::Links => 65_534,
            Limit::Containers | Limit::Processes => 1_000_000,
            Limit::MemoryMib => 4096,
            Limit::CallSeconds | Limit::TotalSeconds => 7 * 24 * 3600,
            Limit::OutputKib => 1 << 20,
        }
    }

    /// Refuses a value that is out of range.
    pub(crate) fn check(self, value: u64) -> Result<(), LabError> {
        let ceiling = self.ceiling();
        match value <= ceiling {
            true => Ok(()),
            false => Err(LabError::Option(format!("the limit `{self}` can be 0 to {ceiling}, not {value}"))),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Limit {
    type Err = LabError;
    fn from_str(name: &str) -> Result<Self, LabError> {
        Limit::ALL.into_iter().find(|limit| limit.as_str() == name).ok_or_else(|| {
            let known = Limit::ALL.map(Limit::as_str).join(", ");
            LabError::Option(format!("there is no limit `{}`; there are: {known}", name.escape_debug()))
        })
    }
}

/// The limits of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits(BTreeMap<Limit, u64>);

impl Limits {
    /// The manifest's limits, replaced by those that were given by hand.
    ///
    /// # Errors
    /// A name that is no limit's, or a value out of range.
    pub fn new(manifest: &BTreeMap<Limit, u64>, by_hand: &BTreeMap<String, u64>) -> Result<Self, LabError> {
        let mut limits = manifest.clone();
        for (name, value) in by_hand {
            let limit: Limit = name.parse()?;
            limit.check(*value)?;
            limits.insert(limit, *value);
        }
        Ok(Limits(limits))
    }

    /// What holds.
    pub fn get(&self, limit: Limit) -> u64 {
        self.0.get(&limit).copied().unwrap_or_else(|| limit.default_value())
    }

    /// Room for as many processes as may run.
    pub(crate) fn processes(&self) -> Arc<Semaphore> {
        let most = usize::try_from(self.get(Limit::Processes)).unwrap_or(usize::MAX);
        Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)))
    }

    /// The refusal where `limit` is reached.
    pub(crate) fn reached(&self, limit: Limit) -> Failure {
        let (unit, value) = (limit_unit(limit), self.get(limit));
        let words = format!(
            "the limit of {value} {unit} is reached; give it more with `--limit {limit}=<number>`, \
             or let its author ask for more under `[limits]` in lab.toml."
        );
        let code = match limit {
            Limit::CallSeconds | Limit::TotalSeconds => Code::Timeout,
            _ => Code::Limit,
        };
        Failure::new(code, words)
    }
}

fn limit_unit(limit: Limit) -> &'static str {
    match limit {
        Limit::Workers => "workers and scratch nodes",
        Limit::Containers => "containers",
        Limit::Services => "services",
        Limit::Ingresses => "ingresses",
        Limit::Links => "sites, links, listeners, connectors and tokens",
        Limit::Processes => "processes at the same time",
        Limit::MemoryMib => "MiB of memory",
        Limit::CallSeconds => "seconds for one call",
        Limit::TotalSeconds => "seconds in all",
        Limit::OutputKib => "KiB of output of one call",
    }
}
