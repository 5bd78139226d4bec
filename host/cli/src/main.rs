//! `knetsim`: the command line. [`args`] says what can be typed, one file of [`commands`] does each
//! verb, [`control`] talks to the supervisor of a sandbox, [`supervisor`] is what runs in one.
//! Started under the name of a CNI plugin or as `cnitool`, it is that.

mod args;
mod cache;
mod calls;
mod chapters;
mod commands;
mod completion;
mod consent;
mod console;
mod control;
mod doctor;
mod exit;
mod fresh;
mod home;
mod interrupts;
mod lab_file;
mod labs;
mod learn;
mod manifest;
mod output;
mod progress;
mod relay;
mod sandboxes;
mod signals;
mod stdin;
mod supervisor;
mod terminal;
mod topology;
mod trial;

use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

fn main() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&name).file_name().unwrap_or_default().to_string_lossy();
    knetsim_cni::main_by_name(&name).unwrap_or_else(knetsim)
}

fn knetsim() -> ExitCode {
    clap_complete::CompleteEnv::with_factory(args::Cli::command).var(commands::completion::VARIABLE).complete();
    let cli = args::Cli::try_parse().unwrap_or_else(|error| output::end_by_usage(&error));
    output::log_to_stderr(cli.verbose + u8::from(cli.command.is_daemon()));
    let numbers = cli.command.numbers();
    match commands::run(cli) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            output::error(&error);
            ExitCode::from(exit::status(&error, numbers))
        }
    }
}
