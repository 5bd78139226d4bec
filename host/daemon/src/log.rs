//! The log of processes: each writes to a pipe of its own, and what comes out is added to a file that is rotated.
//!
//! With a file of their own they could fill the disk faster than anybody looks. A process that writes faster than its
//! log is written waits, as in any pipeline.

use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cap_std::fs::Dir;
use knetsim_kernel::log_file::LogFile;
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::net::unix::pipe;
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::{Instant, sleep_until};

/// How much is taken from a pipe at once, in bytes: as much as it holds.
const CHUNK: usize = 64 << 10;
/// How many bytes a second a log takes at most, from all its pipes: what floods it doesn't keep a processor busy.
const PACE: u64 = 100 << 20;
/// How much of the time that this makes a log wait is let pass: short sleeps are never exact.
const AHEAD: Duration = Duration::from_millis(10);
/// How many pipes a log has at most. One is open as long as anybody has its other end, also when the process that got it
/// has passed it on and ended.
const MAX_WRITERS: usize = 128;

/// A log that several processes write to. Cheap to clone. When the last one is dropped, it goes on for as long as
/// a process has its pipe open.
///
/// What reads or writes the file blocks: only copying is done where it delays no task of the runtime.
#[derive(Clone, Debug)]
pub struct Log {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    path: String,
    state: Mutex<State>,
    /// When the last chunk would be done at [`PACE`]. The task that copies has it locked.
    busy: tokio::sync::Mutex<Instant>,
}

#[derive(Debug)]
struct State {
    /// None when it has been removed.
    file: Option<LogFile>,
    pipes: Vec<(Arc<pipe::Receiver>, AbortHandle)>,
    /// Whether it was told that lines are lost.
    told: bool,
}

impl Log {
    /// The log at that path of a node's folder.
    ///
    /// # Errors
    /// No more descriptors can be opened.
    pub fn new(folder: &Dir, path: String) -> io::Result<Log> {
        let file = Some(LogFile::new(folder.try_clone()?, path.clone()));
        let state = Mutex::new(State { file, pipes: Vec::new(), told: false });
        let busy = tokio::sync::Mutex::new(Instant::now());
        Ok(Log { shared: Arc::new(Shared { path, state, busy }) })
    }

    /// Where a process's output and errors shall go. Within a tokio runtime, on a thread that may block.
    ///
    /// # Errors
    /// The file can't be opened, or something else is in its place; [`ErrorKind::QuotaExceeded`] where it has
    /// 128 already.
    pub fn writer(&self) -> io::Result<OwnedFd> {
        let mut state = self.shared.state();
        if state.pipes.len() >= MAX_WRITERS {
            let message = format!("{MAX_WRITERS} commands write to it already; end some of them");
            return Err(io::Error::new(ErrorKind::QuotaExceeded, message));
        }
        state.file.as_mut().ok_or(ErrorKind::NotFound)?.open()?;
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        let pipe = Arc::new(pipe::Receiver::from_owned_fd(read)?);
        let copying = tokio::spawn(copy(Arc::clone(&self.shared), Arc::clone(&pipe)));
        state.pipes.push((pipe, copying.abort_handle()));
        Ok(write)
    }

    /// Takes what processes have written until now into the file: they may have ended since.
    pub fn settle(&self) {
        let mut state = self.shared.state();
        let mut chunk = [0; CHUNK];
        for pipe in state.pipes.iter().map(|(pipe, _)| Arc::clone(pipe)).collect::<Vec<_>>() {
            // As the kernel knows it: the runtime may not have been told yet, and more may come for ever.
            let mut left = rustix::io::ioctl_fionread(&pipe).unwrap_or(0);
            while left > 0
                && let Ok(length @ 1..) = rustix::io::read(&pipe, &mut chunk[..])
            {
                left = left.saturating_sub(length as u64);
                self.shared.add(&mut state, &chunk[..length]);
            }
        }
    }

    /// The last `longest` bytes that were written.
    pub fn end(&self, longest: u64) -> Vec<u8> {
        self.settle();
        let state = self.shared.state();
        state.file.as_ref().and_then(|file| file.end(longest).ok()).unwrap_or_default()
    }

    /// Deletes the log. What still writes to it is told by SIGPIPE.
    ///
    /// # Errors
    /// A file can't be deleted; nothing is written to it any more all the same.
    pub fn remove(&self) -> io::Result<()> {
        let mut state = self.shared.state();
        state.pipes.drain(..).for_each(|(_, copying)| copying.abort());
        state.file.take().map_or(Ok(()), |mut file| file.remove())
    }
}

/// Copies what comes out of a pipe until nobody can write to it any more: a chunk, then it is the next pipe's turn.
async fn copy(shared: Arc<Shared>, pipe: Arc<pipe::Receiver>) {
    loop {
        let ready = pipe.readable().await;
        let mut busy = shared.busy.lock().await;
        if *busy > Instant::now() + AHEAD {
            sleep_until(*busy).await;
        }
        let began = Instant::now();
        let (into, from) = (Arc::clone(&shared), Arc::clone(&pipe));
        // A disk may be slow. What can't be done here any more is not done: the runtime ends.
        let copied = spawn_blocking(move || into.copy_some(&from)).await.unwrap_or(None);
        match copied.filter(|_| ready.is_ok()) {
            Some(bytes) => *busy = began.max(*busy) + Duration::from_secs(bytes as u64) / PACE as u32,
            None => return shared.state().ended(&pipe),
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing between lock and unlock can panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies a chunk, and says how many bytes that was. None when nothing can come any more.
    fn copy_some(&self, pipe: &pipe::Receiver) -> Option<usize> {
        let mut state = self.state();
        let mut chunk = [0; CHUNK];
        match pipe.try_read(&mut chunk) {
            Ok(0) => None,
            Ok(length) => {
                self.add(&mut state, &chunk[..length]);
                Some(length)
            }
            Err(error) => (error.kind() == ErrorKind::WouldBlock).then_some(0),
        }
    }

    /// A full disk costs the lines, not the process.
    fn add(&self, state: &mut State, bytes: &[u8]) {
        let added = state.file.as_mut().map_or(Ok(()), |file| file.add(bytes));
        if let Err(error) = &added
            && !state.told
        {
            tracing::warn!("{}: lines are lost: {error}", self.path);
        }
        state.told = added.is_err();
    }
}

impl State {
    fn ended(&mut self, pipe: &Arc<pipe::Receiver>) {
        self.pipes.retain(|(other, _)| !Arc::ptr_eq(other, pipe));
        if let Some(file) = &mut self.file
            && self.pipes.is_empty()
        {
            file.close();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::mpsc;

    use tokio::runtime::Builder;

    use super::*;

    fn log() -> (tempfile::TempDir, Log) {
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(folder.path(), cap_std::ambient_authority()).unwrap();
        (folder, Log::new(&dir, "a.log".to_owned()).unwrap())
    }

    #[test]
    fn a_log_has_so_many_writers_at_most() {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let _inside = runtime.enter();
        let (_folder, log) = log();
        let mut writers: Vec<_> = (0..MAX_WRITERS).map(|_| log.writer().unwrap()).collect();
        let refused = log.writer().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::QuotaExceeded);
        assert!(refused.to_string().contains("128 commands write to it already"), "{refused}");
        writers.pop();
        let start = std::time::Instant::now();
        while log.writer().is_err() {
            assert!(start.elapsed() < Duration::from_secs(10), "one that has ended makes no room");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_disk_that_is_waited_for_delays_no_task() {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let (_folder, log) = log();
        let mut writer = File::from({
            let _inside = runtime.enter();
            log.writer().unwrap()
        });
        // As while somebody writes to a disk that takes its time.
        let slow = log.shared.state();
        writer.write_all(b"line\n").unwrap();
        let (tick, ticked) = mpsc::channel();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let running = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                tick.send(()).unwrap();
                let _ = ended.await;
            })
        });
        let ticked = ticked.recv_timeout(Duration::from_secs(10));
        drop(slow);
        assert!(ticked.is_ok(), "the runtime's only thread waits for the disk");
        while log.end(5) != b"line\n" {
            std::thread::yield_now();
        }
        end.send(()).unwrap();
        running.join().unwrap();
    }

    #[test]
    fn the_pace_is_that_of_all_pipes_together() {
        let runtime = Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
        let _inside = runtime.enter();
        let (_folder, log) = log();
        let (written, stop) = (&AtomicU64::new(0), &AtomicBool::new(false));
        let began = std::time::Instant::now();
        std::thread::scope(|threads| {
            for _ in 0..4 {
                let mut writer = File::from(log.writer().unwrap());
                threads.spawn(move || {
                    let piece = vec![b'x'; 16 << 10];
                    while !stop.load(Ordering::Relaxed) && writer.write_all(&piece).is_ok() {
                        written.fetch_add(piece.len() as u64, Ordering::Relaxed);
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(500));
            stop.store(true, Ordering::Relaxed);
        });
        let most = began.elapsed().as_secs_f64() * PACE as f64 * 1.25 + (8 * CHUNK) as f64;
        let written = written.load(Ordering::Relaxed);
        assert!((written as f64) < most, "{written} bytes, {most} at most");
    }
}
