//! What a client and the supervisor say to each other on the control socket: one JSON value a
//! line, a [`Hello`] each way first. Descriptors travel beside a line by SCM_RIGHTS, sent with its
//! first byte; how many is fixed by what the line says ([`Request::descriptors`], [`Reply::descriptors`]).
//!
//! ```text
//! client      {"knetsim":"0.1","protocol":2}
//! supervisor  {"knetsim":"0.1","protocol":2}
//! client      {"id":1,"request":{"kind":"submit","operation":{"do":"create-worker","worker":"C0w4"},"owner":"user"}}
//! supervisor  {"id":1,"reply":{"is":"event","event":"created","kind":"worker","name":"C0w4"}}
//! supervisor  {"id":1,"reply":{"is":"done"}}
//! ```

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::chapter::{Outline, Verdict};
use crate::error::Failure;
use crate::event::Event;
use crate::inventory::Inventory;
use crate::names::{InterfaceRef, Target};
use crate::operation::{Operation, Owner};
use crate::packet::{Filter, Packet};
use crate::topology::Topology;

/// The version of this protocol; both sides must say the same.
pub const PROTOCOL: u32 = 2;

/// The first line of both sides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hello {
    /// The version of the program, for messages.
    pub knetsim: String,
    /// The version of the protocol.
    pub protocol: u32,
    /// Whether a client's connection is for somebody within the sandbox, who isn't trusted as a person outside is:
    /// such a connection takes the requests of [`Request::serves_the_inside`] alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inside: bool,
}

/// A line from the client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Call {
    /// Chosen by the client; every reply to it bears the same.
    pub id: u64,
    /// What it asks.
    pub request: Request,
}

/// What a client may ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Request {
    /// A change. Answered by events, then `done` or `failed`.
    Submit {
        /// The change.
        operation: Operation,
        /// In whose name.
        owner: Owner,
    },
    /// What applying a topology file would do, without doing it. Answered by the events that it would send, then `done`
    /// or `failed`.
    Preview {
        /// What the file says.
        topology: Topology,
    },
    /// What there is. Answered by `inventory`.
    Inspect,
    /// All events from now on, until the client ends the connection.
    Watch,
    /// A command. Standard input, output and error travel beside this line (three descriptors),
    /// or none of them with `tty`: then the answer is `terminal` with the pty's descriptor beside it. An `event` warns
    /// where one of its processes was ended for want of memory; `exited` is the last answer.
    Exec {
        /// Where.
        target: Target,
        /// Program and arguments; empty for the learner's shell.
        command: Vec<String>,
        /// Added to the environment.
        #[serde(default)]
        env: BTreeMap<String, String>,
        /// A terminal of that many rows and columns.
        #[serde(default)]
        tty: Option<(u16, u16)>,
        /// Started in the background, its output in its log. Answered by `started`.
        #[serde(default)]
        background: bool,
    },
    /// A signal to the process group of an earlier `exec` of this connection.
    Signal {
        /// The call that it was.
        call: u64,
        /// The signal's number.
        signal: i32,
    },
    /// Logs: of a node's daemons, or of a container's commands. Answered by `log` with a descriptor beside it for
    /// each part, then `done`. Who follows them asks again for the parts that are begun meanwhile.
    Logs {
        /// Whose.
        target: Target,
    },
    /// Packets that pass an interface from now on, until the client ends the connection. Answered by `packets`
    /// without any when it has begun, then as they pass, then `failed` where the interface is gone.
    Capture {
        /// Which interface.
        interface: InterfaceRef,
        /// Which packets.
        #[serde(default)]
        filter: Filter,
    },
    /// A lab to run; its bytes are read from the first descriptor beside this line, compiled code that was
    /// cached from the second where there is one. Its standard streams are the last three. Answered by `exited`.
    Run(RunLab),
    /// A chapter to teach in this sandbox; its bytes and compiled code travel as those of `run`. It takes the place
    /// of the one that was loaded before. Answered by `chapter`.
    LoadChapter(LoadChapter),
    /// The loaded chapter's `setup`. Answered by `done`.
    Setup,
    /// The loaded chapter's `check` of a task. Answered by `verdict`.
    Check {
        /// The task.
        task: String,
        /// The answer, where it is a question.
        #[serde(default)]
        answer: Option<String>,
    },
    /// The loaded chapter's `solve` of a task. Answered by `solved`.
    Solve {
        /// The task.
        task: String,
    },
    /// What the loaded chapter remembers. Answered by `state`.
    State,
    /// When to check again: `changed` at once, soon after something has changed in the kernel or a command has
    /// ended, and every few seconds for what nobody announces, until the client ends the connection.
    Changes,
    /// Ends the sandbox. Answered by `done` when nothing is left but the supervisor itself.
    Down,
}

impl Request {
    /// How many descriptors travel beside the line that asks it.
    pub fn descriptors(&self) -> usize {
        match self {
            Request::Exec { tty: None, background: false, .. } => 3,
            Request::Run(run) => 4 + usize::from(run.cached),
            Request::LoadChapter(load) => 1 + usize::from(load.cached),
            _ => 0,
        }
    }

    /// Whether somebody within the sandbox may ask it: what a learner gives as a command. Labs are no part of it, for
    /// the supervisor takes compiled code of a client's, and runs it.
    pub fn serves_the_inside(&self) -> bool {
        match self {
            Request::Submit { .. }
            | Request::Preview { .. }
            | Request::Inspect
            | Request::Watch
            | Request::Exec { .. }
            | Request::Signal { .. }
            | Request::Logs { .. }
            | Request::Capture { .. } => true,
            Request::Run(_)
            | Request::LoadChapter(_)
            | Request::Setup
            | Request::Check { .. }
            | Request::Solve { .. }
            | Request::State
            | Request::Changes
            | Request::Down => false,
        }
    }
}

/// How a lab shall run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunLab {
    /// Arguments of the script.
    pub args: Vec<String>,
    /// Grants given, by name: what the person allowed of what the manifest asks for.
    pub grants: Vec<String>,
    /// Limits that replace the manifest's, by name.
    pub limits: BTreeMap<String, u64>,
    /// Whether compiled code from the cache is among the descriptors.
    pub cached: bool,
}

/// How a chapter shall be loaded.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoadChapter {
    /// Grants given, by name.
    pub grants: Vec<String>,
    /// Limits that replace the manifest's, by name.
    pub limits: BTreeMap<String, u64>,
    /// Whether compiled code from the cache is among the descriptors.
    pub cached: bool,
    /// What it remembered in an earlier run; empty at first.
    #[serde(default)]
    pub state: Vec<u8>,
}

/// A line from the supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    /// Of the call that it answers.
    pub id: u64,
    /// The answer.
    pub reply: Reply,
}

/// What the supervisor answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Reply {
    /// One of any number of events before the last answer.
    Event(Event),
    /// It was done.
    Done,
    /// It was not.
    Failed(Failure),
    /// What there is.
    Inventory(Inventory),
    /// The pty's descriptor is beside this line; `exited` follows.
    Terminal,
    /// It runs in the background.
    Started {
        /// Its process id on the node side.
        pid: i32,
    },
    /// The command or lab ended with that exit status; 128 + signal where a signal ended it.
    Exited {
        /// The status.
        status: i32,
    },
    /// A log's descriptor is beside this line; those of one log follow each other, the oldest part first.
    Log {
        /// Which daemon's or container's.
        name: String,
        /// Another number for each node and container, also for a later one of the same name.
        life: u64,
    },
    /// Packets that passed, without their bytes. A gap in their numbers are some that the client was too slow for.
    Packets {
        /// The packets.
        packets: Vec<Packet>,
        /// How many the kernel has dropped until now because they came too fast.
        dropped: u64,
    },
    /// Compiled code to cache, beside this line; the run goes on.
    Compiled,
    /// The chapter is loaded.
    Chapter {
        /// Its name in lab.toml.
        name: String,
        /// Its version there.
        version: String,
        /// Text and tasks.
        outline: Outline,
    },
    /// What a check found.
    Verdict {
        /// That.
        verdict: Verdict,
    },
    /// A task was solved.
    Solved {
        /// A question's right answer.
        answer: Option<String>,
    },
    /// What the chapter remembers.
    State {
        /// At most 64 KiB.
        state: Vec<u8>,
    },
    /// Something has changed, or may have: it is time to check again.
    Changed,
}

impl Reply {
    /// How many descriptors travel beside the line that says it.
    pub fn descriptors(&self) -> usize {
        usize::from(matches!(self, Reply::Terminal | Reply::Log { .. } | Reply::Compiled))
    }

    /// Whether no other reply to the same call follows.
    pub fn is_last(&self) -> bool {
        !matches!(
            self,
            Reply::Event(_)
                | Reply::Terminal
                | Reply::Log { .. }
                | Reply::Packets { .. }
                | Reply::Compiled
                | Reply::Changed
        )
    }
}
