//! The limit on a lab's memory: all its memories and tables together.

use std::sync::Arc;

use wasmtime::ResourceLimiter;

use crate::limits::{Limit, Limits};

/// What an entry of a table takes in the host, in bytes.
const TABLE_ENTRY: usize = 16;

/// Counts memory, and ends the lab that wants more than it may have: it would end itself anyhow, but
/// with words of its own.
pub(crate) struct Memory {
    limits: Arc<Limits>,
    used: u64,
}

impl Memory {
    pub(crate) fn new(limits: Arc<Limits>) -> Self {
        Memory { limits, used: 0 }
    }

    fn grow(&mut self, bytes: usize) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(bytes as u64);
        if used > self.limits.get(Limit::MemoryMib) << 20 {
            return Err(wasmtime::Error::new(self.limits.reached(Limit::MemoryMib)));
        }
        self.used = used;
        Ok(true)
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(desired.saturating_sub(current))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.grow(desired.saturating_sub(current).saturating_mul(TABLE_ENTRY))
    }

    fn instances(&self) -> usize {
        1000
    }

    fn memories(&self) -> usize {
        100
    }

    fn tables(&self) -> usize {
        1000
    }
}
