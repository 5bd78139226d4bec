//! An ingress: what a change takes, from the operation until no request is answered by the old configuration.

use std::time::{Duration, Instant};

use anyhow::Result;
use knetsim_emulator::Emulator;
use knetsim_model::ingress::IngressSpec;
use knetsim_model::topology::{ClusterSpec, Topology};
use knetsim_model::{ClusterName, Operation, Owner};

use crate::figures::{Figures, median, millis};
use crate::knetsim::in_sandbox;

/// Changes of which the median counts.
const CHANGES: usize = 21;
/// Between two changes.
const REST: Duration = Duration::from_millis(150);

/// One nginx with ten paths, of which one leads elsewhere each time.
pub(crate) fn ingress() -> Result<Figures> {
    in_sandbox(async |emulator, _| {
        let cluster: ClusterSpec = serde_json::from_str(r#"{"workers":1}"#)?;
        let topology = Topology { clusters: [("C0".parse::<ClusterName>()?, cluster)].into(), ..Topology::default() };
        emulator.submit(Operation::Apply { topology }, Owner::User).await?;
        put(&emulator, 0).await?;
        let mut times = Vec::new();
        for turn in 1..=CHANGES {
            let start = Instant::now();
            put(&emulator, turn).await?;
            times.push(millis(start.elapsed()));
            // nginx does nothing else for 0.1 s after it was told to read its configuration again.
            tokio::time::sleep(REST).await;
        }
        Ok(Figures::from([("change_ms".to_owned(), median(&times))]))
    })
}

async fn put(emulator: &Emulator, turn: usize) -> Result<()> {
    let path =
        |number| Ok(format!("/svc{number}=11.90.0.{}:8000", if number == 0 { turn % 2 + 1 } else { 9 }).parse()?);
    let spec = IngressSpec {
        worker: "C0w1".parse()?,
        port: 8001,
        paths: (0..10).map(path).collect::<Result<_>>()?,
        default: None,
        connect_timeout: None,
        timeout: None,
        max_body: None,
    };
    let operation = Operation::CreateIngress { ingress: "C0.bench".parse()?, spec, replace: true };
    Ok(emulator.submit(operation, Owner::User).await?)
}
