//! Sysctls of network namespaces: `sysctl -w KEY=VALUE`.
//!
//! `/proc/sys/net` shows the values of the thread that looks. The kernel keeps what was looked up, one
//! entry for each namespace under one name, and walks along all of them: in the `/proc` that everybody
//! shares a write costs 10 µs among 10 namespaces and 250 among 1000. So writes go through an instance
//! of proc of this process's own, which is renewed before it remembers too much.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use crate::error::KernelError;
use crate::mounts::{Attributes, INERT, Tree};

/// How many calls share an instance. Making one takes a millisecond or two.
const SHARED: u32 = 128;

/// Where values are written.
enum Proc {
    /// An instance of our own, and how many calls may still use it.
    Own(Arc<Tree>, u32),
    /// The common `/proc`: this process may not make one.
    Common,
}

static PROC: Mutex<Option<Proc>> = Mutex::new(None);

/// Writes sysctls of the calling thread's network namespace, in order: key as a path below `/proc/sys`
/// (`net/ipv4/ip_forward`; interface names hold dots), and value.
pub fn write(values: &[(&str, &str)]) -> Result<(), KernelError> {
    let own = own_instance();
    values.iter().try_for_each(|(key, value)| {
        let written = match &own {
            Some(tree) => {
                let path = Path::new("sys").join(key);
                let file = openat(tree.root(), &path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty());
                file.map_err(io::Error::from).and_then(|file| File::from(file).write_all(value.as_bytes()))
            }
            None => fs::write(Path::new("/proc/sys").join(key), value),
        };
        written.map_err(KernelError::doing(format!("set sysctl {key}={value}")))
    })
}

fn own_instance() -> Option<Arc<Tree>> {
    let mut proc = PROC.lock().unwrap_or_else(PoisonError::into_inner);
    match proc.as_mut() {
        Some(Proc::Common) => return None,
        Some(Proc::Own(tree, left)) if *left > 0 => {
            *left -= 1;
            return Some(tree.clone());
        }
        _ => {}
    }
    let made = Tree::new("proc", &[], INERT.union(Attributes::MOUNT_ATTR_NOEXEC)).map(Arc::new).ok();
    *proc = Some(made.as_ref().map_or(Proc::Common, |tree| Proc::Own(tree.clone(), SHARED - 1)));
    made
}
