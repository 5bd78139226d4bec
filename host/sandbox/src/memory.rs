//! Watches the memory of the node side as a whole: RLIMIT_AS bounds each process alone, and a cgroup of our own
//! would be a change of the host's that outlives us where we are killed.
//!
//! Invariant: daemons are never ended, only commands. A command is known by its priority, which it can't raise.

use std::fmt;
use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use knetsim_model::untrusted;
use rustix::fs::{Mode, OFlags, openat};
use rustix::process::Signal;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::error::Result;
use crate::node_side::COMMAND_NICE;
use crate::sandbox::Inner;
use crate::sweep::send;

/// Between two looks: short enough that a hog finds little time, long enough to cost nothing.
const EVERY: Duration = Duration::from_millis(250);
/// Counting what is shared takes time: so many times that long passes before it is done again.
const REST: u32 = 10;
/// A look can be made slow from within, and no hog may have the time of ten of those.
const LONGEST_REST: Duration = Duration::from_secs(2);
/// How far up among its parents the command is looked for that a process belongs to.
const PARENTS: usize = 64;

/// A command of which a process was ended, because all together used more memory than the sandbox may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverMemory {
    /// What the command is called ([`crate::Spawn::label`]); none where the process belongs to none that still runs.
    pub command: Option<String>,
    /// The process, as `ps` on the node side shows it.
    pub pid: i32,
    /// Its name there.
    pub name: String,
    /// What it used, in bytes; what it shared with others in equal parts.
    pub used: u64,
    /// What all processes together may use, in bytes.
    pub most: u64,
}

impl fmt::Display for OverMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(command) = &self.command {
            write!(f, "{command}: ")?;
        }
        let (used, most) = (self.used >> 20, self.most >> 20);
        write!(
            f,
            "process {} ({}) was ended: it used {used} MiB, and all processes together more than the {most} MiB that \
             the sandbox may",
            self.pid,
            untrusted::escaped(&self.name)
        )
    }
}

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
    // Why the last look failed: it is reported once.
    let mut failing = None;
    while !inner.has_ended() {
        ticks.tick().await;
        let looking = Arc::clone(&inner);
        let look = move || {
            let began = Instant::now();
            end_biggest(&looking, most).map(|()| began.elapsed())
        };
        let outcome = match tokio::task::spawn_blocking(look).await {
            Ok(looked) => looked.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match outcome {
            Ok(took) => {
                failing = None;
                sleep((took * REST).min(LONGEST_REST).saturating_sub(EVERY)).await;
            }
            Err(error) if failing.as_ref() != Some(&error) => {
                tracing::warn!(%error, "the memory of the node side can't be watched");
                failing = Some(error);
            }
            Err(_) => {}
        }
    }
}

/// Looks once. What is cheaper to read and never less than what counts comes first: mostly it tells that all is well.
fn end_biggest(inner: &Inner, most: u64) -> Result<()> {
    let processes = inner.proc().processes(&inner.pauses())?;
    let sum = |memory: fn(&OwnedFd) -> Option<u64>| -> u64 {
        processes.iter().filter_map(|(_, folder)| memory(folder)).sum()
    };
    if sum(resident) <= most || sum(own) <= most {
        return Ok(());
    }
    // What ended meanwhile uses nothing.
    let using = |(pid, folder): (i32, OwnedFd)| Some(User { pid, bytes: proportional(&folder)?, folder });
    let mut users: Vec<_> = processes.into_iter().filter_map(using).collect();
    let mut all: u64 = users.iter().map(|user| user.bytes).sum();
    if all > most {
        users.retain(|user| Stat::of(&user.folder, "stat").is_some_and(|stat| stat.nice >= COMMAND_NICE));
        users.sort_by_key(|user| std::cmp::Reverse(user.bytes));
    }
    for User { pid, folder, bytes: used } in users {
        if all <= most {
            break;
        }
        let name = read(&folder, "comm").unwrap_or_default().trim_end().to_owned();
        let child = child_of(inner, &folder);
        let command = child.and_then(|child| inner.label(child));
        // Before it ends: who waits for its end shall know why.
        inner.over_memory(child, OverMemory { command, pid, name, used, most });
        send(&folder, Signal::KILL)?;
        all = all.saturating_sub(used);
    }
    Ok(())
}

/// The command that a process belongs to: the one whose session it is in, or an ancestor of which is.
fn child_of(inner: &Inner, folder: &OwnedFd) -> Option<u64> {
    let mut stat = Stat::of(folder, "stat");
    for _ in 0..PARENTS {
        let Stat { parent, session, .. } = stat?;
        if let Some(child) = inner.child_at(session) {
            return Some(child);
        }
        stat = Stat::of(inner.proc(), &format!("{parent}/stat"));
    }
    None
}

/// What proc_pid_stat(5) says of a process.
struct Stat {
    parent: i32,
    session: i32,
    nice: i32,
}

impl Stat {
    fn of(folder: impl AsFd, path: &str) -> Option<Stat> {
        let text = read(folder, path)?;
        // The name before it may contain anything, but for the last `)`. Field 3 follows.
        let fields: Vec<_> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse().ok();
        Some(Stat { parent: field(4)?, session: field(6)?, nice: field(19)? })
    }
}

/// Memory of a process with what it shares, by field 2 of `statm`, proc_pid_statm(5).
fn resident(process: &OwnedFd) -> Option<u64> {
    let pages: u64 = read(process, "statm")?.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// Memory that is no file's, with what it shares with other processes, by proc_pid_status(5).
fn own(process: &OwnedFd) -> Option<u64> {
    kibibytes(process, "status", ["RssAnon:", "RssShmem:"])
}

/// Memory that is no file's, where what several processes share counts in equal parts, by proc_pid_smaps(5).
fn proportional(process: &OwnedFd) -> Option<u64> {
    kibibytes(process, "smaps_rollup", ["Pss_Anon:", "Pss_Shmem:"]).or_else(|| own(process))
}

/// The sum of two fields, in bytes.
fn kibibytes(process: &OwnedFd, file: &str, fields: [&str; 2]) -> Option<u64> {
    let text = read(process, file)?;
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    Some((field(fields[0])? + field(fields[1])?) << 10)
}

fn read(folder: impl AsFd, path: &str) -> Option<String> {
    let file = openat(folder, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut bytes = Vec::new();
    std::fs::File::from(file).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
