//! Processes and the namespaces that they live in: new ones, their id maps, and ways to enter them.
//!
//! Invariant: everything here that forks or changes the caller's namespaces is refused in a process with
//! several threads; there [`crate::netns::NetNs::run`] is the only way.
//!
//! As commands: `unshare --user --pid --net --mount --uts --ipc --fork`, `nsenter`, `newuidmap`.

use std::fmt::Write as _;
use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};
use std::process::Command;

use nix::sched::{setns, unshare};
use nix::unistd::{ForkResult, Gid, Pid, Uid};
use rustix::fs::{Mode, OFlags};

use crate::error::KernelError;

pub use nix::sched::CloneFlags as Spaces;

type Result<T, E = KernelError> = std::result::Result<T, E>;

/// On which side of a fork this is.
#[derive(Debug)]
pub enum Forked {
    /// In the new process.
    Child,
    /// In the one that made it.
    Parent {
        /// The new process.
        pid: Pid,
        /// Its pidfd: refers to it also after it ended and its number was given to another.
        pidfd: OwnedFd,
    },
}

/// A range of user or group ids as `/proc/PID/uid_map` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// The first id inside.
    pub inside: u32,
    /// The first id outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// Copies this process, `clone3` with a pidfd: the child continues in new `spaces`.
///
/// # Errors
/// The process has several threads; ENOSYS or EPERM where a confinement forbids it.
pub fn fork_into(spaces: Spaces) -> Result<Forked> {
    let doing = || format!("clone3 into new namespaces ({spaces:?})");
    alone(&doing())?;
    let mut pidfd: RawFd = -1;
    let mut args = nix::libc::clone_args {
        flags: spaces.bits() as u64 | nix::libc::CLONE_PIDFD as u64,
        pidfd: &raw mut pidfd as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: nix::libc::SIGCHLD as u64,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    // SAFETY: as fork: the child gets a copy of the memory and goes on on a copy of this stack. No other
    // thread exists, so no lock of the C library is held; `args` and `pidfd` outlive the call.
    #[expect(unsafe_code)]
    let pid = unsafe { nix::libc::syscall(nix::libc::SYS_clone3, &raw mut args, size_of_val(&args)) };
    match pid {
        0 => Ok(Forked::Child),
        1.. => {
            // SAFETY: the kernel just made this descriptor for us.
            #[expect(unsafe_code)]
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Forked::Parent { pid: Pid::from_raw(pid as i32), pidfd })
        }
        _ => Err(KernelError::refused(doing(), io::Error::last_os_error())),
    }
}

/// Copies this process. None in the child.
///
/// # Errors
/// The process has several threads; EAGAIN where a limit is reached.
pub fn fork() -> Result<Option<Pid>> {
    alone("fork")?;
    // SAFETY: no other thread exists, so the child finds every lock free.
    #[expect(unsafe_code)]
    let forked = unsafe { nix::unistd::fork() };
    match forked.map_err(KernelError::doing("fork"))? {
        ForkResult::Child => Ok(None),
        ForkResult::Parent { child } => Ok(Some(child)),
    }
}

/// Refuses to go on in a process with several threads.
fn alone(doing: &str) -> Result<()> {
    let tasks = rustix::fs::stat("/proc/self/task").map_err(KernelError::doing("stat /proc/self/task"))?;
    // A folder has two links of its own and one for each folder in it: one for each thread.
    if tasks.st_nlink == 3 { Ok(()) } else { Err(KernelError::answer(doing, "this process has several threads")) }
}

/// Puts this process into new namespaces, `unshare`.
pub fn enter_new(spaces: Spaces) -> Result<()> {
    unshare(spaces).map_err(KernelError::doing(format!("unshare {spaces:?}")))
}

/// Puts this process into the namespace of that kind that a descriptor refers to, `nsenter`.
pub fn enter(space: impl AsFd, kind: Spaces) -> Result<()> {
    setns(space, kind).map_err(KernelError::doing(format!("setns {kind:?}")))
}

/// Opens a namespace of a process, such as `net`, by its folder in a proc file system.
pub fn open_of(proc: impl AsFd, pid: &str, kind: &str) -> Result<OwnedFd> {
    let path = format!("{pid}/ns/{kind}");
    rustix::fs::openat(proc, &path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(KernelError::doing(format!("open /proc/{path}")))
}

/// Writes the id maps of a process that is in a new user namespace. Several ranges, or ids that are not the
/// writer's own, need CAP_SETUID and CAP_SETGID in the parent namespace; else setgroups is denied for good first.
pub fn write_id_maps(pid: Pid, users: &[IdRange], groups: &[IdRange], deny_setgroups: bool) -> Result<()> {
    let write = |file: &str, text: &str| {
        let path = format!("/proc/{pid}/{file}");
        std::fs::write(&path, text).map_err(KernelError::doing(format!("write `{}` to {path}", text.trim_end())))
    };
    if deny_setgroups {
        write("setgroups", "deny")?;
    }
    write("uid_map", &map_text(users))?;
    write("gid_map", &map_text(groups))
}

fn map_text(ranges: &[IdRange]) -> String {
    ranges.iter().fold(String::new(), |mut text, range| {
        let _ = writeln!(text, "{} {} {}", range.inside, range.outside, range.count);
        text
    })
}

/// The same by the setuid programs `newuidmap` and `newgidmap`, which allow the ranges of /etc/subuid and
/// /etc/subgid to an ordinary user.
pub fn write_sub_id_maps(pid: Pid, users: &[IdRange], groups: &[IdRange]) -> Result<()> {
    for (program, ranges) in [("newuidmap", users), ("newgidmap", groups)] {
        let doing = || format!("map ids of process {pid}");
        let mut command = Command::new(program);
        command.arg(pid.to_string());
        for range in ranges {
            command.args([range.inside, range.outside, range.count].map(|number| number.to_string()));
        }
        let output = command.output().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => KernelError::Missing { doing: doing(), program },
            _ => KernelError::refused(doing(), error),
        })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(KernelError::Program { doing: doing(), program, said });
        }
    }
    Ok(())
}

/// The ids that are mapped where this process is, `/proc/self/uid_map` or `gid_map`.
pub fn read_id_map(file: &str) -> Result<Vec<IdRange>> {
    let path = format!("/proc/self/{file}");
    let text = std::fs::read_to_string(&path).map_err(KernelError::doing(format!("read {path}")))?;
    let range = |line: &str| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u32>);
        let mut next = || numbers.next()?.ok();
        Some(IdRange { inside: next()?, outside: next()?, count: next()? })
    };
    text.lines().map(|line| range(line).ok_or_else(|| KernelError::answer(format!("read {path}"), line))).collect()
}

/// Becomes user and group 0 of its user namespace; without supplementary groups, where they may be dropped.
pub fn become_root(drop_groups: bool) -> Result<()> {
    if drop_groups {
        nix::unistd::setgroups(&[]).map_err(KernelError::doing("setgroups"))?;
    }
    let (user, group) = (Uid::from_raw(0), Gid::from_raw(0));
    nix::unistd::setresgid(group, group, group).map_err(KernelError::doing("setresgid 0"))?;
    nix::unistd::setresuid(user, user, user).map_err(KernelError::doing("setresuid 0"))
}

/// Sets the loopback device of the current network namespace up, `ip link set lo up`.
pub fn loopback_up() -> Result<()> {
    const DOING: &str = "set lo up";
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )
    .map_err(KernelError::doing(DOING))?;
    // SAFETY: all bytes of this C structure may be zero.
    #[expect(unsafe_code)]
    let mut request: nix::libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as nix::libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (nix::libc::IFF_UP | nix::libc::IFF_RUNNING) as i16;
    use std::os::fd::AsRawFd as _;
    // SAFETY: SIOCSIFFLAGS reads an ifreq, which outlives the call.
    #[expect(unsafe_code)]
    let done = unsafe { nix::libc::ioctl(socket.as_raw_fd(), nix::libc::SIOCSIFFLAGS, &raw const request) };
    if done == 0 { Ok(()) } else { Err(KernelError::refused(DOING, io::Error::last_os_error())) }
}
