//! Labs as the supervisor runs them: bytes from the client, compiled or loaded, run over its pipes.
//!
//! Invariant: code that is not compiled here is code that the client kept from an earlier compilation;
//! the client is the sandbox's own user, and labs can't write where it keeps it.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use knetsim_emulator::Emulator;
use knetsim_lab::{Chapter, Host, Lab, LabError, Streams, package};
use knetsim_model::Failure;
use knetsim_model::protocol::{LoadChapter, Reply, RunLab};
use tokio::net::unix::pipe;
use tokio::sync::{OnceCell, mpsc};

use crate::control::server::Answers;
use crate::lab_file;

/// The most bytes of compiled code that are loaded.
const MAX_COMPILED: u64 = 1 << 30;

/// The engine, made when the first lab comes, and the chapter that is taught here.
#[derive(Default)]
pub(crate) struct Labs {
    host: OnceCell<Host>,
    chapter: Mutex<Option<Arc<Chapter>>>,
}

impl Labs {
    /// Runs a lab to its end, or until its client goes or passes on a signal.
    pub(crate) async fn run(
        &self,
        emulator: &Emulator,
        order: RunLab,
        descriptors: Vec<OwnedFd>,
        answers: &Answers,
        mut signals: mpsc::Receiver<i32>,
    ) -> Result<Reply, Failure> {
        let mut descriptors = descriptors.into_iter();
        let bytes = read(descriptors.next(), package::MAX_LAB as u64)?;
        let kept = if order.cached { Some(read(descriptors.next(), MAX_COMPILED)?) } else { None };
        let streams = streams(descriptors)?;
        let lab = self.prepare(bytes, kept, answers).await?;
        tokio::select! {
            status = lab.run(emulator, &order, streams) => Ok(Reply::Exited { status: status? }),
            Some(signal) = signals.recv() => Ok(Reply::Exited { status: 128 + signal }),
            () = answers.gone() => Ok(Reply::Done),
        }
    }

    /// Loads a chapter in place of the one that is taught here.
    pub(crate) async fn load_chapter(
        &self,
        emulator: &Emulator,
        order: LoadChapter,
        descriptors: Vec<OwnedFd>,
        answers: &Answers,
    ) -> Result<Reply, Failure> {
        let mut descriptors = descriptors.into_iter();
        let bytes = read(descriptors.next(), package::MAX_LAB as u64)?;
        let kept = if order.cached { Some(read(descriptors.next(), MAX_COMPILED)?) } else { None };
        let lab = self.prepare(bytes, kept, answers).await?;
        let chapter = lab.chapter(emulator, order).await?;
        let (name, version) = (lab.manifest().name.clone(), lab.manifest().version.clone());
        let outline = chapter.outline().clone();
        *self.loaded() = Some(Arc::new(chapter));
        Ok(Reply::Chapter { name, version, outline })
    }

    /// The chapter that is taught here.
    pub(crate) fn chapter(&self) -> Result<Arc<Chapter>, Failure> {
        self.loaded().clone().ok_or_else(|| Failure::not_found("no chapter is taught in this sandbox"))
    }

    fn loaded(&self) -> MutexGuard<'_, Option<Arc<Chapter>>> {
        self.chapter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loads what was compiled before, else compiles and sends the client what to keep.
    async fn prepare(&self, bytes: Vec<u8>, kept: Option<Vec<u8>>, answers: &Answers) -> Result<Lab, Failure> {
        let host = self.host.get_or_try_init(async || Host::new()).await.map_err(Failure::from)?.clone();
        let compile = move || -> Result<_, LabError> {
            match kept.and_then(|kept| load(&host, &bytes, &kept)) {
                Some(lab) => Ok((lab, None)),
                None => {
                    let lab = host.compile(&bytes)?;
                    let compiled = lab.compiled()?;
                    Ok((lab, Some(compiled)))
                }
            }
        };
        let compiled = tokio::task::spawn_blocking(compile).await;
        let (lab, fresh) = compiled.map_err(|error| Failure::failed("compile the lab", &error))??;
        if let Some(code) = fresh {
            let code = lab_file::in_memory(&code).map_err(|error| Failure::failed("keep the compiled lab", &error))?;
            answers.send(Reply::Compiled, vec![code.into()]).await;
        }
        Ok(lab)
    }
}

/// None where the code is of another engine: then it is compiled anew.
fn load(host: &Host, bytes: &[u8], kept: &[u8]) -> Option<Lab> {
    // SAFETY: the client took `kept` from a folder of its own that nobody else can write to, where it had
    // put it, whole and unchanged, as what `Lab::compiled` gave for these bytes and this engine.
    #[expect(unsafe_code)]
    let loaded = unsafe { host.load(bytes, kept) };
    loaded.inspect_err(|error| tracing::warn!("{error}")).ok()
}

fn read(file: Option<OwnedFd>, most: u64) -> Result<Vec<u8>, Failure> {
    let file = file.ok_or_else(|| Failure::invalid("a lab's descriptor is missing"))?;
    let mut bytes = Vec::new();
    let read = File::from(file).take(most + 1).read_to_end(&mut bytes);
    let read = read.map_err(|error| Failure::failed("read the lab", &error))?;
    if read as u64 > most { Err(Failure::invalid(format!("a lab's file has over {most} bytes"))) } else { Ok(bytes) }
}

fn streams(mut descriptors: impl Iterator<Item = OwnedFd>) -> Result<Streams, Failure> {
    let mut next = || descriptors.next().ok_or_else(|| Failure::invalid("a lab's stream is missing"));
    let failed = |error: std::io::Error| Failure::failed("a lab's streams", &error);
    Ok(Streams {
        stdin: Box::new(pipe::Receiver::from_owned_fd(next()?).map_err(failed)?),
        stdout: Box::new(pipe::Sender::from_owned_fd(next()?).map_err(failed)?),
        stderr: Box::new(pipe::Sender::from_owned_fd(next()?).map_err(failed)?),
    })
}
