//! What a lab writes, on its way to the person: counted against the limit, without anything that
//! could move the cursor, reorder text or speak to the terminal.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use knetsim_model::untrusted::Cleaner;
use tokio::io::AsyncWrite;
use tokio::sync::Notify;

/// What both streams of a lab may write together.
pub(crate) struct Budget {
    left: AtomicU64,
    exceeded: Notify,
}

impl Budget {
    pub(crate) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Budget { left: AtomicU64::new(bytes), exceeded: Notify::new() })
    }

    /// Returns when more was written than is allowed.
    pub(crate) async fn exceeded(&self) {
        self.exceeded.notified().await;
    }

    /// How many of `wanted` bytes may still be written.
    fn take(&self, wanted: usize) -> usize {
        let wanted_64 = wanted as u64;
        let take = |left: u64| Some(left.saturating_sub(wanted_64));
        let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).unwrap_or(0);
        if wanted_64 > left {
            self.exceeded.notify_one();
        }
        wanted.min(usize::try_from(left).unwrap_or(usize::MAX))
    }
}

/// A stream of a lab's.
pub(crate) struct Output<W> {
    to: W,
    cleaner: Cleaner,
    budget: Arc<Budget>,
    /// Cleaned, and not written yet because the other end is slow.
    waiting: Vec<u8>,
}

impl<W: AsyncWrite + Unpin> Output<W> {
    pub(crate) fn new(to: W, budget: Arc<Budget>) -> Self {
        Output { to, cleaner: Cleaner::default(), budget, waiting: Vec::new() }
    }

    fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            match ready!(Pin::new(&mut self.to).poll_write(cx, &self.waiting))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => drop(self.waiting.drain(..written)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Output<W> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_waiting(cx))?;
        let allowed = this.budget.take(bytes.len());
        this.cleaner.clean(&bytes[..allowed], &mut this.waiting);
        // What does not go out now goes before the next bytes, or when the stream is flushed.
        if let Poll::Ready(Err(error)) = this.poll_waiting(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_waiting(cx))?;
        Pin::new(&mut this.to).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_waiting(cx))?;
        Pin::new(&mut this.to).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn output_ends_at_the_limit() {
        let budget = Budget::new(5);
        let mut output = Output::new(Vec::new(), budget.clone());
        output.write_all(b"12345").await.unwrap();
        tokio::time::timeout(std::time::Duration::ZERO, budget.exceeded()).await.unwrap_err();
        output.write_all(b"678").await.unwrap();
        output.flush().await.unwrap();
        assert_eq!(output.to, b"12345");
        budget.exceeded().await;
    }

    #[tokio::test]
    async fn a_slow_reader_gets_everything() {
        use tokio::io::AsyncReadExt;
        let (near, mut far) = tokio::io::duplex(3);
        let mut output = Output::new(near, Budget::new(1000));
        let writing = async {
            for _ in 0..10 {
                output.write_all(b"0123456789").await.unwrap();
            }
            output.shutdown().await.unwrap();
        };
        let mut text = String::new();
        let reading = far.read_to_string(&mut text);
        let ((), read) = tokio::join!(writing, reading);
        read.unwrap();
        assert_eq!(text, "0123456789".repeat(10));
    }
}
