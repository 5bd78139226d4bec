//! Two routers with a link between them, as processes: `c0` reaches the services, `c1` has the listeners that lead to
//! them. knetsim's and skrouterd are given the same files.

use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::knetsim::beside_this;
use crate::memory;

/// How soon listeners have to be open; the routers need some seconds to find each other.
const LIMIT: Duration = Duration::from_secs(30);

/// How soon routers close a connection to a service that isn't there.
const PATIENCE: Duration = Duration::from_secs(5);

/// Whose routers.
#[derive(Clone, Copy)]
pub(crate) enum Make {
    Knetsim,
    /// The one on PATH.
    Skrouterd,
}

/// Two routers, ended with this.
pub(crate) struct Routers {
    processes: Vec<Child>,
    folder: TempDir,
    shift: u16,
}

impl Routers {
    /// Starts them, before there are the services, and waits until the listeners are open. The link takes the port
    /// `shift`, the listener of a service that many more than the service's own. With `mutual_tls`, the link is
    /// encrypted and both routers show a certificate.
    pub(crate) fn start(make: Make, shift: u16, mutual_tls: bool, services: &[u16]) -> Result<Self> {
        let mut routers = Routers { processes: Vec::new(), folder: TempDir::new()?, shift };
        let mut link = json!({"name": "link", "role": "inter-router", "host": "localhost", "port": shift});
        let mut door = link.clone();
        door["host"] = json!("127.0.0.1");
        if mutual_tls {
            certificates(routers.folder.path())?;
            for end in [&mut link, &mut door] {
                (end["sslProfile"], end["saslMechanisms"]) = (json!("tls"), json!("EXTERNAL"));
            }
            door["authenticatePeer"] = json!("yes");
        }
        let tcp = |kind: &str, shift: u16| -> Vec<Value> {
            let section = |port: &u16| {
                json!([kind, {"name": format!("{kind} {port}"), "host": "127.0.0.1", "port": port + shift,
                    "address": format!("service-{port}")}])
            };
            services.iter().map(section).collect()
        };
        routers.run(make, "c0", json!(["listener", door]), tcp("tcpConnector", 0))?;
        routers.run(make, "c1", json!(["connector", link]), tcp("tcpListener", shift))?;
        routers.wait(services)?;
        Ok(routers)
    }

    fn run(&mut self, make: Make, id: &str, link: Value, services: Vec<Value>) -> Result<()> {
        let path = |name: &str| self.folder.path().join(name);
        let tls = json!(["sslProfile", {"name": "tls", "caCertFile": path("ca.crt"),
            "certFile": path("router.crt"), "privateKeyFile": path("router.key")}]);
        let mut sections = vec![json!(["router", {"id": id, "mode": "interior"}])];
        sections.extend(link[1].get("sslProfile").map(|_| tls));
        sections.push(link);
        sections.extend(services);
        let file = path(&format!("{id}.json"));
        fs::write(&file, Value::Array(sections).to_string())?;
        let log = File::create(path(&format!("{id}.log")))?;
        let mut command = match make {
            Make::Knetsim => {
                let mut command = Command::new(beside_this()?);
                command.arg("router");
                command
            }
            Make::Skrouterd => Command::new("skrouterd"),
        };
        command.arg("-c").arg(file).stdout(log.try_clone()?).stderr(log);
        self.processes.push(command.spawn().with_context(|| format!("run {command:?}"))?);
        Ok(())
    }

    fn wait(&self, services: &[u16]) -> Result<()> {
        let start = Instant::now();
        while !services.iter().all(|service| is_open(self.listener(*service))) {
            if start.elapsed() > LIMIT {
                let log = |id: &str| fs::read_to_string(self.folder.path().join(format!("{id}.log")));
                bail!("listeners aren't open after {LIMIT:?}; the routers say:\n{}\n{}", log("c0")?, log("c1")?);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The port that leads to a service's.
    pub(crate) fn listener(&self, service: u16) -> u16 {
        service + self.shift
    }

    /// The processor's seconds that both have used.
    pub(crate) fn seconds(&self) -> Result<f64> {
        let each = self.processes.iter().map(|process| {
            let clock = clock_getcpuclockid(Pid::from_raw(process.id().try_into()?))?;
            Ok(Duration::from(clock_gettime(clock)?).as_secs_f64())
        });
        each.sum()
    }

    /// Resident kB of each.
    pub(crate) fn memory(&self) -> Result<Vec<f64>> {
        self.processes.iter().map(|process| memory::resident(process.id())).collect()
    }
}

impl Drop for Routers {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Whether a listener takes a connection. There is no service yet, so that the routers close it again; that is waited
/// for, lest it goes to a service that starts later.
fn is_open(port: u16) -> bool {
    let Ok(mut connection) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return false };
    let _ = connection.set_read_timeout(Some(PATIENCE));
    let _ = connection.read(&mut [0]);
    true
}

/// Writes a CA's certificate, and one for localhost that both routers show.
fn certificates(folder: &Path) -> Result<()> {
    let mut authority = CertificateParams::new([])?;
    authority.distinguished_name.push(DnType::CommonName, "ca");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(["localhost".to_owned()])?.signed_by(&key, &issuer)?;
    fs::write(folder.join("ca.crt"), issuer.pem())?;
    fs::write(folder.join("router.crt"), certificate.pem())?;
    Ok(fs::write(folder.join("router.key"), key.serialize_pem())?)
}
