//! Labs in Rust, built as `knetsim lab build` does it: the tour through everything, and the first steps.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[macro_use]
mod common;

use std::path::Path;
use std::process::ExitCode;
use std::sync::LazyLock;

use common::*;
use knetsim_lab::{Manifest, package};

// Built before there is a sandbox: inside there are no compilers.
static TOUR: LazyLock<Vec<u8>> = LazyLock::new(|| built("tests/tour"));
static FIRST_STEPS: LazyLock<Vec<u8>> = LazyLock::new(|| built("labs/first-steps"));

fn main() -> ExitCode {
    if let Some(ended) = router() {
        return ended;
    }
    LazyLock::force(&TOUR);
    LazyLock::force(&FIRST_STEPS);
    run(cases![the_tour_finds_everything, the_first_steps_end_well])
}

fn built(dir: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let built = package::build(&root.join(dir), None).unwrap_or_else(|error| panic!("{error}"));
    std::fs::read(built.path).unwrap()
}

/// Every grant that a manifest asks for.
fn asked(manifest: &Manifest) -> Vec<&'static str> {
    manifest.grants.keys().map(|grant| grant.as_str()).collect()
}

async fn the_tour_finds_everything(bench: Bench) {
    let lab = bench.compile(&*TOUR).unwrap();
    let ran = bench.run_lab(&lab, Order { grants: &asked(lab.manifest()), ..Order::default() }).await;
    eprint!("{}", ran.stderr);
    assert!(ran.ok().ends_with("the tour is over\n"));
    assert!(bench.emulator.inventory().nodes.is_empty());
}

async fn the_first_steps_end_well(bench: Bench) {
    let lab = bench.compile(&*FIRST_STEPS).unwrap();
    let ran = bench.run_lab(&lab, Order { grants: &asked(lab.manifest()), ..Order::default() }).await;
    eprint!("{}", ran.stderr);
    let out = ran.ok();
    assert_eq!(out.matches("3 of 3 answered").count(), 8, "{out}");
    assert!(out.contains("C0w1.c1") && out.contains("dev flannel.100"), "{out}");
}
