//! The first level: its init, and the supervisor's seat.
//!
//! Invariant: the init outlives neither the launcher (unless detached) nor the supervisor, and with it ends
//! every process of both levels. It never runs anything of a lab's or a learner's.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use knetsim_kernel::limits::{self, Resource};
use knetsim_kernel::namespaces::{IdRange, Spaces, become_root, enter_new, fork, read_id_map, write_id_maps};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{DumpableBehavior, set_dumpable_behavior, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};

use crate::error::{Result, SandboxError, Told, step};
use crate::node_side::NodeSide;
use crate::options::Options;
use crate::process::{close_inherited, null_streams, reset_signals, run_to_end, write_to};
use crate::root::{self, Source};
use crate::wire::{self, MAX_PACKET};

/// The supervisor's place: what it finds when it begins.
#[derive(Debug)]
pub struct Seat {
    pub(crate) name: String,
    pub(crate) listener: UnixListener,
    pub(crate) node_side: OwnedFd,
    /// The most memory of the node side, in bytes.
    pub(crate) memory: u64,
}

/// What the first level begins with.
pub(crate) struct First<'a> {
    pub(crate) options: &'a Options,
    /// Whether a single id is mapped.
    pub(crate) one_id: bool,
    pub(crate) sources: Vec<Source>,
    /// The launcher's pidfd, unless detached.
    pub(crate) launcher: Option<OwnedFd>,
    /// Where the supervisor's messages go, if not to the launcher's streams.
    pub(crate) log: Option<File>,
    /// Readable when the id maps are written.
    pub(crate) maps: File,
    /// Where it says how that went, one line of JSON.
    pub(crate) tell: Option<File>,
}

/// What the node side's init says to the first level's while it begins.
#[derive(Serialize, Deserialize)]
pub(crate) enum Begin {
    /// It is in its user namespace, without maps.
    Unmapped,
    /// It is up, or why not.
    Up(Result<(), Told>),
}

impl First<'_> {
    /// Is the sandbox's first process: brings all up, says how that went, and stays to the end.
    pub(crate) fn run(mut self, listener: UnixListener, supervise: impl FnOnce(Seat) -> i32) -> ! {
        run_to_end(move || {
            let up = self.bring_up(listener, supervise);
            let (told, supervisor) = match up {
                Ok(supervisor) => (Ok(()), Some(supervisor)),
                Err(error) => (Err(Told::from(error)), None),
            };
            if let Some(mut tell) = self.tell.take() {
                // A launcher that is gone needs no answer; watching it will say the same.
                let _ = writeln!(tell, "{}", serde_json::to_string(&told).unwrap_or_default());
            }
            supervisor.map_or(1, |supervisor| watch(supervisor, self.launcher.as_ref()).unwrap_or(1))
        })
    }

    fn bring_up(&mut self, listener: UnixListener, supervise: impl FnOnce(Seat) -> i32) -> Result<Pid> {
        self.enter()?;
        root::build(std::mem::take(&mut self.sources), &self.options.limits)?;
        // One more user namespace, the node side's, and none inside that. No cgroup namespace: who owns one may
        // mount the tree of cgroups, and write to what the user owns in it.
        for (kind, most) in [("user", "1"), ("cgroup", "0")] {
            let path = format!("/proc/sys/user/max_{kind}_namespaces");
            std::fs::write(&path, most).map_err(step(|| format!("writing to {path}")))?;
        }
        null_streams(true)?;
        if let Some(log) = self.log.take() {
            write_to(log)?;
        }
        let (ours, theirs) = sockets()?;
        let (begin_supervisor, begun) = sockets()?;
        let supervisor = match fork()? {
            Some(pid) => pid,
            None => {
                self.tell = None;
                drop((theirs, begin_supervisor));
                let memory = self.options.limits.memory;
                let seat = Seat { name: self.options.name.clone(), listener, node_side: ours, memory };
                run_to_end(|| begin(&begun, seat, supervise))
            }
        };
        drop((ours, begun, listener));
        self.bring_up_node_side(theirs)?;
        set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(step(|| "hiding the first level"))?;
        wire::send(&begin_supervisor, &(), &[]).map_err(step(|| "waking the supervisor"))?;
        Ok(supervisor)
    }

    /// Waits for the id maps, becomes root, and ties itself to the launcher.
    fn enter(&mut self) -> Result<()> {
        self.maps.read_exact(&mut [0]).map_err(step(|| "waiting for the launcher"))?;
        become_root(!self.one_id)?;
        // Changing ids makes the files of this process in /proc those of the host's root.
        set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(step(|| "becoming dumpable"))?;
        close_inherited()?;
        reset_signals(true)?;
        rustix::process::umask(Mode::from(0o022));
        // No core dumps, core(5): only a limit of 1 also keeps the kernel from running the host's handler of them.
        limits::set(Resource::Core, 1)?;
        rustix::process::setsid().map_err(step(|| "making a session"))?;
        if let Some(launcher) = &self.launcher {
            // Only now: changing ids clears it.
            set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
                .map_err(step(|| "tying the sandbox to its launcher"))?;
            if has_ended(launcher)? {
                return Err(SandboxError::Refused("the launcher has ended".into()));
            }
        }
        Ok(())
    }

    /// Forks the node side's init and follows it until it is up.
    fn bring_up_node_side(&self, to_supervisor: OwnedFd) -> Result<()> {
        let (ours, theirs) = sockets()?;
        enter_new(Spaces::CLONE_NEWPID)?;
        let Some(pid) = fork()? else {
            NodeSide::run(self.one_id, &self.options.limits, theirs, to_supervisor);
        };
        drop((theirs, to_supervisor));
        let listening = || "listening to the node side";
        let mut buffer = vec![0; MAX_PACKET];
        loop {
            match wire::receive(&ours, &mut buffer).map_err(step(listening))? {
                Some((Begin::Unmapped, _)) => {
                    write_id_maps(pid, &identity("uid_map")?, &identity("gid_map")?, false)?;
                    wire::send(&ours, &(), &[]).map_err(step(|| "waking the node side"))?;
                }
                Some((Begin::Up(up), _)) => return Ok(up?),
                None => return Err(SandboxError::Refused("the node side was killed while it was brought up".into())),
            }
        }
    }
}

/// The supervisor, when the node side is up.
fn begin(begun: &OwnedFd, seat: Seat, supervise: impl FnOnce(Seat) -> i32) -> i32 {
    let hidden = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    match wire::receive::<()>(begun, &mut [0; 64]) {
        Ok(Some(_)) if hidden.is_ok() && limits::raise_open_files().is_ok() => supervise(seat),
        _ => 1,
    }
}

/// The same ids one level deeper.
fn identity(file: &str) -> Result<Vec<IdRange>> {
    let ranges = read_id_map(file)?;
    Ok(ranges.into_iter().map(|range| IdRange { outside: range.inside, ..range }).collect())
}

/// Reaps until the supervisor or the launcher ends; the supervisor's status, or 128 + signal.
fn watch(supervisor: Pid, launcher: Option<&OwnedFd>) -> Result<i32> {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    mask.thread_block().map_err(step(|| "blocking SIGCHLD"))?;
    let children = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .map_err(step(|| "making a signalfd"))?;
    loop {
        while children.read_signal().map_err(step(|| "reading signals"))?.is_some() {}
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, status)) if pid == supervisor => return Ok(status),
                Ok(WaitStatus::Signaled(pid, signal, _)) if pid == supervisor => return Ok(128 + signal as i32),
                Ok(WaitStatus::StillAlive) => break,
                Ok(_) => {}
                Err(error) => return Err(step(|| "reaping")(error)),
            }
        }
        let mut events = vec![PollFd::new(&children, PollFlags::IN)];
        events.extend(launcher.map(|launcher| PollFd::new(launcher, PollFlags::IN)));
        rustix::io::retry_on_intr(|| poll(&mut events, None)).map_err(step(|| "waiting for the supervisor"))?;
        if events.get(1).is_some_and(|launcher| !launcher.revents().is_empty()) {
            return Ok(128 + Signal::SIGHUP as i32);
        }
    }
}

fn has_ended(process: &OwnedFd) -> Result<bool> {
    let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
    let ready =
        poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&now)).map_err(step(|| "looking at the launcher"))?;
    Ok(ready > 0)
}

fn sockets() -> Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(step(|| "making sockets"))
}
