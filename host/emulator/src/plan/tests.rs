use super::*;
use knetsim_model::InterfaceRef;
use knetsim_model::topology::Topology;
use proptest::prelude::*;

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
fn clashes_name_both_owners() {
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
