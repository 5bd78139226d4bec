//! Flows arrive whole, and none stands in another's way.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::common::*;

#[test]
fn uploads_come_back_whole_both_ways_at_once() {
    in_network(|| {
        serve(9000, store);
        serve(9001, store);
        let _routers = pair();
        let clients: Vec<_> = (0..8u64)
            .map(|client| {
                thread::spawn(move || {
                    for round in 0..25 {
                        there_and_back(8000 + (client % 2) as u16, &pattern(1_000_000, client * 100 + round));
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
        there_and_back(8000, &pattern(50_000_000, 1));
        there_and_back(8001, &[]);
    });
}

#[test]
fn a_flow_within_one_router_and_one_over_a_transit_router_are_whole() {
    in_network(|| {
        serve(9000, store);
        let other = json!(["listener", {"role": "inter-router", "host": "127.0.0.1", "port": 55672}]);
        let to_other = json!(["connector", {"role": "inter-router", "host": "127.0.0.1", "port": 55672}]);
        let _a = Router::start("a", json!([listener(), tcp_connector(9000, "web"), tcp_listener(8000, "web")]));
        let _b = Router::start("b", json!([connector(), other]));
        let _c = Router::start("c", json!([to_other, tcp_listener(8001, "web")]));
        for port in [8000, 8001] {
            wait_open(port);
            for round in 0..20 {
                there_and_back(port, &pattern(1_500_000, round));
            }
        }
    });
}

#[test]
fn flows_are_spread_over_the_connectors_of_an_address() {
    in_network(|| {
        for port in [9000, 9001, 9002] {
            serve(port, move |mut stream| {
                stream.write_all(&port.to_string().into_bytes()).unwrap();
                let _ = stream.read(&mut [0]);
            });
        }
        let _c0 = Router::start("c0", json!([listener(), tcp_connector(9000, "web"), tcp_connector(9001, "web")]));
        let _c1 = Router::start("c1", json!([connector(), tcp_connector(9002, "web"), tcp_listener(8000, "web")]));
        wait_open(8000);
        let open = |count: usize| -> Vec<(TcpStream, String)> {
            let one = |_| {
                let mut stream = TcpStream::connect(("127.0.0.1", 8000)).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                let mut name = [0; 4];
                stream.read_exact(&mut name).unwrap();
                (stream, String::from_utf8(name.to_vec()).unwrap())
            };
            (0..count).map(one).collect()
        };
        // A connector here costs nothing, a router a hop away one: it is as good when here one flow more is open.
        // The connector here opens the port; that there are others is known when one of them is chosen.
        wait("the other router's connectors are known", Duration::from_secs(60), || {
            open(3).iter().any(|(_, name)| name != "9002").then_some(())
        });
        let chosen = open(9);
        for port in ["9000", "9001", "9002"] {
            let flows = chosen.iter().filter(|(_, name)| name == port).count();
            assert!((2..=6).contains(&flows), "{port} got {flows} of 9");
        }
    });
}

#[test]
fn a_reader_that_stalls_costs_little_and_slows_nobody() {
    in_network(|| {
        serve(9000, |stream| {
            // Takes the connection and reads nothing for as long as the test lasts.
            thread::sleep(Duration::from_secs(60));
            drop(stream);
        });
        serve(9001, store);
        let c0 = Router::start("c0", json!([listener(), tcp_connector(9000, "stall"), tcp_connector(9001, "web")]));
        let c1 = Router::start("c1", json!([connector(), tcp_listener(8000, "stall"), tcp_listener(8001, "web")]));
        wait_open(8000);
        wait_open(8001);
        there_and_back(8001, &pattern(3_000_000, 1));
        let before = c0.memory() + c1.memory();
        let stalled: Vec<TcpStream> = (0..4)
            .map(|_| {
                let mut stream = TcpStream::connect(("127.0.0.1", 8000)).unwrap();
                stream.set_write_timeout(Some(Duration::from_millis(700))).unwrap();
                // Far more than all kernels on the way keep.
                assert!(stream.write_all(&pattern(60_000_000, 2)).is_err(), "somebody took it all");
                stream
            })
            .collect();
        for round in 0..20 {
            there_and_back(8001, &pattern(1_000_000, round));
        }
        let grown = (c0.memory() + c1.memory()).saturating_sub(before);
        assert!(grown < 4 * 1500 + 4000, "4 stalled readers cost {grown} kB");
        drop(stalled);
    });
}

#[test]
fn five_hundred_idle_flows_are_cheap_and_alive() {
    in_network(|| {
        serve(9000, echo);
        let (c0, c1) = {
            let c0 = Router::start("c0", json!([listener(), tcp_connector(9000, "web")]));
            let c1 = Router::start("c1", json!([connector(), tcp_listener(8000, "web")]));
            wait_open(8000);
            (c0, c1)
        };
        let before = [c0.memory(), c1.memory()];
        let mut flows: Vec<TcpStream> = (0..500).map(|_| TcpStream::connect(("127.0.0.1", 8000)).unwrap()).collect();
        for _ in 0..2 {
            for flow in &mut flows {
                flow.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                flow.write_all(b"hello").unwrap();
                flow.read_exact(&mut [0; 5]).unwrap();
            }
        }
        for (router, before) in [&c0, &c1].into_iter().zip(before) {
            let each = router.memory().saturating_sub(before) / 500;
            assert!(each <= 70, "{each} kB a flow");
            assert!(before <= 27_000, "{before} kB idle");
        }
    });
}

#[test]
fn a_reset_at_one_end_is_a_reset_at_the_other() {
    in_network(|| {
        let (ended, how) = std::sync::mpsc::channel();
        serve(9000, move |mut stream| {
            let result = stream.read(&mut [0; 16]).and_then(|_| stream.read(&mut [0; 16]));
            let _ = ended.send(result.map_err(|error| error.kind()));
        });
        serve(9001, |stream| {
            let mut stream = stream;
            let _ = stream.read(&mut [0]);
            reset(stream);
        });
        let _routers = pair();
        how.recv_timeout(Duration::from_secs(5)).unwrap().unwrap_or_default();
        let mut client = TcpStream::connect(("127.0.0.1", 8000)).unwrap();
        client.write_all(b"x").unwrap();
        thread::sleep(Duration::from_millis(300));
        reset(client);
        assert_eq!(how.recv_timeout(Duration::from_secs(5)).unwrap(), Err(std::io::ErrorKind::ConnectionReset));
        let mut client = TcpStream::connect(("127.0.0.1", 8001)).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        client.write_all(b"xy").unwrap();
        let error = client.read(&mut [0; 16]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    });
}

/// Closes with a reset: what the kernel does where what arrived wasn't read is not left to chance.
fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}
