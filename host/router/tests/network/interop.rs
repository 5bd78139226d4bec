//! Other people's programs: a neighbour written in Python from what real routers say on the wire (tests/router), and
//! Wireshark's idea of AMQP.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::certificates::{certificates, ssl_profile, with_tls};
use crate::common::*;

fn stand_in() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/router/skrouterd_standin.py")
}

/// The stand-in, called c9: it offers `theirs` at port 9001, and takes clients of `ours` at port 8000.
fn start_stand_in(how: &str, folder: &Path, tls: bool) -> Program {
    let script = stand_in();
    let (port, folder_text) = (LINK.to_string(), folder.display().to_string());
    let tls = format!("TLSDIR={}", if tls { &folder_text } else { "" });
    let command = [
        "env",
        &tls,
        "python3",
        script.to_str().unwrap(),
        how,
        "127.0.0.1",
        &port,
        "theirs=127.0.0.1:9001",
        "8000->ours",
    ];
    Program::start(&command, &folder.join("stand-in.log"))
}

fn both_ways(how: &str, tls: bool) {
    in_network(|| {
        serve(9000, store);
        serve(9001, store);
        let folder = tempfile::tempdir().unwrap();
        certificates(folder.path(), &["c0", "c1"]);
        let services = [tcp_connector(9000, "ours"), tcp_listener(8001, "theirs")];
        let link = if how == "connect" { listener() } else { connector() };
        let link = if tls { with_tls(&link, &json!({"host": "localhost"})) } else { link };
        let mut sections = vec![link];
        sections.extend(services);
        if tls {
            sections.push(ssl_profile(folder.path(), "c0"));
        }
        let router = || Router::start("c0", Value::Array(sections.clone()));
        let (_router, _stand_in);
        if how == "connect" {
            _router = router();
            wait("the router listens", Duration::from_secs(10), || _router.log().contains("may connect").then_some(()));
            _stand_in = start_stand_in(how, folder.path(), tls);
        } else {
            _stand_in = start_stand_in(how, folder.path(), tls);
            _router = router();
        }
        wait_open(8001);
        // The stand-in's listener is always open, and hangs up until it knows the address.
        let ready = || ask(8000, b"hello").is_ok_and(|answer| answer == b"hello").then_some(());
        wait("the stand-in knows the way", Duration::from_secs(60), ready);
        for round in 0..20 {
            there_and_back(8000, &pattern(1_000_000, round));
            there_and_back(8001, &pattern(1_000_000, round));
        }
    });
}

#[test]
fn the_stand_in_connects() {
    both_ways("connect", false);
}

#[test]
fn the_stand_in_is_connected_to() {
    both_ways("listen", false);
}

#[test]
fn the_stand_in_connects_over_mutual_tls() {
    both_ways("connect", true);
}

#[test]
fn the_stand_in_is_connected_to_over_mutual_tls() {
    both_ways("listen", true);
}

#[test]
fn wireshark_reads_all_of_it_as_amqp() {
    in_network(|| {
        serve(9000, store);
        let folder = tempfile::tempdir().unwrap();
        let (capture, log) = (folder.path().join("link.pcap"), folder.path().join("dumpcap.log"));
        let filter = format!("tcp port {LINK}");
        let command = ["dumpcap", "-i", "lo", "-w", capture.to_str().unwrap(), "-f", &filter];
        let mut dump = Program::start(&command, &log);
        wait("the capture runs", Duration::from_secs(10), || {
            std::fs::read_to_string(&log).unwrap().contains("File:").then_some(())
        });
        let _routers = (
            Router::start("c0", json!([listener(), tcp_connector(9000, "up")])),
            Router::start("c1", json!([connector(), tcp_listener(8000, "up")])),
        );
        wait_open(8000);
        // Text: what starts like a section would be taken for one.
        there_and_back(8000, &[b'x'; 30_000]);
        wait("the capture has the upload", Duration::from_secs(10), || {
            (std::fs::metadata(&capture).unwrap().len() > 20_000).then_some(())
        });
        knetsim_testing::run(&["kill", "-INT", &dump.0.id().to_string()]);
        dump.0.wait().unwrap();
        let decode = format!("tcp.port=={LINK},amqp");
        let tshark = |more: &[&str]| {
            let mut command = vec!["tshark", "-r", capture.to_str().unwrap(), "-d", &decode];
            command.extend(more);
            knetsim_testing::run(&command)
        };
        let performatives = tshark(&["-Y", "amqp", "-T", "fields", "-e", "amqp.performative"]);
        // open, begin, attach, flow, transfer, disposition; mechanisms, init, outcome.
        for number in [16, 17, 18, 19, 20, 21] {
            let said = performatives.split([',', '\n']).any(|field| field.trim() == number.to_string());
            assert!(said, "no performative {number} in\n{performatives}");
        }
        assert_eq!(tshark(&["-Y", "_ws.malformed"]), "");
    });
}
