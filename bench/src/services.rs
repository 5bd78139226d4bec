//! Services: programmed from nothing, one changed among few and among many, and what a new connection takes; in
//! kube-proxy's layout and by maps.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::time::Instant;

use anyhow::{Context, Result};
use knetsim_emulator::Emulator;
use knetsim_model::service::{Endpoint, Layout, ServiceSpec};
use knetsim_model::topology::{ClusterSpec, Topology};
use knetsim_model::{ClusterName, Operation, Owner, Target, underlay};

use crate::figures::{Figures, median, millis};
use crate::knetsim::in_sandbox;
use crate::path::{Path, Space};

/// Endpoints of each service.
const ENDPOINTS: usize = 3;
/// Changes of which the median counts.
const CHANGES: usize = 11;
/// The port of every service.
const PORT: u16 = 80;

/// On one worker: what a change and a connection cost does not depend on how many workers do it beside each other.
pub(crate) fn services() -> Result<Figures> {
    in_sandbox(async |emulator, _| {
        let mut figures = Figures::new();
        apply(&emulator, 0, Layout::Chains).await?;
        let (client, server) = (space(&emulator, "C0w1.c1")?, space(&emulator, "C0w1.c2")?);
        let (_, address) = measured(&emulator)?;
        let path = Path { client: &client, server: &server, address };
        for (layout, of) in [(Layout::Chains, ""), (Layout::Maps, "maps_")] {
            for count in [10, 1000, 5000] {
                if count != 5000 {
                    apply(&emulator, 0, layout).await?;
                }
                let start = Instant::now();
                apply(&emulator, count, layout).await?;
                if count == 1000 {
                    figures.insert(format!("{of}from_nothing_ms"), millis(start.elapsed()));
                }
                figures.insert(format!("{of}change_{count}_ms"), change(&emulator, layout).await?);
                let (vip, _) = measured(&emulator)?;
                let connection = path.connections(SocketAddr::from((vip, PORT)), PORT)?;
                figures.insert(format!("{of}connect_{count}_us"), connection);
            }
        }
        Ok(figures)
    })
}

/// Makes it two containers and that many services, by one operation. The first, `s0`, leads to the second container.
async fn apply(emulator: &Emulator, services: usize, layout: Layout) -> Result<()> {
    let mut text =
        String::from(r#"{"workers":1,"containers":{"c1":{"worker":"C0w1"},"c2":{"worker":"C0w1"}},"services":{"#);
    for number in 0..services {
        let endpoints: Vec<String> = match number {
            0 => vec!["c2".to_owned()],
            _ => {
                (0..ENDPOINTS).map(|endpoint| format!("11.9{endpoint}.{}.{}", number / 250, number % 250 + 1)).collect()
            }
        };
        let comma = if number == 0 { "" } else { "," };
        write!(
            text,
            r#"{comma}"s{number}":{{"ports":[{{"port":{PORT}}}],"endpoints":{},"layout":{}}}"#,
            serde_json::to_string(&endpoints)?,
            serde_json::to_string(&layout)?
        )?;
    }
    let cluster: ClusterSpec = serde_json::from_str(&(text + "}}"))?;
    let topology = Topology { clusters: [("C0".parse::<ClusterName>()?, cluster)].into(), ..Topology::default() };
    Ok(emulator.submit(Operation::Apply { topology }, Owner::File).await?)
}

/// The median of one service's losing an endpoint and getting it back.
async fn change(emulator: &Emulator, layout: Layout) -> Result<f64> {
    let mut times = Vec::new();
    for turn in 0..CHANGES {
        let endpoints = (0..ENDPOINTS - turn % 2).map(|endpoint| {
            Endpoint::Address(Ipv4Addr::new(11, 90, 200, u8::try_from(endpoint).unwrap_or_default() + 1))
        });
        let spec = ServiceSpec {
            ports: vec![PORT.to_string().parse()?],
            endpoints: endpoints.collect(),
            layout,
            ..ServiceSpec::default()
        };
        let operation = Operation::CreateService { service: "C0.s1".parse()?, spec, replace: true };
        let start = Instant::now();
        emulator.submit(operation, Owner::User).await?;
        times.push(millis(start.elapsed()));
    }
    Ok(median(&times))
}

/// The address of the service that is measured, and of its endpoint.
fn measured(emulator: &Emulator) -> Result<(Ipv4Addr, Ipv4Addr)> {
    let there = emulator.inventory();
    let service = there.services.iter().find(|service| service.name.as_str() == "s0");
    let vip = service.and_then(|service| service.spec.vip).unwrap_or(underlay::SERVICES.network());
    let container = there.containers.iter().find(|container| container.name.as_str() == "c2");
    Ok((vip, container.context("no such container")?.address))
}

fn space(emulator: &Emulator, name: &str) -> Result<Space> {
    let namespace = emulator.namespace(&Target::Container(name.parse()?))?;
    Ok(Space(namespace.as_fd().try_clone_to_owned()?))
}
