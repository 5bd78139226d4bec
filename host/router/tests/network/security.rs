//! Strangers, and certificates.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use crate::certificates::{certificates, ssl_profile, with_tls};
use crate::common::*;

#[test]
fn over_mutual_tls_flows_are_whole() {
    in_network(|| {
        serve(9000, store);
        let folder = tempfile::tempdir().unwrap();
        certificates(folder.path(), &["c0", "c1"]);
        let inside = with_tls(&listener(), &json!({"authenticatePeer": "yes"}));
        let outside = with_tls(&connector(), &json!({"host": "localhost"}));
        let _c0 = Router::start("c0", json!([ssl_profile(folder.path(), "c0"), inside, tcp_connector(9000, "up")]));
        let _c1 = Router::start("c1", json!([ssl_profile(folder.path(), "c1"), outside, tcp_listener(8000, "up")]));
        wait_open(8000);
        for round in 0..10 {
            there_and_back(8000, &pattern(2_000_000, round));
        }
    });
}

#[test]
fn a_refused_certificate_is_explained_in_the_status_and_the_log() {
    in_network(|| {
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        certificates(ours.path(), &["c0"]);
        certificates(theirs.path(), &["c1"]);
        let inside = with_tls(&listener(), &json!({"authenticatePeer": "yes"}));
        let outside = with_tls(&connector(), &json!({"host": "localhost"}));
        let c0 = Router::start("c0", json!([ssl_profile(ours.path(), "c0"), inside]));
        let c1 = Router::start("c1", json!([ssl_profile(theirs.path(), "c1"), outside]));
        let (reason, _) = wait("a reason", Duration::from_secs(10), || {
            c1.status()["links"][0]["reason"].as_str().filter(|reason| reason.contains("CA")).map(str::to_owned)
        });
        // The two CAs have one name, as they do where somebody made certificates a second time.
        assert!(reason.contains("was the CA made anew?"), "{reason}");
        assert!(c0.log().contains("refuses this router's certificate"), "{}", c0.log());
    });
}

#[test]
fn a_stranger_costs_its_own_connection_only() {
    in_network(|| {
        serve(9000, store);
        serve(9001, store);
        let (mut c0, _c1) = pair();
        let sasl = b"AMQP\x03\x01\x00\x00";
        let said: [&[u8]; 5] = [
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x02\x00",
            b"AMQP\x03\x01\x00\x00\xff\xff\xff\xff\x02\x01\x00\x00",
            b"AMQP\x03\x01\x00\x00\x00\x00\x00\x0c\x02\x01\x00\x00\x00\x53\x41\xd0",
            b"AMQP\x00\x01\x00\x00\x00\x00\x00\x09\x02\x00\x00\x00\x00",
        ];
        for bytes in said {
            let mut stranger = TcpStream::connect(("127.0.0.1", LINK)).unwrap();
            stranger.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            stranger.write_all(bytes).unwrap();
            let mut answer = Vec::new();
            let ended = stranger.read_to_end(&mut answer);
            let hung_up = !matches!(&ended, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
            assert!(hung_up, "{bytes:?} is listened to for more");
        }
        // One that says nothing more after its first word, and many of them.
        let silent: Vec<TcpStream> = (0..50)
            .map(|_| {
                let mut stream = TcpStream::connect(("127.0.0.1", LINK)).unwrap();
                stream.write_all(sasl).unwrap();
                stream
            })
            .collect();
        there_and_back(8000, &pattern(1_000_000, 1));
        assert_eq!(c0.process.try_wait().unwrap(), None);
        drop(silent);
    });
}
