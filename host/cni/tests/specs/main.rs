//! The cases of the plugins' own tests, as data, run by our executables and, in part, by Debian's plugins.
//!
//! `*.json` beside this file says per case what is there before, which calls are made, and what is to be
//! found: results, error codes, links, addresses, routes, rules, files. `case.rs` says the form.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod case;
#[path = "../common/mod.rs"]
mod common;
mod matches;
mod place;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use case::{Collection, Spec};
use common::{REAL, executables, in_namespaces};

/// Each collection, how many specs it holds, and how many of them are left out.
const COLLECTIONS: [(&str, &str, usize, usize); 6] = [
    ("bridge", include_str!("bridge.json"), 317, 120),
    ("host-local", include_str!("host-local.json"), 80, 0),
    ("host-local-backend", include_str!("host-local-backend.json"), 49, 2),
    ("loopback", include_str!("loopback.json"), 14, 0),
    ("flannel", include_str!("flannel.json"), 23, 0),
    ("reading", include_str!("reading.json"), 30, 0),
];
/// More than processors: a call waits for carriers most of the time.
const THREADS: usize = 4;
/// The versions in which Debian's plugins (1.1.1) are asked too: one of each form of result that they know.
const REAL_VERSIONS: [&str; 3] = ["", "0.2.0", "1.0.0"];

fn collection(name: &str) -> (Collection, usize, usize) {
    let (_, text, specs, left_out) = COLLECTIONS.iter().find(|found| found.0 == name).unwrap();
    (Collection::parse(text), *specs, *left_out)
}

/// Runs specs in parallel, each in namespaces of its own, and tells all failures.
fn run(plugins: &Path, specs: Vec<Spec>) {
    let count = specs.len();
    let specs = Mutex::new(specs.into_iter().enumerate());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let Some((number, spec)) = specs.lock().unwrap().next() else { return };
                    let place = place::Place::new(number, plugins);
                    if let Err(why) = place.run(&spec) {
                        failures.lock().unwrap().push(format!("{} {}: {why}", spec.name, spec.version));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{} of {count} specs fail:\n{}", failures.len(), failures.join("\n"));
}

fn by_ours(name: &str) {
    in_namespaces(async || run(executables().path(), collection(name).0.specs()));
    let (collection, specs, left_out) = collection(name);
    println!("{name}: {} of {specs} specs pass, {left_out} are left out:", specs - left_out);
    collection.left_out().iter().for_each(|(why, count)| println!("  {count} {why}"));
}

#[test]
fn bridge() {
    by_ours("bridge");
}

#[test]
fn host_local() {
    by_ours("host-local");
}

#[test]
fn host_local_backend() {
    by_ours("host-local-backend");
}

#[test]
fn loopback() {
    by_ours("loopback");
}

#[test]
fn flannel() {
    by_ours("flannel");
}

/// What is read as Go reads it, beyond the plugins' own cases.
#[test]
fn reading() {
    by_ours("reading");
}

/// The data says what the real plugins do: those of Debian agree, where they are new enough.
#[test]
fn real_plugins_agree() {
    in_namespaces(async || {
        let all = ["bridge", "host-local", "host-local-backend", "loopback", "reading"]
            .into_iter()
            .flat_map(|name| collection(name).0.specs());
        let asked = all.filter(|spec| spec.real && REAL_VERSIONS.contains(&spec.version.as_str())).collect::<Vec<_>>();
        println!("{} specs are put to the real plugins", asked.len());
        run(Path::new(REAL), asked);
    });
}

#[test]
fn no_spec_is_lost() {
    for (name, _, specs, left_out) in COLLECTIONS {
        let collection = collection(name).0;
        let names: BTreeMap<&str, usize> = collection.names().fold(BTreeMap::new(), |mut names, name| {
            *names.entry(name).or_default() += 1;
            names
        });
        assert!(names.values().all(|count| *count == 1), "{name}: {names:?}");
        let out: usize = collection.left_out().iter().map(|(_, count)| count).sum();
        assert_eq!((collection.count(), out), (specs, left_out), "{name}");
    }
}
