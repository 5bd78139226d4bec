//! Watches the memory of the node side as a whole: RLIMIT_AS bounds each process alone, and a cgroup of our own
//! would be a change of the host's that outlives us where we are killed.
//!
//! Invariant: daemons are never ended, only commands. A command is known by its priority, which it can't raise.

use std::collections::HashSet;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use knetsim_model::Event;
use rustix::fs::{Mode, OFlags, openat};
use rustix::process::Signal;
use tokio::time::{MissedTickBehavior, interval};

use crate::error::Result;
use crate::node_side::COMMAND_NICE;
use crate::sandbox::Inner;
use crate::sweep::{Proc, send};

/// Between two looks: short enough that a hog finds little time, long enough to cost nothing.
const EVERY: Duration = Duration::from_millis(250);

/// A process that uses memory.
struct User {
    pid: i32,
    folder: OwnedFd,
    bytes: u64,
}

/// Ends the biggest commands whenever all processes together use more than `most` bytes.
pub(crate) async fn watch(inner: Arc<Inner>, most: u64) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !inner.has_ended() {
        ticks.tick().await;
        let looking = Arc::clone(&inner);
        let ended = tokio::task::spawn_blocking(move || end_biggest(looking.proc(), &looking.pauses(), most)).await;
        match ended {
            Ok(Ok(ended)) => ended.into_iter().for_each(|message| inner.say(Event::Warning { message })),
            Ok(Err(error)) => tracing::warn!(%error, "the memory of the node side can't be watched"),
            Err(_) => return,
        }
    }
}

/// Looks once; a line for each command that was ended.
fn end_biggest(proc: &Proc, pauses: &HashSet<i32>, most: u64) -> Result<Vec<String>> {
    let processes = proc.processes(pauses)?;
    // What is resident counts files too, but is cheap to read: mostly it tells that all is well.
    if processes.iter().filter_map(|(_, folder)| resident(folder)).sum::<u64>() <= most {
        return Ok(Vec::new());
    }
    let (mut all, mut commands) = (0, Vec::new());
    for (pid, folder) in processes {
        // What ended meanwhile uses nothing.
        let Some(bytes) = memory(&folder) else { continue };
        all += bytes;
        commands.push(User { pid, folder, bytes });
    }
    let mut ended = Vec::new();
    if all <= most {
        return Ok(ended);
    }
    commands.retain(|user| nice(&user.folder).is_some_and(|nice| nice >= COMMAND_NICE));
    commands.sort_by_key(|user| std::cmp::Reverse(user.bytes));
    for user in commands {
        if all <= most {
            break;
        }
        let name = read(&user.folder, "comm").unwrap_or_default();
        send(&user.folder, Signal::KILL)?;
        all = all.saturating_sub(user.bytes);
        ended.push(format!(
            "process {} ({}) was ended: it used {} MiB, and all processes together more than the {} MiB that the sandbox may",
            user.pid,
            name.trim_end(),
            user.bytes >> 20,
            most >> 20
        ));
    }
    Ok(ended)
}

/// Memory of a process with what it shares, by field 2 of `statm`, proc_pid_statm(5).
fn resident(process: &OwnedFd) -> Option<u64> {
    let pages: u64 = read(process, "statm")?.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Memory that is this process's, and no file's.
fn memory(process: &OwnedFd) -> Option<u64> {
    let status = read(process, "status")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    Some((field("RssAnon:")? + field("RssShmem:")?) << 10)
}

/// Field 19 of proc_pid_stat(5). The name before it may contain anything, but for the last `)`.
fn nice(process: &OwnedFd) -> Option<i32> {
    let stat = read(process, "stat")?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(16)?.parse().ok()
}

fn read(process: &OwnedFd, name: &str) -> Option<String> {
    let file = openat(process, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut bytes = Vec::new();
    std::fs::File::from(file).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
