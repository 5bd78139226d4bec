//! The router alone, for tests and measurements: `router FILE [STATUS-FILE]`.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .init();
    let mut files = std::env::args_os().skip(1).map(PathBuf::from);
    let Some(config) = files.next() else {
        eprintln!("usage: router FILE [STATUS-FILE]");
        return ExitCode::FAILURE;
    };
    match knetsim_router::serve(&config, files.next().as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("router: {error}");
            ExitCode::FAILURE
        }
    }
}
