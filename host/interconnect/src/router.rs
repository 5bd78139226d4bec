//! A site's router on its worker: started, changed, asked, stopped.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cap_std::fs::Dir;
use knetsim_daemon::{Daemon, DaemonError, DaemonSpec, Restart};
use knetsim_kernel::{NetNs, files, sockets};
use knetsim_model::interconnect::{Interconnect, ROUTER_PORT};
use knetsim_model::{Event, LinkName};
use knetsim_sandbox::{Node, Sandbox};
use tokio::sync::broadcast;

use crate::certificates::Credentials;
use crate::config::{self, CERTIFICATES, CONFIGURATION, SERVER, Wanted};
use crate::error::InterconnectError;
use crate::seen::{Seen, Status, of_skrouterd};

/// How long a router may take until it goes by a configuration.
const READY: Duration = Duration::from_secs(10);
/// How long it may take to end.
const STOP: Duration = Duration::from_secs(2);
/// SIGHUP, signal(7): knetsim's router reads its configuration again.
const RELOAD: i32 = 1;
/// The daemon's name: its log is /var/log/skupper-router.log.
const DAEMON: &str = "skupper-router";
/// The file that knetsim's router keeps up to date with how it is.
const STATUS: &str = "run/skupper-router/status.json";
/// The most that is read of it, and of the end of skrouterd's log, in bytes.
const STATUS_MOST: u64 = 4 << 20;
const LOG_MOST: u64 = 256 << 10;

/// A site's router that runs.
#[derive(Debug)]
pub struct Router {
    kind: Interconnect,
    sandbox: Sandbox,
    events: broadcast::Sender<Event>,
    netns: NetNs,
    files: Dir,
    told: Mutex<Told>,
}

/// What the router was told last, and the process that was told.
#[derive(Clone, Debug)]
struct Told {
    daemon: Arc<Daemon>,
    generation: u64,
    wanted: Arc<Wanted>,
}

impl Router {
    /// Starts a site's router on its worker, and returns when it goes by its configuration. `server` is what it shows
    /// those who connect to it; what it shows others lies there already ([`Router::give`]).
    ///
    /// # Errors
    /// The program isn't there, or does not run; nothing is left of it then.
    pub async fn start(
        sandbox: &Sandbox,
        node: &Node,
        (kind, wanted): (Interconnect, Wanted),
        server: &Credentials,
        events: broadcast::Sender<Event>,
    ) -> Result<Router, InterconnectError> {
        let files = node.files.try_clone().map_err(file(""))?;
        let started = async {
            write_credentials(&files, SERVER, server)?;
            make_folder(&files, STATUS)?;
            write_file(&files, CONFIGURATION, &config::write(&wanted, 1))?;
            run(sandbox, node, kind, &events).await
        };
        let daemon = match started.await {
            Ok(daemon) => daemon,
            Err(error) => {
                let _ = remove(&files);
                return Err(error);
            }
        };
        let (netns, told) = (node.netns.clone(), Told { daemon, generation: 1, wanted: Arc::new(wanted) });
        let router = Router { kind, sandbox: sandbox.clone(), events, netns, files, told: Mutex::new(told) };
        match router.goes_by(1).await {
            Ok(()) => Ok(router),
            Err(error) => {
                // The first error is the one to tell.
                let _ = router.stop().await;
                Err(error)
            }
        }
    }

    /// Which program it is.
    pub fn kind(&self) -> Interconnect {
        self.kind
    }

    /// What it was told last.
    pub fn wanted(&self) -> Arc<Wanted> {
        self.told().wanted.clone()
    }

    /// Makes it do something else, and returns when it does. knetsim's router goes on with all that stays the same;
    /// skrouterd is started anew, so that its flows end.
    ///
    /// # Errors
    /// It does not take it over; then it goes on as it was.
    pub async fn change(&self, node: &Node, wanted: Wanted) -> Result<(), InterconnectError> {
        let before = self.told().clone();
        let changed = self.tell(node, Arc::new(wanted)).await;
        if changed.is_err() {
            // What failed is the error to tell.
            let _ = self.tell(node, before.wanted).await;
        }
        changed
    }

    async fn tell(&self, node: &Node, wanted: Arc<Wanted>) -> Result<(), InterconnectError> {
        let Told { daemon, generation, .. } = self.told().clone();
        let generation = generation + 1;
        write_file(&self.files, CONFIGURATION, &config::write(&wanted, generation))?;
        *self.told() = Told { daemon: daemon.clone(), generation, wanted };
        match self.kind {
            // It reads its file when it is started again.
            Interconnect::Embedded if daemon.pid().is_none() => return Ok(()),
            Interconnect::Embedded => daemon.signal(RELOAD).await?,
            Interconnect::Skrouterd => {
                daemon.stop(STOP).await?;
                let daemon = run(&self.sandbox, node, self.kind, &self.events).await?;
                self.told().daemon = daemon;
            }
        }
        self.goes_by(generation).await
    }

    /// Waits until it goes by that configuration.
    async fn goes_by(&self, generation: u64) -> Result<(), InterconnectError> {
        let daemon = self.told().daemon.clone();
        let ready = match self.kind {
            Interconnect::Embedded => {
                let probe = || {
                    let status = self.status();
                    async move {
                        let wanted = generation.to_string();
                        match status?.metadata {
                            Some(now) if now == wanted => Ok(()),
                            other => Err(format!("it goes by configuration {}", other.unwrap_or_default())),
                        }
                    }
                };
                daemon.ready(READY, probe).await
            }
            Interconnect::Skrouterd => {
                // A connection that says nothing would be an error in its log.
                let probe = || async {
                    let sockets = sockets::list(&self.netns).await.map_err(|error| error.to_string())?;
                    match sockets.iter().any(|it| it.state == "listen" && it.local.port() == ROUTER_PORT) {
                        true => Ok(()),
                        false => Err(format!("it doesn't listen on port {ROUTER_PORT}")),
                    }
                };
                daemon.ready(READY, probe).await
            }
        };
        Ok(ready?)
    }

    /// What it says of itself.
    pub fn seen(&self) -> Seen {
        let Told { daemon, wanted, .. } = self.told().clone();
        if daemon.pid().is_none() {
            return Seen::nothing(format!("the router is down: {}", daemon.last_words()));
        }
        match self.kind {
            Interconnect::Embedded => self.status().map_or_else(Seen::nothing, Seen::from),
            Interconnect::Skrouterd => {
                let log = daemon.log().end(LOG_MOST);
                // What is of another run than this one is not looked at.
                let log = String::from_utf8_lossy(&log);
                let log = log.rsplit("Router started in Interior mode").next().unwrap_or_default();
                // It repeats itself for its own collector, with more around the words.
                let log: Vec<_> = log.lines().filter(|line| !line.contains(" FLOW_LOG ")).collect();
                match sockets::list_now(&self.netns) {
                    Ok(sockets) => of_skrouterd(&log.join("\n"), &sockets, &wanted),
                    Err(error) => Seen::nothing(error.to_string()),
                }
            }
        }
    }

    /// The status file of knetsim's router, or why it can't be read.
    fn status(&self) -> Result<Status, String> {
        let read = files::read(&self.files, STATUS, STATUS_MOST).map_err(|error| format!("/{STATUS}: {error}"))?;
        serde_json::from_slice(&read).map_err(|error| format!("/{STATUS}: {error}"))
    }

    /// Ends it, and removes its files; its log stays. Can be repeated.
    ///
    /// # Errors
    /// The node side has ended.
    pub async fn stop(&self) -> Result<(), InterconnectError> {
        let daemon = self.told().daemon.clone();
        daemon.stop(STOP).await?;
        remove(&self.files)
    }

    /// Lays down on a worker by what its router is let in at the other end of a link.
    ///
    /// # Errors
    /// Something else lies in the files' place.
    pub fn give(node: &Node, link: &LinkName, credentials: &Credentials) -> Result<(), InterconnectError> {
        write_credentials(&node.files, &config::link_profile(link), credentials)
    }

    /// Removes what [`Router::give`] laid down. Can be repeated.
    ///
    /// # Errors
    /// It can't be removed.
    pub fn take_back(node: &Node, link: &LinkName) -> Result<(), InterconnectError> {
        remove_folder(&node.files, &config::profile_folder(&config::link_profile(link)))
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        // Nothing between lock and unlock leaves it half changed.
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the program.
async fn run(
    sandbox: &Sandbox,
    node: &Node,
    kind: Interconnect,
    events: &broadcast::Sender<Event>,
) -> Result<Arc<Daemon>, InterconnectError> {
    let status = format!("/{STATUS}");
    let argv: &[&str] = match kind {
        Interconnect::Embedded => &["knetsim", "router", "-c", CONFIGURATION, "--status", &status],
        Interconnect::Skrouterd => &["skrouterd", "-c", CONFIGURATION],
    };
    // What an earlier one said is nothing to go by.
    match node.files.remove_file(STATUS) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(file(STATUS)(error)),
        _ => {}
    }
    let spec = DaemonSpec {
        name: DAEMON.to_owned(),
        node: node.name.clone(),
        argv: argv.iter().map(ToString::to_string).collect(),
        env: BTreeMap::new(),
        restart: Restart::Always,
    };
    match Daemon::start(sandbox, node, spec, events.clone()).await {
        Err(DaemonError::Start { source, .. })
            if kind == Interconnect::Skrouterd
                && source.errno().map(|errno| Error::from_raw_os_error(errno).kind()) == Some(ErrorKind::NotFound) =>
        {
            Err(InterconnectError::NoSkrouterd)
        }
        started => Ok(Arc::new(started?)),
    }
}

fn write_credentials(files: &Dir, profile: &str, credentials: &Credentials) -> Result<(), InterconnectError> {
    let Credentials { ca, certificate, key } = credentials;
    let folder = config::profile_folder(profile);
    [("ca.crt", ca), ("tls.crt", certificate), ("tls.key", key)]
        .into_iter()
        .try_for_each(|(name, text)| write_file(files, &format!("{folder}/{name}"), text))
}

fn write_file(files: &Dir, path: &str, text: &str) -> Result<(), InterconnectError> {
    make_folder(files, path)?;
    files::write(files, inside(path), text).map_err(file(path))
}

fn make_folder(files: &Dir, path: &str) -> Result<(), InterconnectError> {
    let folder = inside(path).rsplit_once('/').map_or("", |(folder, _)| folder);
    files.create_dir_all(folder).map_err(file(path))
}

/// All but the folder that is bound into the worker's /etc.
fn remove(files: &Dir) -> Result<(), InterconnectError> {
    remove_folder(files, CERTIFICATES)?;
    for path in [CONFIGURATION, STATUS] {
        match files.remove_file(inside(path)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(file(path)(error)),
            _ => {}
        }
    }
    Ok(())
}

fn remove_folder(files: &Dir, path: &str) -> Result<(), InterconnectError> {
    match files.remove_dir_all(inside(path)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(file(path)(error)),
        _ => Ok(()),
    }
}

/// A path of the worker's in its folder.
fn inside(path: &str) -> &str {
    path.trim_start_matches('/')
}

fn file(path: &str) -> impl FnOnce(Error) -> InterconnectError {
    let path = format!("/{}", inside(path));
    move |source| InterconnectError::File { path, source }
}
