//! A sandbox's folder on the host: `lock`, `control.sock` and `log`. The only trace that a killed
//! sandbox leaves; the next start with the same name removes it.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::error::Result;

/// The folder of one sandbox.
#[derive(Debug)]
pub struct StateFolder {
    path: PathBuf,
}

impl StateFolder {
    /// Where the user's sandboxes have their folders: `$XDG_RUNTIME_DIR/knetsim`; `/run/knetsim` for
    /// root; else `~/.local/state/knetsim`, else `/tmp/knetsim-UID`.
    ///
    /// # Errors
    /// The folder can't be made, or belongs to somebody else.
    pub fn base() -> Result<PathBuf> {
        todo!()
    }

    /// The names of the sandboxes that are running, sorted.
    ///
    /// # Errors
    /// The folder can't be read.
    pub fn running(_base: &Path) -> Result<Vec<String>> {
        todo!()
    }

    /// The folder of the running sandbox of that name.
    ///
    /// # Errors
    /// There is none, or it is not running.
    pub fn open(_base: &Path, _name: &str) -> Result<StateFolder> {
        todo!()
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Connects to the control socket.
    ///
    /// # Errors
    /// Nobody listens any more.
    pub fn connect(&self) -> Result<UnixStream> {
        todo!()
    }

    /// Waits until the sandbox has ended, then removes the folder. Blocks.
    ///
    /// # Errors
    /// The folder can't be removed.
    pub fn wait_and_remove(self) -> Result<()> {
        todo!()
    }
}
