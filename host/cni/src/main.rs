//! The plugins and `cnitool` as one executable: it is what the name says that it is called by.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let program = std::env::args().next().unwrap_or_default();
    let name = Path::new(&program).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    knetsim_cni::main_by_name(name).unwrap_or_else(|| {
        eprintln!("{name}: call it by the name of a plugin, or as cnitool");
        ExitCode::FAILURE
    })
}
