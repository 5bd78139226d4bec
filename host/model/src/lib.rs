//! Plain data that every layer shares: names, addresses, topology, operations, events and
//! observations. No input, no output, no clock: everything here can be made in a test.
//!
//! The lowest layer. It depends on nothing of knetsim.

mod answer;
pub mod chapter;
pub mod error;
pub mod event;
pub mod flannel;
pub mod go_json;
pub mod ingress;
pub mod interconnect;
pub mod inventory;
pub mod manifest;
pub mod names;
pub mod observe;
pub mod operation;
pub mod packet;
pub mod protocol;
pub mod service;
pub mod topology;
pub mod underlay;
pub mod untrusted;

pub use error::{Code, Failure, advice, chain};
pub use event::Event;
pub use names::{
    CaptureName, ClusterName, ConnectorName, ConnectorRef, ContainerName, ContainerRef, IngressName, IngressRef,
    InterfaceRef, LinkName, LinkRef, ListenerName, ListenerRef, NodeName, ServiceName, ServiceRef, Target, TokenName,
    TokenRef,
};
pub use operation::{Operation, Owner};
