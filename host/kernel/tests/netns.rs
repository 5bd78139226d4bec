//! Entering a namespace, and sockets made inside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;

use common::{in_namespaces, new_namespace, run_in};
use knetsim_kernel::NetNs;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[test]
fn only_a_network_namespace_is_taken() {
    in_namespaces(async || {
        let here = NetNs::current().unwrap();
        assert_eq!(here, NetNs::open(Path::new("/proc/self/ns/net")).unwrap());
        assert_ne!(here, new_namespace());
        for other in ["/proc/self/ns/mnt", "/proc/self/status", "/dev/null"] {
            let error = NetNs::from_fd(File::open(other).unwrap().into()).unwrap_err();
            assert!(error.to_string().ends_with("that is no network namespace"), "{error}");
        }
        let error = NetNs::open(Path::new("/run/netns/absent")).unwrap_err();
        assert!(error.is_not_found(), "{error}");
        assert!(error.to_string().starts_with("open network namespace /run/netns/absent: "), "{error}");
    });
}

#[test]
fn work_inside_leaves_the_caller_where_it_was() {
    in_namespaces(async || {
        let (here, there) = (NetNs::current().unwrap(), new_namespace());
        assert_eq!(there.run(|| NetNs::current().unwrap()).unwrap(), there);
        assert_eq!(there.run_async(|| NetNs::current().unwrap()).await.unwrap(), there);
        assert_eq!(NetNs::current().unwrap(), here);
        let error = there.run_async(|| panic!("on purpose")).await.unwrap_err();
        assert!(error.to_string().ends_with("its thread panicked"), "{error}");
    });
}

#[test]
fn a_connection_from_inside() {
    in_namespaces(async || {
        let namespace = new_namespace();
        run_in(&namespace, &["ip", "link", "set", "lo", "up"]);
        let listen = || {
            let listener = std::net::TcpListener::bind("127.0.0.1:80").unwrap();
            listener.set_nonblocking(true).unwrap();
            listener
        };
        let listener = tokio::net::TcpListener::from_std(namespace.run(listen).unwrap()).unwrap();
        let to: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let (client, server) = tokio::join!(namespace.connect(to), listener.accept());
        client.unwrap().write_all(b"hello").await.unwrap();
        let mut text = String::new();
        server.unwrap().0.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello");

        run_in(&NetNs::current().unwrap(), &["ip", "link", "set", "lo", "up"]);
        let refused = NetNs::current().unwrap().connect(to).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn an_echo_over_icmp() {
    in_namespaces(async || {
        let namespace = new_namespace();
        run_in(&namespace, &["ip", "link", "set", "lo", "up"]);
        let socket = namespace.icmp().unwrap();
        // Type 8, code 0, checksum over: identifier 1, sequence number 2.
        let request = [8, 0, 0xf7, 0xfc, 0, 1, 0, 2];
        socket.send_to(&request, "127.0.0.1:0").await.unwrap();
        let mut packet = [0; 128];
        let reply = loop {
            let (length, from) = socket.recv_from(&mut packet).await.unwrap();
            assert_eq!(from.ip().to_string(), "127.0.0.1");
            // Behind an IPv4 header without options; the request is seen as well.
            if packet[20] == 0 {
                break &packet[20..length];
            }
        };
        assert_eq!((reply[0], &reply[4..]), (0, &request[4..]));
    });
}

#[test]
fn sysctls_of_that_namespace_alone() {
    in_namespaces(async || {
        let (here, there) = (NetNs::current().unwrap(), new_namespace());
        let forward = |namespace: &NetNs| run_in(namespace, &["cat", "/proc/sys/net/ipv4/ip_forward"]);
        // A new namespace begins with what the machine's own has.
        let before = forward(&here);
        let other = if before.trim() == "0" { "1" } else { "0" };
        there.write_sysctls(&[("net/ipv4/conf/lo/arp_notify", "1"), ("net/ipv4/ip_forward", other)]).unwrap();
        assert_eq!((forward(&here), forward(&there).trim()), (before, other));
        let error = there.write_sysctls(&[("net/ipv4/absent", "1")]).unwrap_err();
        assert!(error.to_string().starts_with("set sysctl net/ipv4/absent=1: "), "{error}");
        assert!(error.is_not_found());
    });
}

#[test]
fn sysctls_are_written_through_an_instance_of_proc_that_is_renewed() {
    knetsim_testing::in_pid_namespace(|| {
        let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let mounts = || std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let before = (descriptors(), mounts());
        for number in 0..300 {
            let namespace = new_namespace();
            let value = (1 + number % 100).to_string();
            namespace.write_sysctls(&[("net/ipv4/ip_default_ttl", &value)]).unwrap_or_else(|error| panic!("{error}"));
            let read = || std::fs::read_to_string("/proc/sys/net/ipv4/ip_default_ttl").unwrap();
            assert_eq!(namespace.run(read).unwrap().trim(), value);
        }
        // The instance in use is one descriptor more, and mounted nowhere.
        assert_eq!((descriptors(), mounts()), (before.0 + 1, before.1));
    });
}
