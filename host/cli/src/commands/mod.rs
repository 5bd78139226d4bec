//! The verbs, one file each: its arguments, then what it does, top-down.

pub(crate) mod capture;
pub(crate) mod completion;
pub(crate) mod console;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod doctor;
pub(crate) mod down;
pub(crate) mod exec;
pub(crate) mod flannel;
pub(crate) mod inspect;
mod interconnect;
pub(crate) mod lab;
pub(crate) mod learn;
pub(crate) mod link;
pub(crate) mod logs;
pub(crate) mod ls;
pub(crate) mod repair;
pub(crate) mod router;
pub(crate) mod run;
pub(crate) mod schema;
pub(crate) mod serve;
pub(crate) mod shell;
pub(crate) mod up;
pub(crate) mod validate;

use knetsim_model::Operation;

use crate::args::{Cli, Command};
use crate::{progress, sandboxes};

/// Does what was typed; the result is the exit status.
pub(crate) fn run(Cli { name, command, .. }: Cli) -> anyhow::Result<u8> {
    let name = name.as_deref();
    match command {
        Command::Up(args) => up::run(name, args),
        Command::Down(args) => down::run(name, args),
        Command::Ls(args) => ls::run(args),
        Command::Inspect(args) => inspect::run(name, args),
        Command::Create(args) => create::run(name, args),
        Command::Delete(args) => delete::run(name, args),
        Command::Link(args) => link::run(name, args),
        Command::Repair(args) => repair::run(name, args),
        Command::Flannel(args) => flannel::run(name, args),
        Command::Exec(args) => exec::run(name, args),
        Command::Shell(args) => shell::run(name, args),
        Command::Console(args) => console::run(name, args),
        Command::Logs(args) => logs::run(name, args),
        Command::Capture(args) => capture::run(name, args),
        Command::Router(args) => router::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Run(args) => run::run(name, args),
        Command::Learn(args) => learn::run(name, args),
        Command::Lab(args) => lab::run(args),
        Command::Validate(args) => validate::run(args),
        Command::Schema(args) => schema::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Completion(args) => completion::run(args),
    }
}

/// Makes changes one after the other, up to the first that fails.
fn submit(name: Option<&str>, operations: Vec<Operation>) -> anyhow::Result<u8> {
    sandboxes::talk(name, async |mut client| {
        for operation in operations {
            client.submit(operation, |event| progress::report(&event)).await?;
        }
        Ok(0)
    })
}
