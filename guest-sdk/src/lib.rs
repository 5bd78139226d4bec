//! Write labs for knetsim in Rust: programs that make clusters of workers and containers on one
//! Linux machine, send traffic through them, and look at what the kernel does with it.
//!
//! A lab is a program, compiled for WebAssembly, with a `lab.toml` beside its `Cargo.toml`.
//! `knetsim lab new NAME` makes one, `knetsim lab build` compiles it to one file, `knetsim run FILE`
//! runs it in a fresh sandbox. What teaches is a [`Chapter`]; this is a script, which only does:
//!
//! ```no_run
//! use knetsim_sdk::{Lab, Place, Result};
//!
//! fn main() -> Result<()> {
//!     let lab = Lab::new();
//!     lab.create_cluster("C0", 2)?;
//!     let here = lab.create_container("C0w1.c1")?;
//!     let there = lab.create_container("C0w2.c2")?;
//!
//!     let ping = here.ping(&there)?;
//!     println!("{here} -> {there}: {} of {} answered", ping.received, ping.sent);
//!     Ok(())
//! }
//! ```
//!
//! What a lab may do, its author asks for in `lab.toml`, each with a reason, and the person who runs it grants:
//!
//! ```toml
//! name = "first-ping"
//! version = "0.1.0"
//!
//! [grants]
//! clusters = "makes a cluster"
//! containers = "makes two containers in it"
//! probe = "pings from one to the other"
//! ```
//!
//! | grant | what needs it |
//! |---|---|
//! | `clusters` | [`Lab::create_cluster`], [`Lab::cluster`] |
//! | `workers` | [`Lab::create_worker`], [`Lab::worker`], [`Lab::create_scratch`], [`Lab::scratch`], [`Lab::set_link`] |
//! | `containers` | [`Lab::create_container`], [`Lab::container`] |
//! | `services` | [`Lab::create_service`], [`Lab::service`] |
//! | `ingresses` | [`Lab::create_ingress`], [`Lab::ingress`] |
//! | `links` | [`Lab::create_site`], [`Lab::site`] |
//! | `exec` | [`Place::run`], [`Place::start`] |
//! | `exec-node` | the same, where the command was made by [`Command::with_namespaces`] |
//! | `probe` | [`Place::ping`], [`Place::probe`] |
//! | `observe` | [`Place::observe`], [`Lab::nodes`] and the other lists of [`Lab`] |
//! | `captures` | [`Lab::capture`], [`Lab::kept_capture`] |
//!
//! Names are those that knetsim prints: cluster `C0`, worker `C0w1`, etcd node `C0e1`, scratch node
//! `box`, container `C0w1.c1`, interface `C0w1:eth0`. Standard output and error reach the person who
//! runs the lab, without control characters; clocks, random numbers, standard input and arguments
//! work as in any program; there are no files, sockets or variables of the environment.

mod capture;
mod chapter;
mod cluster;
mod command;
mod error;
mod ingress;
mod lab;
mod observer;
mod place;
mod prober;
mod service;
mod site;
mod state;
mod worker;

pub use capture::{Capture, NewCapture};
pub use chapter::{AnswerKind, Chapter, Outline, Section, Task, Verdict};
pub use cluster::{Cluster, Container, NewContainer};
pub use command::{Command, Output, Process};
pub use error::{Code, Error, Result};
pub use ingress::{Ingress, IngressOptions};
pub use lab::Lab;
pub use observer::Observer;
pub use place::{Place, Target};
pub use prober::{Prober, Tries};
pub use service::{Service, ServiceOptions};
pub use site::{Servers, Site};
pub use worker::{Scratch, Worker};

/// Ends the lab at once with that exit status. `std::process::exit` would make 1 of any but 0.
pub fn exit(status: u8) -> ! {
    // Nothing can be done about output that nobody takes.
    let _ = std::io::Write::flush(&mut std::io::stdout());
    bindings::wasi::cli::exit::exit_with_code(status);
    std::process::abort()
}

/// What observations and probes give: plain records.
pub mod records {
    pub use crate::bindings::knetsim::lab::captures::{
        Arp, Captured, Ethernet, Icmp, Ip, Layer, Packet, Tcp, TcpFlags, Udp, VxlanHeader,
    };
    pub use crate::bindings::knetsim::lab::observe::{
        Address, Change, Counters, EtcdKey, FdbEntry, History, HistoryEntry, Link, NamedNamespace, Neighbour, NftChain,
        NftHook, NftRule, NftRuleset, NftSet, NftTable, Process, Route, Socket, Vxlan,
    };
    pub use crate::bindings::knetsim::lab::probe::{HttpReply, PingResult, TcpResult};
    pub use crate::bindings::knetsim::lab::types::{
        ClusterInfo, ConnectorInfo, ConnectorSpec, ContainerInfo, IngressInfo, IngressPath, IngressSpec, ListenerInfo,
        ListenerSpec, NodeInfo, ServiceInfo, ServicePort, ServiceSpec, SiteInfo, SiteLinkInfo, SiteLinkSpec, TokenInfo,
    };
}

/// For [`chapter!`] alone.
#[doc(hidden)]
pub mod bindings {
    #![allow(missing_docs, unsafe_code, clippy::all, reason = "made from the WIT files, which are documented")]
    wit_bindgen::generate!({
        inline: "package knetsim:guest;
            world guest { include knetsim:lab/chapter@0.1.0; import wasi:cli/exit@0.2.12; }",
        path: "wit",
        world: "knetsim:guest/guest",
        generate_all,
        // What a program exports is not said here but where `chapter!` stands: most labs are none.
        pub_export_macro: true,
        export_macro_name: "export_chapter",
        additional_derives: [PartialEq],
    });
}
