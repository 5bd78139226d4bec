//! What a sandbox does when nobody attacks it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod common;

use std::process::ExitCode;

use common::*;
use knetsim_sandbox::{Exit, Profile};

fn main() -> ExitCode {
    run(&[("it_comes_and_goes", it_comes_and_goes)])
}

fn it_comes_and_goes() {
    in_sandbox(&options(), |sandbox| async move {
        let node = sandbox.create_node(spec("C0w1")).await.unwrap();
        assert_eq!(shell(&sandbox, Profile::Plain, Some("C0w1"), "hostname").await, (Exit::Code(0), "C0w1\n".into()));
        assert_eq!(shell(&sandbox, Profile::Node, None, "hostname; exit 3").await, (Exit::Code(3), "base\n".into()));
        let title = format!("ps -o args= -p {}", node.pid);
        assert_eq!(shell(&sandbox, Profile::Node, None, &title).await.1, "knetsim: C0w1\n");
    });
    assert_eq!(std::fs::read_dir(state()).unwrap().count(), 0, "the state folder is gone");
}
