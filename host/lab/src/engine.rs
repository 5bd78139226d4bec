//! The engine: compiles labs, loads what was compiled before, and links what a lab may import.
//!
//! Compiled code is machine code: whoever can write it can do anything. So it comes from a folder
//! that only the host side writes, under [`cache_key`], which differs with every engine's setting.

use std::hash::{Hash, Hasher};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use wasmtime::component::{Component, InstancePre, Linker};
use wasmtime::{Config, Engine};

use crate::componentize::componentize;
use crate::error::{LabError, Result};
use crate::host::{self, State};
use crate::manifest::Manifest;
use crate::package;

/// How long a lab computes before everything else gets its turn.
const TURN: Duration = Duration::from_millis(10);

/// The engine with all capabilities linked. Cheap to clone; one is enough for any number of labs.
#[derive(Clone)]
pub struct Host {
    engine: Engine,
    linker: Linker<State>,
}

/// A lab that is ready to run, any number of times.
#[derive(Clone)]
pub struct Lab {
    pub(crate) manifest: Manifest,
    pub(crate) engine: Engine,
    pub(crate) ready: InstancePre<State>,
}

impl Host {
    /// Makes the engine.
    ///
    /// # Errors
    /// The machine is not one that code can be compiled for.
    pub fn new() -> Result<Self> {
        let engine = engine()?;
        let mut linker = Linker::new(&engine);
        host::link(&mut linker).map_err(|error| LabError::Engine(format!("{error:#}")))?;
        Ok(Host { engine, linker })
    }

    /// Makes a lab ready from its file: component, core module, or the text of one. Blocks while it compiles:
    /// 50 ms for a small lab in Rust, seconds for an interpreter.
    ///
    /// # Errors
    /// It is no lab, its manifest is wrong, or it imports what this host lacks.
    pub fn compile(&self, lab: &[u8]) -> Result<Lab> {
        let component = Component::from_binary(&self.engine, &componentize(lab)?)
            .map_err(|error| LabError::NotALab(format!("{error:#}")))?;
        self.lab(lab, &component)
    }

    /// Makes a lab ready from its file and what [`Lab::compiled`] gave for it. Blocks for a millisecond or two.
    ///
    /// # Errors
    /// As [`Host::compile`]; also where `compiled` is of another engine.
    ///
    /// # Safety
    /// `compiled` must be what [`Lab::compiled`] gave for the same lab, unchanged: it is run as machine code.
    #[expect(unsafe_code, reason = "the caller vouches for machine code")]
    pub unsafe fn load(&self, lab: &[u8], compiled: &[u8]) -> Result<Lab> {
        // SAFETY: the caller's promise is the one that wasmtime asks for.
        let component = unsafe { Component::deserialize(&self.engine, compiled) };
        let component = component.map_err(|error| LabError::Engine(format!("compiled code: {error:#}")))?;
        self.lab(lab, &component)
    }

    fn lab(&self, lab: &[u8], component: &Component) -> Result<Lab> {
        let manifest = package::manifest(lab)?;
        let ready = self.linker.instantiate_pre(component);
        let ready = ready.map_err(|error| LabError::Lacks { lacks: format!("{error:#}") })?;
        Ok(Lab { manifest, engine: self.engine.clone(), ready })
    }
}

impl Lab {
    /// What it says of itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its compiled code, to be kept under [`cache_key`] where only the host side writes.
    ///
    /// # Errors
    /// The engine can't give it.
    pub fn compiled(&self) -> Result<Vec<u8>> {
        self.ready.component().serialize().map_err(|error| LabError::Engine(format!("{error:#}")))
    }
}

/// The name under which a lab's compiled code is kept: SHA-256, in hexadecimal, of its file and of all
/// that the code depends on besides (the engine's version and settings, this processor).
///
/// # Errors
/// The engine can't be made.
pub fn cache_key(lab: &[u8]) -> Result<String> {
    /// What `Hash` writes, into a hash that is the same in every build.
    struct Digesting(Sha256);
    impl Hasher for Digesting {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut digest = Digesting(Sha256::new());
    engine()?.precompile_compatibility_hash().hash(&mut digest);
    digest.0.update(lab);
    Ok(package::hex(&digest.0.finalize()))
}

fn engine() -> Result<Engine> {
    let mut config = Config::new();
    config.epoch_interruption(true);
    Engine::new(&config).map_err(|error| LabError::Engine(format!("{error:#}")))
}

/// Ends a lab's turn every [`TURN`], from a thread of its own, for as long as it is kept: the runtime's
/// only thread may be the one that is busy with the lab.
pub(crate) struct Turns {
    _stop: mpsc::Sender<()>,
}

impl Turns {
    pub(crate) fn start(engine: &Engine) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let engine = engine.clone();
        std::thread::Builder::new().name("lab-turns".to_owned()).spawn(move || {
            while stopped.recv_timeout(TURN) == Err(RecvTimeoutError::Timeout) {
                engine.increment_epoch();
            }
        })?;
        Ok(Turns { _stop: stop })
    }
}
