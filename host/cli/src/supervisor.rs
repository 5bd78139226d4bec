//! What runs in a sandbox's supervisor: the emulator, and the service behind the control socket.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use knetsim_emulator::{CaptureSpec, Captured, Emulator, ExecSpec, OpenLog};
use knetsim_model::interconnect::Interconnect;
use knetsim_model::protocol::{Reply, Request};
use knetsim_model::{Event, Failure, Operation, Owner, Target};
use knetsim_sandbox::{Child, OverMemory, Profile, Seat, Stdio};
use rustix::fs::{FileType, fstat};
use rustix::termios::isatty;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::{self, error::RecvError, error::TryRecvError};

use crate::control::server::{self, Answers, Incoming, Service};
use crate::labs::Labs;

/// How long a command may take to end after its client has gone.
const GRACE: Duration = Duration::from_secs(2);
/// How long after a change it is told: what follows meanwhile is told with it.
const SETTLED: Duration = Duration::from_millis(150);
/// How often somebody looks for what nobody announces: sockets, processes, files, keys of etcd.
const UNANNOUNCED: Duration = Duration::from_secs(3);
const SIGHUP: i32 = 1;
const SIGKILL: i32 = 9;

/// The supervisor's main: returns when a client said `down`, or somebody sent SIGTERM. With `log`, it says
/// what happens: nobody may be watching.
pub(crate) fn supervise(seat: Seat, log: bool, interconnect: Interconnect) -> i32 {
    match supervised(seat, log, interconnect) {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!("{error:#}");
            1
        }
    }
}

fn supervised(seat: Seat, log: bool, interconnect: Interconnect) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    let done = runtime.block_on(async {
        let name = seat.name().to_owned();
        let (sandbox, listener) = seat.open()?;
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        let mut terminate = signal(SignalKind::terminate())?;
        let emulator = Emulator::start(&name, sandbox.clone()).await?;
        emulator.set_interconnect(interconnect);
        if log {
            tokio::spawn(log_events(emulator.subscribe()));
        }
        let service = Arc::new(Supervisor { emulator, labs: Labs::default() });
        tokio::select! {
            () = server::serve(listener, service) => Ok(()),
            _ = terminate.recv() => Ok(()),
            () = sandbox.ended() => anyhow::bail!("the node side has ended"),
        }
    });
    // What still runs ends with the sandbox; nobody waits for it.
    runtime.shutdown_background();
    done
}

async fn log_events(mut events: broadcast::Receiver<Event>) {
    while let Some(event) = next(&mut events).await {
        match event {
            Event::DaemonEnded { node, daemon, how } => tracing::warn!("{node}: {daemon}: {how}"),
            Event::Warning { message } => tracing::warn!("{message}"),
            event => tracing::info!("{event:?}"),
        }
    }
}

struct Supervisor {
    emulator: Emulator,
    labs: Labs,
}

impl Service for Supervisor {
    async fn call(&self, call: Incoming) -> Result<Reply, Failure> {
        let Incoming { request, descriptors, answers, signals } = call;
        match request {
            Request::Submit { operation, owner } => self.submit(operation, owner, &answers).await,
            Request::Preview { topology } => {
                for event in self.emulator.preview(topology).await? {
                    answers.send(Reply::Event(event), vec![]).await;
                }
                Ok(Reply::Done)
            }
            Request::Inspect => Ok(Reply::Inventory(self.emulator.inventory())),
            Request::Watch => self.watch(&answers).await,
            Request::Exec { target, command, env, tty, background } => {
                let spec = spec(&target, command, env);
                let child = match (background, tty) {
                    (true, _) => {
                        let child = self.emulator.spawn(&target, spec).await?;
                        return Ok(Reply::Started { pid: child.pid });
                    }
                    (false, Some((rows, columns))) => {
                        self.emulator.exec(&target, spec, Stdio::Pty(rows, columns)).await?
                    }
                    (false, None) => self.emulator.exec(&target, spec, Stdio::Fds(three(descriptors)?)).await?,
                };
                let ended = attend(child, &answers, signals).await;
                self.emulator.touch();
                ended
            }
            Request::Logs { target } => self.logs(&target, &answers).await,
            Request::Capture { interface, filter } => {
                self.capture(CaptureSpec { filter, ..CaptureSpec::new(interface) }, &answers).await
            }
            Request::Run(order) => self.labs.run(&self.emulator, order, descriptors, &answers, signals).await,
            Request::LoadChapter(order) => self.labs.load_chapter(&self.emulator, order, descriptors, &answers).await,
            Request::Setup | Request::Check { .. } | Request::Solve { .. } | Request::State => {
                tokio::select! {
                    reply = self.teach(request) => reply,
                    () = answers.gone() => Ok(Reply::Done),
                }
            }
            Request::Changes => self.changes(&answers).await,
            Request::Down => Ok(Reply::Done),
            Request::Signal { call, .. } => Err(Failure::invalid(format!("call {call} takes no signal"))),
        }
    }
}

impl Supervisor {
    /// Carries an operation out and passes on what happens meanwhile.
    async fn submit(&self, operation: Operation, owner: Owner, answers: &Answers) -> Result<Reply, Failure> {
        let mut events = self.emulator.subscribe();
        let mut work = std::pin::pin!(self.emulator.submit(operation, owner));
        let result = loop {
            tokio::select! {
                result = &mut work => break result,
                Some(event) = next(&mut events) => answers.send(Reply::Event(event), vec![]).await,
            }
        };
        loop {
            let event = match events.try_recv() {
                Ok(event) => event,
                Err(TryRecvError::Lagged(lost)) => missed(lost),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            };
            answers.send(Reply::Event(event), vec![]).await;
        }
        result.map(|()| Reply::Done)
    }

    /// Passes on the logs of a node or a container, a part at a time. One of a node's that can't be read doesn't keep
    /// the others back: that is said at the end, in one warning.
    async fn logs(&self, target: &Target, answers: &Answers) -> Result<Reply, Failure> {
        let logs = self.emulator.logs(target).await?;
        let mut warnings: Vec<_> = logs.warning.iter().cloned().collect();
        for name in logs.names() {
            match logs.open(name).await {
                Ok(OpenLog { parts, warning }) => {
                    for part in parts {
                        let reply = Reply::Log { name: name.to_owned(), life: logs.life };
                        answers.deliver(reply, vec![part]).await;
                    }
                    warnings.extend(warning);
                }
                Err(failure) if matches!(target, Target::Container(_)) => return Err(failure),
                Err(failure) => warnings.push(failure.message),
            }
        }
        if let Some(mut message) = warnings.first().cloned() {
            if warnings.len() > 1 {
                message += &format!("; and {} more like this", warnings.len() - 1);
            }
            answers.send(Reply::Event(Event::Warning { message }), vec![]).await;
        }
        Ok(Reply::Done)
    }

    /// Passes on packets until the client goes.
    async fn capture(&self, spec: CaptureSpec, answers: &Answers) -> Result<Reply, Failure> {
        let capture = self.emulator.capture(spec)?;
        answers.send(Reply::Packets { packets: vec![], dropped: 0 }, vec![]).await;
        let mut told = 0;
        loop {
            tokio::select! {
                waited = capture.wait(told + 1) => waited?,
                () = answers.gone() => return Ok(Reply::Done),
            }
            let Captured { mut packets, passed, dropped } = capture.read()?;
            packets.retain(|packet| packet.number > told);
            packets.iter_mut().for_each(|packet| packet.bytes.clear());
            told = passed;
            answers.send(Reply::Packets { packets, dropped }, vec![]).await;
        }
    }

    /// Calls the chapter that is taught here.
    async fn teach(&self, request: Request) -> Result<Reply, Failure> {
        let chapter = self.labs.chapter()?;
        match request {
            Request::Setup => chapter.setup().await.map(|()| Reply::Done),
            Request::Check { task, answer } => {
                let verdict = chapter.check(&task, answer.as_deref()).await?;
                Ok(Reply::Verdict { verdict })
            }
            Request::Solve { task } => Ok(Reply::Solved { answer: chapter.solve(&task).await? }),
            _ => Ok(Reply::State { state: chapter.state() }),
        }
    }

    /// Says when to check again until the client goes.
    async fn changes(&self, answers: &Answers) -> Result<Reply, Failure> {
        let mut changes = self.emulator.changes();
        loop {
            answers.send(Reply::Changed, vec![]).await;
            tokio::select! {
                _ = changes.changed() => {
                    // A command changes several things at once: they are one.
                    tokio::time::sleep(SETTLED).await;
                    changes.mark_unchanged();
                }
                () = tokio::time::sleep(UNANNOUNCED) => {}
                () = answers.gone() => return Ok(Reply::Done),
            }
        }
    }

    /// Passes on all events until the client goes.
    async fn watch(&self, answers: &Answers) -> Result<Reply, Failure> {
        let mut events = self.emulator.subscribe();
        loop {
            let event = tokio::select! {
                event = next(&mut events) => event,
                () = answers.gone() => None,
            };
            let Some(event) = event else { return Ok(Reply::Done) };
            answers.send(Reply::Event(event), vec![]).await;
        }
    }
}

/// The next event, or how many were missed because they came faster than they were passed on. None at the end.
async fn next(events: &mut broadcast::Receiver<Event>) -> Option<Event> {
    match events.recv().await {
        Ok(event) => Some(event),
        Err(RecvError::Lagged(lost)) => Some(missed(lost)),
        Err(RecvError::Closed) => None,
    }
}

fn missed(lost: u64) -> Event {
    Event::Warning { message: format!("{lost} events were missed") }
}

/// A learner's command: what it is, and what it may do.
fn spec(target: &Target, mut command: Vec<String>, mut env: BTreeMap<String, String>) -> ExecSpec {
    if command.is_empty() {
        // Its prompt says where it is: a container has its worker's host name.
        command = vec!["bash".to_owned(), "--norc".to_owned()];
        env.entry("PS1".to_owned()).or_insert_with(|| format!("{target}:\\w# "));
    }
    ExecSpec { command, env, profile: Profile::Node }
}

/// A command's streams. A folder would lead it out of the sandbox, and a terminal is the user's own.
fn three(descriptors: Vec<OwnedFd>) -> Result<[OwnedFd; 3], Failure> {
    for descriptor in &descriptors {
        let found = fstat(descriptor).map_err(|error| Failure::failed("exec", &error))?;
        let kind = FileType::from_raw_mode(found.st_mode);
        if kind == FileType::Directory || kind == FileType::BlockDevice || isatty(descriptor) {
            return Err(Failure::invalid("a command's streams are pipes or files, no folders, disks or terminals"));
        }
    }
    descriptors.try_into().map_err(|_| Failure::invalid("three descriptors belong beside `exec`"))
}

/// Tells a client which of its command's processes were ended for want of memory; how many.
async fn warn(answers: &Answers, over: Vec<OverMemory>) -> usize {
    for over in &over {
        answers.send(Reply::Event(Event::Warning { message: over.to_string() }), vec![]).await;
    }
    over.len()
}

/// Waits for a command's end and passes signals on; ends it where its client goes.
async fn attend(
    mut child: Child,
    answers: &Answers,
    mut signals: tokio::sync::mpsc::Receiver<i32>,
) -> Result<Reply, Failure> {
    if let Some(terminal) = child.terminal.take() {
        answers.send(Reply::Terminal, vec![terminal]).await;
    }
    let failed = |error| Failure::failed("signal", &error);
    let mut told = 0;
    loop {
        tokio::select! {
            over = child.over_memory(told) => told += warn(answers, over).await,
            exit = child.wait() => {
                warn(answers, child.over_memory_until_now().split_off(told)).await;
                return Ok(Reply::Exited { status: exit.status() });
            }
            Some(signal) = signals.recv() => child.signal(signal).await.map_err(failed)?,
            () = answers.gone() => {
                child.signal(SIGHUP).await.map_err(failed)?;
                // Whether it heeds that or not: what it started and left goes, too.
                let _ = tokio::time::timeout(GRACE, child.wait()).await;
                child.signal(SIGKILL).await.map_err(failed)?;
                return Ok(Reply::Done);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn missed_events_are_counted_for_whoever_reads_them() {
        let (events, mut read) = broadcast::channel(2);
        for number in 0..5 {
            events.send(Event::Warning { message: number.to_string() }).unwrap();
        }
        drop(events);
        let mut messages = Vec::new();
        while let Some(Event::Warning { message }) = next(&mut read).await {
            messages.push(message);
        }
        assert_eq!(messages, ["3 events were missed", "3", "4"]);
    }
}
