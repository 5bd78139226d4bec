use super::*;
use knetsim_model::interconnect::{LinkSpec, ListenerSpec, Token};
use knetsim_model::topology::Topology;
use knetsim_model::{Event, InterfaceRef};
use proptest::prelude::*;

mod addresses;

fn topology(text: &str) -> Topology {
    serde_json::from_str(text).unwrap()
}

fn apply(view: &View, text: &str) -> Result<Plan, Failure> {
    Planner::plan(view.clone(), &Operation::Apply { topology: topology(text) }, Owner::File)
}

fn user(view: &View, operation: Operation) -> Result<Plan, Failure> {
    Planner::plan(view.clone(), &operation, Owner::User)
}

/// What there is after a plan was carried out.
fn done(mut view: View, plan: Plan) -> View {
    plan.delete_sites.iter().for_each(|cluster| drop(view.sites.remove(cluster)));
    plan.delete_tokens.iter().for_each(|key| drop(view.tokens.remove(key)));
    plan.delete_ingresses.iter().for_each(|key| drop(view.ingresses.remove(key)));
    plan.delete_services.iter().for_each(|key| drop(view.services.remove(key)));
    plan.delete_containers.iter().for_each(|key| drop(view.containers.remove(key)));
    plan.delete_nodes.iter().for_each(|name| drop(view.nodes.remove(name)));
    plan.delete_clusters.iter().for_each(|name| drop(view.clusters.remove(name)));
    view.clusters.extend(plan.clusters.into_iter().map(|cluster| (cluster.name.clone(), cluster)));
    view.nodes.extend(plan.nodes.into_iter().map(|node| (node.name.clone(), node)));
    for (name, config) in plan.flannel {
        view.clusters.get_mut(&name).unwrap().flannel = config;
    }
    view.containers.extend(plan.containers.into_iter().map(|container| (container.key.clone(), container)));
    for (key, labels) in plan.labels {
        view.containers.get_mut(&key).unwrap().labels = labels;
    }
    view.services.extend(plan.services.into_iter().map(|service| (service.key.clone(), service)));
    view.ingresses.extend(plan.ingresses.into_iter().map(|ingress| (ingress.key.clone(), ingress)));
    view.sites.extend(plan.sites.into_iter().map(|site| (site.cluster.clone(), site)));
    for plan in plan.tokens {
        view.tokens.insert(plan.key.clone(), TokenView { plan, code: "5".repeat(32), redeemed: None });
    }
    for (key, link) in plan.redeem {
        view.tokens.get_mut(&key).unwrap().redeemed = Some(link);
    }
    view
}

const COURSE: &str = r#"{"clusters":{"C0":{"workers":3,"containers":{"c1":{"worker":"C0w1"},"c2":{"worker":"C0w2"}}},"C1":{"workers":3}}}"#;

fn course() -> View {
    let view = View::default();
    done(view.clone(), apply(&view, COURSE).unwrap())
}

#[test]
fn the_course_gets_its_addresses() {
    let view = course();
    let address = |name: &str| view.nodes[&name.parse().unwrap()].address.to_string();
    assert_eq!(address("C0e1"), "10.1.0.1");
    assert_eq!(address("C1e2"), "10.2.0.2");
    assert_eq!(address("C0w1"), "10.0.0.3");
    assert_eq!(address("C1w1"), "10.0.0.8");
}

#[test]
fn a_number_is_kept_and_the_next_free_one_given() {
    let view = course();
    let view = done(
        view.clone(),
        user(&view, Operation::DeleteWorker { worker: "C0w2".parse().unwrap(), force: true }).unwrap(),
    );
    let plan = user(&view, Operation::CreateWorker { worker: "C1w4".parse().unwrap() }).unwrap();
    assert_eq!(plan.nodes[0].number, 4);
    assert_eq!(view.nodes[&"C1w3".parse().unwrap()].number, 10);
}

#[test]
fn a_file_may_give_numbers() {
    let text = r#"{"clusters":{"C7":{"index":3,"workers":1}},"numbers":{"C7w1":1}}"#;
    let plan = apply(&View::default(), text).unwrap();
    let address = |name: &str| plan.nodes.iter().find(|node| node.name.as_str() == name).unwrap().address.to_string();
    assert_eq!((address("C7w1").as_str(), address("C7e1").as_str()), ("10.0.0.1", "10.4.0.1"));
    assert!(plan.nodes.iter().filter(|node| node.number == 1).count() == 1);
    let refused =
        apply(&course(), r#"{"clusters":{"C0":{"workers":3},"C1":{"workers":3},"C7":{"index":1,"workers":1}}}"#);
    assert!(refused.unwrap_err().message.contains("C1"));
}

#[test]
fn applying_twice_changes_nothing() {
    let view = course();
    let plan = apply(&view, COURSE).unwrap();
    assert_eq!(plan, Plan::default());
}

#[test]
fn a_file_deletes_only_what_it_owned() {
    let view = course();
    let mine = Operation::CreateContainer {
        container: "C0w3.mine".parse().unwrap(),
        labels: Default::default(),
        command: vec![],
    };
    let view = done(view.clone(), user(&view, mine).unwrap());
    let plan =
        apply(&view, r#"{"clusters":{"C0":{"workers":3,"containers":{"c1":{"worker":"C0w1"}}},"C1":{"workers":2}}}"#)
            .unwrap();
    assert_eq!(plan.delete_containers, [("C0".parse().unwrap(), "c2".parse().unwrap())]);
    assert_eq!(plan.delete_nodes, ["C1w3".parse().unwrap()]);
    assert!(plan.notes.iter().any(|note| note.contains("C0w3.mine stays")), "{:?}", plan.notes);
    let refused = apply(&view, r#"{"clusters":{"C0":{"workers":2}}}"#).unwrap_err();
    assert!(refused.message.contains("C0w3") && refused.message.contains("C0w3.mine (of the user)"), "{refused}");
}

#[test]
fn a_moved_or_changed_container_is_made_anew_and_labels_are_not() {
    let view = course();
    let text = COURSE
        .replace(r#"{"worker":"C0w2"}"#, r#"{"worker":"C0w3"}"#)
        .replace(r#"{"worker":"C0w1"}"#, r#"{"worker":"C0w1","labels":{"a":"b"}}"#);
    let plan = apply(&view, &text).unwrap();
    assert_eq!(plan.delete_containers.len(), 1);
    assert_eq!(plan.containers.len(), 1);
    assert_eq!(plan.containers[0].worker, "C0w3".parse().unwrap());
    assert_eq!(plan.labels.len(), 1);
}

#[test]
fn another_flannel_configuration_makes_the_containers_anew() {
    let view = course();
    let mut config = FlannelConfig::default();
    config.backend.vni = 200;
    let plan = user(&view, Operation::SetFlannel { cluster: "C0".parse().unwrap(), config }).unwrap();
    assert_eq!(plan.delete_containers.len(), 2);
    assert_eq!(plan.containers.len(), 2);
    assert_eq!(plan.flannel.len(), 1);
}

#[test]
fn clashes_name_owners_where_they_differ() {
    let view = course();
    let again = Operation::CreateCluster { cluster: "C0".parse().unwrap(), workers: 1, flannel: None };
    let refused = Planner::plan(view.clone(), &again, Owner::Lab("first".into())).unwrap_err();
    assert_eq!(refused.code, Code::Exists);
    assert!(refused.message.contains("the topology file") && refused.message.contains("lab `first`"), "{refused}");
    let moved = Operation::CreateContainer {
        container: "C0w3.c1".parse().unwrap(),
        labels: Default::default(),
        command: vec![],
    };
    assert!(user(&view, moved).unwrap_err().message.contains("C0w1.c1"));
    let slides = r#"{"clusters":{"C0":{"workers":1,"containers":{"c1":{"worker":"C0w1"}},
        "services":{"slides":{"vip":"100.64.10.1","endpoints":["c1"]}}}}}"#;
    let view = done(View::default(), apply(&View::default(), slides).unwrap());
    let again = user(&view, service("C0.mine", r#"{"endpoints":["c1"],"vip":"100.64.10.1"}"#, false)).unwrap_err();
    let words = "100.64.10.1 is the address of service C0.slides already, made by the topology file, not by the user";
    assert_eq!(again.message, format!("create service C0.mine: {words}"));
}

/// Each kind of object, made twice by the same one: nobody is told that it was made by whoever makes it.
#[test]
fn clashes_of_one_owner_name_none() {
    let mut view = with_service();
    let container = |name: &str| Operation::CreateContainer {
        container: name.parse().unwrap(),
        labels: Default::default(),
        command: vec![],
    };
    let listener = |name: &str| Operation::CreateListener {
        listener: name.parse().unwrap(),
        spec: serde_json::from_str(r#"{"routing_key":"a"}"#).unwrap(),
    };
    let first = [
        ("create container C0w1.x", container("C0w1.x")),
        ("create scratch box", Operation::CreateScratch { node: "box".parse().unwrap() }),
        ("create cluster C5", Operation::CreateCluster { cluster: "C5".parse().unwrap(), workers: 1, flannel: None }),
        ("create worker C5w2", Operation::CreateWorker { worker: "C5w2".parse().unwrap() }),
        ("create service C0.own", service("C0.own", r#"{"endpoints":["c1"],"vip":"100.64.9.9"}"#, false)),
        ("create ingress C0.own", ingress("C0.own", SHOP, false)),
        ("create site C5", Operation::CreateSite { cluster: "C5".parse().unwrap(), interconnect: None }),
        ("create token C5.t", Operation::CreateToken { token: "C5.t".parse().unwrap(), seconds: 9 }),
        ("create listener C5.l", listener("C5.l")),
    ];
    for (doing, operation) in first {
        view = done(view.clone(), user(&view, operation.clone()).unwrap());
        let refused = user(&view, operation).unwrap_err();
        assert_eq!(refused.code, Code::Exists, "{refused}");
        assert!(refused.message.starts_with(doing) && !refused.message.contains("user"), "{refused}");
    }
    for (same_place, what) in [
        (
            service("C0.b", r#"{"endpoints":["c1"],"vip":"100.64.9.9"}"#, false),
            "100.64.9.9 is the address of service C0.own already",
        ),
        (ingress("C0.b", SHOP, false), "port 8001 of C0w1 is that of ingress C0.own already"),
        (listener("C5.m"), "listener C5.l and listener C5.m both want port 1028 of C5w1: give one of them another"),
    ] {
        let refused = user(&view, same_place).unwrap_err().message;
        assert!(refused.ends_with(what), "{refused}");
    }
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_done() {
    let view = course();
    let refused = |operation| user(&view, operation).unwrap_err().code;
    let cluster =
        |name: &str, workers| Operation::CreateCluster { cluster: name.parse().unwrap(), workers, flannel: None };
    assert_eq!(refused(cluster("C2", 4_000_000_000)), Code::Limit);
    assert_eq!(refused(Operation::CreateWorker { worker: "C9w1".parse().unwrap() }), Code::NotFound);
    assert_eq!(refused(Operation::CreateWorker { worker: "C0e1".parse().unwrap() }), Code::Invalid);
    assert_eq!(refused(Operation::DeleteWorker { worker: "C0w1".parse().unwrap(), force: false }), Code::Exists);
    assert_eq!(refused(Operation::DeleteContainer { container: "C0w2.c1".parse().unwrap() }), Code::NotFound);
    assert_eq!(refused(Operation::CreateScratch { node: "C0w7".parse().unwrap() }), Code::Invalid);
    assert_eq!(refused(Operation::CreateScratch { node: "skupper".parse().unwrap() }), Code::Invalid);
    let overlapping = FlannelConfig {
        network: "10.0.0.0/8".parse().unwrap(),
        subnet_min: None,
        subnet_max: None,
        ..FlannelConfig::default()
    };
    assert_eq!(refused(Operation::SetFlannel { cluster: "C0".parse().unwrap(), config: overlapping }), Code::Invalid);
    let wrong_cluster = Operation::CreateContainer {
        container: "C0w9.x".parse().unwrap(),
        labels: Default::default(),
        command: vec![],
    };
    assert_eq!(refused(wrong_cluster), Code::NotFound);
    let link: InterfaceRef = "C0w1:eth0".parse().unwrap();
    assert_eq!(user(&view, Operation::SetLink { interface: link, up: false }).unwrap(), Plan::default());
}

fn service(name: &str, spec: &str, replace: bool) -> Operation {
    let spec = serde_json::from_str(spec).unwrap();
    Operation::CreateService { service: name.parse().unwrap(), spec, replace }
}

/// The course with a service `web` of the user's at the lowest address.
fn with_service() -> View {
    let view = course();
    done(view.clone(), user(&view, service("C0.web", r#"{"endpoints":["c1"]}"#, false)).unwrap())
}

fn vip(view: &View, name: &str) -> String {
    view.services[&("C0".parse().unwrap(), name.parse().unwrap())].vip.to_string()
}

#[test]
fn a_service_gets_an_address_and_keeps_it() {
    let view = with_service();
    assert_eq!(vip(&view, "web"), "100.64.0.1");
    let plan = user(&view, service("C0.other", r#"{"selector":{"a":"b"}}"#, false)).unwrap();
    let view = done(view, plan);
    assert_eq!(vip(&view, "other"), "100.64.0.2");
    let plan = user(&view, service("C0.web", r#"{"selector":{"a":"b"}}"#, true)).unwrap();
    assert_eq!(plan.services[0].vip.to_string(), "100.64.0.1");
    let plan = user(&view, service("C1.web", r#"{"selector":{"a":"b"}}"#, false)).unwrap();
    assert_eq!(plan.services[0].vip.to_string(), "100.64.0.1", "each cluster has its own");
}

#[test]
fn services_that_cannot_be_are_refused() {
    let view = with_service();
    let refused = |operation| user(&view, operation).unwrap_err();
    assert_eq!(refused(service("C0.web", r#"{"endpoints":["c1"]}"#, false)).code, Code::Exists);
    let same = refused(service("C0.b", r#"{"endpoints":["c1"],"vip":"100.64.0.1"}"#, false));
    assert!(same.code == Code::Exists && same.message.contains("C0.web"), "{same}");
    assert_eq!(refused(service("C0.b", r#"{"endpoints":["c9"]}"#, false)).code, Code::NotFound);
    assert_eq!(refused(service("C9.b", r#"{"endpoints":["10.0.0.1"]}"#, false)).code, Code::NotFound);
    assert_eq!(refused(service("C0.b", "{}", false)).code, Code::Invalid);
    assert_eq!(refused(Operation::DeleteService { service: "C0.b".parse().unwrap() }).code, Code::NotFound);
    let used = refused(Operation::DeleteCluster { cluster: "C0".parse().unwrap(), force: false });
    assert!(used.message.contains("service C0.web (of the user)"), "{used}");
    let all = user(&view, Operation::DeleteCluster { cluster: "C0".parse().unwrap(), force: true }).unwrap();
    assert_eq!(all.delete_services.len(), 1);
}

#[test]
fn a_fixed_endpoint_that_goes_is_told_and_stays() {
    let view = with_service();
    let plan = user(&view, Operation::DeleteContainer { container: "C0.c1".parse().unwrap() }).unwrap();
    assert!(
        plan.notes.iter().any(|note| note.contains("C0.c1 stays an endpoint of service C0.web")),
        "{:?}",
        plan.notes
    );
    let view = done(view, plan);
    let again = user(&view, service("C0.web", r#"{"endpoints":["c1","c2"]}"#, true)).unwrap();
    assert_eq!(again.services.len(), 1);
    assert!(user(&view, service("C0.b", r#"{"endpoints":["c1"]}"#, false)).is_err());
}

#[test]
fn a_file_changes_the_services_that_it_made() {
    let file = |services: &str| {
        COURSE.replace(r#""workers":3,"containers""#, &format!(r#""workers":3,"services":{{{services}}},"containers""#))
    };
    let (a, b) = (r#""vip":"100.64.0.8","endpoints":["c1"]"#, r#""vip":"100.64.0.9","endpoints":["c2"]"#);
    let first = file(&format!(r#""a":{{{a}}},"b":{{{b}}},"c":{{"selector":{{"x":"y"}}}}"#));
    let view = with_service();
    let view = done(view.clone(), apply(&view, &first).unwrap());
    assert_eq!(apply(&view, &first).unwrap().services, vec![]);
    assert_eq!(vip(&view, "c"), "100.64.0.2", "the user's has the first");
    // Two change places in one go; one goes; the user's stays.
    let plan = apply(&view, &file(&format!(r#""a":{{{b}}},"b":{{{a}}}"#))).unwrap();
    assert!(plan.notes.iter().any(|note| note.contains("service C0.web stays")), "{:?}", plan.notes);
    assert_eq!((plan.services.len(), plan.delete_services.len()), (2, 1));
    let view = done(view, plan);
    assert_eq!((vip(&view, "a").as_str(), vip(&view, "b").as_str()), ("100.64.0.9", "100.64.0.8"));
    let clash = apply(&view, &file(r#""web":{"endpoints":["c2"]}"#)).unwrap_err();
    assert!(clash.message.contains("made by the user"), "{clash}");
}

proptest! {
    /// Whatever files follow each other, the outcome of the last is what a first run of it would make.
    #[test]
    fn files_converge(steps in prop::collection::vec((1u32..5, prop::collection::btree_map("[abc]", 1u32..5, 0..3)), 1..5)) {
        let mut view = View::default();
        let mut last = String::new();
        for (workers, containers) in steps {
            let containers: Vec<_> = containers.iter().map(|(name, worker)| format!(r#""{name}":{{"worker":"C0w{}"}}"#, worker.min(&workers))).collect();
            last = format!(r#"{{"clusters":{{"C0":{{"workers":{workers},"containers":{{{}}}}}}}}}"#, containers.join(","));
            let plan = apply(&view, &last).unwrap();
            view = done(view, plan);
        }
        let fresh = done(View::default(), apply(&View::default(), &last).unwrap());
        prop_assert_eq!(&view.containers, &fresh.containers);
        prop_assert_eq!(view.nodes.keys().collect::<Vec<_>>(), fresh.nodes.keys().collect::<Vec<_>>());
        prop_assert_eq!(apply(&view, &last).unwrap().nodes, vec![]);
    }
}

fn ingress(name: &str, spec: &str, replace: bool) -> Operation {
    let spec = serde_json::from_str(spec).unwrap();
    Operation::CreateIngress { ingress: name.parse().unwrap(), spec, replace }
}

const SHOP: &str = r#"{"worker":"C0w1","port":8001,"paths":[{"path":"/a","backend":"web:80"}]}"#;

/// The course with a service and an ingress that leads to it.
fn with_ingress() -> View {
    let view = with_service();
    done(view.clone(), user(&view, ingress("C0.shop", SHOP, false)).unwrap())
}

#[test]
fn ingresses_that_cannot_be_are_refused() {
    let view = with_ingress();
    let other = |from: &str, to: &str| ingress("C0.other", &SHOP.replace("8001", "8002").replace(from, to), false);
    let web = r#"{"endpoints":["c1"],"ports":[{"port":80}]}"#;
    let strict = done(view.clone(), user(&view, service("C0.strict", web, false)).unwrap());
    assert!(user(&view, other("-", "-")).is_ok());
    for (operation, code, word) in [
        (
            ingress("C0.shop", SHOP, false),
            Code::Exists,
            "there is already an ingress C0.shop; to change it, use --replace",
        ),
        (ingress("C0.other", SHOP, false), Code::Exists, "port 8001 of C0w1 is that of ingress C0.shop already"),
        (other("C0w1", "C0w9"), Code::NotFound, "no worker C0w9"),
        (other("C0w1", "C1w1"), Code::Invalid, "a worker of C0"),
        (other("C0w1", "C0e1"), Code::Invalid, "a worker of C0"),
        (other("/a", "a"), Code::Invalid, "no path"),
        (other("web:80", "nothing:80"), Code::NotFound, "no service C0.nothing"),
        (other("web:80", "100.64.9.9:80"), Code::NotFound, "100.64.9.9"),
        (other("web:80", "strict:81"), Code::Invalid, "does not serve TCP port 81"),
        (Operation::DeleteIngress { ingress: "C0.other".parse().unwrap() }, Code::NotFound, "C0.other"),
        (Operation::DeleteService { service: "C0.web".parse().unwrap() }, Code::Exists, "C0.shop (of the user)"),
        (Operation::DeleteWorker { worker: "C0w1".parse().unwrap(), force: false }, Code::Exists, "ingress C0.shop"),
    ] {
        let failure = user(&strict, operation).unwrap_err();
        assert!(failure.code == code && failure.message.contains(word), "{word}: {failure}");
    }
    let forced = user(&view, Operation::DeleteCluster { cluster: "C0".parse().unwrap(), force: true }).unwrap();
    assert_eq!((forced.delete_ingresses.len(), forced.ingresses.len()), (1, 0));
}

#[test]
fn an_ingress_follows_its_service() {
    let view = with_ingress();
    let plan = user(&view, service("C0.web", r#"{"endpoints":["c2"]}"#, true)).unwrap();
    assert_eq!(plan.ingresses, vec![], "its address is the same");
    let plan = user(&view, service("C0.web", r#"{"endpoints":["c1"],"vip":"100.64.7.7"}"#, true)).unwrap();
    let backends: Vec<_> = plan.ingresses[0].backends.values().map(ToString::to_string).collect();
    assert_eq!((backends, plan.delete_ingresses.len()), (vec!["100.64.7.7:80".to_owned()], 0));
    // At another place it is another nginx.
    let plan = user(&view, ingress("C0.shop", &SHOP.replace("8001", "8002"), true)).unwrap();
    assert_eq!((plan.ingresses.len(), plan.delete_ingresses.len()), (1, 1));
}

#[test]
fn a_file_changes_the_ingresses_that_it_made() {
    let file = |ingresses: &str| {
        let both = format!(
            r#""workers":3,"services":{{"web":{{"endpoints":["c1"]}}}},"ingresses":{{{ingresses}}},"containers""#
        );
        COURSE.replace(r#""workers":3,"containers""#, &both)
    };
    let second = SHOP.replace("8001", "8002").replace("C0w1", "C0w2");
    let first = file(&format!(r#""a":{SHOP},"b":{second}"#));
    let view = done(View::default(), apply(&View::default(), &first).unwrap());
    assert_eq!(apply(&view, &first).unwrap().ingresses, vec![]);
    // They change places; and one is no more.
    let plan = apply(&view, &file(&format!(r#""a":{second},"b":{SHOP}"#))).unwrap();
    assert_eq!((plan.ingresses.len(), plan.delete_ingresses.len()), (2, 2));
    let plan = apply(&view, &file(&format!(r#""a":{}"#, SHOP.replace("/a", "/b")))).unwrap();
    assert_eq!((plan.ingresses.len(), plan.delete_ingresses.len()), (1, 1));
    let bad = apply(&view, &file(&format!(r#""a":{}"#, SHOP.replace("web", "api")))).unwrap_err();
    assert!(bad.code == Code::NotFound && bad.message.contains("ingress C0.a"), "{bad}");
}

const LINKED: &str = r#"{"clusters":{
    "C0":{"workers":1,"connectors":{"web":{"routing_key":"web","container":"c1","port":80}}},
    "C1":{"workers":1,"links":{"c0":{"to":"C0"}},"listeners":{"web":{"routing_key":"web"}}}}}"#;

fn site<'a>(view: &'a View, cluster: &str) -> &'a SitePlan {
    &view.sites[&cluster.parse().unwrap()]
}

#[test]
fn a_file_changes_only_its_own_parts_of_a_site() {
    let view = View::default();
    let view = done(view.clone(), apply(&view, LINKED).unwrap());
    assert_eq!(apply(&view, LINKED).unwrap(), Plan::default(), "nothing is to be done");
    let spec = site(&view, "C1").listeners.values().next().unwrap().spec.clone();
    let mine = ListenerSpec { port: 1029, ..spec };
    let mine = Operation::CreateListener { listener: "C1.mine".parse().unwrap(), spec: mine };
    let view = done(view.clone(), user(&view, mine).unwrap());
    // A site of the file's that the user has put something into can't go, a part of the file's can.
    let message = apply(&view, r#"{"clusters":{"C0":{"workers":1},"C1":{"workers":1}}}"#).unwrap_err().message;
    assert!(message.contains("listener C1.mine (of the user)"), "{message}");
    let without = r#"{"clusters":{"C0":{"workers":1},"C1":{"workers":1,"interconnect":"embedded"}}}"#;
    let plan = apply(&view, without).unwrap();
    assert_eq!(plan.delete_sites, ["C0".parse().unwrap()]);
    assert!(plan.notes.iter().any(|note| note.contains("listener C1.mine stays")), "{:?}", plan.notes);
    let view = done(view, plan);
    let names: Vec<_> = site(&view, "C1").listeners.keys().map(ToString::to_string).collect();
    assert_eq!((names, site(&view, "C1").links.len()), (vec!["mine".to_owned()], 0));
    // What the user has made, a file can't make another one.
    let clash = without.replace("\"embedded\"", r#""embedded","listeners":{"mine":{"routing_key":"other"}}"#);
    assert_eq!(apply(&view, &clash).unwrap_err().code, Code::Exists);
    // The first worker is the router's.
    let elsewhere = r#"{"clusters":{"C2":{"workers":["C2w2"],"interconnect":"embedded"}}}"#;
    assert!(apply(&View::default(), elsewhere).unwrap_err().message.contains("needs worker C2w1"));
}

#[test]
fn a_token_is_redeemed_once_and_in_time() {
    let sites =
        r#"{"clusters":{"C0":{"workers":1,"interconnect":"embedded"},"C1":{"workers":1,"interconnect":"embedded"}}}"#;
    let view = View { now: 1000, ..View::default() };
    let view = done(view.clone(), apply(&view, sites).unwrap());
    let issue = Operation::CreateToken { token: "C0.t1".parse().unwrap(), seconds: 60 };
    let view = done(view.clone(), user(&view, issue).unwrap());
    let link = |view: &View, to: &str, code: &str| {
        let token = Token { name: "C0.t1".parse().unwrap(), code: code.repeat(32) };
        let spec = LinkSpec { to: to.parse().unwrap(), cost: 1 };
        user(view, Operation::CreateLink { link: "C1.c0".parse().unwrap(), spec, token: Some(token) })
    };
    let code = |plan: Result<Plan, Failure>| plan.unwrap_err().code;
    assert_eq!(code(link(&view, "C0", "6")), Code::Denied);
    assert_eq!(code(link(&view, "C1", "5")), Code::Invalid);
    assert_eq!(code(link(&View { now: 1060, ..view.clone() }, "C0", "5")), Code::Timeout);
    let plan = link(&View { now: 1059, ..view.clone() }, "C0", "5").unwrap();
    assert_eq!((plan.sites.len(), plan.redeem.len()), (1, 1));
    let view = done(view, plan);
    let view = done(view.clone(), user(&view, Operation::DeleteLink { link: "C1.c0".parse().unwrap() }).unwrap());
    assert_eq!(code(link(&view, "C0", "5")), Code::Exists);
}

/// What a file would do, one line each.
fn preview(view: &View, text: &str) -> Vec<String> {
    let line = |event| match event {
        Event::Created { kind, name } => format!("+ {kind} {name}"),
        Event::Changed { kind, name } => format!("~ {kind} {name}"),
        Event::Deleted { kind, name } => format!("- {kind} {name}"),
        other => format!("{other:?}"),
    };
    apply(view, text).unwrap().events(view).into_iter().map(line).collect()
}

#[test]
fn a_preview_names_all_that_would_become_another() {
    let file = r#"{"clusters":{"C0":{"workers":1,"containers":{"c1":{"worker":"C0w1"}},
        "services":{"web":{"ports":[{"port":80}],"endpoints":["c1"]}},
        "ingresses":{"shop":{"worker":"C0w1","port":8001,"default":"web:80"}},
        "connectors":{"a":{"routing_key":"a","container":"c1","port":80}}},
      "C1":{"workers":1,"links":{"c0":{"to":"C0"}},"listeners":{"a":{"routing_key":"a","port":1028}}}}}"#;
    let view = View::default();
    let first = preview(&view, file);
    for line in [
        "+ cluster C0",
        "+ etcd node C0e1",
        "+ worker C0w1",
        "+ container C0w1.c1",
        "+ service C0.web",
        "+ site C1",
        "+ link C1.c0",
        "+ listener C1.a",
        "+ connector C0.a",
        "+ ingress C0.shop",
    ] {
        assert!(first.contains(&line.to_owned()), "{line} of {first:?}");
    }
    let view = done(view.clone(), apply(&view, file).unwrap());
    assert_eq!(preview(&view, file), Vec::<String>::new());
    let anew = r#""C0":{"flannel":{"Network":"12.0.0.0/8","Backend":{"Type":"vxlan"}},"#;
    for (from, to, expected) in [
        ("1028", "1029", &["~ listener C1.a"][..]),
        (r#""to":"C0""#, r#""to":"C0","cost":3"#, &["~ link C1.c0"]),
        (r#","listeners":{"a":{"routing_key":"a","port":1028}}"#, "", &["- listener C1.a"]),
        ("8001", "8002", &["- ingress C0.shop", "+ ingress C0.shop"]),
        (r#""port":80}]"#, r#""port":80,"target":8000}]"#, &["~ service C0.web"]),
        (r#""c1":{"worker":"C0w1"}"#, r#""c1":{"worker":"C0w1","labels":{"a":"b"}}"#, &["~ container C0w1.c1"]),
        (r#""C0":{"#, anew, &["- container C0w1.c1", "~ cluster C0", "+ container C0w1.c1"]),
    ] {
        assert!(file.contains(from), "{from}");
        assert_eq!(preview(&view, &file.replacen(from, to, 1)), expected, "{to}");
    }
}
