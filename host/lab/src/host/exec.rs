//! Interface `exec`: `knetsim exec`, with what was written captured, or in the background.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use knetsim_emulator::ExecSpec;
use knetsim_model::{Code, Failure, Target};
use knetsim_sandbox::{Child, OverMemory, Profile, Stdio};
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::Sender;
use wasmtime::component::Resource;

use super::observe::last_of_log;
use super::wit::exec::{Command, Host, HostPlace, HostProcess, Output};
use super::{State, name};
use crate::grants::Grant;
use crate::limits::Limit;

/// How much is kept of what a command writes to one stream, in bytes.
const KEPT: usize = 1 << 20;
/// What a pipe holds, in bytes.
const PIPE: usize = 64 << 10;
/// The log of a node that the commands started on it write to.
const NODE_LOG: &str = "commands";

/// A target where the lab may run commands.
#[derive(Clone)]
pub struct Place {
    target: Target,
    profile: Profile,
}

/// A command in the background.
#[derive(Clone)]
pub struct Process(Arc<Child>);

impl Host for State {
    async fn open(&mut self, target: String) -> Result<Resource<Place>, Failure> {
        self.open_place(Grant::Exec, Profile::Plain, &target)
    }

    async fn open_node(&mut self, target: String) -> Result<Resource<Place>, Failure> {
        self.open_place(Grant::ExecNode, Profile::Node, &target)
    }
}

impl State {
    fn open_place(&mut self, grant: Grant, profile: Profile, target: &str) -> Result<Resource<Place>, Failure> {
        self.rights.need(grant)?;
        let target = name(target)?;
        self.emulator()?.namespace(&target)?;
        self.hand_out(Place { target, profile })
    }

    /// Starts a command that is killed when nobody takes it over, also when nobody waits for its start any more.
    async fn start_command(
        &mut self,
        place: &Place,
        command: Command,
        stdio: Option<Stdio>,
    ) -> Result<Started, Failure> {
        let permit = self.processes.clone().try_acquire_owned();
        let permit = permit.map_err(|_| self.limits.reached(Limit::Processes))?;
        let (emulator, Place { target, profile }) = (self.emulator()?.clone(), place.clone());
        let env: BTreeMap<_, _> = command.env.into_iter().collect();
        let spec = ExecSpec { command: command.argv, env, profile };
        let warnings = self.warnings.clone();
        let starting = tokio::spawn(async move {
            let child = match stdio {
                Some(stdio) => emulator.exec(&target, spec, stdio).await?,
                None => emulator.spawn(&target, spec).await?,
            };
            let child = Arc::new(child);
            if let Some(warnings) = warnings {
                tokio::spawn(warn(child.clone(), warnings));
            }
            Ok(Started { child: Some(child), permit: Some(permit) })
        });
        starting.await.map_err(|error| Failure::failed("start a command", &error))?
    }
}

/// Tells which of a command's processes were ended for want of memory, until it has ended.
async fn warn(child: Arc<Child>, warnings: Sender<String>) {
    // Nobody listening is nothing to report.
    let tell = |over: &[OverMemory]| over.iter().for_each(|over| drop(warnings.try_send(over.to_string())));
    let mut told = 0;
    loop {
        tokio::select! {
            over = child.over_memory(told) => {
                tell(&over);
                told += over.len();
            }
            _ = child.wait() => return tell(&child.over_memory_until_now()[told..]),
        }
    }
}

/// A command that is killed when this is dropped.
struct Started {
    child: Option<Arc<Child>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Started {
    /// Lets it live on, counted against the limit until it ends.
    fn release(mut self) -> Option<Arc<Child>> {
        let (child, permit) = (self.child.take()?, self.permit.take());
        let ending = child.clone();
        tokio::spawn(async move {
            ending.wait().await;
            drop(permit);
        });
        Some(child)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            let permit = self.permit.take();
            // Nobody is left to tell when it can't be killed: the node side has ended then.
            tokio::spawn(async move {
                let _ = child.signal(9).await;
                drop(permit);
            });
        }
    }
}

impl HostPlace for State {
    fn target(&mut self, this: Resource<Place>) -> wasmtime::Result<String> {
        Ok(self.handle(&this)?.target.to_string())
    }

    async fn run(
        &mut self,
        this: Resource<Place>,
        command: Command,
        input: Vec<u8>,
        timeout_ms: Option<u32>,
    ) -> Result<Output, Failure> {
        let place = self.handle(&this)?.clone();
        let doing = format!("run `{}` in {}", command.argv.join(" "), place.target);
        let broken = |error: io::Error| Failure::failed(&doing, &error);
        let (mut stdin, far_stdin) = pipe::pipe().map_err(broken)?;
        let (far_stdout, mut stdout) = Capture::new().map_err(broken)?;
        let (far_stderr, mut stderr) = Capture::new().map_err(broken)?;
        let far_stdin = far_stdin.into_blocking_fd().map_err(broken)?;
        let mut started =
            self.start_command(&place, command, Some(Stdio::Fds([far_stdin, far_stdout, far_stderr]))).await?;
        let Some(child) = started.child.clone() else {
            return Err(Failure::failed(&doing, &io::Error::last_os_error()));
        };

        let feed = async move {
            // A command need not read its input.
            let _ = stdin.write_all(&input).await;
            drop(stdin);
        };
        let pump = async { tokio::join!(feed, stdout.pump(), stderr.pump()) };
        let ended = async {
            tokio::select! {
                exit = child.wait() => exit,
                // All is read: only its end is left to wait for.
                _ = pump => child.wait().await,
            }
        };
        let exit = match timeout_ms {
            None => ended.await,
            Some(ms) => tokio::time::timeout(Duration::from_millis(ms.into()), ended).await.map_err(|_| {
                Failure::new(Code::Timeout, format!("{doing}: it had not ended after {ms} ms, and was killed"))
            })?,
        };
        started.child = None;
        stdout.rest();
        stderr.rest();
        // Where a shell would say `Killed`.
        child.over_memory_until_now().iter().for_each(|over| stderr.kept.extend(format!("{over}\n").bytes()));
        let truncated = stdout.truncated || stderr.truncated;
        Ok(Output { status: exit.status(), stdout: stdout.kept, stderr: stderr.kept, truncated })
    }

    async fn start(&mut self, this: Resource<Place>, command: Command) -> Result<Resource<Process>, Failure> {
        let place = self.handle(&this)?.clone();
        let started = self.start_command(&place, command, None).await?;
        let child = started.release().ok_or_else(|| Failure::invalid("the command has ended"))?;
        self.hand_out(Process(child))
    }

    async fn log(&mut self, this: Resource<Place>) -> Result<Vec<u8>, Failure> {
        let target = self.handle(&this)?.target.clone();
        let log = match &target {
            Target::Container(container) => container.name.to_string(),
            _ => NODE_LOG.to_owned(),
        };
        last_of_log(self.emulator()?, &target, &log).await
    }

    async fn drop(&mut self, this: Resource<Place>) -> wasmtime::Result<()> {
        self.drop_handle(this)
    }
}

impl HostProcess for State {
    fn pid(&mut self, this: Resource<Process>) -> wasmtime::Result<i32> {
        Ok(self.handle(&this)?.0.pid)
    }

    async fn wait(&mut self, this: Resource<Process>, timeout_ms: Option<u32>) -> Result<i32, Failure> {
        let child = self.handle(&this)?.0.clone();
        let exit = match timeout_ms {
            None => child.wait().await,
            Some(ms) => tokio::time::timeout(Duration::from_millis(ms.into()), child.wait()).await.map_err(|_| {
                Failure::new(Code::Timeout, format!("process {} had not ended after {ms} ms", child.pid))
            })?,
        };
        Ok(exit.status())
    }

    async fn kill(&mut self, this: Resource<Process>, signal: i32) -> Result<(), Failure> {
        let child = self.handle(&this)?.0.clone();
        if !(1..=64).contains(&signal) {
            return Err(Failure::invalid(format!("there is no signal {signal}")));
        }
        child.signal(signal).await.map_err(|error| Failure::failed(format!("kill process {}", child.pid), &error))
    }

    async fn drop(&mut self, this: Resource<Process>) -> wasmtime::Result<()> {
        self.drop_handle(this)
    }
}

/// What a command writes to one stream, as far as it is kept.
struct Capture {
    pipe: pipe::Receiver,
    kept: Vec<u8>,
    truncated: bool,
}

impl Capture {
    /// The end for the command, and ours.
    fn new() -> io::Result<(OwnedFd, Self)> {
        let (far, pipe) = pipe::pipe()?;
        Ok((far.into_blocking_fd()?, Capture { pipe, kept: Vec::new(), truncated: false }))
    }

    /// Reads until nobody can write any more. Can be dropped half-way and loses nothing.
    async fn pump(&mut self) {
        while self.pipe.readable().await.is_ok() {
            match self.take() {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    /// Reads what the command had written when it ended; what it left running may keep the pipe open.
    fn rest(&mut self) {
        let mut read = 0;
        while read < PIPE {
            match self.take() {
                Ok(0) | Err(_) => return,
                Ok(length) => read += length,
            }
        }
    }

    fn take(&mut self) -> io::Result<usize> {
        let mut buffer = [0; 8 << 10];
        let length = self.pipe.try_read(&mut buffer)?;
        let room = length.min(KEPT - self.kept.len());
        self.kept.extend_from_slice(&buffer[..room]);
        self.truncated |= room < length;
        Ok(length)
    }
}
