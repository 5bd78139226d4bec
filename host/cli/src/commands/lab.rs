//! `knetsim lab new|build|inspect`.
/// Make, build and look at labs
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}
pub(crate) fn run(_args: Args) -> anyhow::Result<u8> {
    Ok(0)
}
