//! What the tests of this crate share.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::future::Future;

use knetsim_kernel::NetNs;
use nix::sched::{CloneFlags, unshare};

/// Runs an asynchronous test in namespaces of its own.
pub fn in_namespaces<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    knetsim_testing::in_namespaces(|| {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let patience = std::time::Duration::from_secs(60);
        let test = async { tokio::time::timeout(patience, test()).await.expect("an end within a minute") };
        runtime.worker_threads(2).enable_all().build().unwrap().block_on(test);
    });
}

/// One more network namespace.
pub fn new_namespace() -> NetNs {
    let make = || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        NetNs::current().unwrap()
    };
    std::thread::spawn(make).join().unwrap()
}

/// What a program writes, run inside.
pub fn run_in(namespace: &NetNs, command: &[&str]) -> String {
    namespace.run(|| knetsim_testing::run(command)).unwrap()
}

/// What a program writes as JSON, run inside.
pub fn json_in(namespace: &NetNs, command: &[&str]) -> serde_json::Value {
    serde_json::from_str(&run_in(namespace, command)).unwrap()
}
