//! Interface `state`: what a chapter remembers from one call to the next.

use std::sync::{Mutex, PoisonError};

use knetsim_model::{Code, Failure};

use super::State;
use super::wit::state::Host;
use crate::grants::Phase;

/// The most that a chapter remembers, in bytes.
const MOST: usize = 64 << 10;

/// What one chapter remembers: kept here as long as it is loaded, longer by whoever loads it.
#[derive(Default)]
pub(crate) struct Remembered(Mutex<Vec<u8>>);

impl Remembered {
    /// What was remembered in an earlier run.
    pub(crate) fn new(bytes: Vec<u8>) -> Result<Self, Failure> {
        let remembered = Remembered::default();
        remembered.set(bytes)?;
        Ok(remembered)
    }

    pub(crate) fn get(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, bytes: Vec<u8>) -> Result<(), Failure> {
        if bytes.len() > MOST {
            let message = format!("a chapter can remember {MOST} bytes, not {}", bytes.len());
            return Err(Failure::new(Code::Limit, message));
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = bytes;
        Ok(())
    }
}

impl State {
    fn remembered(&self) -> Result<&Remembered, Failure> {
        let only = || Failure::new(Code::Denied, "`state`: only `setup`, `check` and `solve` of a chapter have it");
        self.remembered.as_deref().ok_or_else(only)
    }
}

impl Host for State {
    async fn get(&mut self) -> Result<Vec<u8>, Failure> {
        Ok(self.remembered()?.get())
    }

    async fn set(&mut self, value: Vec<u8>) -> Result<(), Failure> {
        let remembered = self.remembered()?;
        match self.rights.phase() {
            Phase::Check { .. } => {
                Err(Failure::new(Code::Denied, "`state`: not while a check runs: it changes nothing"))
            }
            _ => remembered.set(value),
        }
    }
}
