//! What can be done at any place: look, send, run.

use std::fmt::{self, Display};

use crate::bindings::knetsim::lab::{exec, observe, probe};
use crate::records::{HttpReply, PingResult, TcpResult};
use crate::{Command, Observer, Output, Prober, Process, Result, Tries};

/// A node, a container, or any other network namespace of the sandbox.
///
/// ```no_run
/// use knetsim_sdk::{Lab, Place};
/// # fn main() -> knetsim_sdk::Result<()> {
/// let lab = Lab::new();
/// let worker = lab.worker("C0w1")?;
///
/// println!("{}", worker.run(["ip", "-brief", "address"])?.text()?);
/// for route in worker.observe()?.routes()? {
///     println!("{} via {:?}", route.destination, route.gateway);
/// }
/// assert_eq!(worker.ping("C0w2")?.received, 1);
/// # Ok(()) }
/// ```
pub trait Place {
    /// Its name: `C0w1`, `C0w1.c1`, `box/myns`.
    fn target(&self) -> &str;

    /// To look at it. Grant: `observe`.
    ///
    /// # Errors
    /// The grant is missing, or it is gone.
    fn observe(&self) -> Result<Observer> {
        Ok(Observer::new(observe::open(self.target())?))
    }

    /// To send from it. Grant: `probe`.
    ///
    /// # Errors
    /// The grant is missing, or it is gone.
    fn probe(&self) -> Result<Prober> {
        Ok(Prober::new(probe::open(self.target())?))
    }

    /// One echo request, answered within a second or not. `to` is an address, or the name of a node
    /// or container. Grant: `probe`.
    ///
    /// # Errors
    /// The grant is missing, or one of both is gone. That nobody answers is none.
    fn ping(&self, to: impl Display) -> Result<PingResult> {
        self.probe()?.ping(to, Tries::default())
    }

    /// One TCP connection, made within a second or not. Grant: `probe`.
    ///
    /// # Errors
    /// The grant is missing, or one of both is gone. That nobody accepts is none.
    fn connect(&self, to: impl Display, port: u16) -> Result<TcpResult> {
        self.probe()?.tcp(to, port, Tries::default())
    }

    /// One HTTP GET request, answered within ten seconds. Grant: `probe`.
    ///
    /// # Errors
    /// The grant is missing, one of both is gone, or nobody answers.
    fn http_get(&self, to: impl Display, port: u16, path: &str) -> Result<HttpReply> {
        self.probe()?.http_get(to, port, path)
    }

    /// Runs a command to its end. Grant: `exec`.
    ///
    /// # Errors
    /// The grant is missing, it is gone, there is no such program, or it took longer than the command may. That
    /// the command itself fails is none: see [`Output`].
    fn run(&self, command: impl Into<Command>) -> Result<Output> {
        let command = command.into();
        let place = open(self.target(), &command)?;
        Ok(Output::new(&command, place.run(&command.program, &command.input, command.timeout_ms)?))
    }

    /// Starts a command in the background; its output goes to the log of the place. It goes on when the lab ends.
    /// Grant: `exec`.
    ///
    /// # Errors
    /// The grant is missing, it is gone, or there is no such program.
    fn start(&self, command: impl Into<Command>) -> Result<Process> {
        let command = command.into();
        Ok(Process::new(open(self.target(), &command)?.start(&command.program)?))
    }

    /// What the commands that were started in the background have written: at most the last MiB. Grant: `exec`.
    ///
    /// # Errors
    /// The grant is missing, it is gone, or nothing was started.
    fn log(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&exec::open(self.target())?.log()?).into_owned())
    }
}

fn open(target: &str, command: &Command) -> Result<exec::Place> {
    Ok(if command.with_namespaces { exec::open_node(target)? } else { exec::open(target)? })
}

/// A place by its name: see [`Lab::place`](crate::Lab::place).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(String);

impl Target {
    pub(crate) fn new(name: String) -> Self {
        Target(name)
    }
}

impl Place for Target {
    fn target(&self) -> &str {
        &self.0
    }
}

impl Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
