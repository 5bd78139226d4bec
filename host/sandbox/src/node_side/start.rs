//! From a request to a running program: what a new process does to itself before it executes one.
//!
//! Invariant: the program gets its three streams and no other descriptor, and only after limits,
//! no_new_privs and its filter of system calls are in place.
//!
//! As commands: `nsenter`, `setsid --ctty`, `nice`, `prlimit`, `setpriv --no-new-privs`.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};

use knetsim_kernel::limits::{self, Resource};
use knetsim_kernel::namespaces::{Spaces, enter, enter_new};
use nix::errno::Errno;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, execve};
use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use super::{NodeSide, Place};
use crate::error::{Result, SandboxError, Told, step};
use crate::process::reset_signals;
use crate::root::show_own_devices;
use crate::spawn::Profile;
use crate::wire::{SpawnRequest, Streams};

const PATH: &str = "/opt/knetsim/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Commands stand back behind daemons, and are what is ended when memory is short.
pub(crate) const COMMAND_NICE: i32 = 10;

/// A process that can be started.
pub(super) struct Start {
    argv: Vec<CString>,
    env: Vec<CString>,
    path: String,
    cwd: CString,
    node: Option<String>,
    netns: Option<OwnedFd>,
    profile: Profile,
    streams: Descriptors,
}

enum Descriptors {
    /// The node side's init has /dev/null for all three, and so has what it forks.
    Null,
    Three([OwnedFd; 3]),
    Output(OwnedFd),
    Terminal {
        master: OwnedFd,
        slave: OwnedFd,
    },
}

impl Start {
    /// Checks a request and its descriptors.
    pub(super) fn prepare(request: SpawnRequest, mut fds: impl Iterator<Item = OwnedFd>) -> Result<Start> {
        let mut next = || fds.next().ok_or_else(|| SandboxError::Invalid("a descriptor is missing".into()));
        let streams = match request.streams {
            Streams::Null => Descriptors::Null,
            Streams::Three => Descriptors::Three([next()?, next()?, next()?]),
            Streams::Output => Descriptors::Output(next()?),
            Streams::Terminal(rows, columns) => terminal(rows, columns)?,
        };
        let netns = if request.netns { Some(next()?) } else { None };
        let mut env: BTreeMap<String, String> = [
            ("PATH", PATH),
            ("HOME", "/root"),
            ("USER", "root"),
            ("LOGNAME", "root"),
            ("SHELL", "/bin/bash"),
            ("LANG", "C.UTF-8"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        if matches!(streams, Descriptors::Terminal { .. }) {
            env.insert("TERM".into(), "xterm-256color".into());
        }
        env.extend(request.env);
        let path = env.get("PATH").cloned().unwrap_or_default();
        if request.argv.first().is_none_or(String::is_empty) {
            return Err(SandboxError::Invalid("there is no program to start".into()));
        }
        Ok(Start {
            argv: request.argv.into_iter().map(text).collect::<Result<_>>()?,
            env: env.into_iter().map(|(name, value)| text(format!("{name}={value}"))).collect::<Result<_>>()?,
            path,
            cwd: text(request.cwd)?,
            node: request.node,
            netns,
            profile: request.profile,
            streams,
        })
    }

    /// The node that it is for.
    pub(super) fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }

    /// The master of its terminal, for the supervisor.
    pub(super) fn master(&self) -> Result<Option<OwnedFd>> {
        match &self.streams {
            Descriptors::Terminal { master, .. } => {
                Ok(Some(master.try_clone().map_err(step(|| "copying a terminal's master"))?))
            }
            _ => Ok(None),
        }
    }

    /// In the new process: becomes the program. Returns only where it can't, after saying why.
    pub(super) fn run(&self, place: Result<&Place>, side: &NodeSide, mut told: File) -> i32 {
        let error = place.and_then(|place| self.become_program(place, side)).err();
        let words = error.map(|error| serde_json::to_vec(&Err::<(), _>(Told::from(error))).unwrap_or_default());
        let _ = told.write_all(&words.unwrap_or_default());
        127
    }

    fn become_program(&self, place: &Place, side: &NodeSide) -> Result<()> {
        let by_hand = self.profile == Profile::Node;
        reset_signals(false)?;
        rustix::process::setsid().map_err(step(|| "making a session"))?;
        enter(&place.uts, Spaces::CLONE_NEWUTS)?;
        enter(self.netns.as_ref().unwrap_or(&place.net), Spaces::CLONE_NEWNET)?;
        enter(&place.mnt, Spaces::CLONE_NEWNS)?;
        if self.netns.is_some() {
            // As `ip netns exec` does it: what else is mounted there is the node's.
            enter_new(Spaces::CLONE_NEWNS)?;
            show_own_devices()?;
        }
        let cwd = self.cwd.as_c_str();
        rustix::process::chdir(cwd).map_err(step(|| format!("entering {}", cwd.to_string_lossy())))?;
        self.lead_streams()?;
        if !by_hand {
            limits::drop_capabilities()?;
        }
        self.limit(side)?;
        if by_hand {
            side.by_hand.apply()?
        } else {
            side.plain.apply()?
        }
        Err(self.execute())
    }

    fn lead_streams(&self) -> Result<()> {
        let leading = || "leading standard streams";
        let lead = |input: Option<&OwnedFd>, output: &OwnedFd, error: &OwnedFd| {
            input.map_or(Ok(()), dup2_stdin)?;
            dup2_stdout(output)?;
            dup2_stderr(error)
        };
        match &self.streams {
            Descriptors::Null => Ok(()),
            Descriptors::Three([input, output, error]) => lead(Some(input), output, error),
            Descriptors::Output(file) => lead(None, file, file),
            Descriptors::Terminal { slave, .. } => {
                rustix::process::ioctl_tiocsctty(slave).map_err(step(|| "taking a terminal"))?;
                lead(Some(slave), slave, slave)
            }
        }
        .map_err(step(leading))
    }

    fn limit(&self, side: &NodeSide) -> Result<()> {
        side.open_files.set()?;
        if self.profile != Profile::Daemon {
            limits::stand_back(COMMAND_NICE)?;
            // What is left is room for daemons, and for the shell that ends a fork bomb.
            limits::set(Resource::Nproc, side.limits.processes / 4 * 3)?;
            limits::set(Resource::As, side.limits.address_space)?;
        }
        Ok(())
    }

    /// Executes the program, looked up as a shell does. Returns why not.
    fn execute(&self) -> SandboxError {
        let program = self.argv[0].to_string_lossy();
        let places: Vec<String> = if program.contains('/') {
            vec![program.clone().into_owned()]
        } else {
            self.path
                .split(':')
                .filter(|folder| !folder.is_empty())
                .map(|folder| format!("{folder}/{program}"))
                .collect()
        };
        let mut why = Errno::ENOENT;
        for place in places {
            let Ok(file) = CString::new(place) else { continue };
            let Err(error) = execve(&file, &self.argv, &self.env);
            if !matches!(error, Errno::ENOENT | Errno::ENOTDIR) {
                why = error;
            }
            if !matches!(error, Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) {
                break;
            }
        }
        step(|| format!("executing `{program}`"))(why)
    }
}

fn text(text: String) -> Result<CString> {
    CString::new(text)
        .map_err(|_| SandboxError::Invalid("a zero byte in a command, its environment or its folder".into()))
}

/// A new terminal of the node side's. Its master is opened by the path that nobody else can change.
fn terminal(rows: u16, columns: u16) -> Result<Descriptors> {
    let making = || "making a terminal";
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = rustix::fs::open("/dev/pts/ptmx", OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())
        .map_err(step(making))?;
    rustix::pty::unlockpt(&master).map_err(step(making))?;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).map_err(step(making))?;
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(master.as_fd(), size).map_err(step(making))?;
    Ok(Descriptors::Terminal { master, slave })
}
