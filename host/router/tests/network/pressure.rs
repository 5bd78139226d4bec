//! Many at once, too little of something, and peers that take without giving.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::*;

/// Connections to a port that the router hasn't accepted.
fn queued(port: u16) -> usize {
    let listening = knetsim_testing::run(&["ss", "-Hltn", &format!("sport = :{port}")]);
    listening.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn is_drained(port: u16) {
    wait(&format!("all connections to port {port} are accepted"), Duration::from_secs(5), || {
        (queued(port) == 0).then_some(())
    });
}

#[test]
fn all_that_wait_are_accepted_however_many_came_at_once() {
    in_network(|| {
        serve(9000, echo);
        let router = Router::start("c0", json!([listener(), tcp_connector(9000, "web"), tcp_listener(8000, "web")]));
        wait_open(8000);
        router.signal("STOP");
        let clients: Vec<TcpStream> = [LINK, 8000]
            .iter()
            .flat_map(|port| (0..300).map(|_| TcpStream::connect(("127.0.0.1", *port)).unwrap()))
            .collect();
        assert!(queued(LINK) >= 300 && queued(8000) >= 300);
        router.signal("CONT");
        is_drained(LINK);
        is_drained(8000);
        drop(clients);
    });
}

#[test]
fn those_for_whom_no_descriptor_was_left_are_accepted_later() {
    in_network(|| {
        serve(9000, echo);
        let router = Router::start("c0", json!([listener(), tcp_connector(9000, "web"), tcp_listener(8000, "web")]));
        wait_open(8000);
        let limit = |count: u32| {
            knetsim_testing::run(&[
                "prlimit",
                "--pid",
                &router.process.id().to_string(),
                &format!("--nofile={count}:4096"),
            ]);
        };
        limit(40);
        let refused = |listener: &str| {
            let ends = format!("Too many open files (os error 24) listener=\"{listener}\"");
            router.log().lines().filter(|line| line.ends_with(&ends)).count()
        };
        let clients: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(("127.0.0.1", LINK)).unwrap()).collect();
        wait("descriptors run out", Duration::from_secs(5), || (refused("in") > 0).then_some(()));
        let web: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(("127.0.0.1", 8000)).unwrap()).collect();
        wait("none is left for the others", Duration::from_secs(5), || (refused("web") > 0).then_some(()));
        assert!(queued(LINK) > 0);
        limit(4096);
        is_drained(LINK);
        is_drained(8000);
        // Tried four times a second, said once for each port; twice where the status file's own descriptor was the last.
        assert!(refused("in") <= 2 && refused("web") == 1, "{}", router.log());
        drop((clients, web));
        assert_eq!(ask(8000, b"hello").unwrap(), b"hello");
    });
}

/// A frame of the plain protocol on channel 0.
fn frame(performative: u8, fields: &[&[u8]]) -> Vec<u8> {
    let body: Vec<u8> = fields.concat();
    let mut bytes = vec![0, 0, 0, 0, 2, 0, 0, 0, 0, 0x53, performative, 0xc0, body.len() as u8 + 1, fields.len() as u8];
    bytes.extend_from_slice(&body);
    let size = u32::try_from(bytes.len()).unwrap();
    bytes[..4].copy_from_slice(&size.to_be_bytes());
    bytes
}

const NULL: &[u8] = &[0x40];
const ZERO: &[u8] = &[0x43];
const FULL: &[u8] = &[0x70, 0x7f, 0xff, 0xff, 0xff];

/// A neighbour that has begun a session.
fn neighbour() -> TcpStream {
    let mut peer = TcpStream::connect(("127.0.0.1", LINK)).unwrap();
    peer.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
    peer.write_all(b"AMQP\x00\x01\x00\x00").unwrap();
    peer.write_all(&frame(0x10, &[&[0xa1, 1, b'x']])).unwrap();
    peer.write_all(&frame(0x11, &[NULL, ZERO, FULL, FULL])).unwrap();
    peer.read_exact(&mut [0; 8]).unwrap();
    peer
}

/// A flow frame that is to be answered.
fn echo_flow() -> Vec<u8> {
    frame(0x13, &[ZERO, FULL, ZERO, FULL, NULL, NULL, NULL, NULL, NULL, &[0x41]])
}

/// Sends it over and over until nobody takes it.
fn flood(peer: &mut TcpStream, frames: &[u8]) {
    let many = frames.repeat(4096);
    let mut sent = 0;
    while sent < 64 << 20 && peer.write_all(&many).is_ok() {
        sent += many.len();
    }
}

/// A neighbour that sends what is to be answered, over and over, and reads none of the answers: how much the router's
/// memory grows, in kB.
fn flooded(frames: &[u8]) -> u64 {
    let mut grown = 0;
    in_network(|| {
        let router = Router::start("c0", json!([listener()]));
        wait_open(LINK);
        let mut peer = neighbour();
        let before = router.memory();
        flood(&mut peer, frames);
        grown = router.memory().saturating_sub(before);
    });
    grown
}

#[test]
fn a_peer_that_reads_no_answers_is_read_no_more() {
    // A link of the routing protocols that comes and goes.
    let terminus = |kind: u8, before: usize| {
        let mut bytes = vec![0x00, 0x53, kind, 0xc0, 0, before as u8 + 1];
        bytes.extend(std::iter::repeat_n(0x40, before));
        bytes.extend_from_slice(b"\xa3\x0eqd.router-data");
        bytes[4] = bytes.len() as u8 - 5;
        bytes
    };
    let (source, target) = (terminus(0x28, 10), terminus(0x29, 6));
    let attach = frame(0x12, &[b"\xa1\x01n", ZERO, &[0x41], NULL, NULL, &source, &target]);
    let detach = frame(0x16, &[ZERO, &[0x41]]);
    for (what, frames) in [("flows", echo_flow()), ("attaches", [attach, detach].concat())] {
        let grown = flooded(&frames);
        assert!(grown < 24_000, "{what}: {grown} kB more");
    }
}

#[test]
fn a_peer_that_is_not_read_is_given_up_for_that_and_not_for_silence() {
    in_network(|| {
        let listener = json!(["listener", {
            "name": "in", "role": "inter-router", "host": "127.0.0.1", "port": LINK, "idleTimeoutSeconds": 2
        }]);
        let router = Router::start("c0", json!([listener]));
        wait_open(LINK);
        let mut peer = neighbour();
        // The link of the routing protocols: without it nothing is a router, and would be sent away for that.
        let mut terminus = [&[0x00, 0x53, 0x28, 0xc0, 0, 11][..], &[0x40; 10], b"\xa3\x09qd.router"].concat();
        terminus[4] = terminus.len() as u8 - 5;
        peer.write_all(&frame(0x12, &[b"\xa1\x01n", ZERO, &[0x41], NULL, NULL, &terminus])).unwrap();
        peer.write_all(&frame(0x13, &[ZERO, FULL, ZERO, FULL, ZERO, ZERO, &[0x52, 100]])).unwrap();
        flood(&mut peer, &echo_flow());
        let (log, stopped) = wait("the peer is given up", Duration::from_secs(40), || {
            let log = router.log();
            log.contains("a router is gone").then_some(log)
        });
        assert!(stopped > Duration::from_secs(10), "{log}");
        assert!(log.contains("it was not read for 20 s: it does not read what it is sent"), "{log}");
    });
}

#[test]
fn what_waits_for_readers_that_stall_is_bounded_and_delays_nobody_for_long() {
    in_network(|| {
        short_buffers();
        // Takes connections and reads nothing.
        let stalled = TcpListener::bind(("127.0.0.1", 9000)).unwrap();
        rustix::net::listen(&stalled, 4096).unwrap();
        serve(9001, store);
        let c0 = Router::start("c0", json!([listener(), tcp_connector(9000, "stall"), tcp_connector(9001, "web")]));
        let _c1 = Router::start("c1", json!([connector(), tcp_listener(8000, "stall"), tcp_listener(8001, "web")]));
        wait_open(8000);
        wait_open(8001);
        let before = c0.memory();
        let clients: Vec<TcpStream> = (0..600)
            .map(|_| {
                let client = TcpStream::connect(("127.0.0.1", 8000)).unwrap();
                client.set_nonblocking(true).unwrap();
                client
            })
            .collect();
        // Each sends as much as is taken, until it is cut off or nothing moves any more.
        let block = vec![7; 64 << 10];
        let (mut most, mut open, mut moved) = (0, vec![true; clients.len()], Instant::now());
        while moved.elapsed() < Duration::from_secs(5) {
            for (mut client, open) in clients.iter().zip(&mut open).filter(|(_, open)| **open) {
                match client.write(&block) {
                    Ok(written) if written > 0 => moved = Instant::now(),
                    Ok(_) => {}
                    Err(error) => *open = error.kind() == std::io::ErrorKind::WouldBlock,
                }
            }
            most = most.max(c0.memory().saturating_sub(before));
            thread::sleep(Duration::from_millis(1));
        }
        assert!(most < 300 << 10, "{most} kB");
        assert!(most > 150 << 10, "nothing waits: {most} kB");
        let cut = open.iter().filter(|open| !**open).count();
        assert!((300..600).contains(&cut), "{cut} of 600 are cut off");
        let start = Instant::now();
        there_and_back(8001, &pattern(3_000_000, 1));
        assert!(start.elapsed() < Duration::from_secs(5));
        let log = c0.log();
        assert!(log.contains("MiB wait for readers that take nothing") && !log.contains("is gone"), "{log}");
    });
}
