//! The entry points as executables: the plugin's side of the execution protocol, and `cnitool`.

use std::env;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use knetsim_kernel::NetNs;
use serde_json::{Value, json};

use crate::attachment::{Attachment, is_plain_name, parse_args};
use crate::config::{self, Object};
use crate::error::Error;
use crate::files::Files;
use crate::plugins::{BUILT_IN, Call, Command, Host, Plugins, built_in};
use crate::version::Version;
use crate::{cnitool, exec};

/// The longest configuration that is read from standard input, in bytes.
const LONGEST: u64 = 4 << 20;

/// Where the program was started by the name of a plugin or as `cnitool`, does what that would do and
/// returns its exit status. None for other names.
pub fn main_by_name(name: &str) -> Option<ExitCode> {
    let plugin = BUILT_IN.into_iter().find(|plugin| *plugin == name);
    if plugin.is_none() && name != "cnitool" {
        return None;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Some(fail(name, &Error::io("start the runtime")(error))),
    };
    let outcome = runtime.block_on(async {
        match plugin {
            Some(plugin) => run_plugin(plugin).await,
            None => cnitool::run(env::args().skip(1)).await,
        }
    });
    Some(match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if plugin.is_some() => answer_error(name, &error),
        Err(error) => fail(name, &error),
    })
}

fn fail(name: &str, error: &Error) -> ExitCode {
    eprintln!("{name}: {error}");
    ExitCode::FAILURE
}

/// A plugin's error goes to standard output.
fn answer_error(name: &str, error: &Error) -> ExitCode {
    match print(&json!(error.report(Version::LATEST))) {
        Ok(()) => ExitCode::FAILURE,
        Err(second) => fail(name, &second),
    }
}

/// Prints JSON as the reference library does, four blanks to a level.
pub(crate) fn print(json: &Value) -> Result<(), Error> {
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    serde::Serialize::serialize(json, &mut serializer).map_err(Error::decode("the answer"))?;
    text.push(b'\n');
    io::stdout().write_all(&text).map_err(Error::io("write to standard output"))
}

/// The machine as the process sees it.
pub(crate) fn host() -> Result<Host, Error> {
    let netns = NetNs::current()?;
    Ok(Host::new(netns.clone(), netns.netlink()?, Files::whole()?))
}

async fn run_plugin(kind: &'static str) -> Result<(), Error> {
    let asked = env::var("CNI_COMMAND").unwrap_or_default();
    if asked.is_empty() {
        eprintln!("CNI plugin {kind} of knetsim {}", env!("CARGO_PKG_VERSION"));
        eprintln!("CNI protocol versions supported: {}", Version::LIST.join(", "));
        return Ok(());
    }
    if asked == "VERSION" {
        return print(&json!({"cniVersion": Version::LATEST.as_str(), "supportedVersions": Version::LIST}));
    }
    let command = Command::ALL.into_iter().find(|command| command.as_str() == asked);
    let command = command.ok_or_else(|| Error::Parameter(format!("unknown CNI_COMMAND `{asked}`")))?;
    let mut attachment = read_environment(kind, command)?;
    let config = read_config()?;
    require_version(command, config::version(&config)?)?;

    let host = host()?;
    attachment.netns = open_namespace(kind, command, &attachment.netns_path, &host.netns)?;
    let plugins = Plugins::Executables(exec::folders(&env::var("CNI_PATH").unwrap_or_default()));
    let call = Call { host: &host, plugins: &plugins, command, attachment: &attachment, config: &config };
    match built_in(kind, call).await? {
        Some(result) => print(&result.to_json(config::version(&config)?)),
        None => Ok(()),
    }
}

/// The parameters, all missing ones named at once.
fn read_environment(kind: &str, command: Command) -> Result<Attachment, Error> {
    let needed: &[&str] = match command {
        Command::Add | Command::Check => &["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
        Command::Del => &["CNI_CONTAINERID", "CNI_IFNAME"],
        Command::Gc | Command::Status => &[],
    };
    let value = |name: &str| env::var(name).unwrap_or_default();
    let missing: Vec<&str> = needed.iter().copied().filter(|name| value(name).is_empty()).collect();
    if !missing.is_empty() {
        return Err(Error::Parameter(format!("required environment variables are missing: {}", missing.join(", "))));
    }
    if needed.is_empty() {
        return Ok(Attachment::default());
    }
    let mut attachment = Attachment::new(&value("CNI_CONTAINERID"), None, &value("CNI_NETNS"));
    attachment.ifname = value("CNI_IFNAME");
    attachment.args = match parse_args(&value("CNI_ARGS")) {
        // DEL needs none of them, and loopback reads none.
        Err(_) if command == Command::Del || kind == "loopback" => Vec::new(),
        args => args?,
    };
    attachment.validate()?;
    Ok(attachment)
}

fn read_config() -> Result<Object, Error> {
    let mut bytes = Vec::new();
    io::stdin().take(LONGEST).read_to_end(&mut bytes).map_err(Error::io("read standard input"))?;
    let config: Object = serde_json::from_slice(&bytes).map_err(Error::decode("the network configuration"))?;
    match config::text(&config, "name") {
        Some(name) if is_plain_name(name) => Ok(config),
        name => Err(Error::Config(format!("{:?} is not a network's name", name.unwrap_or_default()))),
    }
}

/// Refuses an operation that the configuration's version does not have.
fn require_version(command: Command, version: Version) -> Result<(), Error> {
    let least = match command {
        Command::Add | Command::Del => Version::V0_1_0,
        Command::Check => Version::V0_4_0,
        Command::Gc | Command::Status => Version::V1_1_0,
    };
    let config = || format!("{}, which has no {}", version.as_str(), command.as_str());
    if version < least { Err(Error::Version { config: config() }) } else { Ok(()) }
}

/// Opens the container's namespace. It may be absent for DEL, and for plugins that don't enter it themselves;
/// it must not be the plugin's own.
fn open_namespace(kind: &str, command: Command, path: &str, own: &NetNs) -> Result<Option<NetNs>, Error> {
    if path.is_empty() {
        return Ok(None);
    }
    let namespace = match NetNs::open(Path::new(path)) {
        Ok(namespace) => namespace,
        // A file that is no namespace any more: it was unmounted.
        Err(_) if command == Command::Del || ["host-local", "flannel"].contains(&kind) => return Ok(None),
        Err(error) => return Err(Error::UnknownContainer(format!("CNI_NETNS: {error}"))),
    };
    let overridden = env::var("CNI_NETNS_OVERRIDE").is_ok_and(|text| text == "1" || text.eq_ignore_ascii_case("true"));
    if namespace == *own && !overridden {
        return Err(Error::Parameter(format!("CNI_NETNS {path} is the plugin's own network namespace")));
    }
    Ok(Some(namespace))
}
