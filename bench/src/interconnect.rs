//! Interconnect: what TCP across two routers comes to, beside TCP without them, in turns.
//!
//! Client, service and both routers share two processors, whatever the machine has.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;

use crate::figures::Figures;
use crate::path::{Path, Space};
use crate::routers::{Make, Routers};

/// The services' ports: one answers requests, at the other listens iperf3.
const ANSWERS: u16 = 9000;
const STREAM: u16 = 9001;
/// Idle flows whose memory is measured.
const FLOWS: usize = 500;
/// Who ask at the same time.
const CLIENTS: usize = 16;
/// Bytes of a request, and of its answer.
const REQUEST: usize = 128;
/// A request's first byte: whether the service closes the connection after its answer. If clients did, new
/// connections would wait for the ports of old ones.
const LAST: u8 = 1;
/// How long requests, and connections, are counted.
const COUNTED: Duration = Duration::from_millis(500);
/// How soon an answer has to be there.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn interconnect(make: Make) -> Result<Figures> {
    prepare()?;
    let plain = Routers::start(make, 10_000, false, &[ANSWERS, STREAM])?;
    let idle = most(&plain.memory()?);
    let flow = idle_flows(&plain)?;
    let mut figures = Figures::from([("idle_mb".to_owned(), idle / 1e3), ("flow_kb".to_owned(), flow)]);

    let tls = Routers::start(make, 20_000, true, &[ANSWERS, STREAM])?;
    serve(TcpListener::bind((Ipv4Addr::LOCALHOST, ANSWERS))?)?;
    let here = Space::here()?;
    let path = Path { client: &here, server: &here, address: Ipv4Addr::LOCALHOST };
    let (direct, plain, tls) = (("direct", None), ("plain", Some(&plain)), ("tls", Some(&tls)));
    // Twice, there and back, and the better of each: what else happens falls on all alike.
    for (whose, routers) in [direct, plain, tls, tls, plain, direct] {
        let port = |service| routers.map_or(service, |routers| routers.listener(service));
        let seconds = || routers.map_or(Ok(0.0), Routers::seconds);
        let before = seconds()?;
        let stream = path.stream(port(STREAM), STREAM)?;
        let least = figures.entry(format!("{whose}_seconds_per_gb")).or_insert(f64::MAX);
        *least = least.min((seconds()? - before) / stream.gigabytes);
        for (what, value) in [
            ("gbps", stream.gbps),
            ("requests", requests(port(ANSWERS))?),
            ("connections", connections(port(ANSWERS))?),
        ] {
            let most = figures.entry(format!("{whose}_{what}")).or_insert(0.0);
            *most = most.max(value);
        }
    }
    Ok(figures)
}

/// Two processors, a loopback device, and as many descriptors as there may be: for this process and all it starts.
fn prepare() -> Result<()> {
    let this = Pid::from_raw(0);
    let (allowed, mut two) = (sched_getaffinity(this)?, CpuSet::new());
    for processor in (0..CpuSet::count()).filter(|processor| allowed.is_set(*processor) == Ok(true)).take(2) {
        two.set(processor)?;
    }
    sched_setaffinity(this, &two)?;
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    // Of a new namespace's own choice: the host's may be BBR, which halves throughput within one machine.
    fs::write("/proc/sys/net/ipv4/tcp_congestion_control", "reno")?;
    ensure!(Command::new("ip").args(["link", "set", "lo", "up"]).status()?.success(), "ip link set lo up");
    Ok(())
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

/// Resident kB that an open flow takes of that router which takes more, when a byte has gone there and back.
fn idle_flows(routers: &Routers) -> Result<f64> {
    let service = TcpListener::bind((Ipv4Addr::LOCALHOST, ANSWERS))?;
    let before = routers.memory()?;
    let mut flows = Vec::new();
    for _ in 0..FLOWS {
        let mut client = connect(routers.listener(ANSWERS))?;
        client.write_all(&[0])?;
        let (mut served, _) = service.accept()?;
        served.read_exact(&mut [0])?;
        served.write_all(&[0])?;
        client.read_exact(&mut [0]).context("the first byte of a flow's answer")?;
        flows.push((client, served));
    }
    let after = routers.memory()?;
    let each: Vec<f64> = after.iter().zip(before).map(|(after, before)| (after - before) / FLOWS as f64).collect();
    Ok(most(&each))
}

/// Answers [`CLIENTS`] at a time for as long as the process lives.
fn serve(service: TcpListener) -> Result<()> {
    for _ in 0..CLIENTS {
        let service = service.try_clone()?;
        thread::spawn(move || {
            for client in service.incoming().flatten() {
                let _ = answer(client);
            }
        });
    }
    Ok(())
}

fn answer(mut client: TcpStream) -> Result<()> {
    client.set_nodelay(true)?;
    let mut request = [0; REQUEST];
    while request[0] != LAST {
        client.read_exact(&mut request)?;
        client.write_all(&request)?;
    }
    Ok(())
}

fn connect(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn ask(stream: &mut TcpStream, first: u8) -> Result<()> {
    let mut bytes = [first; REQUEST];
    stream.write_all(&bytes)?;
    stream.read_exact(&mut bytes).context("an answer")
}

/// Requests a second, each client's on one connection, one after the other.
fn requests(port: u16) -> Result<f64> {
    rate(|| connect(port), |stream| ask(stream, 0))
}

/// New connections a second, each with a request.
fn connections(port: u16) -> Result<f64> {
    let once = |(): &mut ()| {
        let mut stream = connect(port)?;
        ask(&mut stream, LAST)?;
        ensure!(stream.read(&mut [0]).context("the end of a flow")? == 0, "more than the answer");
        Ok(())
    };
    rate(|| Ok(()), once)
}

/// How often a second the clients do something, side by side.
fn rate<C>(new: impl Fn() -> Result<C> + Sync, once: impl Fn(&mut C) -> Result<()> + Sync) -> Result<f64> {
    let start = Instant::now();
    let counted = || -> Result<u32> {
        let (mut client, mut count) = (new()?, 0);
        while start.elapsed() < COUNTED {
            once(&mut client)?;
            count += 1;
        }
        Ok(count)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(counted)).collect();
        let counts =
            threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?);
        let all: u32 = counts.sum::<Result<u32>>()?;
        Ok(f64::from(all) / start.elapsed().as_secs_f64())
    })
}
