//! A sandbox that this command launches itself, and ends however the command ends.

use std::env::VarError;

use anyhow::Context;
use knetsim_model::Failure;
use knetsim_model::interconnect::Interconnect;
use knetsim_sandbox::{Launched, Options, StateFolder};
use tokio::runtime::Runtime;

use crate::control::client::Client;
use crate::interrupts::Interrupts;
use crate::{commands::down, console, output, sandboxes, supervisor};

/// A person or a program ended this command by that signal.
#[derive(Debug, thiserror::Error)]
#[error("ended by signal {0}")]
pub(crate) struct Interrupted(pub(crate) u8);

/// What says which program the routers of sites are, where nothing nearer says it.
const INTERCONNECT: &str = "KNETSIM_INTERCONNECT";

fn interconnect() -> anyhow::Result<Interconnect> {
    match std::env::var(INTERCONNECT) {
        Err(VarError::NotPresent) => Ok(Interconnect::default()),
        said => {
            let wrong = |why: &dyn std::fmt::Display| Failure::invalid(format!("{INTERCONNECT}: {why}"));
            Ok(said.map_err(|error| wrong(&error))?.parse().map_err(|error| wrong(&error))?)
        }
    }
}

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
        let interconnect = interconnect()?;
        let supervise = |seat| supervisor::supervise(seat, options.detached, interconnect);
        let launched = knetsim_sandbox::launch(options, supervise)?;
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
