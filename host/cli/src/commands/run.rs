//! `knetsim run FILE.wasm`.
/// Run a lab
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}
pub(crate) fn run(_name: Option<&str>, _args: Args) -> anyhow::Result<u8> {
    Ok(0)
}
