//! What every process of the sandbox does that was forked from the launcher and not executed anew.

use std::os::fd::{AsFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::libc;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, sigprocmask};

use crate::error::{Result, step};

/// Does `work` and ends the process with its number; 101 where it panics. Never returns to the caller, which
/// goes on in another process, and runs nothing that that one has registered for its exit.
pub(crate) fn run_to_end(work: impl FnOnce() -> i32) -> ! {
    let status = catch_unwind(AssertUnwindSafe(work)).unwrap_or(101);
    // SAFETY: ends the process; nothing can depend on it afterwards.
    #[expect(unsafe_code)]
    unsafe {
        libc::_exit(status)
    }
}

/// Closes what the launcher inherited from its own parent. Whatever it opened itself is closed on exec.
pub(crate) fn close_inherited() -> Result<()> {
    let listing = || "listing /proc/self/fd";
    for entry in std::fs::read_dir("/proc/self/fd").map_err(step(listing))? {
        let name = entry.map_err(step(listing))?.file_name();
        let Some(fd) = name.to_str().and_then(|name| name.parse::<RawFd>().ok()).filter(|fd| *fd > 2) else { continue };
        // SAFETY: asks for the flags of a number, whoever's it is.
        #[expect(unsafe_code)]
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
        if flags >= 0 && flags & libc::FD_CLOEXEC == 0 {
            close(fd, fd)?;
        }
    }
    Ok(())
}

/// Closes all descriptors but the standard streams and these.
///
/// For a process that has just been forked: no value that it still uses may own one of the others.
pub(crate) fn close_all_but(kept: &[RawFd]) -> Result<()> {
    let mut kept = kept.to_vec();
    kept.sort_unstable();
    let mut first = 3;
    for fd in kept {
        if fd > first {
            close(first, fd - 1)?;
        }
        first = fd + 1;
    }
    close(first, RawFd::MAX)
}

fn close(first: RawFd, last: RawFd) -> Result<()> {
    // SAFETY: copies of the launcher's descriptors, which no value that is still used in this process owns.
    #[expect(unsafe_code)]
    let done = unsafe { libc::close_range(first as u32, last as u32, 0) };
    if done == 0 { Ok(()) } else { Err(step(|| "closing descriptors")(std::io::Error::last_os_error())) }
}

/// Leads all three standard streams, or only the input, to /dev/null.
pub(crate) fn null_streams(only_input: bool) -> Result<()> {
    let leading = || "leading standard streams to /dev/null";
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null").map_err(step(leading))?;
    nix::unistd::dup2_stdin(&null).map_err(step(leading))?;
    if only_input {
        return Ok(());
    }
    write_to(&null)
}

/// Leads standard output and error to a file.
pub(crate) fn write_to(file: impl AsFd) -> Result<()> {
    let leading = || "leading standard streams to a file";
    nix::unistd::dup2_stdout(&file).map_err(step(leading))?;
    nix::unistd::dup2_stderr(&file).map_err(step(leading))
}

/// Gives every signal its usual effect, and blocks none; but for SIGPIPE, where `broken_pipes` are errors.
pub(crate) fn reset_signals(broken_pipes: bool) -> Result<()> {
    let resetting = || "resetting signals";
    for signal in Signal::iterator().filter(|signal| !matches!(signal, Signal::SIGKILL | Signal::SIGSTOP)) {
        let ignored = broken_pipes && signal == Signal::SIGPIPE;
        let handler = if ignored { SigHandler::SigIgn } else { SigHandler::SigDfl };
        // SAFETY: installs no function.
        #[expect(unsafe_code)]
        unsafe { nix::sys::signal::signal(signal, handler) }.map_err(step(resetting))?;
    }
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).map_err(step(resetting))
}
