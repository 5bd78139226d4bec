//! What happens when something is gone, and how soon.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::*;

/// A flow that has been used.
fn flow(port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"hello").unwrap();
    stream.read_exact(&mut [0; 5]).unwrap();
    stream
}

/// How long until a flow ends, however.
fn end_of(mut stream: TcpStream, limit: Duration) -> Duration {
    let start = Instant::now();
    stream.set_read_timeout(Some(limit)).unwrap();
    let got = stream.read(&mut [0; 16]);
    assert!(!matches!(&got, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock), "open after {limit:?}");
    start.elapsed()
}

fn refused(port: u16, limit: Duration) -> Duration {
    wait(&format!("port {port} is refused"), limit, || (!is_open(port)).then_some(())).1
}

#[test]
fn without_a_connector_a_client_is_refused() {
    in_network(|| {
        serve(9000, echo);
        let c0 = Router::start("c0", json!([listener()]));
        let _c1 = Router::start("c1", json!([connector(), tcp_listener(8000, "web")]));
        wait("the routers meet", Duration::from_secs(10), || (c0.status()["routers"][0]["id"] == "c1").then_some(()));
        assert!(!is_open(8000));
        c0.reload("c0", json!([listener(), tcp_connector(9000, "web")]));
        wait_open(8000);
        let open = flow(8000);
        c0.reload("c0", json!([listener()]));
        refused(8000, Duration::from_secs(2));
        end_of(open, Duration::from_secs(2));
    });
}

#[test]
fn a_service_that_is_down_ends_its_flows_at_once() {
    in_network(|| {
        let _routers = pair();
        let start = Instant::now();
        let answer = ask(8000, b"hello");
        assert!(answer.as_ref().map_or(true, Vec::is_empty), "{answer:?}");
        assert!(start.elapsed() < Duration::from_secs(2));
    });
}

#[test]
fn when_a_router_is_killed_flows_end_and_ports_close_and_all_comes_back() {
    in_network(|| {
        serve(9000, echo);
        serve(9001, echo);
        let (mut c0, _c1) = pair();
        let open = flow(8000);
        c0.process.kill().unwrap();
        end_of(open, Duration::from_secs(2));
        refused(8000, Duration::from_secs(2));
        c0.process.wait().unwrap();
        let _c0 = Router::start("c0", json!([listener(), tcp_connector(9000, "up")]));
        wait("the service is back", Duration::from_secs(5), || is_open(8000).then_some(()));
        assert_eq!(ask(8000, b"hello").unwrap(), b"hello");
    });
}

#[test]
fn when_the_link_is_cut_ports_close_then_flows_end_and_all_comes_back() {
    in_network(|| {
        serve(9000, echo);
        serve(9001, echo);
        let _routers = pair();
        let open = flow(8000);
        let cut = Instant::now();
        let rules = format!(
            "table inet cut {{ chain c {{ type filter hook input priority 0; tcp dport {LINK} drop; tcp sport {LINK} drop; }}; }}"
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cut.nft");
        std::fs::write(&file, rules).unwrap();
        knetsim_testing::run(&["nft", "-f", file.to_str().unwrap()]);
        for port in [8000, 8001] {
            refused(port, Duration::from_secs(5).saturating_sub(cut.elapsed()));
        }
        end_of(open, Duration::from_secs(20).saturating_sub(cut.elapsed()));
        knetsim_testing::run(&["nft", "delete", "table", "inet", "cut"]);
        for port in [8000, 8001] {
            wait("the link is back", Duration::from_secs(5), || is_open(port).then_some(()));
            assert_eq!(ask(port, b"hello").unwrap(), b"hello");
        }
    });
}

#[test]
fn when_the_direct_link_goes_another_way_is_taken() {
    in_network(|| {
        serve(9000, store);
        let listen = |port: u16| json!(["listener", {"role": "inter-router", "host": "127.0.0.1", "port": port}]);
        let connect = |port: u16, cost: u32| json!(["connector", {"role": "inter-router", "host": "127.0.0.1", "port": port, "cost": cost}]);
        let _a = Router::start("a", json!([listen(5001), tcp_connector(9000, "web")]));
        let _b = Router::start("b", json!([listen(5002), connect(5001, 1)]));
        let way_round = connect(5002, 1);
        let c = Router::start("c", json!([connect(5001, 1), way_round, tcp_listener(8000, "web")]));
        wait("c has both neighbours", Duration::from_secs(10), || {
            let status = c.status();
            let neighbours = status["routers"].as_array()?.iter().filter(|router| router["neighbour"] == true).count();
            (neighbours == 2).then_some(())
        });
        wait_open(8000);
        there_and_back(8000, &pattern(1_000_000, 1));
        c.reload("c", json!([way_round, tcp_listener(8000, "web")]));
        wait("a is reached over b", Duration::from_secs(5), || {
            let status = c.status();
            let a = status["routers"].as_array()?.iter().find(|router| router["id"] == "a")?;
            (a["cost"] == 2).then_some(())
        });
        wait_open(8000);
        there_and_back(8000, &pattern(1_000_000, 2));
    });
}
