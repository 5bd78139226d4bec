//! What a link costs is what the end says at which it is more, at both ends.

use std::time::Duration;

use serde_json::{Value, json};

use crate::common::*;
use crate::rows::{Kind, OTHERS, Started};

const SOON: Duration = Duration::from_secs(20);

fn listen(port: u16, cost: u32) -> Value {
    json!(["listener", {"name": format!("in {port}"), "role": "inter-router", "host": "127.0.0.1", "port": port, "cost": cost}])
}

fn connect(port: u16, cost: u32) -> Value {
    json!(["connector", {"name": format!("out {port}"), "role": "inter-router", "host": "127.0.0.1", "port": port, "cost": cost}])
}

fn costs(router: &Router, of: &str, cost: u32) {
    wait(&format!("{of} costs {cost}"), SOON, || {
        let status = router.status();
        let there = status["routers"].as_array()?.iter().find(|router| router["id"] == of)?;
        (there["cost"] == cost).then_some(())
    });
}

#[test]
fn the_larger_of_both_ends_counts_both_ways_also_after_a_reload() {
    in_network(|| {
        let a = Router::start("a", json!([listen(5001, 1)]));
        let b = Router::start("b", json!([connect(5001, 10)]));
        let both = |cost| {
            costs(&a, "b", cost);
            costs(&b, "a", cost);
        };
        both(10);
        a.reload("a", json!([listen(5001, 20)]));
        both(20);
        b.reload("b", json!([connect(5001, 30)]));
        both(30);
        b.reload("b", json!([connect(5001, 2)]));
        both(20);
        a.reload("a", json!([listen(5001, 1)]));
        both(2);
    });
}

#[test]
fn in_a_ring_the_cheap_way_round_is_taken_from_both_ends() {
    in_network(|| {
        let a = Router::start("a", json!([listen(5001, 1)]));
        let b = Router::start("b", json!([connect(5001, 10), listen(5002, 1)]));
        let _c = Router::start("c", json!([connect(5001, 1), connect(5002, 1)]));
        costs(&a, "b", 2);
        costs(&b, "a", 2);
    });
}

#[test]
fn other_routers_say_and_are_told_what_a_link_costs() {
    in_network(|| {
        for other in OTHERS {
            for (ours, theirs) in [(1, 10), (10, 1)] {
                for (our_link, their_link) in
                    [(listen(5001, ours), connect(5001, theirs)), (connect(5001, ours), listen(5001, theirs))]
                {
                    let router = Router::start("a", json!([our_link]));
                    let their = Started::new(*other, "b", json!([their_link]));
                    costs(&router, "b", 10);
                    told(*other, &their, "a");
                }
            }
        }
    });
}

/// The other router's own idea, from its log.
fn told(kind: Kind, router: &Started, of: &str) {
    let words = match kind {
        Kind::Skrouterd => format!("Computed costs: {{'{of}': 10}}"),
        _ => format!("open from {of} role 1 cost 10"),
    };
    wait(&words, SOON, || router.log().contains(&words).then_some(()));
}
