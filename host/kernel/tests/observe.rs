//! Rulesets, sockets, processes and named namespaces, compared with what the usual programs do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::{Child, Command};

use common::{in_namespaces, new_namespace, run_in};
use knetsim_kernel::nft::nftables::batch::Batch;
use knetsim_kernel::nft::nftables::schema::{Chain, NfListObject, Table};
use knetsim_kernel::nft::nftables::types::{NfChainType, NfFamily, NfHook};
use knetsim_kernel::processes::{Within, named_namespaces, open_named_namespace, root_of};
use knetsim_kernel::{KernelError, NetNs, nft, processes, sockets};
use knetsim_model::observe;
use knetsim_testing::run;

fn table(name: &'static str) -> NfListObject<'static> {
    NfListObject::Table(Table { family: NfFamily::IP, name: name.into(), handle: None })
}

fn chain(table: &'static str) -> NfListObject<'static> {
    NfListObject::Chain(Chain {
        family: NfFamily::IP,
        table: table.into(),
        name: "postrtg".into(),
        _type: Some(NfChainType::NAT),
        hook: Some(NfHook::Postrouting),
        prio: Some(100),
        ..Chain::default()
    })
}

#[test]
fn a_batch_is_applied_whole_or_not_at_all() {
    in_namespaces(async || {
        let namespace = new_namespace();
        let mut batch = Batch::new();
        batch.add(table("flannel-ipv4"));
        batch.add(chain("flannel-ipv4"));
        nft::apply(&namespace, &batch.to_nftables()).await.unwrap();

        let theirs = run_in(&namespace, &["nft", "list", "ruleset"]);
        assert!(theirs.contains("type nat hook postrouting priority srcnat; policy accept;"), "{theirs}");
        assert_eq!(nft::ruleset_text(&namespace).await.unwrap(), theirs);
        let json = nft::ruleset(&namespace).await.unwrap();
        assert!(
            json["nftables"].as_array().unwrap().iter().any(|object| object["chain"]["name"] == "postrtg"),
            "{json}"
        );
        assert_eq!(nft::ruleset_text(&NetNs::current().unwrap()).await.unwrap(), "", "another namespace is untouched");

        let mut bad = Batch::new();
        bad.add(table("half"));
        bad.add(chain("nowhere"));
        let error = nft::apply(&namespace, &bad.to_nftables()).await.unwrap_err();
        assert!(error.to_string().starts_with(&format!("change ruleset of {namespace}: `nft` said: ")), "{error}");
        assert_eq!(nft::ruleset_text(&namespace).await.unwrap(), theirs);
    });
}

#[test]
fn a_missing_nft_is_named() {
    in_namespaces(async || {
        let link = std::fs::canonicalize("/usr/sbin").unwrap();
        run(&["mount", "-t", "tmpfs", "none", link.to_str().unwrap()]);
        let error = nft::ruleset(&NetNs::current().unwrap()).await.unwrap_err();
        assert!(matches!(error, KernelError::Missing { program: "nft", .. }), "{error}");
    });
}

#[test]
fn sockets_of_one_namespace() {
    in_namespaces(async || {
        let namespace = new_namespace();
        run_in(&namespace, &["ip", "link", "set", "lo", "up"]);
        let outside = std::net::TcpListener::bind("127.0.0.1:0");
        let listener = namespace.run(|| std::net::TcpListener::bind("127.0.0.1:8080")).unwrap().unwrap();
        let _listener6 = namespace.run(|| std::net::TcpListener::bind("[::1]:8080")).unwrap().unwrap();
        let stream = namespace.connect("127.0.0.1:8080".parse().unwrap()).await.unwrap();
        let udp = namespace.udp("127.0.0.1:5353".parse().unwrap()).unwrap();
        let local = stream.local_addr().unwrap();
        let text = |socket: &observe::Socket| {
            format!("{} {} {} {}", socket.protocol, socket.state, socket.local, socket.remote)
        };
        let mut seen: Vec<String> = sockets::list(&namespace).await.unwrap().iter().map(text).collect();
        seen.sort();
        let mut expected = [
            format!("tcp established 127.0.0.1:8080 {local}"),
            format!("tcp established {local} 127.0.0.1:8080"),
            "tcp listen 127.0.0.1:8080 0.0.0.0:0".to_owned(),
            "tcp listen [::1]:8080 [::]:0".to_owned(),
            "udp unconnected 127.0.0.1:5353 0.0.0.0:0".to_owned(),
        ];
        expected.sort();
        assert_eq!(seen, expected);
        drop((listener, udp, outside));
    });
}

/// Ends a child with the test, however that ends.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn processes_of_a_namespace_and_of_a_level() {
    in_namespaces(async || {
        let namespace = new_namespace();
        let start = |command: &[&str]| Ended(Command::new(command[0]).args(&command[1..]).spawn().unwrap());
        let sleeper = namespace.run(|| start(&["sleep", "1000"])).unwrap();
        let pid = sleeper.0.id() as i32;
        // It is there with its command line once it has executed it.
        let found = loop {
            let mut found = processes::list(Within::Network(namespace.inode()), 0).unwrap();
            if found.len() == 1 && found[0].command == ["sleep", "1000"] && found[0].state == "sleeping" {
                break found.remove(0);
            }
            assert!(found.len() < 2, "{found:?}");
            tokio::task::yield_now().await;
        };
        assert_eq!((found.pid, found.parent), (pid, std::process::id() as i32));
        assert!(found.memory > 0);
        assert!(processes::list(Within::All, 0).unwrap().iter().any(|process| process.pid == pid));

        // Others on this machine may have levels of their own: a number that is nobody else's.
        let seconds = &std::process::id().to_string();
        // One level down, as the node side is below the supervisor.
        let _level = start(&[
            "unshare",
            "--pid",
            "--mount",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
            &format!("sleep {seconds}; true"),
        ]);
        let outer = loop {
            let all = processes::list(Within::All, 0).unwrap();
            let ours = |process: &&observe::Process| process.command == ["sleep", seconds];
            if let Some(sleep) = all.iter().find(ours) {
                break sleep.pid;
            }
            tokio::task::yield_now().await;
        };
        let mounts = std::fs::metadata(format!("/proc/{outer}/ns/mnt")).unwrap().ino();
        let level = processes::list(Within::Mount(mounts), 1).unwrap();
        let level: Vec<_> =
            level.iter().map(|process| (process.pid, process.parent, process.command[0].as_str())).collect();
        assert_eq!(level, [(1, 0, "sh"), (2, 1, "sleep")]);
    });
}

#[test]
fn named_namespaces_and_nothing_else() {
    in_namespaces(async || {
        run(&["mount", "-t", "tmpfs", "none", "/run"]);
        let root = root_of(std::process::id() as i32).unwrap();
        assert_eq!(named_namespaces(root.as_fd()).unwrap(), []);
        run(&["ip", "netns", "add", "myns"]);
        std::fs::write("/run/netns/file", "").unwrap();
        symlink("/proc/self/ns/net", "/run/netns/link").unwrap();
        run(&["mkfifo", "/run/netns/pipe"]);
        std::fs::write("/run/netns/uts", "").unwrap();
        run(&["mount", "--bind", "/proc/self/ns/uts", "/run/netns/uts"]);

        let named = named_namespaces(root.as_fd()).unwrap();
        assert_eq!(named.len(), 1, "{named:?}");
        assert_eq!(named[0].name, "myns");
        let theirs = run(&["ip", "netns", "exec", "myns", "readlink", "/proc/self/ns/net"]);
        assert_eq!(theirs.trim(), format!("net:[{}]", named[0].inode));
        let opened = open_named_namespace(root.as_fd(), "myns").unwrap();
        assert_eq!(opened.inode(), named[0].inode);
        for bad in ["file", "link", "pipe", "uts", "absent", ".", "../netns/link", "/proc/self/ns/net"] {
            let error = open_named_namespace(root.as_fd(), bad).unwrap_err();
            assert!(error.to_string().starts_with(&format!("open network namespace {bad}: ")), "{error}");
        }

        // A root whose owner made run/netns a way out of it.
        std::fs::create_dir_all("/run/root/run").unwrap();
        symlink("/run/root/../netns", "/run/root/run/netns").unwrap();
        let inner = std::fs::File::open("/run/root").unwrap();
        assert_eq!(named_namespaces(inner.as_fd()).unwrap(), []);
        assert!(open_named_namespace(inner.as_fd(), "myns").is_err());
    });
}
