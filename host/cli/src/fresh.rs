//! A sandbox that this command launches itself, and ends however the command ends.

use anyhow::Context;
use knetsim_sandbox::{Launched, Options, StateFolder};
use tokio::runtime::Runtime;

use crate::control::client::Client;
use crate::interrupts::Interrupts;
use crate::{commands::down, console, output, sandboxes, supervisor};

/// A person or a program ended this command by that signal.
#[derive(Debug, thiserror::Error)]
#[error("ended by signal {0}")]
pub(crate) struct Interrupted(pub(crate) u8);

/// A sandbox and what watches over its launch.
pub(crate) struct Fresh {
    launched: Launched,
    runtime: Runtime,
    interrupts: Interrupts,
}

impl Fresh {
    /// Launches it. To be called while this process has one thread.
    pub(crate) fn launch(options: &Options) -> anyhow::Result<Fresh> {
        let interrupts = Interrupts::catch().context("catching signals")?;
        let launched = knetsim_sandbox::launch(options, |seat| supervisor::supervise(seat, options.detached))?;
        launched.warnings().iter().for_each(|message| output::warning(message));
        Ok(Fresh { launched, runtime: sandboxes::runtime()?, interrupts })
    }

    /// Its state folder.
    pub(crate) fn folder(&self) -> &StateFolder {
        self.launched.folder()
    }

    /// Runs `talk` with a connection to it, up to the first signal.
    pub(crate) fn talk<T>(&self, talk: impl AsyncFnOnce(Client) -> anyhow::Result<T>) -> anyhow::Result<T> {
        self.until(self.interrupts.next(), talk)
    }

    /// Opens the console, where Ctrl-C is for what runs there.
    pub(crate) fn console(&self) -> anyhow::Result<u8> {
        self.until(self.interrupts.end(true), console::run)
    }

    fn until<T>(
        &self,
        end: impl Future<Output = std::io::Result<u8>>,
        talk: impl AsyncFnOnce(Client) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        self.runtime.block_on(async {
            let work = async { talk(sandboxes::connect(self.launched.folder()).await?).await };
            tokio::select! {
                done = work => done,
                number = end => Err(Interrupted(number?).into()),
            }
        })
    }

    /// Ends it, where it has not ended yet, and waits until nothing is left. After a signal it returns at once:
    /// the sandbox is tied to this process, and ends with it.
    pub(crate) fn end(self) -> anyhow::Result<()> {
        let folder = self.launched.folder();
        if folder.connect().is_ok() {
            self.runtime.block_on(async {
                tokio::select! {
                    asked = down::ask(folder) => asked,
                    number = self.interrupts.next() => Err(Interrupted(number?).into()),
                }
            })?;
        }
        self.launched.wait()?;
        Ok(())
    }
}
