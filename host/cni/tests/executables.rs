//! The plugins as executables, driven by hand, and `cnitool` as the course uses it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use common::{REAL, SUBNET_ENV, executables, execute, execute_command, in_namespaces, inside, json, namespace, write};
use serde_json::{Value, json};

const PARAMETERS: [(&str, &str); 4] =
    [("CNI_CONTAINERID", "c1"), ("CNI_NETNS", "/run/netns/c1"), ("CNI_IFNAME", "eth0"), ("CNI_PATH", "/nowhere")];

#[test]
fn a_plugin_answers_as_the_specification_has_it() {
    in_namespaces(async || {
        let folder = executables();
        namespace("node");
        namespace("c1");
        let call = |plugin: &str, environment: &[(&str, &str)], input: &str| {
            let all = [&PARAMETERS[..], environment].concat();
            let output = execute("node", &folder.path().join(plugin), &all, input);
            let answer = serde_json::from_slice::<Value>(&output.stdout).unwrap_or_default();
            (output.status.code().unwrap(), answer, String::from_utf8(output.stderr).unwrap())
        };
        let good = r#"{"cniVersion": "1.1.0", "name": "net", "type": "loopback"}"#;

        let (status, version, _) = call("bridge", &[("CNI_COMMAND", "VERSION")], r#"{"cniVersion": "1.0.0"}"#);
        let versions = json!(["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]);
        assert_eq!((status, &version["supportedVersions"]), (0, &versions));
        let (status, answer, words) = call("bridge", &[], "");
        assert_eq!((status, answer), (0, Value::Null));
        assert!(words.starts_with("CNI plugin bridge of knetsim"), "{words}");

        for (plugin, environment, input, code, words) in [
            ("bridge", vec![("CNI_COMMAND", "DANCE")], good, 4, "unknown CNI_COMMAND `DANCE`"),
            (
                "bridge",
                vec![("CNI_COMMAND", "ADD"), ("CNI_NETNS", ""), ("CNI_IFNAME", "")],
                good,
                4,
                "CNI_NETNS, CNI_IFNAME",
            ),
            ("bridge", vec![("CNI_COMMAND", "DEL"), ("CNI_CONTAINERID", "../x")], good, 4, "CNI_CONTAINERID"),
            ("bridge", vec![("CNI_COMMAND", "ADD"), ("CNI_ARGS", "IP")], good, 4, "`IP` is not KEY=VALUE"),
            ("bridge", vec![("CNI_COMMAND", "ADD")], "{", 6, "the network configuration can't be decoded"),
            ("bridge", vec![("CNI_COMMAND", "ADD")], "[]", 6, "invalid type: sequence"),
            ("bridge", vec![("CNI_COMMAND", "ADD")], r#"{"cniVersion": "1.1.0"}"#, 7, "not a network's name"),
            ("bridge", vec![("CNI_COMMAND", "ADD")], r#"{"cniVersion": "9.0.0", "name": "n"}"#, 1, "9.0.0"),
            ("bridge", vec![("CNI_COMMAND", "CHECK")], r#"{"cniVersion": "0.3.1", "name": "n"}"#, 1, "has no CHECK"),
            ("bridge", vec![("CNI_COMMAND", "GC")], r#"{"cniVersion": "1.0.0", "name": "n"}"#, 1, "has no GC"),
            ("bridge", vec![("CNI_COMMAND", "CHECK")], r#"{"cniVersion": "1.0.0", "name": "n"}"#, 7, "`prevResult`"),
            ("bridge", vec![("CNI_COMMAND", "ADD"), ("CNI_NETNS", "/run/netns/absent")], good, 3, "No such file"),
            (
                "bridge",
                vec![("CNI_COMMAND", "ADD"), ("CNI_NETNS", "/run/netns/node")],
                good,
                4,
                "own network namespace",
            ),
            (
                "bridge",
                vec![("CNI_COMMAND", "ADD")],
                r#"{"name": "n", "ipam": {"type": "host-local"}}"#,
                7,
                "CNI_PATH (/nowhere)",
            ),
            ("bridge", vec![("CNI_COMMAND", "ADD")], r#"{"name": "n", "bridge": 5}"#, 6, "invalid type: integer"),
            ("host-local", vec![("CNI_COMMAND", "ADD")], r#"{"name": "n"}"#, 6, "missing field `ipam`"),
            ("host-local", vec![("CNI_COMMAND", "ADD")], r#"{"name": "n", "ipam": {}}"#, 7, "no ranges"),
            ("flannel", vec![("CNI_COMMAND", "ADD")], good, 999, "/run/flannel/subnet.env is missing"),
            ("flannel", vec![("CNI_COMMAND", "STATUS")], good, 50, "/run/flannel/subnet.env is missing"),
        ] {
            let (status, answer, _) = call(plugin, &environment, input);
            assert_eq!((status, &answer["code"]), (1, &json!(code)), "{plugin} {environment:?} {input}: {answer}");
            assert!(answer["msg"].as_str().unwrap().contains(words), "{words}: {answer}");
            assert_eq!(answer["cniVersion"], "1.1.0");
        }
        // What is gone needs no undoing.
        for plugin in ["bridge", "host-local", "flannel", "loopback"] {
            let environment = [("CNI_COMMAND", "DEL"), ("CNI_NETNS", "/run/netns/absent")];
            let config = json!({"cniVersion": "1.1.0", "name": "net", "ipam": {"subnet": "10.0.0.0/24"}});
            assert_eq!(call(plugin, &environment, &config.to_string()).0, 0, "{plugin}");
        }

        let (status, result, _) = call("loopback", &[("CNI_COMMAND", "ADD")], good);
        assert_eq!((status, &result["ips"][0]["address"]), (0, &json!("127.0.0.1/8")));
        assert_eq!(
            result["interfaces"],
            json!([{"name": "lo", "mac": "00:00:00:00:00:00", "sandbox": "/run/netns/c1"}])
        );
        assert_eq!(call("loopback", &[("CNI_COMMAND", "CHECK")], good).0, 0);
        assert_eq!(call("loopback", &[("CNI_COMMAND", "DEL")], good).0, 0);
        assert_eq!(call("loopback", &[("CNI_COMMAND", "CHECK")], good).1["msg"], "the loopback interface is down");
    });
}

/// The slides' configuration and commands, with plugins of ours, and with Debian's bridge below our flannel.
#[test]
fn the_course_s_commands_work() {
    in_namespaces(async || {
        let ours = executables();
        let mixed = tempfile::tempdir().unwrap();
        for (program, from) in [("flannel", ours.path()), ("bridge", Path::new(REAL)), ("host-local", ours.path())] {
            symlink(from.join(program), mixed.path().join(program)).unwrap();
        }
        for (node, path) in [("C0w1", ours.path()), ("C0w2", mixed.path())] {
            namespace(node);
            namespace(&format!("{node}-c1"));
            let home = format!("/run/knetsim/{node}");
            write(&Path::new(&home).join("flannel-subnet.env"), &SUBNET_ENV.replace("IPMASQ=false", "IPMASQ=true"));
            let config = json!({"name": node, "type": "flannel", "subnetFile": format!("{home}/flannel-subnet.env"),
                "dataDir": format!("{home}/flannel"), "delegate": {"isDefaultGateway": true}});
            write(&Path::new(&home).join("10-flannel.conf"), &config.to_string());
            let cnitool = |command: &[&str]| {
                let mut program = Command::new("nsenter");
                program.arg(format!("--net=/run/netns/{node}")).arg(ours.path().join("cnitool")).args(command);
                program.env("CNI_PATH", path).env("NETCONFPATH", &home).current_dir("/run/netns");
                execute_command(program, "")
            };
            let netns = format!("./../netns/{node}-c1");
            let added = cnitool(&["add", node, &netns]);
            assert!(added.status.success(), "{added:?}");
            // The slides' configuration names no version: that is 0.1.0.
            let routes = json!([{"dst": "11.0.0.0/8"}, {"dst": "0.0.0.0/0", "gw": "11.10.128.1"}]);
            let ip4 = json!({"ip": "11.10.128.2/20", "gateway": "11.10.128.1", "routes": routes});
            assert_eq!(json(&added), json!({"cniVersion": "0.1.0", "ip4": ip4, "dns": {}}));
            inside(&format!("{node}-c1"), &["ping", "-c1", "-W1", "11.10.128.1"]);

            let id = knetsim_cni::container_id(&format!("/run/netns/{node}-c1"));
            let kept = fs::read_to_string(format!("{home}/flannel/{id}")).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&kept).unwrap()["mtu"], 1450);
            assert!(Path::new(&format!("/var/lib/cni/results/{node}-{id}-eth0")).exists());

            let second = cnitool(&["add", node, &format!("/run/netns/{node}-c1"), "--ifname=eth1"]);
            assert_eq!(json(&second)["ip4"]["ip"], "11.10.128.3/20");
            for netns in [&format!("/run/netns/{node}-c1"), &netns] {
                assert!(cnitool(&["del", node, netns]).status.success());
            }
            let links = inside(&format!("{node}-c1"), &["ip", "-o", "link"]);
            assert!(links.contains("eth1@") && !links.contains("eth0@"), "{links}");
        }
    });
}

#[test]
fn cnitool_says_what_is_wrong() {
    in_namespaces(async || {
        let folder = executables();
        namespace("c1");
        let net_d = tempfile::tempdir().unwrap();
        let conf = net_d.path().display().to_string();
        write(
            &net_d.path().join("10-a.conflist"),
            r#"{"cniVersion": "1.1.0", "name": "a", "plugins": [{"type": "absent"}]}"#,
        );
        write(&net_d.path().join("30-c.conf"), r#"{"cniVersion": "1.1.0", "name": "c", "type": "bridge", "vlan": 3}"#);
        let cnitool = |command: &[&str], environment: &[(&str, &str)]| {
            let mut program = Command::new(folder.path().join("cnitool"));
            program
                .args(command)
                .env("NETCONFPATH", &conf)
                .env("CNI_PATH", folder.path())
                .envs(environment.iter().copied());
            let output = execute_command(program, "");
            assert!(output.stdout.is_empty(), "{output:?}");
            (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
        };
        let netns = "/run/netns/c1";
        for (command, environment, words) in [
            (vec!["add", "a"], vec![], "usage: cnitool"),
            (vec!["dance", "a", netns], vec![], "usage: cnitool"),
            (vec!["add", "b", netns], vec![], "no network configuration with the name `b` in /"),
            (vec!["add", "a", netns], vec![], "no plugin `absent` in CNI_PATH"),
            (vec!["add", "a", "/run/netns/absent"], vec![], "open /run/netns/absent: "),
            (vec!["add", "a", netns], vec![("CNI_ARGS", "A")], "`A` is not KEY=VALUE"),
            (vec!["add", "a", netns], vec![("CAP_ARGS", "[]")], "CAP_ARGS can't be decoded"),
            (vec!["add", "a", netns, "-i", "a/b"], vec![], "CNI_IFNAME \"a/b\""),
            (
                vec!["add", "c", netns],
                vec![],
                "plugin bridge: unsupported field in the network configuration: vlan = 3",
            ),
        ] {
            let (status, said) = cnitool(&command, &environment);
            assert!(status == 1 && said.contains(words), "{command:?}: {said}");
        }
        // A broken file is named.
        write(&net_d.path().join("20-b.conflist"), "{");
        let (status, said) = cnitool(&["add", "c", netns], &[]);
        assert!(status == 1 && said.contains("20-b.conflist can't be decoded"), "{said}");
        // It may be what is meant; DEL must not depend on it.
        write(&net_d.path().join("40-d.conf"), r#"{"cniVersion": "1.1.0", "name": "d", "type": "bridge"}"#);
        assert_eq!(cnitool(&["del", "d", netns], &[]), (0, String::new()));
        let (status, said) = cnitool(&["del", "e", netns], &[]);
        assert!(status == 1 && said.contains("20-b.conflist can't be decoded"), "{said}");
    });
}
