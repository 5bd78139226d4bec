//! A node's namespaces, and the process that holds them where `ps`, `lsns` and `nsenter` can find them.
//!
//! Invariant: a pause process keeps no descriptor but of its own namespaces, and none of the launcher's
//! arguments and environment: who may trace it learns nothing from it.
//!
//! As commands: `unshare --net --mount --uts`, `mount --bind`, `ip netns attach`, `ip netns delete`.

use std::ffi::CString;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use knetsim_kernel::mounts::{Tree, bind, detach as unmount, make_shared};
use knetsim_kernel::namespaces::{Spaces, enter, enter_new, loopback_up};
use knetsim_kernel::title::Title;
use nix::sys::signal::SigSet;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};

use super::Place;
use crate::error::{Result, SandboxError, Told, step};
use crate::process::close_all_but;
use crate::root::{DATA, NODES, show_own_devices};

/// Where named network namespaces lie, for `ip netns`.
const NAMED: &str = "/run/netns";

/// In a new process: makes a node's namespaces, says how that went, and holds them.
pub(super) fn make_node(name: &str, etcd: bool, title: Title, mut told: File) -> i32 {
    let made =
        make_spaces(name, etcd).and_then(|()| close_all_but(&[told.as_raw_fd()])).and_then(|()| settle(name, title));
    let failed = made.is_err();
    let words = serde_json::to_vec(&made.map_err(Told::from)).unwrap_or_default();
    if told.write_all(&words).is_err() || failed {
        return 1;
    }
    drop(told);
    hold()
}

/// In a new process: holds namespaces that are there already.
pub(super) fn keep_node(name: &str, place: &Place, title: Title) -> i32 {
    let enter_all = || -> Result<()> {
        // While /proc is still the node side's own.
        close_all_but(&[place.net.as_raw_fd(), place.uts.as_raw_fd(), place.mnt.as_raw_fd()])?;
        enter(&place.net, Spaces::CLONE_NEWNET)?;
        enter(&place.uts, Spaces::CLONE_NEWUTS)?;
        Ok(enter(&place.mnt, Spaces::CLONE_NEWNS)?)
    };
    match enter_all().and_then(|()| settle(name, title)) {
        Ok(()) => hold(),
        Err(_) => 1,
    }
}

fn make_spaces(name: &str, etcd: bool) -> Result<()> {
    enter_new(Spaces::CLONE_NEWNET | Spaces::CLONE_NEWNS | Spaces::CLONE_NEWUTS)?;
    nix::unistd::sethostname(name).map_err(step(|| format!("naming node {name}")))?;
    loopback_up()?;
    let folder = Path::new(NODES).join(name);
    if etcd {
        bind(&Path::new(DATA).join(name), &folder.join("var/lib/etcd"))?;
    }
    for part in ["run", "var", "etc/cni", "etc/skupper-router", "etc/hostname", "etc/hosts"] {
        bind(&folder.join(part), &Path::new("/").join(part))?;
    }
    show_own_devices()?;
    // As `ip netns add` would do it: later, it would cover the names that are there with a copy of them.
    let named = Path::new(NAMED);
    bind(named, named)?;
    Ok(make_shared(named)?)
}

/// Takes a name, and lets itself be found.
fn settle(name: &str, title: Title) -> Result<()> {
    let short = CString::new(name).map_err(|_| SandboxError::Invalid("a zero byte in a node's name".into()))?;
    title.replace(&format!("knetsim: {name}"), &short)?;
    // Only SIGKILL ends it.
    SigSet::all().thread_block().map_err(step(|| "blocking signals"))?;
    // `nsenter -t` needs that.
    set_dumpable_behavior(DumpableBehavior::Dumpable).map_err(step(|| "becoming dumpable"))
}

fn hold() -> i32 {
    loop {
        nix::unistd::pause();
    }
}

/// In a node's mount namespace: shows a network namespace as `/run/netns/NAME`.
pub(super) fn attach(name: &str, netns: &OwnedFd) -> Result<()> {
    let path = named(name)?;
    let naming = || format!("naming a network namespace {}", path.display());
    match rustix::fs::mkdir(NAMED, Mode::from(0o755)) {
        Err(rustix::io::Errno::EXIST) => {}
        made => made.map_err(step(naming))?,
    }
    let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::open(&path, flags, Mode::from(0o444)).map_err(step(naming))?;
    let attached = Tree::copy_of(netns).and_then(|tree| tree.attach(CWD, &path));
    if attached.is_err() {
        let _ = std::fs::remove_file(&path);
    }
    Ok(attached?)
}

/// In a node's mount namespace: takes the name of a network namespace away.
pub(super) fn detach(name: &str) -> Result<()> {
    let path = named(name)?;
    match unmount(&path) {
        // Not there, or nothing is mounted on it.
        Err(error) if error.is_not_found() || error.errno() == Some(nix::libc::EINVAL) => {}
        done => done?,
    }
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        done => done.map_err(step(|| format!("removing {}", path.display()))),
    }
}

fn named(name: &str) -> Result<PathBuf> {
    let ok = (1..=255).contains(&name.len()) && !name.contains(['/', '\0']) && name != "." && name != "..";
    let wrong = || SandboxError::Invalid(format!("`{}` can't name a namespace", name.escape_debug()));
    ok.then(|| Path::new(NAMED).join(name)).ok_or_else(wrong)
}
