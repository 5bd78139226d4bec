//! Routers as processes, services and clients.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The port between routers, as in the course.
pub(crate) const LINK: u16 = 55671;

/// A router that ends with the value.
pub(crate) struct Router {
    pub(crate) process: Child,
    pub(crate) folder: TempDir,
}

/// The program of examples/router.rs, beside the tests' own.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(|deps| deps.parent()).unwrap().join("examples/router")
}

impl Router {
    /// Starts a router; `more` are the sections after its own.
    pub(crate) fn start(id: &str, more: Value) -> Router {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("router.json"), config(id, more)).unwrap();
        let process = Command::new(program())
            .arg(folder.path().join("router.json"))
            .arg(folder.path().join("status.json"))
            .stderr(fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        Router { process, folder }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    pub(crate) fn status(&self) -> Value {
        let text = fs::read_to_string(self.folder.path().join("status.json")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// Gives it another configuration, as an operator does.
    pub(crate) fn reload(&self, id: &str, more: Value) {
        fs::write(self.folder.path().join("router.json"), config(id, more)).unwrap();
        self.signal("HUP");
    }

    pub(crate) fn signal(&self, signal: &str) {
        knetsim_testing::run(&["kill", &format!("-{signal}"), &self.process.id().to_string()]);
    }

    /// Resident memory, in kB.
    pub(crate) fn memory(&self) -> u64 {
        self.figure("VmRSS")
    }

    /// The most memory that was ever resident, in kB.
    pub(crate) fn most_memory(&self) -> u64 {
        self.figure("VmHWM")
    }

    fn figure(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("log of a router:\n{}", self.log());
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn config(id: &str, more: Value) -> String {
    let mut sections = vec![json!(["router", {"id": id, "mode": "interior"}])];
    sections.extend(more.as_array().unwrap().iter().cloned());
    Value::Array(sections).to_string()
}

pub(crate) fn listener() -> Value {
    json!(["listener", {"name": "in", "role": "inter-router", "host": "127.0.0.1", "port": LINK}])
}

pub(crate) fn connector() -> Value {
    json!(["connector", {"name": "out", "role": "inter-router", "host": "127.0.0.1", "port": LINK}])
}

pub(crate) fn tcp_listener(port: u16, address: &str) -> Value {
    json!(["tcpListener", {"name": address, "host": "127.0.0.1", "port": port, "address": address}])
}

pub(crate) fn tcp_connector(port: u16, address: &str) -> Value {
    json!(["tcpConnector", {"name": format!("{address} {port}"), "host": "127.0.0.1", "port": port, "address": address}])
}

/// c0 listens for routers and has the connector, c1 connects to it and has the listener; and the other way round.
pub(crate) fn pair() -> (Router, Router) {
    let c0 = Router::start("c0", json!([listener(), tcp_connector(9000, "up"), tcp_listener(8001, "down")]));
    let c1 = Router::start("c1", json!([connector(), tcp_connector(9001, "down"), tcp_listener(8000, "up")]));
    wait_open(8000);
    wait_open(8001);
    (c0, c1)
}

/// The test's own network: its loopback device is up.
pub(crate) fn in_network(test: impl FnOnce()) {
    knetsim_testing::in_namespaces(|| {
        // An ordinary user begins with 1024: clients and servers of 500 flows are more.
        let maximum = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
        knetsim_testing::run(&["ip", "link", "set", "lo", "up"]);
        test();
    });
}

/// Buffers of sockets that are as short as they may be: what a flow has under way waits in the routers.
pub(crate) fn short_buffers() {
    for (name, sizes) in [("tcp_rmem", "4096 8192 16384"), ("tcp_wmem", "4096 8192 16384")] {
        fs::write(format!("/proc/sys/net/ipv4/{name}"), sizes).unwrap();
    }
}

/// Polls until `condition` gives something, for at most `limit`: that, and how long it took.
pub(crate) fn wait<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> (T, Duration) {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return (value, start.elapsed());
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) fn is_open(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

pub(crate) fn wait_open(port: u16) {
    wait(&format!("port {port} opens"), Duration::from_secs(60), || is_open(port).then_some(()));
}

/// A service that answers each connection on a thread of its own.
pub(crate) fn serve(port: u16, answer: impl Fn(TcpStream) + Clone + Send + 'static) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = answer.clone();
            thread::spawn(move || answer(stream.unwrap()));
        }
    });
}

/// Sends back whatever comes.
pub(crate) fn echo(mut stream: TcpStream) {
    let mut copy = stream.try_clone().unwrap();
    let _ = io::copy(&mut copy, &mut stream);
    let _ = stream.shutdown(Shutdown::Write);
}

/// Bytes that differ from place to place, so that any that are lost, doubled or swapped are seen.
pub(crate) fn pattern(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// Takes all that a client sends, then sends it back: a flow whose directions end one after the other.
pub(crate) fn store(mut stream: TcpStream) {
    let mut all = Vec::new();
    if stream.read_to_end(&mut all).is_ok() {
        let _ = stream.write_all(&all);
    }
}

/// Sends `bytes`, ends, and checks that they come back whole.
pub(crate) fn there_and_back(port: u16, bytes: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(bytes).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut back = Vec::with_capacity(bytes.len());
    stream.read_to_end(&mut back).unwrap();
    assert!(back == bytes, "{} bytes went, {} came back, or others", bytes.len(), back.len());
}

/// What a client's flow says for a line of its own.
pub(crate) fn ask(port: u16, line: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(line)?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// A program that ends with the value.
pub(crate) struct Program(pub(crate) Child);

impl Program {
    pub(crate) fn start(command: &[&str], log: &std::path::Path) -> Program {
        let out = fs::File::create(log).unwrap();
        let mut program = Command::new(command[0]);
        let program = program.args(&command[1..]).stdin(Stdio::null()).stderr(out.try_clone().unwrap()).stdout(out);
        Program(program.spawn().unwrap_or_else(|error| panic!("{}: {error}", command[0])))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
