//! Many at once, too little of something, and peers that take without giving.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

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
        let clients: Vec<TcpStream> = (0..60).map(|_| TcpStream::connect(("127.0.0.1", LINK)).unwrap()).collect();
        let web: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(("127.0.0.1", 8000)).unwrap()).collect();
        wait("descriptors run out", Duration::from_secs(5), || {
            router.log().contains("Too many open files").then_some(())
        });
        assert!(queued(LINK) > 0);
        limit(4096);
        is_drained(LINK);
        is_drained(8000);
        // Tried four times a second, said once for each port.
        assert!(router.log().matches("Too many open files").count() <= 2, "{}", router.log());
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

/// A neighbour that sends what is to be answered, over and over, and reads none of the answers: how much the router's
/// memory grows, in kB.
fn flooded(flood: &[u8]) -> u64 {
    let mut grown = 0;
    in_network(|| {
        let router = Router::start("c0", json!([listener()]));
        wait_open(LINK);
        let mut peer = TcpStream::connect(("127.0.0.1", LINK)).unwrap();
        peer.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        peer.write_all(b"AMQP\x00\x01\x00\x00").unwrap();
        peer.write_all(&frame(0x10, &[&[0xa1, 1, b'x']])).unwrap();
        peer.write_all(&frame(0x11, &[NULL, ZERO, FULL, FULL])).unwrap();
        peer.read_exact(&mut [0; 8]).unwrap();
        let before = router.memory();
        let many = flood.repeat(4096);
        let mut sent = 0;
        while sent < 64 << 20 && peer.write_all(&many).is_ok() {
            sent += many.len();
        }
        grown = router.memory().saturating_sub(before);
    });
    grown
}

#[test]
fn a_peer_that_reads_no_answers_is_read_no_more() {
    let echo = frame(0x13, &[ZERO, FULL, ZERO, FULL, NULL, NULL, NULL, NULL, NULL, &[0x41]]);
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
    for (what, flood) in [("flows", echo), ("attaches", [attach, detach].concat())] {
        let grown = flooded(&flood);
        assert!(grown < 24_000, "{what}: {grown} kB more");
    }
}
