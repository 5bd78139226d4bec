//! A harness whose tests run labs in the supervisor of one sandbox, and labs written as text.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

use std::collections::BTreeMap;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Instant;

use knetsim_emulator::Emulator;
use knetsim_lab::{Host, Lab, LabError, Streams};
use knetsim_model::protocol::RunLab;
use knetsim_model::{Code, Failure};
use knetsim_sandbox::{Options, launch};

pub type Case = (&'static str, fn(Bench) -> Pin<Box<dyn Future<Output = ()> + Send>>);

/// Names an async function as a case.
#[macro_export]
macro_rules! cases {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), |bench| Box::pin($name(bench)))),*] };
}

/// Inside the sandbox this program is the `knetsim` on PATH: as `knetsim router -c FILE --status FILE` it is a router,
/// and nothing else.
pub fn router() -> Option<ExitCode> {
    let args: Vec<String> = std::env::args().collect();
    let [_, verb, _, config, _, status] = args.as_slice() else { return None };
    let serve = || knetsim_router::serve(config.as_ref(), Some(status.as_ref()));
    (verb == "router").then(|| ExitCode::from(u8::from(serve().is_err())))
}

/// Runs the cases whose names contain one of the arguments, or all, one after the other in one sandbox.
pub fn run(cases: &'static [Case]) -> ExitCode {
    let state = tempfile::tempdir().unwrap();
    let options = Options { name: "test".into(), base: Some(state.path().to_owned()), ..Options::default() };
    let launched = launch(&options, |seat| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let (sandbox, _listener) = seat.open().unwrap();
            let emulator = Emulator::start("test", sandbox).await.unwrap();
            let bench = Bench { emulator, host: Host::new().unwrap() };
            supervise(cases, bench).await
        })
    });
    ExitCode::from(u8::from(launched.unwrap().wait().unwrap() != 0))
}

async fn supervise(cases: &[Case], bench: Bench) -> i32 {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let (mut passed, mut failed) = (0, 0);
    for (name, case) in cases.iter().filter(|case| wanted.is_empty() || wanted.iter().any(|part| case.0.contains(part)))
    {
        let begin = Instant::now();
        let ok = tokio::spawn(case(bench.clone())).await.is_ok();
        println!("test {name} ... {} ({} ms)", if ok { "ok" } else { "FAILED" }, begin.elapsed().as_millis());
        passed += i32::from(ok);
        failed += i32::from(!ok);
    }
    // As the usual harness says it, for whoever counts.
    println!(
        "\ntest result: {}. {passed} passed; {failed} failed; 0 ignored; 0 measured; 0 filtered out\n",
        if failed == 0 { "ok" } else { "FAILED" }
    );
    failed
}

/// What a case works with.
#[derive(Clone)]
pub struct Bench {
    pub emulator: Emulator,
    pub host: Host,
}

/// How a lab shall run.
#[derive(Default)]
pub struct Order<'a> {
    pub args: &'a [&'a str],
    pub grants: &'a [&'a str],
    pub limits: &'a [(&'a str, u64)],
    pub input: &'a str,
}

/// How a lab ran.
#[derive(Debug)]
pub struct Ran {
    pub status: Result<i32, Failure>,
    pub stdout: String,
    pub stderr: String,
    pub warnings: Vec<String>,
}

impl Ran {
    /// Its standard output, when it ended well.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.status, Ok(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// The words of the failure, which must have that code.
    #[track_caller]
    pub fn fails(self, code: Code) -> String {
        let failure = self.status.expect_err("a run that fails");
        assert_eq!(failure.code, code, "{failure}");
        failure.message
    }
}

impl Bench {
    pub fn compile(&self, lab: impl AsRef<[u8]>) -> Result<Lab, LabError> {
        self.host.compile(lab.as_ref())
    }

    /// Compiles and runs a lab.
    pub async fn run(&self, lab: impl AsRef<[u8]>, order: Order<'_>) -> Ran {
        let lab = self.compile(lab).unwrap_or_else(|error| panic!("{error}"));
        self.run_lab(&lab, order).await
    }

    pub async fn run_lab(&self, lab: &Lab, order: Order<'_>) -> Ran {
        let (stdout, stderr) = (Written::default(), Written::default());
        let (warnings, mut warned) = tokio::sync::mpsc::channel(64);
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let limits: BTreeMap<_, _> = order.limits.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        let run = RunLab { args: owned(order.args), grants: owned(order.grants), limits, cached: false };
        let streams = Streams {
            stdin: Box::new(std::io::Cursor::new(order.input.to_owned())),
            stdout: Box::new(stdout.clone()),
            stderr: Box::new(stderr.clone()),
            warnings,
        };
        let status = lab.run(&self.emulator, &run, streams).await;
        let warnings = std::iter::from_fn(|| warned.try_recv().ok()).collect();
        Ran { status, stdout: stdout.text(), stderr: stderr.text(), warnings }
    }
}

/// What a lab wrote.
#[derive(Clone, Default)]
pub struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    pub fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl tokio::io::AsyncWrite for Written {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A lab as text: a core module, as compilers for WASI 0.1 make it, whose `_start` is `body`.
///
/// It can `(call $print (i32.const ADDRESS) (i32.const LENGTH))` what lies in `data` from address 0 on, and
/// `(call $say ADDRESS PAYLOAD)` the `result<_, error>` at an address: `code: message`, or `ok`.
pub fn text_lab(imports: &str, data: &str, body: &str) -> String {
    format!(
        r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  {imports}
  (memory (export "memory") 3)
  (data (i32.const 0) "{data}")
  (data (i32.const 4096) "ok\n: ")
  (global $free (mut i32) (i32.const 131072))
  (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
    (global.set $free (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
    (global.get $free)
    (global.set $free (i32.add (global.get $free) (local.get $size))))
  (func $print (param $address i32) (param $length i32)
    (i32.store (i32.const 8192) (local.get $address))
    (i32.store (i32.const 8196) (local.get $length))
    (drop (call $fd_write (i32.const 1) (i32.const 8192) (i32.const 1) (i32.const 8200))))
  (func $say (param $result i32) (param $payload i32)
    (if (i32.load8_u (local.get $result))
      (then
        (local.set $payload (i32.add (local.get $result) (local.get $payload)))
        (call $print (i32.load (local.get $payload)) (i32.load offset=4 (local.get $payload)))
        (call $print (i32.const 4099) (i32.const 2))
        (call $print (i32.load offset=8 (local.get $payload)) (i32.load offset=12 (local.get $payload)))
        (call $print (i32.const 4098) (i32.const 1)))
      (else (call $print (i32.const 4096) (i32.const 3)))))
  (func (export "_start") {body}))"#
    )
}
