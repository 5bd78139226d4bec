//! Takes the samples: round after round, each series once a round, forwards and backwards in turn, so that what else
//! happens on the machine falls on all alike.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::geteuid;
use tempfile::TempDir;

use crate::lab::GUEST;
use crate::rows::{CLUSTERS, Place, Program, SERIES, Series, WORKERS};

/// The interpreter that Debian's Mininet is installed for.
const MININET_PYTHON: &str = "/usr/bin/python3";
const MININET: &str = include_str!("../underlay_in_mininet.py");
/// `nobody`, who has no subordinate ids.
const USER: &str = "65534";

/// What was measured: for each series a value by name for each round, or why there is none.
pub(crate) type Samples = BTreeMap<&'static str, Result<Vec<BTreeMap<String, f64>>, String>>;

/// Copies of this program and of knetsim that every user can run.
pub(crate) struct Runner {
    folder: TempDir,
    program: PathBuf,
}

impl Runner {
    pub(crate) fn new(guest: Option<&Path>) -> Result<Self> {
        let folder = TempDir::with_prefix("knetsim-bench-")?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let here = std::env::current_exe()?;
        for program in ["knetsim-bench", "knetsim"] {
            let (from, to) = (here.with_file_name(program), folder.path().join(program));
            fs::copy(&from, &to).with_context(|| format!("copy {}", from.display()))?;
            fs::set_permissions(&to, fs::Permissions::from_mode(0o755))?;
        }
        if let Some(guest) = guest {
            fs::copy(guest, folder.path().join(GUEST)).with_context(|| format!("copy {}", guest.display()))?;
        }
        fs::write(folder.path().join("underlay_in_mininet.py"), MININET)?;
        Ok(Runner { program: folder.path().join("knetsim-bench"), folder })
    }

    /// All samples of the series whose name contains `only`.
    pub(crate) fn run(&self, rounds: usize, only: &str) -> Result<Samples> {
        let there = |series: &&Series| series.program != Program::Skrouterd || is_on_path("skrouterd");
        let chosen: Vec<&Series> = SERIES.iter().filter(|series| series.name.contains(only)).filter(there).collect();
        ensure!(!chosen.is_empty(), "no series has `{only}` in its name");
        let mut samples: Samples = chosen.iter().map(|series| (series.name, Ok(Vec::new()))).collect();
        for round in 0..rounds {
            let mut order = chosen.clone();
            if round % 2 == 1 {
                order.reverse();
            }
            for series in order {
                let Some(Ok(taken)) = samples.get_mut(series.name) else { continue };
                eprintln!("round {} of {rounds}: {}", round + 1, series.name);
                self.settle()?;
                match self.sample(series) {
                    Ok(figures) => taken.push(figures),
                    Err(error) => drop(samples.insert(series.name, Err(format!("{error:#}")))),
                }
            }
        }
        Ok(samples)
    }

    fn settle(&self) -> Result<()> {
        let settle = Series { name: "settle", place: Place::Namespaces, program: Program::Sample("settle") };
        self.sample(&settle).map(drop).context("wait for the kernel to come to rest")
    }

    fn sample(&self, series: &Series) -> Result<BTreeMap<String, f64>> {
        let mut command = in_place(series.place);
        match series.program {
            Program::Sample(name) => command.arg(&self.program).args(["sample", name]),
            Program::Skrouterd => command.arg(&self.program).args(["sample", "skrouterd"]),
            Program::Mininet => self.mininet(&mut command)?,
        };
        let output = command.output().with_context(|| format!("run {command:?}"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            bail!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
        }
        serde_json::from_str(said.trim()).with_context(|| format!("a sample said: {said}"))
    }

    /// Mininet wants a /sys of its namespace, and writes below /tmp and /run.
    fn mininet<'a>(&self, command: &'a mut Command) -> Result<&'a mut Command> {
        ensure!(geteuid().is_root(), "Mininet runs as root only");
        ensure!(Path::new("/usr/bin/mn").exists(), "not installed");
        const MOUNT: &str = r#"mount -t sysfs s /sys && mount -t tmpfs t /run && exec "$0" "$@""#;
        let script = self.folder.path().join("underlay_in_mininet.py");
        let size = [CLUSTERS.to_string(), WORKERS.to_string()];
        Ok(command.args(["sh", "-c", MOUNT, MININET_PYTHON]).arg(script).args(size))
    }
}

fn is_on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|at| at.join(program).is_file()))
}

/// What runs a program in that place, as root or as an ordinary user.
fn in_place(place: Place) -> Command {
    let mut words = Vec::new();
    if matches!(place, Place::HereAsUser | Place::UserNamespaces) && geteuid().is_root() {
        words.extend(["setpriv", "--reuid", USER, "--regid", USER, "--clear-groups"]);
    }
    if matches!(place, Place::Namespaces | Place::UserNamespaces) {
        words.extend(["unshare", "--net", "--mount", "--kill-child", "--fork"]);
        if place == Place::UserNamespaces || !geteuid().is_root() {
            words.extend(["--user", "--map-root-user"]);
        }
    }
    let mut command = Command::new("env"); // which runs what follows
    command.args(words);
    command
}
