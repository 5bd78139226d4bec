//! Goes through everything a lab can do, and expects what it should find.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use knetsim_sdk::records::Layer;
use knetsim_sdk::{
    Code, Command, Container, Error, IngressOptions, Lab, NewCapture, NewContainer, Place, Result, Servers,
    ServiceOptions, Tries,
};

fn main() -> Result<()> {
    let lab = Lab::new();
    scratch_nodes(&lab)?;
    commands(&lab)?;
    background(&lab)?;
    names_that_can_not_be_shown(&lab)?;
    namespaces_by_hand(&lab)?;
    clusters_and_workers(&lab)?;
    let (near, far) = containers(&lab)?;
    probes(&lab, &near, &far)?;
    services(&lab, &near, &far)?;
    ingresses(&lab)?;
    links(&lab)?;
    observations(&lab, &near)?;
    captures(&lab, &near, &far)?;
    another_overlay(&lab)?;
    lab.cluster("C0")?.delete_with_containers()?;
    assert!(lab.nodes()?.is_empty() && lab.containers()?.is_empty() && lab.clusters()?.is_empty());
    println!("the tour is over");
    Ok(())
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> Code {
    result.expect_err("a refusal").code()
}

fn scratch_nodes(lab: &Lab) -> Result<()> {
    let node = lab.create_scratch("box")?;
    let info = lab.scratch("box")?.info()?;
    assert_eq!((info.name.as_str(), info.kind.as_str(), info.owner.as_str()), (node.name(), "scratch", "lab:tour"));
    assert_eq!(code(lab.create_scratch("box")), Code::Exists);
    assert_eq!(code(lab.scratch("other")), Code::NotFound);
    assert_eq!(code(lab.worker("box")), Code::Invalid);
    for name in ["no name", "base", "host", "t0", "exec", "nodes", "a\u{1b}[31m"] {
        assert_eq!(code(lab.create_scratch(name)), Code::Invalid, "{name:?}");
    }
    Ok(())
}

fn commands(lab: &Lab) -> Result<()> {
    let node = lab.place("box");
    assert_eq!(node.run(["hostname"])?.text()?.trim(), "box");
    let count = node.run(Command::new(["wc", "-c"]).input(vec![b'x'; 200_000]))?;
    assert_eq!(count.text()?.trim(), "200000");
    let shell = |script: &str| Command::new(["sh", "-c", script]);
    let output = node.run(shell("echo $GREETING; echo oh >&2; exit 3").env("GREETING", "hello"))?;
    assert_eq!((output.status, &*output.stdout, &*output.stderr), (3, &b"hello\n"[..], &b"oh\n"[..]));
    assert!(output.text().expect_err("status 3").message().contains("exit status 3: oh"));
    assert_eq!(node.run(shell("kill -9 $$"))?.status, 137);

    // What is too much is read and not kept; what goes on behind a command's back is not waited for.
    let flood = node.run(["head", "-c", "5000000", "/dev/zero"])?;
    assert!(flood.truncated && flood.success() && flood.stdout.len() == 1 << 20);
    let begin = Instant::now();
    assert_eq!(node.run(shell("sleep 30 & echo done"))?.text()?, "done\n");
    assert!(begin.elapsed() < Duration::from_secs(10));
    let slow = node.run(shell("sleep 30").timeout(Duration::from_millis(50)));
    assert_eq!(code(slow), Code::Timeout);
    assert!(node.run(["no-such-program"]).is_err());
    assert_eq!(code(lab.place("nobody").run(["true"])), Code::NotFound);
    Ok(())
}

fn background(lab: &Lab) -> Result<()> {
    let node = lab.place("box");
    let process = node.start(["sh", "-c", "echo begun; exec sleep 100"])?;
    assert!(process.pid() > 1);
    assert_eq!(process.wait_for(Duration::from_millis(20))?, None);
    until("the log has its line", || Ok(node.log().is_ok_and(|log| log.contains("begun"))))?;
    // Two at the same time are allowed, this one and another.
    let other = node.start(["sleep", "100"])?;
    assert_eq!(code(node.start(["true"])), Code::Limit);
    assert_eq!(code(node.run(["true"])), Code::Limit);
    assert_eq!(code(other.signal(1000)), Code::Invalid);
    other.signal(15)?;
    assert_eq!(other.wait()?, 128 + 15);
    process.kill()?;
    assert_eq!(process.wait()?, 128 + 9);
    until("there is room again", || match node.run(["true"]) {
        Err(error) if error.code() == Code::Limit => Ok(false),
        ran => Ok(ran?.success()),
    })
}

/// What the kernel lets people name as no lab could is escaped wherever it is read.
fn names_that_can_not_be_shown(lab: &Lab) -> Result<()> {
    let node = lab.scratch("box")?;
    let by_hand = "ip netns add $'evil\\e[31m\\nC0w1' && ip link add $'a\\eb\\xe2\\x80\\x8b' type bridge \
                   && ip link set $'a\\eb\\xe2\\x80\\x8b' up && ip address add 192.0.2.1/32 dev $'a\\eb\\xe2\\x80\\x8b' \
                   && mkdir -p $'/run/tour/x\\ey'";
    node.run(Command::new(["bash", "-c", by_hand]).with_namespaces())?.text()?;
    let seen = node.observe()?;
    let namespaces = seen.namespaces()?;
    assert!(namespaces.iter().any(|it| it.name == "evil\\u{1b}[31m\\nC0w1"), "{namespaces:?}");
    let device = "a\\u{1b}b\\u{200b}";
    assert!(seen.links()?.iter().any(|it| it.name == device));
    assert!(seen.addresses()?.iter().any(|it| it.interface == device));
    assert!(seen.routes()?.iter().any(|it| it.interface.as_deref() == Some(device)));
    assert_eq!(seen.list_folder("/run/tour")?, ["x\\u{1b}y/"]);
    assert_eq!(code(lab.place("box/evil\u{1b}[31m\nC0w1").observe()), Code::Invalid);
    let running = node.start(["bash", "-c", "exec -a $'named\\e[31m' sleep 60"])?;
    until("it runs under that name", || {
        Ok(seen.processes()?.iter().flat_map(|it| &it.command).any(|word| word == "named\\u{1b}[31m"))
    })?;
    running.kill()?;
    until("the history has it", || {
        let entries = lab.history(0)?.entries;
        assert!(!entries.iter().any(|it| it.change.detail.contains(|c: char| c.is_control() || c == '\u{200b}')));
        let has = |words: &str| entries.iter().any(|it| it.place == "box" && it.change.detail.contains(words));
        Ok(has("evil\\u{1b}[31m\\nC0w1") && has(device))
    })?;
    let undo = "ip netns delete $'evil\\e[31m\\nC0w1'; ip link delete $'a\\eb\\xe2\\x80\\x8b'; rm -r /run/tour";
    node.run(Command::new(["bash", "-c", undo]).with_namespaces())?.text()?;
    Ok(())
}

fn namespaces_by_hand(lab: &Lab) -> Result<()> {
    let node = lab.scratch("box")?;
    assert!(!node.run(["unshare", "--net", "true"])?.success(), "a lab's command makes no namespaces");
    node.run(Command::new(["ip", "netns", "add", "mine"]).with_namespaces())?.text()?;
    let namespaces = node.observe()?.namespaces()?;
    assert_eq!(namespaces.iter().map(|n| (n.name.as_str(), n.container)).collect::<Vec<_>>(), [("mine", false)]);
    let mine = lab.place("box/mine");
    mine.run(["ip", "link", "set", "lo", "up"])?.text()?;
    assert!(mine.observe()?.link("lo")?.is_some_and(|lo| lo.up));
    assert!(mine.ping("127.0.0.1")?.all_answered());

    // The history knows of it afterwards, too.
    let end = Instant::now() + Duration::from_secs(5);
    node.run(Command::new(["ip", "netns", "delete", "mine"]).with_namespaces())?.text()?;
    until("the history has its begin and end", || {
        let entries = lab.history(0)?.entries;
        let of = |verb| entries.iter().any(|e| e.place == "box" && e.change.verb == verb && e.change.detail == "mine");
        assert!(Instant::now() < end || (of("new") && of("gone")), "{entries:?}");
        Ok(of("new") && of("gone"))
    })?;
    node.delete()
}

fn clusters_and_workers(lab: &Lab) -> Result<()> {
    let cluster = lab.create_cluster("C0", 2)?;
    assert_eq!((cluster.name(), cluster.info()?.switch.as_str()), ("C0", "C0s0"));
    assert_eq!(code(lab.create_cluster("C0", 1)), Code::Exists);
    assert_eq!(code(lab.create_cluster("C1", 3)), Code::Limit);
    assert_eq!(code(cluster.set_flannel("{}")), Code::Invalid);
    assert_eq!(lab.clusters()?.len(), 1);

    let worker = lab.create_worker("C0w3")?;
    assert!(worker.info()?.subnet.is_some(), "it has a lease");
    worker.set_repair(false)?;
    assert!(!worker.info()?.repair);
    assert!(lab.place("C0w1").ping(&worker)?.all_answered());
    lab.set_link("base:C0w3", false)?;
    assert_eq!(lab.place("C0w1").ping(&worker)?.received, 0);
    lab.set_link("base:C0w3", true)?;
    until("its link carries again", || Ok(lab.place("C0w1").ping(&worker)?.all_answered()))?;
    worker.delete()?;
    let names: Vec<_> = lab.nodes()?.into_iter().map(|node| node.name).collect();
    assert_eq!(names, ["C0e1", "C0e2", "C0w1", "C0w2"]);
    Ok(())
}

fn containers(lab: &Lab) -> Result<(Container, Container)> {
    let near = lab.worker("C0w1")?.create_container("c1")?;
    let server = [
        "sh",
        "-c",
        "echo serving; mkdir -p /tmp/www; cd /tmp/www; echo hi >index.html; exec python3 -u -m http.server 80",
    ];
    let far = NewContainer::new("C0w2.c2").label("app", "web").command(server);
    let far = lab.create_container(far)?;
    assert_eq!(lab.container("C0.c1")?.name(), "C0w1.c1");
    assert_eq!(far.info()?.labels, [("app".to_owned(), "web".to_owned())]);
    assert_eq!(code(lab.create_container("C0w2.c1")), Code::Exists);
    assert_eq!(code(lab.container("C0w2.c1")), Code::NotFound);
    let third = lab.create_container("C0w2.c3")?;
    assert_eq!(code(lab.create_container("C0w2.c4")), Code::Limit);
    third.delete()?;
    assert_eq!(code(lab.container("C0.c3")), Code::NotFound);
    assert!(lab.worker("C0w1")?.delete().is_err(), "it has a container");
    Ok((near, far))
}

fn probes(lab: &Lab, near: &Container, far: &Container) -> Result<()> {
    let ping = near.probe()?.ping(far, Tries::times(3))?;
    assert!(ping.all_answered() && ping.sent == 3 && ping.times_us.len() == 3, "{ping:?}");
    assert_eq!(ping.address, far.address()?.to_string());
    assert!(lab.place("C0e1").ping("C0w2")?.all_answered());
    until("the server serves", || Ok(near.connect(far, 80)?.all_connected()))?;
    let refused = near.connect(far, 81)?;
    assert_eq!((refused.connected, refused.error.as_deref()), (0, Some("Connection refused")));
    let reply = near.http_get(far, 80, "/index.html")?;
    assert_eq!((reply.status, reply.text().as_str()), (200, "hi\n"));
    assert!(reply.header("server").is_some());
    assert_eq!(near.http_get(far, 80, "/nothing")?.status, 404);
    assert!(far.log()?.contains("serving"));
    assert_eq!(code(near.ping("nobody at all")), Code::Invalid);
    assert_eq!(code(near.probe()?.ping(far, Tries::times(0))), Code::Invalid);
    Ok(())
}

fn services(lab: &Lab, near: &Container, far: &Container) -> Result<()> {
    let web = lab.create_service("C0.web", ServiceOptions::new().port(8080, 80).select("app", "web"))?;
    let vip = web.vip()?.to_string();
    assert_eq!(web.info()?.backends, [far.address()?.to_string()]);
    for place in ["C0.c1", "C0.c2", "C0w1", "C0w2"] {
        assert_eq!(lab.place(place).http_get(&vip, 8080, "/")?.text(), "hi\n", "from {place}");
    }
    assert_eq!(near.connect(&vip, 80)?.error.as_deref(), Some("Connection refused"));
    web.change(ServiceOptions::new().port(8080, 80).select("app", "nothing"))?;
    assert_eq!(near.connect(&vip, 8080)?.error.as_deref(), Some("Connection refused"));
    web.change(ServiceOptions::new().port(80, 80).select("app", "web"))?;

    // As in the slides: without ports, ICMP too.
    let slides = lab.create_service("C0.slides", ServiceOptions::new().vip("100.64.10.1").endpoint("c2"))?;
    assert!(near.ping("100.64.10.1")?.all_answered());
    assert_eq!(code(lab.create_service("C0.third", ServiceOptions::new().endpoint("c2"))), Code::Limit);
    slides.delete()?;
    assert_eq!(code(lab.service("C0.slides")), Code::NotFound);
    for wrong in [ServiceOptions::new(), ServiceOptions::new().vip("10.0.0.1").endpoint("c2")] {
        assert_eq!(code(lab.create_service("C0.wrong", wrong)), Code::Invalid);
    }
    assert_eq!(code(lab.create_service("C0.wrong", ServiceOptions::new().endpoint("c9"))), Code::NotFound);
    assert_eq!(code(lab.create_service("C0.web", ServiceOptions::new().endpoint("c2"))), Code::Exists);
    let there = lab.services()?;
    assert_eq!(there.iter().map(|service| service.name.as_str()).collect::<Vec<_>>(), ["C0.web"]);
    Ok(())
}

/// After [`services`], which leaves `web`.
fn ingresses(lab: &Lab) -> Result<()> {
    let outside = lab.place("C0e1");
    let get = |path: &str| outside.http_get("C0w1", 8001, path);
    let at = || IngressOptions::new("C0w1", 8001);
    let shop = lab.create_ingress("C0.shop", at().path("/in", "web:80").rewritten_to("/"))?;
    assert_eq!((get("/in")?.text().as_str(), get("/else")?.status), ("hi\n", 404));
    shop.change(
        at().exact("/", "web:80").of_host("nobody.example").otherwise("web:80").timeout(Duration::from_secs(9)),
    )?;
    assert_eq!((get("/")?.text().as_str(), get("/in")?.status), ("hi\n", 404), "the server knows no /in");
    // nginx writes a request's line when it has sent the answer.
    until("every request is in the log", || Ok(shop.access_log()?.lines().count() == 4))?;
    let log = shop.access_log()?;
    let lines: Vec<_> = log.lines().collect();
    assert!(lines[0].contains("\"GET /in HTTP/1.1\" 200") && lines[1].contains("to=- "), "{log}");
    let info = shop.info()?;
    assert_eq!((info.spec.timeout, info.trouble, info.address), (Some(9), None, lab.worker("C0w1")?.info()?.address));
    assert_eq!(lab.ingresses()?.iter().map(|ingress| ingress.name.as_str()).collect::<Vec<_>>(), ["C0.shop"]);
    assert_eq!(code(lab.create_ingress("C0.more", at().path("/", "web:80"))), Code::Limit);
    assert_eq!(code(lab.ingress("C0.more")), Code::NotFound);
    assert_eq!(code(shop.change(at().path("in", "web:80"))), Code::Invalid);
    assert_eq!(code(shop.change(at().path("/", "nothing:80"))), Code::NotFound);
    assert_eq!(code(lab.service("C0.web")?.delete()), Code::Exists);
    lab.ingress("C0.shop")?.delete()?;
    assert_eq!(code(shop.access_log()), Code::NotFound);
    assert!(get("/").is_err(), "nobody listens");
    Ok(())
}

/// After [`containers`], of which `c2` serves.
fn links(lab: &Lab) -> Result<()> {
    let other = lab.create_cluster("C1", 1)?;
    assert_eq!(code(lab.site("C0")), Code::NotFound);
    let (west, east) = (lab.create_site("C0")?, lab.create_site("C1")?);
    assert_eq!(code(lab.create_site("C0")), Code::Exists);
    let token = west.issue_token("t1", Duration::from_secs(60))?;
    east.link_by_token("c0", "C0", &token)?;
    assert_eq!(code(east.link_by_token("again", "C0", &token)), Code::Exists);
    assert_eq!(code(east.link("again", "C0", 1)), Code::Exists);
    assert_eq!(west.info()?.tokens[0].redeemed.as_deref(), Some("C1.c0"));
    east.add_listener("web", "web", 1028)?;
    west.add_connector("web", "web", Servers::labelled("app", "web"), 80)?;
    until("the service crosses", || {
        Ok(lab.place("C1w1").http_get("C1w1", 1028, "/").is_ok_and(|reply| reply.text() == "hi\n"))
    })?;
    // What routers say of themselves may be a moment old.
    until("the routers say so", || {
        let sites = lab.sites()?;
        let [west_now, east_now] = sites.as_slice() else { panic!("{sites:?}") };
        let pending = (&west_now.pending, &east_now.links[0].pending, &east_now.listeners[0].pending);
        let servers = west_now.connectors[0].servers.len();
        Ok(pending == (&None, &None, &None) && servers == 1 && east_now.reaches == ["C0"])
    })?;
    // Six there are: two sites, a token, a link, a listener, a connector.
    assert_eq!(code(east.add_listener("more", "more", 1029)), Code::Limit);
    west.delete_token("t1")?;
    west.delete_connector("web")?;
    until("the listener is pending", || {
        let why = east.info()?.listeners.remove(0).pending;
        Ok(why.is_some_and(|why| why.contains("no connector of \"web\"")))
    })?;
    west.add_connector("web", "web", Servers::container("none"), 80)?;
    assert!(west.info()?.connectors[0].pending.as_deref().is_some_and(|why| why.contains("no container C0.none")));
    assert_eq!(code(west.delete(false)), Code::Exists);
    lab.site("C0")?.delete(true)?;
    assert!(east.info()?.links.is_empty(), "it led to the other");
    east.delete_listener("web")?;
    east.delete(false)?;
    assert!(lab.sites()?.is_empty());
    other.delete()
}

fn observations(lab: &Lab, near: &Container) -> Result<()> {
    let inside = near.observe()?;
    let address = near.address()?.to_string();
    assert!(inside.addresses()?.iter().any(|a| a.interface == "eth0" && a.address == address));
    let eth0 = inside.link("eth0")?.expect("eth0");
    assert!(eth0.kind == "veth" && eth0.counters.tx_packets > 0, "{eth0:?}");
    assert!(inside.routes()?.iter().any(|route| route.destination == "default"));
    assert_eq!(code(inside.namespaces()), Code::Invalid);

    let node = lab.place("C0w1").observe()?;
    let overlay = node.link("flannel.100")?.and_then(|link| link.vxlan).expect("a vxlan device");
    assert_eq!((overlay.vni, overlay.port), (100, 8472));
    let neighbour = node.neighbours()?.into_iter().find(|n| n.interface == "flannel.100").expect("a neighbour");
    let entry = node.fdb()?.into_iter().find(|entry| Some(&entry.mac) == neighbour.mac.as_ref()).expect("an entry");
    assert_eq!(entry.destination, Some(lab.worker("C0w2")?.info()?.address));
    assert!(node.namespaces()?.iter().any(|namespace| namespace.name == "c1" && namespace.container));
    let subnet = lab.worker("C0w1")?.info()?.subnet.expect("a lease");
    let environment = node.read_file("/run/flannel/subnet.env")?;
    assert!(environment.contains("FLANNEL_NETWORK=11.0.0.0/8"), "{environment}");
    assert!(node.list_folder("/run")?.contains(&"flannel/".to_owned()));
    assert_eq!(code(node.read_file("/run/nothing")), Code::NotFound);
    assert!(node.read_file("/../../etc/passwd").is_err());
    let leases = lab.etcd_keys("C0", "/coreos.com/network/subnets/")?;
    assert!(leases.len() == 2 && leases.iter().all(|lease| lease.ttl.is_some()), "{leases:?}");
    assert!(leases.iter().any(|lease| lease.key.ends_with(&subnet.replace('/', "-"))), "{leases:?} {subnet}");

    let etcd = lab.place("C0e1").observe()?;
    assert!(etcd.sockets()?.iter().any(|socket| socket.state == "listen" && socket.local.ends_with(":2379")));
    assert!(etcd.processes()?.iter().any(|process| process.command[0].ends_with("etcd")));
    assert!(etcd.logs()?.contains(&"etcd".to_owned()) && !etcd.read_log("etcd")?.is_empty());

    let nft = [
        "nft",
        "add table ip mine; add chain ip mine out { type filter hook output priority 0; }; add rule ip mine out counter",
    ];
    lab.place("C0w1").run(nft)?.text()?;
    lab.place("C0w1").ping("C0w2")?;
    let ruleset = node.ruleset()?;
    let chain = ruleset.chains.iter().find(|chain| chain.table == "mine").expect("a chain");
    assert_eq!(chain.hook.as_ref().map(|hook| hook.hook.as_str()), Some("output"));
    let rule = ruleset.rules.iter().find(|rule| rule.table == "mine").expect("a rule");
    assert!(rule.packets > Some(0) && rule.handle > 0, "{rule:?}");
    assert!(node.ruleset_text()?.contains("table ip mine"));
    Ok(())
}

fn captures(lab: &Lab, near: &Container, far: &Container) -> Result<()> {
    let (from, to) = (near.address()?.to_string(), far.address()?.to_string());
    let underlay = lab.capture(NewCapture::new("C0w1:eth0").vni(100).host(far))?;
    let inside = lab.capture(NewCapture::new("C0w1.c1:eth0").protocol("icmp").outgoing().room(2, 64))?;
    let other = lab.capture(NewCapture::new("base:C0w2").port(8472).host("10.99.99.99"))?;
    assert_eq!((underlay.interface().as_str(), underlay.packets()?.len()), ("C0w1:eth0", 0));

    // What has passed is there at once: nothing has to be waited for.
    assert!(near.ping(far)?.all_answered());
    let packets = underlay.packets()?;
    let [request, reply] = packets.as_slice() else { panic!("{packets:?}") };
    assert!(request.is_ping(&from, &to) && reply.is_pong(&to, &from), "{request} and {reply}");
    assert!(request.outgoing && !reply.outgoing && request.vni() == Some(100) && request.at_us <= reply.at_us);
    let outer = request.outer().expect("a header of IP");
    let nodes = [lab.worker("C0w1")?.info()?.address, lab.worker("C0w2")?.info()?.address];
    assert_eq!([&outer.source, &outer.destination], [&nodes[0], &nodes[1]]);
    let kinds: Vec<_> = request.layers.iter().map(std::mem::discriminant).collect();
    assert_eq!((kinds.len(), kinds[0], kinds[1]), (7, kinds[4], kinds[5]), "{:?}", request.layers);
    assert!(matches!(&request.layers[2], Layer::Udp(udp) if udp.destination_port == 8472));
    assert!(request.to_string().contains("VXLAN 100 | "), "{request}");
    // The counters of `bytes` and `length` are those of the frame, the tunnel's 50 bytes included.
    assert_eq!((request.length, request.bytes.len()), (50 + 14 + 20 + 8 + 56, 148));

    near.probe()?.ping(far, Tries::times(4))?;
    assert!(inside.wait(5, Duration::from_secs(5))? && !inside.wait(6, Duration::from_millis(1))?);
    let captured = inside.read()?;
    assert_eq!((captured.passed, captured.dropped), (5, 0));
    assert_eq!(captured.packets.iter().map(|packet| packet.number).collect::<Vec<_>>(), [4, 5]);
    assert!(captured.packets.iter().all(|packet| packet.bytes.len() == 64 && packet.vni().is_none()));
    assert_eq!(other.read()?.passed, 0);

    assert!(near.connect(far, 80)?.all_connected());
    let handshake = underlay.packets()?.into_iter().find(|packet| packet.tcp().is_some()).expect("a segment");
    assert_eq!(handshake.tcp().map(|tcp| tcp.destination_port), Some(80));

    // What is kept goes on without its handle.
    underlay.keep("underlay")?;
    drop(underlay);
    near.ping(far)?;
    let kept = lab.kept_capture("underlay")?;
    assert_eq!(kept.packets()?.iter().filter(|packet| packet.is_ping(&from, &to)).count(), 6);
    assert_eq!(code(lab.kept_capture("nothing")), Code::NotFound);
    for name in ["", "\u{1b}[31m", "a\nb", "a\u{200b}", "-"] {
        assert_eq!(code(kept.keep(name)), Code::Invalid, "{name:?}");
        assert_eq!(code(lab.kept_capture(name)), Code::Invalid, "{name:?}");
    }
    assert_eq!(code(lab.capture("C0w1:nothing")), Code::NotFound);
    assert_eq!(code(lab.capture("C0w9:eth0")), Code::NotFound);
    assert_eq!(code(lab.capture("C0w1")), Code::Invalid);
    assert_eq!(code(lab.capture(NewCapture::new("C0w1:eth0").protocol("ipx"))), Code::Invalid);
    assert_eq!(code(lab.capture(NewCapture::new("C0w1:eth0").room(0, 256))), Code::Invalid);
    // Three there are: one is kept, one has ended with its handle.
    drop((inside, other));
    let more: Vec<_> = (0..31).map(|_| lab.capture("C0w1:lo")).collect::<Result<_>>()?;
    assert_eq!((more.len(), code(lab.capture("C0w1:lo"))), (31, Code::Limit));
    drop(more);

    // It ends with its container, and doesn't keep what that had.
    let worker = lab.place("C0w1").observe()?;
    let links = worker.links()?.len();
    let third = lab.create_container("C0w1.c3")?;
    let inside = lab.capture("C0w1.c3:lo")?;
    assert_eq!(worker.links()?.len(), links + 1);
    third.delete()?;
    assert_eq!(code(inside.wait(1, Duration::from_secs(10))), Code::NotFound);
    until("its device is gone", || Ok(worker.links()?.len() == links))?;

    // It ends with its interface.
    lab.create_scratch("box")?;
    lab.place("box").run(["ip", "link", "add", "gone0", "type", "bridge"])?.text()?;
    let gone = lab.capture("box:gone0")?;
    lab.place("box").run(["ip", "link", "delete", "gone0"])?.text()?;
    assert_eq!(code(gone.wait(1, Duration::from_secs(10))), Code::NotFound);
    lab.scratch("box")?.delete()
}

fn another_overlay(lab: &Lab) -> Result<()> {
    let flannel = r#"{ "Network": "12.0.0.0/8", "SubnetLen": 24, "Backend": { "Type": "vxlan", "VNI": 7 } }"#;
    lab.cluster("C0")?.set_flannel(flannel)?;
    let (near, far) = (lab.container("C0.c1")?, lab.container("C0.c2")?);
    assert_eq!(near.address()?.octets()[0], 12);
    assert!(near.ping(&far)?.all_answered());
    // Its service has followed.
    let vip = lab.service("C0.web")?.vip()?;
    until("the server serves again", || Ok(near.connect(vip, 80)?.all_connected()))?;
    Ok(())
}

/// Tries again until it holds.
fn until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(5);
    while !holds()? {
        if Instant::now() > end {
            return Err(Error::new(format!("{what}: not within five seconds")));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
