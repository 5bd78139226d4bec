//! What happened in the sandbox though nobody asked for it, told to those who listen and kept for those who look later.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use knetsim_model::Event;
use knetsim_sandbox::Happened;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::{Emulator, Inner};

/// How many are kept.
const KEPT: usize = 20;

/// The newest ones, the oldest first.
#[derive(Default)]
pub(crate) struct Warnings(Mutex<VecDeque<String>>);

impl Warnings {
    fn add(&self, message: String) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(message);
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// Tells what the sandbox says, for as long as there is an emulator.
pub(crate) fn tell(emulator: &Emulator, mut events: broadcast::Receiver<Happened>) {
    let emulator: Weak<Inner> = Arc::downgrade(&emulator.inner);
    tokio::spawn(async move {
        loop {
            let message = match events.recv().await {
                Ok(happened) => happened.to_string(),
                Err(RecvError::Lagged(lost)) => format!("{lost} warnings of the sandbox were missed"),
                Err(RecvError::Closed) => return,
            };
            let Some(inner) = emulator.upgrade() else { return };
            inner.warnings.add(message.clone());
            Emulator { inner }.say(Event::Warning { message });
        }
    });
}
