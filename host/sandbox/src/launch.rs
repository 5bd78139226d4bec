//! Brings a sandbox up: state folder, first level, node side, supervisor. All by fork, without exec: they
//! share the pages of one program.
//!
//! Invariant: a launch that fails names its step and leaves nothing.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use knetsim_kernel::KernelError;
use knetsim_kernel::namespaces::{Forked, Spaces, fork_into};
use nix::unistd::Pid;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid};

use crate::error::{Result, SandboxError, Told, step};
use crate::first::First;
use crate::ids::IdPlan;
use crate::options::{BindMount, Options};
use crate::root::{PLUGINS, Source, USER_PROGRAMS};
use crate::state::StateFolder;

pub use crate::first::Seat;

/// A sandbox that is up, as its launcher sees it.
#[derive(Debug)]
pub struct Launched {
    init: OwnedFd,
    folder: StateFolder,
    warnings: Vec<String>,
}

impl Launched {
    /// What a person should know, such as that only one id is mapped inside.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The state folder.
    pub fn folder(&self) -> &StateFolder {
        &self.folder
    }

    /// The pidfd of the sandbox's first process: readable when the sandbox has ended.
    pub fn pidfd(&self) -> impl AsFd + '_ {
        self.init.as_fd()
    }

    /// Waits for the end of the sandbox, then removes its state folder. Returns the number that
    /// `supervise` returned; 128 + signal where a signal ended it. Blocks.
    ///
    /// # Errors
    /// The folder can't be removed.
    pub fn wait(self) -> Result<i32> {
        let status = reap(&self.init)?;
        self.folder.wait_and_remove()?;
        Ok(status)
    }
}

/// Launches a sandbox. `supervise` runs in it, in a process of its own; when it returns, or that process
/// ends in any other way, everything in the sandbox ends.
///
/// To be called while the process has one thread, by the thread that lives longest. What happens to the
/// launcher later is watched, unless `options.detached`: when it ends, so does the sandbox.
///
/// # Errors
/// The step that failed, with what to do where a confinement forbids it. Nothing is left then.
pub fn launch(options: &Options, supervise: impl FnOnce(Seat) -> i32) -> Result<Launched> {
    let base = options.base.clone().map_or_else(StateFolder::base, Ok)?;
    let plans = IdPlan::all(options.single_id)?;
    let folder = StateFolder::take(&base, &options.name)?;
    match bring_up(options, &folder, &plans, supervise) {
        Ok((init, warnings)) => {
            // Only the first level holds the lock from here on, so that it tells whether that one lives.
            let folder = folder.without_lock()?;
            Ok(Launched { init, folder, warnings })
        }
        Err(error) => {
            folder.remove()?;
            Err(error)
        }
    }
}

fn bring_up(
    options: &Options,
    folder: &StateFolder,
    plans: &[IdPlan],
    supervise: impl FnOnce(Seat) -> i32,
) -> Result<(OwnedFd, Vec<String>)> {
    let listener = folder.listen()?;
    let log = if options.detached { Some(folder.log()?) } else { None };
    let launcher = match options.detached {
        true => None,
        false => Some(
            pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
                .map_err(step(|| "opening a pidfd of the launcher"))?,
        ),
    };
    let mut warnings = Vec::new();
    for (index, plan) in plans.iter().enumerate() {
        let (maps_read, maps_written) = pipe()?;
        let (told, tell) = pipe()?;
        let sources = sources(options)?;
        let spaces = Spaces::CLONE_NEWUSER
            | Spaces::CLONE_NEWPID
            | Spaces::CLONE_NEWNS
            | Spaces::CLONE_NEWNET
            | Spaces::CLONE_NEWUTS
            | Spaces::CLONE_NEWIPC;
        let (pid, init) = match fork_into(spaces).map_err(confined)? {
            Forked::Child => {
                drop((maps_written, told));
                let (maps, tell) = (maps_read.into(), Some(tell.into()));
                let one_id = plan.is_single();
                First { options, one_id, sources, launcher, log, maps, tell }.run(listener, supervise)
            }
            Forked::Parent { pid, pidfd } => (pid, pidfd),
        };
        drop((maps_read, tell));
        match follow(plan, pid, maps_written.into(), told.into()) {
            Ok(()) => {
                if plan.is_single() && !options.single_id {
                    warnings.push(
                        "only one user id is mapped inside: programs can't change their user there, and what \
                         keeps them in is weaker; give this user ids in /etc/subuid and /etc/subgid, and install newuidmap"
                            .to_owned(),
                    );
                }
                return Ok((init, warnings));
            }
            Err((stage, error)) => {
                let _ = pidfd_send_signal(&init, Signal::KILL);
                reap(&init)?;
                if stage == Stage::Later || index + 1 == plans.len() {
                    return Err(error);
                }
                warnings.push(error.to_string());
            }
        }
    }
    Err(SandboxError::Invalid("no user ids can be mapped".into()))
}

/// When a launch failed: mapping ids may be tried in another way.
#[derive(PartialEq)]
enum Stage {
    Maps,
    Later,
}

/// Writes the id maps of the first level, and waits until it says that it is up.
fn follow(plan: &IdPlan, pid: Pid, mut maps_written: File, told: File) -> Result<(), (Stage, SandboxError)> {
    plan.write(pid).map_err(|error| (Stage::Maps, error))?;
    let later = |error| (Stage::Later, error);
    maps_written.write_all(b"m").map_err(step(|| "waking the first level")).map_err(later)?;
    drop(maps_written);
    let mut words = String::new();
    let told = BufReader::new(told).read_line(&mut words);
    told.map_err(step(|| "listening to the first level")).map_err(later)?;
    match serde_json::from_str::<Result<(), Told>>(&words) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(told)) => Err(later(hint(told.into()))),
        Err(_) => {
            let words = "the first process of the sandbox was killed while it was brought up";
            Err(later(SandboxError::Refused(words.into())))
        }
    }
}

/// What the launcher opens on the host for the sandbox: knetsim itself, and what the user named.
fn sources(options: &Options) -> Result<Vec<Source>> {
    let own = std::env::current_exe().map_err(step(|| "finding the program of knetsim"))?;
    let knetsim = BindMount { source: own, target: PathBuf::from(USER_PROGRAMS).join("knetsim"), read_only: true };
    let mut mounts = vec![knetsim];
    for (programs, folder) in [(&options.programs, USER_PROGRAMS), (&options.plugins, PLUGINS)] {
        for program in programs {
            let name = program
                .file_name()
                .ok_or_else(|| SandboxError::Invalid(format!("{} is not the path of a program", program.display())))?;
            let target = Path::new(folder).join(name);
            mounts.push(BindMount { source: program.clone(), target, read_only: true });
        }
    }
    mounts.extend(options.mounts.iter().cloned());
    mounts.iter().map(Source::open).collect()
}

fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    pipe_with(PipeFlags::CLOEXEC).map_err(step(|| "making a pipe"))
}

/// Waits for the end of a child; its status, or 128 + signal.
fn reap(child: &OwnedFd) -> Result<i32> {
    let ended = rustix::io::retry_on_intr(|| waitid(WaitId::PidFd(child.as_fd()), WaitIdOptions::EXITED))
        .map_err(step(|| "waiting for the sandbox"))?;
    let by_signal = |ended: &rustix::process::WaitIdStatus| ended.terminating_signal().map(|signal| 128 + signal);
    Ok(ended.as_ref().and_then(|ended| ended.exit_status().or_else(|| by_signal(ended))).unwrap_or(128))
}

/// Names the confinement that forbids `clone3`.
fn confined(error: KernelError) -> SandboxError {
    let what = match error.errno() {
        Some(nix::libc::ENOSYS) => {
            "clone3 is not allowed here, as by Docker's default seccomp filter; start the container with \
             --security-opt seccomp=unconfined --security-opt systempaths=unconfined"
        }
        Some(nix::libc::EPERM) => return hint(error.into()),
        Some(nix::libc::ENOSPC) => "no more user namespaces are allowed here: see the sysctl user.max_user_namespaces",
        Some(nix::libc::EAGAIN) => "a limit on processes is reached: see `ulimit -u`",
        _ => return error.into(),
    };
    SandboxError::Refused(format!("{error}: {what}"))
}

/// Adds to a refusal what commonly is behind it.
fn hint(error: SandboxError) -> SandboxError {
    let is = |path: &str, value: &str| std::fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
    let what = match error.errno() {
        Some(nix::libc::EPERM | nix::libc::EACCES)
            if is("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") =>
        {
            "AppArmor keeps user namespaces from programs that have no profile; as root: \
             sysctl kernel.apparmor_restrict_unprivileged_userns=0"
        }
        Some(nix::libc::EPERM) if is("/proc/sys/kernel/unprivileged_userns_clone", "0") => {
            "user namespaces are for root only here; as root: sysctl kernel.unprivileged_userns_clone=1"
        }
        Some(nix::libc::EPERM) => {
            "user namespaces, or mounts in them, are forbidden here, perhaps by a container's seccomp filter; \
             start it with --security-opt seccomp=unconfined --security-opt systempaths=unconfined"
        }
        _ => return error,
    };
    SandboxError::Refused(format!("{error}: {what}"))
}
