//! What can be typed: the options of `knetsim` itself, and the list of its verbs.

use clap::{Parser, Subcommand, builder::styling};

use crate::commands::{
    capture, completion, console, create, delete, doctor, down, exec, flannel, inspect, lab, learn, link, logs, ls,
    repair, router, run, schema, serve, shell, up, validate,
};
use crate::exit::Numbers;

const EXAMPLES: &str = "\
Examples:
  knetsim up -d                              the course's two clusters, in the background
  knetsim inspect                            what there is
  knetsim create container C0w1.c1           a container on worker C0w1
  knetsim exec C0w1.c1 -- ping -c1 C0w2      a command in it
  knetsim shell C0w1                         a shell on a worker
  knetsim console                            a prompt for all of it
  knetsim run first-steps.wasm               a lab, in a sandbox of its own
  knetsim learn c1                           a chapter: text, tasks, and a sandbox to do them in
  knetsim down                               ends everything
";

const EXIT_STATUSES: &str = "\
Exit statuses:
  0    done
  1    it failed, or something that it needs is missing
  2    the command line or a file is not right
  3    what was named does not exist
  4    what was to be made exists already, or is in use
  5    a grant is missing
  6    a limit was reached
  exec, shell and run: the status of what they ran, 128 + N where signal N ended it;
  125 where knetsim itself failed, 126 where the program can't be run, 127 where there is none
";

const STYLES: styling::Styles = styling::Styles::styled()
    .header(styling::AnsiColor::Yellow.on_default().bold())
    .usage(styling::AnsiColor::Yellow.on_default().bold())
    .literal(styling::AnsiColor::Green.on_default())
    .placeholder(styling::AnsiColor::Cyan.on_default());

/// Kubernetes networking on one Linux machine: clusters, workers and containers made of the kernel's own
/// namespaces, bridges and tunnels, to learn from and to try things out.
#[derive(Debug, Parser)]
#[command(name = "knetsim", version, styles = STYLES, max_term_width = 110, arg_required_else_help = true)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n{EXIT_STATUSES}"))]
pub(crate) struct Cli {
    /// Which sandbox, where several run
    #[arg(long, global = true, env = "KNETSIM_NAME", value_name = "NAME", add = crate::completion::sandboxes())]
    pub(crate) name: Option<String>,
    /// Say more on standard error; twice, still more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(up::Args),
    Down(down::Args),
    Ls(ls::Args),
    Inspect(inspect::Args),
    Create(create::Args),
    Delete(delete::Args),
    Link(link::Args),
    Repair(repair::Args),
    Flannel(flannel::Args),
    Exec(exec::Args),
    Shell(shell::Args),
    Console(console::Args),
    Logs(logs::Args),
    Router(router::Args),
    Capture(capture::Args),
    Serve(serve::Args),
    Run(run::Args),
    Learn(learn::Args),
    Lab(lab::Args),
    Validate(validate::Args),
    Schema(schema::Args),
    Doctor(doctor::Args),
    Completion(completion::Args),
}

impl Command {
    /// Whether it runs on and its log is what it has to say.
    pub(crate) fn is_daemon(&self) -> bool {
        matches!(self, Command::Router(_))
    }

    /// What its exit statuses mean.
    pub(crate) fn numbers(&self) -> Numbers {
        match self {
            Command::Exec(_) | Command::Shell(_) => Numbers::Program,
            Command::Run(_) => Numbers::Lab,
            _ => Numbers::Own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }
}
