//! Brings a sandbox up: state folder, first level, node side, supervisor. All by fork, without exec.

use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::error::Result;
use crate::options::Options;
use crate::sandbox::Sandbox;

/// A sandbox that is up, as its launcher sees it.
#[derive(Debug)]
pub struct Launched {
    warnings: Vec<String>,
}

impl Launched {
    /// What a person should know, such as that only one id is mapped inside.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The state folder.
    pub fn folder(&self) -> &Path {
        todo!()
    }

    /// Waits for the end of the sandbox, then removes its state folder. Returns the number that
    /// `supervise` returned; 128 + signal where a signal ended it. Blocks.
    ///
    /// # Errors
    /// The folder can't be removed.
    pub fn wait(self) -> Result<i32> {
        todo!()
    }
}

/// The supervisor's place: what it finds when it begins.
#[derive(Debug)]
pub struct Seat {
    _private: (),
}

impl Seat {
    /// The sandbox's name.
    pub fn name(&self) -> &str {
        todo!()
    }

    /// The way to the node side, and the listener of the control socket. Within a tokio runtime.
    ///
    /// # Errors
    /// The node side has ended already.
    pub fn open(self) -> Result<(Sandbox, UnixListener)> {
        todo!()
    }
}

/// Launches a sandbox. `supervise` runs in it, in a process of its own; when it returns, or that process
/// ends in any other way, everything in the sandbox ends.
///
/// To be called while the process has one thread. What happens to the launcher later is watched, unless
/// `options.detached`: when it ends, so does the sandbox.
///
/// # Errors
/// The step that failed, with what to do where a confinement forbids it. Nothing is left then.
pub fn launch(_options: &Options, _supervise: impl FnOnce(Seat) -> i32) -> Result<Launched> {
    todo!()
}
