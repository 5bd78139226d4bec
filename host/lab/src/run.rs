//! One run of a lab: a fresh instance, its rights and limits, a deadline, and its end.

use std::sync::Arc;
use std::time::Duration;

use knetsim_emulator::Emulator;
use knetsim_model::protocol::RunLab;
use knetsim_model::{Code, Failure};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::Sender;
use wasmtime::{Store, UpdateDeadline};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::cli::{AsyncStdinStream, AsyncStdoutStream, StdoutStream};
use wasmtime_wasi::p2::bindings::CommandPre;

use crate::engine::{Lab, Turns};
use crate::grants::Rights;
use crate::host::State;
use crate::limits::{Limit, Limits};
use crate::output::{Budget, Output};

/// How much a lab may write ahead of a slow reader, in bytes.
const AHEAD: usize = 64 << 10;

/// A lab's standard streams.
pub struct Streams {
    /// Its input.
    pub stdin: Box<dyn AsyncRead + Send + Sync + Unpin>,
    /// Its output.
    pub stdout: Box<dyn AsyncWrite + Send + Sync + Unpin>,
    /// Its messages.
    pub stderr: Box<dyn AsyncWrite + Send + Sync + Unpin>,
    /// What the person should know who runs it: which of its commands were ended for want of memory. Nobody waits for
    /// room in it: what does not fit is left out.
    pub warnings: Sender<String>,
}

impl Lab {
    /// Runs a script to its end and returns its exit status. What it makes belongs to `lab:<name>`.
    /// Dropping the future ends it; operations that it had begun are brought to their end.
    ///
    /// # Errors
    /// An unknown grant or limit; the lab has no `main`; it trapped; a limit on its time, memory or output
    /// was reached. What it was refused is no error of the run: the lab is told.
    pub async fn run(&self, emulator: &Emulator, order: &RunLab, streams: Streams) -> Result<i32, Failure> {
        let rights = Rights::new(&self.manifest.name, &order.grants)?;
        let limits = Limits::new(&self.manifest.limits, &order.limits)?;
        let script = CommandPre::new(self.ready.clone()).map_err(|error| {
            Failure::invalid(format!("`{}` is no script, it exports no wasi:cli/run: {error:#}", self.manifest.name))
        })?;

        let budget = Budget::new(limits.get(Limit::OutputKib) << 10);
        let stdout = AsyncStdoutStream::new(AHEAD, Output::new(streams.stdout, budget.clone()));
        let stderr = AsyncStdoutStream::new(AHEAD, Output::new(streams.stderr, budget.clone()));
        let ends = [stdout.p2_stream(), stderr.p2_stream()];
        let args = std::iter::once(&self.manifest.name).chain(&order.args);
        let wasi = crate::host::wasi(args, AsyncStdinStream::new(streams.stdin), stdout, stderr);
        let limits = Arc::new(limits);
        let mut store =
            self.store(State::new(Some(emulator.clone()), rights, limits.clone(), wasi).warning(streams.warnings));

        let _turns = Turns::start(&self.engine).map_err(|error| Failure::failed("start the lab's clock", &error))?;
        let call = async {
            let script = script.instantiate_async(&mut store).await?;
            script.wasi_cli_run().call_run(&mut store).await
        };
        let time = if limits.get(Limit::CallSeconds) < limits.get(Limit::TotalSeconds) {
            Limit::CallSeconds
        } else {
            Limit::TotalSeconds
        };
        let ended = tokio::select! {
            biased;
            () = budget.exceeded() => Err(limits.reached(Limit::OutputKib)),
            ended = tokio::time::timeout(Duration::from_secs(limits.get(time)), call) => match ended {
                Ok(ended) => status(ended),
                Err(_) => Err(limits.reached(time)),
            }
        };
        drop(store);
        for mut end in ends {
            // Nobody may be reading any more.
            if end.flush().is_ok() {
                let _ = end.write_ready().await;
            }
        }
        ended.map_err(|failure| Failure::new(failure.code, format!("`{}`: {}", self.manifest.name, failure.message)))
    }

    pub(crate) fn store(&self, state: State) -> Store<State> {
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(crate::host::MAX_ARGUMENTS);
        store.set_epoch_deadline(1);
        // Tokio's own yield lets timers and sockets have their turn too, not only other tasks.
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))));
        store
    }
}

/// How a program ended: its status, or why it was ended.
fn status(done: wasmtime::Result<Result<(), ()>>) -> Result<i32, Failure> {
    let error = match done {
        Ok(Ok(())) => return Ok(0),
        Ok(Err(())) => return Ok(1),
        Err(error) => error,
    };
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return Ok(exit.0);
    }
    Err(ended(error))
}

/// Why a call was ended that did not return.
pub(crate) fn ended(error: wasmtime::Error) -> Failure {
    match error.downcast::<Failure>() {
        Ok(failure) => failure,
        Err(error) => {
            tracing::debug!("{error:?}");
            Failure::new(Code::Failed, format!("it was ended: {}", error.root_cause()))
        }
    }
}
