//! Routers of several kinds in a row, and downloads through them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::certificates::{certificates, ssl_profile, with_tls};
use crate::common::*;

/// Whose router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Knetsim,
    /// tests/router/skrouterd, which does as skrouterd does and is everywhere; it passes nothing on.
    StandIn,
    /// What is on PATH: for tests with the feature `skrouterd`.
    Skrouterd,
}

/// Other programs' routers.
pub(crate) const OTHERS: &[Kind] =
    if cfg!(feature = "skrouterd") { &[Kind::StandIn, Kind::Skrouterd] } else { &[Kind::StandIn] };

/// A skrouterd on PATH.
fn skrouterd() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("skrouterd")).find(|file| file.exists());
    found.expect("these tests are built with the feature skrouterd, and no skrouterd is on PATH")
}

/// A router of any kind, which ends with the value.
pub(crate) enum Started {
    Knetsim(Router),
    Other { _program: Program, folder: tempfile::TempDir },
}

impl Started {
    pub(crate) fn new(kind: Kind, id: &str, sections: Value) -> Started {
        if kind == Kind::Knetsim {
            return Started::Knetsim(Router::start(id, sections));
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("router.json");
        std::fs::write(&file, config(id, sections)).unwrap();
        let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/router/skrouterd");
        let program = if kind == Kind::StandIn { stand_in } else { skrouterd() };
        let command = ["env", "PYTHONDONTWRITEBYTECODE=1", program.to_str().unwrap(), "-c", file.to_str().unwrap()];
        let program = Program::start(&command, &folder.path().join("log"));
        Started::Other { _program: program, folder }
    }

    /// What knetsim's own says of itself.
    pub(crate) fn status(&self) -> Value {
        match self {
            Started::Knetsim(router) => router.status(),
            Started::Other { .. } => Value::Null,
        }
    }

    /// The most memory that knetsim's own ever had resident, in kB.
    pub(crate) fn most_memory(&self) -> u64 {
        match self {
            Started::Knetsim(router) => router.most_memory(),
            Started::Other { .. } => 0,
        }
    }

    pub(crate) fn log(&self) -> String {
        match self {
            Started::Knetsim(router) => router.log(),
            Started::Other { folder, .. } => std::fs::read_to_string(folder.path().join("log")).unwrap(),
        }
    }
}

/// Routers in a row, each connected to the one before; at one end the service, at the other the clients' port 8000.
pub(crate) struct Row {
    pub(crate) routers: Vec<Started>,
    _certificates: tempfile::TempDir,
}

/// At which end of a row the service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServiceAt {
    /// The router that only listens.
    First,
    /// The one that only connects.
    Last,
}

pub(crate) const FIRST_LINK: usize = 5600;
/// The longest frames, by default and at most.
pub(crate) const FRAME: u32 = 16_384;
pub(crate) const LONGEST_FRAME: u32 = 1 << 20;

impl Row {
    pub(crate) fn start(kinds: &[Kind], service: ServiceAt, tls: bool, frame: u32) -> Row {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<String> = (0..kinds.len()).map(|at| format!("r{at}")).collect();
        certificates(folder.path(), &names.iter().map(String::as_str).collect::<Vec<_>>());
        let last = kinds.len() - 1;
        let (with_service, with_clients) = if service == ServiceAt::First { (0, last) } else { (last, 0) };
        let link = |kind: &str, at: usize, more: Value| {
            let section = json!([kind, {
                "name": kind, "role": "inter-router", "host": "127.0.0.1", "port": FIRST_LINK + at, "maxFrameSize": frame
            }]);
            if tls { with_tls(&section, &more) } else { section }
        };
        let router = |(at, kind): (usize, &Kind)| {
            let mut sections = Vec::new();
            if tls {
                sections.push(ssl_profile(folder.path(), &names[at]));
            }
            if at > 0 {
                sections.push(link("connector", at - 1, json!({"host": "localhost"})));
            }
            if at < last {
                sections.push(link("listener", at, json!({"authenticatePeer": true})));
            }
            if at == with_service {
                sections.push(tcp_connector(9000, "web"));
            }
            if at == with_clients {
                sections.push(tcp_listener(8000, "web"));
            }
            Started::new(*kind, &names[at], Value::Array(sections))
        };
        let routers = kinds.iter().enumerate().map(router).collect();
        let row = Row { routers, _certificates: folder };
        wait_open(8000);
        row
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        if thread::panicking() {
            self.routers.iter().for_each(|router| println!("log of a router:\n{}", router.log()));
        }
    }
}

/// What the service sends over and over: of a length that no buffer is a multiple of, so that what is lost is seen.
const BLOCK: usize = 65_521;

/// Sends as many bytes as it is asked for.
fn send_bytes(mut stream: TcpStream) {
    let mut size = [0; 8];
    // Whoever only looks whether the port is open asks for nothing.
    let Ok(()) = stream.read_exact(&mut size) else { return };
    let (block, mut left) = (pattern(BLOCK, 7), u64::from_le_bytes(size));
    while left > 0 {
        let part = &block[..left.min(BLOCK as u64) as usize];
        if stream.write_all(part).is_err() {
            return;
        }
        left -= part.len() as u64;
    }
}

pub(crate) fn ask_for(size: u64) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", 8000)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(&size.to_le_bytes()).unwrap();
    stream
}

fn download(size: u64) {
    let mut stream = ask_for(size);
    let (block, mut buffer, mut at) = (pattern(BLOCK, 7), vec![0; 256 << 10], 0);
    loop {
        let count = stream.read(&mut buffer).unwrap_or_else(|error| panic!("after {at} of {size} bytes: {error}"));
        if count == 0 {
            break;
        }
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            let expected = &block[at % BLOCK..];
            let (part, after) = rest.split_at(rest.len().min(expected.len()));
            assert!(part == &expected[..part.len()], "other bytes than were sent, after {at}");
            (at, rest) = (at + part.len(), after);
        }
    }
    assert_eq!(at as u64, size, "the download ended early");
}

pub(crate) fn at_once(count: usize, size: u64) {
    let clients: Vec<_> = (0..count).map(|_| thread::spawn(move || download(size))).collect();
    let failed = clients.into_iter().map(|client| client.join()).filter(Result::is_err).count();
    assert_eq!(failed, 0, "of {count} downloads at once so many failed");
}

/// Runs in a network with a service that sends as many bytes as it is asked for.
pub(crate) fn with_service(test: impl FnOnce()) {
    in_network(|| {
        serve(9000, send_bytes);
        test();
    });
}

/// Downloads of so many bytes at once, for each count.
pub(crate) fn downloads(kinds: &[Kind], service: ServiceAt, tls: bool, counts: &[usize], size: u64) {
    println!("{kinds:?}, service at the {service:?}, tls: {tls}");
    let _row = Row::start(kinds, service, tls, FRAME);
    counts.iter().for_each(|count| at_once(*count, size));
}

/// The rows with this kind of router among knetsim's own.
pub(crate) fn rows(other: Kind) -> Vec<Vec<Kind>> {
    use Kind::Knetsim;
    let mut rows = vec![
        vec![Knetsim, other],
        vec![other, Knetsim],
        vec![other, Knetsim, other],
        vec![Knetsim, Knetsim, other],
        vec![other, Knetsim, Knetsim],
    ];
    if other != Kind::StandIn {
        rows.push(vec![Knetsim, other, Knetsim]);
    }
    rows
}

/// What a reader that stalls has asked for: more than all kernels on the way keep.
const STALLED: usize = 20_000_000;

/// Readers that stall, so many at the router that connects and at the one that listens, beside each kind of router.
pub(crate) fn past_stalled_readers_of_all_kinds(connecting: usize, listening: usize) {
    with_service(|| {
        for other in [Kind::Knetsim].iter().chain(OTHERS) {
            past_stalled_readers(&[Kind::Knetsim, *other], ServiceAt::First, connecting, FRAME);
            past_stalled_readers(&[*other, Kind::Knetsim], ServiceAt::Last, listening, FRAME);
        }
    });
}

/// Readers that stall hold up neither the link nor those who read.
pub(crate) fn past_stalled_readers(kinds: &[Kind], service: ServiceAt, stalled: usize, frame: u32) {
    println!("{kinds:?}, service at the {service:?}, {stalled} stalled, frames of {frame} bytes");
    let _row = Row::start(kinds, service, false, frame);
    let idle: Vec<TcpStream> = (0..stalled).map(|_| ask_for(STALLED as u64)).collect();
    // All kernels and routers on the way are full when nothing has moved for a while.
    let mut last = (Vec::new(), Instant::now());
    wait("the readers have stalled", Duration::from_secs(30), || {
        let now: Vec<u64> = idle.iter().map(|stream| rustix::io::ioctl_fionread(stream).unwrap()).collect();
        if now != last.0 {
            last = (now, Instant::now());
        }
        (last.1.elapsed() > Duration::from_millis(500) && last.0.iter().all(|bytes| *bytes > 0)).then_some(())
    });
    at_once(4, 3_000_000);
    // The link has not been lost on the way: they can still be read to their end.
    for mut stream in idle {
        let mut left = STALLED;
        let mut buffer = vec![0; 256 << 10];
        while left > 0 {
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0, "a reader that had stalled lost the last {left} bytes");
            left -= count;
        }
    }
}
