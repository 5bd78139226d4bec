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
use knetsim_model::protocol::{LoadChapter, Reply, RunLab};
use knetsim_model::{Event, Failure};
use tokio::net::unix::pipe;
use tokio::sync::{OnceCell, mpsc};

use crate::control::server::Answers;
use crate::lab_file;

/// How many warnings wait for their client; what comes beyond is in the sandbox's own log all the same.
const WARNINGS: usize = 64;
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
        let (bytes, kept) = files(&mut descriptors, order.cached).await?;
        let (warnings, mut warned) = mpsc::channel(WARNINGS);
        let streams = streams(descriptors, warnings)?;
        let lab = self.prepare(bytes, kept, answers).await?;
        let mut run = std::pin::pin!(lab.run(emulator, &order, streams));
        let warn = async |message| answers.send(Reply::Event(Event::Warning { message }), vec![]).await;
        let ended = loop {
            tokio::select! {
                status = &mut run => break status.map(|status| Reply::Exited { status }),
                Some(message) = warned.recv() => warn(message).await,
                Some(signal) = signals.recv() => break Ok(Reply::Exited { status: 128 + signal }),
                () = answers.gone() => break Ok(Reply::Done),
            }
        };
        while let Ok(message) = warned.try_recv() {
            warn(message).await;
        }
        ended
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
        let (bytes, kept) = files(&mut descriptors, order.cached).await?;
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

/// A lab's bytes and what was kept of an earlier compilation, read where it delays nobody.
async fn files(
    descriptors: &mut impl Iterator<Item = OwnedFd>,
    cached: bool,
) -> Result<(Vec<u8>, Option<Vec<u8>>), Failure> {
    let (lab, kept) = (descriptors.next(), cached.then(|| descriptors.next()));
    let read = move || -> Result<_, Failure> {
        let kept = kept.map(|kept| read(kept, MAX_COMPILED)).transpose()?;
        Ok((read(lab, package::MAX_LAB as u64)?, kept))
    };
    tokio::task::spawn_blocking(read).await.map_err(|error| Failure::failed("read the lab", &error))?
}

/// The whole of a file of at most `most` bytes. It is one in memory (memfd_create(2)): any other might be of a file system
/// that never answers.
fn read(file: Option<OwnedFd>, most: u64) -> Result<Vec<u8>, Failure> {
    let file = File::from(file.ok_or_else(|| Failure::invalid("a lab's descriptor is missing"))?);
    let failed = |error: std::io::Error| Failure::failed("read the lab", &error);
    let found = file.metadata().map_err(failed)?;
    if !found.is_file() || rustix::fs::fcntl_get_seals(&file).is_err() {
        return Err(Failure::invalid("a lab's descriptor is not that of a file in memory"));
    }
    let mut bytes = Vec::new();
    if found.len() <= most {
        file.take(most + 1).read_to_end(&mut bytes).map_err(failed)?;
    }
    match found.len().max(bytes.len() as u64) > most {
        true => Err(Failure::invalid(format!("a lab's file has over {most} bytes"))),
        false => Ok(bytes),
    }
}

fn streams(mut descriptors: impl Iterator<Item = OwnedFd>, warnings: mpsc::Sender<String>) -> Result<Streams, Failure> {
    let mut next = || descriptors.next().ok_or_else(|| Failure::invalid("a lab's stream is missing"));
    let failed = |error: std::io::Error| Failure::failed("a lab's streams", &error);
    Ok(Streams {
        stdin: Box::new(pipe::Receiver::from_owned_fd(next()?).map_err(failed)?),
        stdout: Box::new(pipe::Sender::from_owned_fd(next()?).map_err(failed)?),
        stderr: Box::new(pipe::Sender::from_owned_fd(next()?).map_err(failed)?),
        warnings,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn only_a_file_is_read_as_a_lab() {
        let folder = tempfile::tempdir().unwrap();
        let (pipe, _writer) = std::io::pipe().unwrap();
        let (socket, _other) = UnixStream::pair().unwrap();
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let fifo = File::options().read(true).write(true).open(fifo).unwrap();
        let write_only = File::create(folder.path().join("file")).unwrap();
        let open = |path: &str| OwnedFd::from(File::open(path).unwrap());
        // A regular file, which blocks.
        let proc = open("/proc/self/environ");
        let others = [pipe.into(), socket.into(), fifo.into(), open("/"), open("/dev/zero"), write_only.into(), proc];
        for other in others {
            let mut other = [other].into_iter();
            let refused = tokio::time::timeout(std::time::Duration::from_secs(5), files(&mut other, false));
            refused.await.unwrap().unwrap_err();
        }
        let lab = || OwnedFd::from(lab_file::in_memory(b"lab").unwrap());
        let read = files(&mut [lab(), lab()].into_iter(), true).await.unwrap();
        assert_eq!(read, (b"lab".to_vec(), Some(b"lab".to_vec())));
        let long = lab_file::in_memory(b"x").unwrap();
        long.set_len(package::MAX_LAB as u64 + 1).unwrap();
        let error = files(&mut [long.into()].into_iter(), false).await.unwrap_err();
        assert!(error.message.contains("over"), "{error}");
    }
}
