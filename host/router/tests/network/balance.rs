//! Flows are spread by how many are open, and what the way costs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::json;

use crate::common::*;

const SOON: Duration = Duration::from_secs(20);

/// Opens so many flows, one after the other: how many each of the services at 9000 and 9001 got.
fn spread(count: usize) -> [usize; 2] {
    let open = |_| {
        let mut stream = TcpStream::connect(("127.0.0.1", 8000)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut name = [0; 4];
        stream.read_exact(&mut name).unwrap();
        (stream, name)
    };
    let flows: Vec<(TcpStream, [u8; 4])> = (0..count).map(open).collect();
    let of = |name: &[u8]| flows.iter().filter(|(_, got)| got == name).count();
    [of(b"9000"), of(b"9001")]
}

/// A router with clients and the service 9000, and a neighbour with the service 9001, at a cost: of thirty flows the first
/// gets so many.
fn shares(cost: u32, expected: RangeInclusive<usize>) {
    let out =
        json!(["connector", {"name": "out", "role": "inter-router", "host": "127.0.0.1", "port": LINK, "cost": cost}]);
    let _there = Router::start("there", json!([listener(), tcp_connector(9001, "web")]));
    let _here = Router::start("here", json!([out, tcp_connector(9000, "web"), tcp_listener(8000, "web")]));
    wait_open(8000);
    // The connector here opens the port; the neighbour's is known a little later, and so is the end of a flow.
    let mut last = [0, 0];
    wait(&format!("of 30 flows {expected:?} stay here where the neighbour costs {cost}"), SOON, || {
        last = spread(30);
        (last[0] + last[1] == 30 && expected.contains(&last[0])).then_some(())
    });
}

#[test]
fn a_connector_here_and_one_at_the_neighbour_share() {
    in_network(|| {
        for port in [9000, 9001] {
            serve(port, move |mut stream| {
                let _ = stream.write_all(&port.to_string().into_bytes());
                let _ = stream.read(&mut [0]);
            });
        }
        shares(1, 15..=16);
        shares(6, 17..=19);
    });
}
