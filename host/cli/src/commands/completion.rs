//! `knetsim completion SHELL`: the script that makes a shell complete names.

use anyhow::Context;
use clap::ValueEnum;
use clap_complete::env::Shells;

use crate::output;

const EXAMPLES: &str = "\
Examples:
  source <(knetsim completion bash)          in ~/.bashrc
  knetsim completion fish | source           in ~/.config/fish/config.fish";

/// Print a script that lets a shell complete commands, nodes and containers
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// For which
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Elvish,
    Fish,
    Zsh,
}

/// The variable by which the script asks this program for candidates.
pub(crate) const VARIABLE: &str = "KNETSIM_COMPLETE";

pub(crate) fn run(args: Args) -> anyhow::Result<u8> {
    let name = args.shell.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    let shells = Shells::builtins();
    let shell = shells.completer(&name).context("no such shell")?;
    let program = std::env::current_exe().context("finding this program")?;
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, "knetsim", "knetsim", &program.to_string_lossy(), &mut script)?;
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(0)
}
