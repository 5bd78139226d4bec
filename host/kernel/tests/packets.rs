//! Packets of an interface, both ways, while it is up, down, up again and gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::{Duration, SystemTime};

use common::{in_namespaces, new_namespace, run_in};
use knetsim_kernel::NetNs;
use knetsim_kernel::netlink::Veth;
use knetsim_kernel::packets::{Frame, PacketSocket};

/// Two namespaces with a cable between: 10.9.0.1 on `a`, 10.9.0.2 on `b`.
async fn two() -> (NetNs, NetNs) {
    let (near, far) = (new_namespace(), new_namespace());
    let veth = Veth { name: "a", peer_name: "b", peer_namespace: Some(&far), ..Veth::default() };
    near.netlink().unwrap().add_veth(&veth).unwrap();
    for (namespace, name, address) in [(&near, "a", "10.9.0.1/24"), (&far, "b", "10.9.0.2/24")] {
        run_in(namespace, &["ip", "address", "add", address, "dev", name]);
        run_in(namespace, &["ip", "link", "set", "dev", name, "up"]);
    }
    (near, far)
}

fn ping(namespace: &NetNs) {
    run_in(namespace, &["ping", "-c1", "-W5", "-s100", "10.9.0.2"]);
}

/// The packets of IPv4's ICMP that wait: what is known of each, and its bytes as far as `most`.
fn icmp(socket: &PacketSocket, most: usize) -> Vec<(Frame, Vec<u8>)> {
    let mut buffer = vec![0; most];
    let mut frames = Vec::new();
    while let Some(frame) = socket.receive(&mut buffer).unwrap() {
        let bytes = &buffer[..frame.length.min(most)];
        if bytes[12..14] == [0x08, 0x00] && bytes[23] == 1 {
            frames.push((frame, bytes.to_vec()));
        }
    }
    frames
}

#[test]
fn both_directions_with_length_and_time() {
    in_namespaces(async || {
        let (near, _far) = two().await;
        let socket = PacketSocket::open(&near, "a").unwrap();
        let before = SystemTime::now();
        ping(&near);
        socket.readable().await.unwrap();
        let frames = icmp(&socket, 64);
        assert_eq!(frames.len(), 2, "{frames:?}");
        for ((frame, bytes), (outgoing, kind)) in frames.iter().zip([(true, 8), (false, 0)]) {
            assert_eq!((frame.outgoing, bytes[34]), (outgoing, kind));
            assert_eq!((frame.length, bytes.len()), (14 + 20 + 8 + 100, 64));
            assert!(frame.ethernet && frame.at >= before && frame.at <= SystemTime::now(), "{frame:?}");
        }
        assert!(frames[0].0.at <= frames[1].0.at);
        assert_eq!(socket.dropped().unwrap(), 0);
    });
}

#[test]
fn other_interfaces_stay_out() {
    in_namespaces(async || {
        let (near, _far) = two().await;
        run_in(&near, &["ip", "link", "set", "lo", "up"]);
        let socket = PacketSocket::open(&near, "lo").unwrap();
        ping(&near);
        assert_eq!(socket.receive(&mut [0; 64]).unwrap(), None);
        run_in(&near, &["ping", "-c1", "127.0.0.1"]);
        assert!(!icmp(&socket, 64).is_empty());
        let error = PacketSocket::open(&near, "b").unwrap_err();
        assert!(error.is_not_found() && error.to_string().starts_with("capture on b: "), "{error}");
    });
}

#[test]
fn an_interface_goes_down_and_up_and_away() {
    in_namespaces(async || {
        let (near, _far) = two().await;
        run_in(&near, &["ip", "link", "set", "dev", "a", "down"]);
        let socket = PacketSocket::open(&near, "a").unwrap();
        assert_eq!(socket.receive(&mut [0; 64]).unwrap(), None);
        assert!(!socket.is_gone());
        run_in(&near, &["ip", "link", "set", "dev", "a", "up"]);
        ping(&near);
        assert_eq!(icmp(&socket, 64).len(), 2);

        run_in(&near, &["ip", "link", "delete", "dev", "a"]);
        socket.readable().await.unwrap();
        assert_eq!(socket.receive(&mut [0; 64]).unwrap(), None);
        assert!(socket.is_gone());
    });
}

#[test]
fn what_finds_no_room_is_counted() {
    in_namespaces(async || {
        let (near, _far) = two().await;
        let socket = PacketSocket::open(&near, "a").unwrap();
        run_in(&near, &["ping", "-c400", "-i0.002", "-q", "-W5", "10.9.0.2"]);
        let dropped = socket.dropped().unwrap();
        let kept = icmp(&socket, 64).len();
        assert!(dropped > 0 && kept > 50 && kept + dropped as usize >= 800, "{kept} kept, {dropped} dropped");
        assert_eq!(socket.dropped().unwrap(), 0, "counted once");
        // There is room again.
        ping(&near);
        tokio::time::timeout(Duration::from_secs(5), socket.readable()).await.unwrap().unwrap();
        assert_eq!(icmp(&socket, 64).len(), 2);
    });
}
