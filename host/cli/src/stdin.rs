//! Standard input, awaited without a thread: a thread that reads can't be called off, and would take keys away from
//! whoever gets the terminal next.

use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Standard input, as one part of this program waits for it.
pub(crate) struct Input {
    /// None for a file, which can always be read and can't be watched.
    watched: Option<AsyncFd<OwnedFd>>,
}

impl Input {
    /// Watches it. Within a tokio runtime.
    #[expect(unsafe_code)]
    pub(crate) fn watch() -> std::io::Result<Input> {
        let own = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3)?;
        // SAFETY: the descriptor is this value's own, is neither replaced nor lent, and is closed with it.
        match unsafe { AsyncFd::register_with_interest(own, Interest::READABLE) } {
            Ok(watched) => Ok(Input { watched: Some(watched) }),
            Err(error) => match error.into_parts() {
                (_, cause) if cause.kind() == std::io::ErrorKind::PermissionDenied => Ok(Input { watched: None }),
                (_, cause) => Err(cause),
            },
        }
    }

    /// What there is, once there is something; nothing at its end. Nothing is lost where the future is dropped.
    pub(crate) async fn read(&self) -> std::io::Result<Vec<u8>> {
        if let Some(watched) = &self.watched {
            // Only the kernel knows whether there is something yet: others may have read what the runtime was told of.
            while !ready()? {
                watched.readable().await?.clear_ready();
            }
        }
        read()
    }

    /// What there is already. None where there is nothing yet.
    pub(crate) fn read_now(&self) -> std::io::Result<Option<Vec<u8>>> {
        if ready()? { read().map(Some) } else { Ok(None) }
    }
}

fn read() -> std::io::Result<Vec<u8>> {
    let mut chunk = vec![0; 4096];
    let read = rustix::io::read(std::io::stdin(), &mut chunk)?;
    chunk.truncate(read);
    Ok(chunk)
}

fn ready() -> std::io::Result<bool> {
    let stdin = std::io::stdin();
    let mut polled = [PollFd::new(&stdin, PollFlags::IN)];
    Ok(poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? > 0)
}
