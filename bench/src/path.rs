//! The data path: throughput and round trips between two pods on one worker and across VXLAN. The same measurement
//! is taken on a path made by hand with `ip` and `bridge`, and on knetsim's.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::dup;

use crate::figures::median;

/// Round trips in one measurement.
const ROUND_TRIPS: usize = 20_000;
/// New connections in one measurement.
const CONNECTIONS: usize = 2000;
/// The port that iperf3 has by itself.
const IPERF: u16 = 5201;
/// Seconds of throughput in one measurement.
const SECONDS: &str = "1";
/// Both paths use it, whatever the host's default is (BBR halves throughput within one machine).
const CONGESTION_CONTROL: &str = "cubic";

/// A network namespace held by its descriptor.
pub(crate) struct Space(pub(crate) OwnedFd);

/// What one TCP stream carried.
pub(crate) struct Stream {
    /// Gigabits a second.
    pub(crate) gbps: f64,
    /// All of it, in 10^9 bytes.
    pub(crate) gigabytes: f64,
}

impl Space {
    /// The one that the thread is in.
    pub(crate) fn here() -> Result<Self> {
        Ok(Space(File::open("/proc/thread-self/ns/net")?.into()))
    }

    fn new() -> Result<Self> {
        let made = thread::scope(|scope| {
            scope
                .spawn(|| {
                    unshare(CloneFlags::CLONE_NEWNET)?;
                    // A duplicate, since programs started here don't inherit what was opened.
                    Ok(Space(dup(File::open("/proc/thread-self/ns/net")?)?))
                })
                .join()
        });
        made.map_err(|_| anyhow::anyhow!("a thread panicked"))?
    }

    /// Runs `work` inside, on a thread that ends with it. Processes it starts and sockets it makes stay inside.
    fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let done = thread::scope(|scope| {
            scope
                .spawn(|| {
                    setns(&self.0, CloneFlags::CLONE_NEWNET)?;
                    work()
                })
                .join()
        });
        done.map_err(|_| anyhow::anyhow!("a thread panicked"))?
    }

    /// How `ip`, which inherits the descriptor, may refer to it.
    fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }

    /// Runs lines of `ip -batch`, or of `bridge -batch`.
    fn batch(&self, program: &str, lines: &str) -> Result<()> {
        self.run(|| {
            let mut child = Command::new(program).args(["-batch", "-"]).stdin(Stdio::piped()).spawn()?;
            child.stdin.take().context("a pipe")?.write_all(lines.as_bytes())?;
            ensure!(child.wait()?.success(), "{program} -batch failed:\n{lines}");
            Ok(())
        })
    }
}

/// Two pods and the way between them.
pub(crate) struct Path<'a> {
    pub(crate) client: &'a Space,
    pub(crate) server: &'a Space,
    pub(crate) address: Ipv4Addr,
}

/// Two workers with their pods, as flannel and its CNI plugin would make them, made by hand.
pub(crate) struct ByHand {
    pods: [Space; 3],
    _nodes: [Space; 3],
}

impl ByHand {
    pub(crate) fn new() -> Result<Self> {
        let nodes = [Space::new()?, Space::new()?, Space::new()?];
        let pods = [Space::new()?, Space::new()?, Space::new()?];
        let [switch, one, two] = &nodes;
        switch.batch("ip", "link add s0 up type bridge\n")?;
        worker(switch, one, 1, 2)?;
        worker(switch, two, 2, 1)?;
        for (node, number, pod, host) in [(one, 1, &pods[0], 2), (one, 1, &pods[1], 3), (two, 2, &pods[2], 2)] {
            join(node, number, pod, host)?;
        }
        Ok(ByHand { pods, _nodes: nodes })
    }

    pub(crate) fn one_worker(&self) -> Path<'_> {
        Path { client: &self.pods[0], server: &self.pods[1], address: Ipv4Addr::new(11, 10, 16, 3) }
    }

    pub(crate) fn vxlan(&self) -> Path<'_> {
        Path { client: &self.pods[0], server: &self.pods[2], address: Ipv4Addr::new(11, 10, 32, 2) }
    }
}

const ONE_QUEUE: &str = "numtxqueues 1 numrxqueues 1";

/// A worker on the switch, with flannel's device, its one neighbour, and the bridge of its pods.
fn worker(switch: &Space, node: &Space, number: u8, other: u8) -> Result<()> {
    let (own, theirs) = (format!("11.10.{}", 16 * number), format!("11.10.{}", 16 * other));
    switch.batch(
        "ip",
        &format!(
            "link add u{number} {ONE_QUEUE} master s0 up type veth peer name eth0 netns {} {ONE_QUEUE}\n",
            node.path()
        ),
    )?;
    node.run(|| Ok(std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?))?;
    node.batch(
        "ip",
        &format!(
            "link set lo up\nlink set eth0 up\naddress add 10.0.0.{number}/8 dev eth0\n\
             link add cni0 mtu 1450 up type bridge\naddress add {own}.1/20 dev cni0\n\
             link add flannel.100 mtu 1450 address 02:00:00:00:00:0{number} type vxlan \
             id 100 local 10.0.0.{number} dev eth0 dstport 8472 nolearning\n\
             address add {own}.0/32 dev flannel.100\nlink set flannel.100 up\n\
             route add {theirs}.0/20 via {theirs}.0 dev flannel.100 onlink\n\
             neighbour add {theirs}.0 lladdr 02:00:00:00:00:0{other} dev flannel.100 nud permanent\n"
        ),
    )?;
    node.batch("bridge", &format!("fdb add 02:00:00:00:00:0{other} dev flannel.100 dst 10.0.0.{other}\n"))
}

fn join(node: &Space, number: u8, pod: &Space, host: u8) -> Result<()> {
    let net = format!("11.10.{}", 16 * number);
    node.batch(
        "ip",
        &format!(
            "link add p{host} mtu 1450 {ONE_QUEUE} master cni0 up type veth peer name eth0 netns {} mtu 1450 {ONE_QUEUE}\n\
             link set p{host} type bridge_slave hairpin on\n",
            pod.path()
        ),
    )?;
    pod.batch(
        "ip",
        &format!(
            "link set lo up\nlink set eth0 up\naddress add {net}.{host}/20 dev eth0\nroute add default via {net}.1\n"
        ),
    )
}

impl Path<'_> {
    /// Gigabits a second of one TCP stream.
    pub(crate) fn throughput(&self) -> Result<f64> {
        Ok(self.stream(IPERF, IPERF)?.gbps)
    }

    /// One TCP stream to the port `to`, which leads to `port` of the server.
    pub(crate) fn stream(&self, to: u16, port: u16) -> Result<Stream> {
        let server = self.server.run(|| {
            Ok(Server(
                Command::new("iperf3")
                    .args(["--server", "--one-off", "--forceflush", "--port", &port.to_string()])
                    .stdout(Stdio::piped())
                    .spawn()?,
            ))
        })?;
        let mut server = server.listening()?;
        let (address, to) = (self.address.to_string(), to.to_string());
        let output = self.client.run(|| {
            let to = ["--client", &address, "--port", &to];
            let arguments = ["--json", "--time", SECONDS, "--congestion", CONGESTION_CONTROL];
            Ok(Command::new("iperf3").args(to).args(arguments).output()?)
        })?;
        server.0.wait()?;
        let said: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let received = |what: &str| -> Result<f64> {
            let figure = said.pointer("/end/sum_received").and_then(|received| received.get(what)?.as_f64());
            Ok(figure.with_context(|| format!("iperf3: {said}"))? / 1e9)
        };
        Ok(Stream { gbps: received("bits_per_second")?, gigabytes: received("bytes")? })
    }

    /// The least microseconds that a byte there and back took.
    pub(crate) fn round_trip(&self) -> Result<f64> {
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        let server = self.server.run(|| Ok(UdpSocket::bind(any)?))?;
        let client = self.client.run(|| Ok(UdpSocket::bind(any)?))?;
        client.connect((self.address, server.local_addr()?.port()))?;
        for socket in [&client, &server] {
            socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        }
        thread::scope(|scope| {
            let echo = scope.spawn(|| -> Result<()> {
                let mut byte = [0];
                for _ in 0..ROUND_TRIPS {
                    let (_, from) = server.recv_from(&mut byte)?;
                    server.send_to(&byte, from)?;
                }
                Ok(())
            });
            let mut least = Duration::MAX;
            for _ in 0..ROUND_TRIPS {
                let start = Instant::now();
                client.send(&[0])?;
                client.recv(&mut [0])?;
                least = least.min(start.elapsed());
            }
            echo.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
            Ok(least.as_secs_f64() * 1e6)
        })
    }
}

impl Path<'_> {
    /// The median microseconds of new TCP connections to `to`, which lead to that port of the server.
    pub(crate) fn connections(&self, to: SocketAddr, port: u16) -> Result<f64> {
        let any = SocketAddr::from(([0, 0, 0, 0], port));
        let server = self.server.run(|| Ok(TcpListener::bind(any)?))?;
        let times = thread::scope(|scope| {
            let accept = scope.spawn(|| (0..CONNECTIONS).try_for_each(|_| server.accept().map(drop)));
            let times = self.client.run(|| {
                let connect = |_| -> Result<f64> {
                    let start = Instant::now();
                    let _connection = TcpStream::connect_timeout(&to, Duration::from_secs(2))?;
                    Ok(start.elapsed().as_secs_f64() * 1e6)
                };
                (0..CONNECTIONS).map(connect).collect::<Result<Vec<_>>>()
            })?;
            accept.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
            anyhow::Ok(times)
        })?;
        Ok(median(&times))
    }
}

/// An iperf3 server, ended with this.
struct Server(Child);

impl Server {
    /// Waits until it says that it listens.
    fn listening(mut self) -> Result<Self> {
        let (mut said, mut buffer) = (String::new(), [0; 256]);
        let output = self.0.stdout.as_mut().context("a pipe")?;
        while !said.contains("listening") {
            match output.read(&mut buffer)? {
                0 => bail!("iperf3 ended: {said}"),
                count => said.push_str(&String::from_utf8_lossy(&buffer[..count])),
            }
        }
        Ok(self)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
