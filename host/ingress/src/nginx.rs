//! nginx on a worker: started, changed, stopped.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use cap_std::fs::Dir;
use futures::future::join_all;
use knetsim_daemon::{Daemon, DaemonSpec, Restart};
use knetsim_kernel::{NetNs, files};
use knetsim_model::ingress::IngressSpec;
use knetsim_model::{Event, IngressName, NodeName};
use knetsim_sandbox::{Exit, Node, Profile, Sandbox, Spawn, Stdio};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, broadcast};
use tokio::time::timeout;

use crate::config::{self, Backends};
use crate::error::IngressError;

/// Where nginx says which configuration it has. It listens at its port on all addresses and tells by the address that
/// was asked which server answers: so this takes no port of its own, and no path away.
pub(crate) const STATUS: Ipv4Addr = Ipv4Addr::new(127, 100, 100, 100);
/// How long nginx may take until it answers by a configuration.
const READY: Duration = Duration::from_secs(10);
/// How long it may take to end; requests that are under way are broken off.
const STOP: Duration = Duration::from_secs(2);
/// How long its old process may take to leave its port to the new one. By itself it takes 0.1 s.
const HAND_OVER: Duration = Duration::from_secs(5);
/// How much of what `nginx -t` says an error cites, in bytes: more than the longest path.
const WORDS: u64 = 4096;

/// How many connections it is asked by at the same time.
const AT_ONCE: usize = 8;

/// SIGHUP, signal(7): nginx reads its configuration again.
const RELOAD: i32 = 1;

/// The path of an ingress's access log in its worker's folder. Beside it is the daemon's own log.
pub fn access_log(name: &IngressName) -> String {
    knetsim_daemon::log_path(&format!("{}.access", daemon_name(name)))
}

fn daemon_name(name: &IngressName) -> String {
    format!("ingress-{name}")
}

/// An ingress that runs.
#[derive(Debug)]
pub struct Nginx {
    name: IngressName,
    worker: NodeName,
    sandbox: Sandbox,
    netns: NetNs,
    files: Dir,
    daemon: Daemon,
    told: Mutex<Told>,
}

/// What nginx was told last.
#[derive(Debug)]
struct Told {
    generation: u64,
    /// The file's text.
    text: String,
}

/// A connection to one of nginx's processes, which closes it when it accepts no more connections.
#[derive(Debug)]
struct Line {
    stream: TcpStream,
    /// Which configuration it has.
    generation: u64,
    /// Its process, as `ps` on the node side shows it.
    pid: i32,
}

impl Nginx {
    /// Starts nginx on a worker and waits until it answers.
    ///
    /// # Errors
    /// It refuses its configuration, its port is taken, or there is no nginx; nothing is left running then.
    pub async fn start(
        sandbox: &Sandbox,
        node: &Node,
        name: &IngressName,
        (spec, backends): (&IngressSpec, &Backends),
        events: broadcast::Sender<Event>,
    ) -> Result<Nginx, IngressError> {
        let files = node.files.try_clone().map_err(file(""))?;
        let place = Place { name, worker: &node.name, sandbox, files: &files };
        let text = config::write(name, spec, backends, 1);
        let started = async {
            place.make()?;
            place.offer(&text).await?;
            let daemon = DaemonSpec {
                name: daemon_name(name),
                node: node.name.clone(),
                argv: place.argv(&[], FILE),
                env: BTreeMap::new(),
                restart: Restart::Always,
            };
            let daemon = Daemon::start(sandbox, node, daemon, events).await?;
            let ready = answers(&daemon, &node.netns, spec.port, 1).await;
            if ready.is_err() {
                // The first error is the one to tell.
                let _ = daemon.stop(Duration::ZERO).await;
            }
            ready.map(|()| daemon)
        };
        let daemon = match started.await {
            Ok(daemon) => daemon,
            Err(error) => {
                let _ = place.remove();
                return Err(error);
            }
        };
        Ok(Nginx {
            name: name.clone(),
            worker: node.name.clone(),
            sandbox: sandbox.clone(),
            netns: node.netns.clone(),
            files,
            daemon,
            told: Mutex::new(Told { generation: 1, text }),
        })
    }

    /// Gives it another configuration, at the same port, and returns when no request is answered by the old one any more
    /// but those that had begun.
    ///
    /// # Errors
    /// It refuses the configuration, or does not take it; then it goes on with the old one.
    pub async fn change(&self, spec: &IngressSpec, backends: &Backends) -> Result<(), IngressError> {
        let mut told = self.told.lock().await;
        let generation = told.generation + 1;
        let text = config::write(&self.name, spec, backends, generation);
        let place = self.place();
        // Where it is down, there is none to retire.
        let (offered, old) = tokio::join!(place.offer(&text), ask(&self.netns, spec.port));
        offered?;
        // Whatever becomes of it, this number is spent.
        told.generation = generation;
        self.daemon.signal(RELOAD).await?;
        if let Err(error) = answers(&self.daemon, &self.netns, spec.port, generation).await {
            files::write(&self.files, place.path(FILE), &told.text).map_err(file(place.path(FILE)))?;
            self.daemon.signal(RELOAD).await?;
            return Err(error);
        }
        told.text = text;
        if let Ok(old) = old {
            self.retire(old).await;
        }
        Ok(())
    }

    /// Makes the old process leave all new connections to the new one, which accepts them already. The first process
    /// would tell it so after 0.1 s.
    async fn retire(&self, mut old: Line) {
        // Only one that is still there may be sent a signal: its number could be another's by now.
        let there = old.stream.try_read(&mut [0; 1]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        if there {
            let argv = ["kill", "-s", "QUIT", &old.pid.to_string()].map(str::to_owned).to_vec();
            let kill = Spawn { argv, ..self.place().command(Stdio::Null) };
            // Without it, it takes those 0.1 s.
            let _ = self.sandbox.spawn(kill).await;
        }
        let _ = timeout(HAND_OVER, old.stream.read(&mut [0; 1])).await;
    }

    fn place(&self) -> Place<'_> {
        Place { name: &self.name, worker: &self.worker, sandbox: &self.sandbox, files: &self.files }
    }

    /// Whether it runs.
    pub fn is_up(&self) -> bool {
        self.daemon.pid().is_some()
    }

    /// Ends it, and removes its configuration; its logs stay. Can be repeated.
    ///
    /// # Errors
    /// The node side has ended.
    pub async fn stop(&self) -> Result<(), IngressError> {
        self.daemon.stop(STOP).await?;
        self.place().remove()
    }
}

/// nginx's configuration file.
const FILE: &str = "nginx.conf";
/// One that it was not given yet.
const OFFER: &str = "nginx.conf.new";
/// What `nginx -t` says.
const VERDICT: &str = "nginx.conf.verdict";

/// Where an ingress's files are.
struct Place<'a> {
    name: &'a IngressName,
    worker: &'a NodeName,
    sandbox: &'a Sandbox,
    files: &'a Dir,
}

impl Place<'_> {
    fn folder(&self) -> String {
        format!("var/lib/{}", daemon_name(self.name))
    }

    fn path(&self, file: &str) -> String {
        format!("{}/{file}", self.folder())
    }

    fn make(&self) -> Result<(), IngressError> {
        let folder = self.folder();
        self.files.create_dir_all(&folder).map_err(file(folder))
    }

    fn remove(&self) -> Result<(), IngressError> {
        let folder = self.folder();
        match self.files.remove_dir_all(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            done => done.map_err(file(folder)),
        }
    }

    fn argv(&self, options: &[&str], file: &str) -> Vec<String> {
        let (folder, file) = (format!("/{}", self.path("")), format!("/{}", self.path(file)));
        let own = ["-p", &folder, "-c", &file, "-e", "stderr"];
        ["nginx"].iter().chain(options).chain(&own).map(ToString::to_string).collect()
    }

    /// A command on the worker.
    fn command(&self, stdio: Stdio) -> Spawn {
        let (env, cwd, node) = (BTreeMap::new(), Some("/".to_owned()), Some(self.worker.clone()));
        Spawn { argv: Vec::new(), env, cwd, node, netns: None, profile: Profile::Daemon, stdio, label: None }
    }

    /// Writes the file, where `nginx -t` accepts it.
    async fn offer(&self, text: &str) -> Result<(), IngressError> {
        files::write(self.files, self.path(OFFER), text).map_err(file(self.path(OFFER)))?;
        files::write(self.files, self.path(VERDICT), "").map_err(file(self.path(VERDICT)))?;
        let verdict = files::append(self.files, self.path(VERDICT)).map_err(file(self.path(VERDICT)))?;
        let output = Stdio::Log(verdict.into_std().into());
        let test = Spawn { argv: self.argv(&["-t", "-q"], OFFER), ..self.command(output) };
        let exit = self.sandbox.spawn(test).await.map_err(IngressError::Test)?.wait().await;
        if exit != Exit::Code(0) {
            let words = files::read_end(self.files, self.path(VERDICT), WORDS).unwrap_or_default();
            let words = String::from_utf8_lossy(&words);
            let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
            return Err(refused(if words.is_empty() { exit.to_string() } else { words }));
        }
        self.files.rename(self.path(OFFER), self.files, self.path(FILE)).map_err(file(self.path(FILE)))
    }
}

/// What `nginx -t` says, by the regular expression that it is about, where it is about one:
/// `pcre2_compile() failed: missing closing parenthesis in "^/a(" at "" in /...:44`.
fn refused(words: String) -> IngressError {
    let expression = words.split_once("_compile() failed: ").and_then(|(_, rest)| {
        let (why, rest) = rest.split_once(" in \"^")?;
        let end = rest.rfind("\" at \"").or_else(|| rest.rfind("\" in /")).unwrap_or(rest.len());
        Some(IngressError::Expression { path: rest.get(..end)?.to_owned(), why: why.to_owned() })
    });
    expression.unwrap_or(IngressError::Refused(words))
}

fn file(path: impl Into<String>) -> impl FnOnce(std::io::Error) -> IngressError {
    let path = path.into();
    move |source| IngressError::File { path: format!("/{path}"), source }
}

/// Waits until nginx answers by that configuration. The old process and the new one accept at the same port, and of
/// single connections the old one may be the faster each time: so it is asked several times at once.
async fn answers(daemon: &Daemon, netns: &NetNs, port: u16, generation: u64) -> Result<(), IngressError> {
    let probe = || async {
        let mut answers = join_all((0..AT_ONCE).map(|_| ask(netns, port))).await;
        let newest = answers.iter().flatten().map(|line| line.generation).max();
        match (newest, answers.pop()) {
            (Some(newest), _) if newest == generation => Ok(()),
            (Some(newest), _) => Err(format!("it goes on with configuration {newest}: {}", daemon.last_words())),
            (None, Some(Err(error))) => Err(format!("asking it at {STATUS}:{port}: {error}")),
            (None, _) => Err(format!("nobody was asked at {STATUS}:{port}")),
        }
    };
    Ok(daemon.ready(READY, probe).await?)
}

/// Asks which configuration nginx has.
async fn ask(netns: &NetNs, port: u16) -> std::io::Result<Line> {
    let mut stream = netns.connect(SocketAddrV4::new(STATUS, port).into()).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: status\r\n\r\n").await?;
    let mut answer = Vec::new();
    loop {
        let mut part = [0; 1024];
        let read = stream.read(&mut part).await?;
        answer.extend_from_slice(&part[..read]);
        if let Some((generation, pid)) = std::str::from_utf8(&answer).ok().and_then(configuration) {
            return Ok(Line { stream, generation, pid });
        }
        if read == 0 || answer.len() > 4096 {
            return Err(std::io::Error::other("something else than the ingress answers there"));
        }
    }
}

/// The number of the configuration and the process, of an answer that has come whole.
fn configuration(answer: &str) -> Option<(u64, i32)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let length: usize = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok())?;
    let (generation, pid) = body.get(..length)?.split_once(' ')?;
    Some((generation.parse().ok()?, pid.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nginx_says_which_expression_it_refuses() {
        for (words, said) in [
            (
                "nginx: [emerg] pcre2_compile() failed: missing closing parenthesis in \"^/a(\" in /x/nginx.conf.new:44",
                "path `/a(`: nginx refuses the regular expression: missing closing parenthesis",
            ),
            (
                "nginx: [emerg] pcre2_compile() failed: quantifier does not follow a repeatable item in \"^/+\" at \"+\" in /x:4",
                "path `/+`: nginx refuses the regular expression: quantifier does not follow a repeatable item",
            ),
            ("nginx: [emerg] x", "nginx refuses its configuration: nginx: [emerg] x"),
        ] {
            assert_eq!(refused(words.to_owned()).to_string(), said);
        }
    }
}
