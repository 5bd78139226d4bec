//! Ctrl-C and its like, caught from before the sandbox is launched until it is gone, so that no
//! moment is left where they end this program and leave the sandbox behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tokio::signal::unix::{SignalKind, signal};

/// From its making on, these signals no longer end the process: [`Interrupts::next`] tells of them.
pub(crate) struct Interrupts {
    /// The last one that came; 0 while none has.
    last: Arc<AtomicUsize>,
}

impl Interrupts {
    /// Starts to catch SIGINT, SIGTERM and SIGHUP. Makes no thread.
    pub(crate) fn catch() -> std::io::Result<Interrupts> {
        let last = Arc::new(AtomicUsize::new(0));
        for number in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register_usize(number, last.clone(), number as usize)?;
        }
        Ok(Interrupts { last })
    }

    /// The signal that ends a console: any, but where a person sits at it, Ctrl-C is for what runs there.
    pub(crate) async fn end(&self, interactive: bool) -> std::io::Result<u8> {
        loop {
            let number = self.next().await?;
            if !interactive || i32::from(number) != SIGINT {
                return Ok(number);
            }
        }
    }

    /// Returns the number of the next signal, at once where one has come already.
    pub(crate) async fn next(&self) -> std::io::Result<u8> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        loop {
            match self.last.swap(0, Ordering::SeqCst) {
                0 => {}
                number => return Ok(u8::try_from(number).unwrap_or_default()),
            }
            // These may also wake for a signal that an earlier call has returned.
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "these are parts of tests")]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_signal_is_returned_once() {
        let interrupts = Interrupts::catch().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let a_while = Duration::from_millis(200);
        runtime.block_on(async {
            // From the first call on, tokio catches signals, too.
            assert!(tokio::time::timeout(Duration::ZERO, interrupts.next()).await.is_err());
            // At this thread, so that it has been caught when this returns, and tokio has not yet passed it on.
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGHUP).unwrap();
            assert_eq!(interrupts.next().await.unwrap(), 1);
            assert!(tokio::time::timeout(a_while, interrupts.next()).await.is_err());
        });
    }
}
