//! Keeps one daemon running until it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use knetsim_model::Event;
use knetsim_sandbox::{Child, Exit, Node, Profile, Sandbox, Spawn, Stdio};
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep};

use crate::error::{DaemonError, Who};
use crate::{DaemonSpec, Log, Restart, log_path};

/// How long to wait before a daemon is started again: at first, and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A daemon that ran for that long had begun well.
const STEADY: Duration = Duration::from_secs(10);

/// What the handle and the keeper of a daemon share.
#[derive(Debug)]
pub(crate) struct Shared {
    sandbox: Sandbox,
    pub(crate) log: Log,
    pub(crate) spec: DaemonSpec,
    pub(crate) state: watch::Sender<State>,
    pub(crate) stopping: watch::Sender<bool>,
    events: broadcast::Sender<Event>,
}

/// Whether a daemon runs.
#[derive(Clone, Debug)]
pub(crate) enum State {
    Up(Arc<Child>),
    /// It ended, and will be started again.
    Down(Exit),
    /// It ended, and that is that.
    Gone(Exit),
}

impl State {
    /// How it ended.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            State::Up(_) => Exit::Lost,
            State::Down(exit) | State::Gone(exit) => *exit,
        }
    }
}

impl Shared {
    pub(crate) fn new(
        sandbox: &Sandbox,
        node: &Node,
        spec: DaemonSpec,
        events: broadcast::Sender<Event>,
    ) -> Result<Shared, DaemonError> {
        let who = Who { daemon: spec.name.clone(), node: spec.node.clone() };
        Ok(Shared {
            sandbox: sandbox.clone(),
            log: Log::new(&node.files, log_path(&spec.name)).map_err(|source| DaemonError::Log { who, source })?,
            spec,
            state: watch::Sender::new(State::Down(Exit::Lost)),
            stopping: watch::Sender::new(false),
            events,
        })
    }

    pub(crate) fn who(&self) -> Who {
        Who { daemon: self.spec.name.clone(), node: self.spec.node.clone() }
    }

    /// Its process, while it runs.
    pub(crate) fn child(&self) -> Option<Arc<Child>> {
        match &*self.state.borrow() {
            State::Up(child) => Some(Arc::clone(child)),
            State::Down(_) | State::Gone(_) => None,
        }
    }

    pub(crate) async fn spawn(&self) -> Result<Arc<Child>, DaemonError> {
        let log = self.log.clone();
        let writer = tokio::task::spawn_blocking(move || log.writer()).await;
        let writer = writer.map_err(std::io::Error::other).flatten();
        let log = writer.map_err(|source| DaemonError::Log { who: self.who(), source })?;
        let spawn = Spawn {
            argv: self.spec.argv.clone(),
            env: self.spec.env.clone(),
            cwd: Some("/".into()),
            node: Some(self.spec.node.clone()),
            netns: None,
            profile: Profile::Daemon,
            stdio: Stdio::Log(log),
            label: Some(self.who().to_string()),
        };
        let child = self.sandbox.spawn(spawn).await;
        child.map(Arc::new).map_err(|source| DaemonError::Start { who: self.who(), source })
    }

    fn say(&self, how: String) {
        let event = Event::DaemonEnded { node: self.spec.node.clone(), daemon: self.spec.name.clone(), how };
        // Nobody listening is nothing to report.
        let _ = self.events.send(event);
    }

    /// Returns when the daemon shall stop.
    async fn stop_asked(&self) {
        // The sender lives as long as `self`.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }
}

/// Waits for the end of a daemon's process, says it, and starts another, until it shall stop.
pub(crate) async fn keep(shared: Arc<Shared>, mut child: Arc<Child>) {
    let mut back_off = BACK_OFF.0;
    let mut began = Instant::now();
    loop {
        let exit = child.wait().await;
        if *shared.stopping.borrow() || exit == Exit::Lost {
            shared.state.send_replace(State::Gone(exit));
            return;
        }
        if shared.spec.restart == Restart::Never {
            shared.say(format!("{exit}; it stays down"));
            shared.state.send_replace(State::Gone(exit));
            return;
        }
        if began.elapsed() >= STEADY {
            back_off = BACK_OFF.0;
        }
        shared.say(format!("{exit}; it is started again in {back_off:?}"));
        shared.state.send_replace(State::Down(exit));
        child = loop {
            tokio::select! {
                () = sleep(back_off) => {}
                () = shared.stop_asked() => {
                    shared.state.send_replace(State::Gone(exit));
                    return;
                }
            }
            back_off = (back_off * 2).min(BACK_OFF.1);
            match shared.spawn().await {
                Ok(child) => break child,
                Err(error) => {
                    shared.say(format!("{}; tried again in {back_off:?}", knetsim_model::error::chain(&error)))
                }
            }
        };
        began = Instant::now();
        shared.state.send_replace(State::Up(Arc::clone(&child)));
        // Who asked to stop in between found nothing to signal.
        if *shared.stopping.borrow() && child.signal(crate::ending::TERM).await.is_err() {
            shared.state.send_replace(State::Gone(Exit::Lost));
            return;
        }
    }
}
