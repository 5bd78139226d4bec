//! Plugins as executables: the execution protocol of the specification, the runtime's side.
//!
//! Only `cnitool` and plugins that delegate come here, when they were executed themselves. The
//! supervisor starts no plugin.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Output, Stdio};
use std::thread;

use knetsim_model::go_json;
use serde_json::Value;

use crate::config;
use crate::error::{Error, Report};
use crate::plugins::{Call, Command};
use crate::result::AddResult;

/// Runs the first executable of that name in the folders. Blocks: the process does nothing else.
pub(crate) async fn run(folders: &[PathBuf], kind: &str, call: Call<'_>) -> Result<Option<AddResult>, Error> {
    let program = find(folders, kind)?;
    let mut process = Process::new(&program);
    for (name, value) in environment(folders, call)? {
        process.env(name, value);
    }
    let input = Value::Object(call.config.clone()).to_string();
    let output = execute(process, input.as_bytes()).map_err(Error::io(format!("run {}", program.display())))?;
    if !output.status.success() {
        return Err(Error::Plugin { plugin: kind.to_owned(), report: report(&output) });
    }
    match call.command {
        Command::Add => read_result(kind, &output.stdout, call).map(Some),
        _ => Ok(None),
    }
}

fn find(folders: &[PathBuf], kind: &str) -> Result<PathBuf, Error> {
    if kind.is_empty() || kind.contains('/') {
        return Err(Error::Config(format!("`{kind}` is not a plugin's type")));
    }
    folders.iter().map(|folder| folder.join(kind)).find(|path| path.is_file()).ok_or_else(|| {
        let folders: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        Error::Config(format!("no plugin `{kind}` in CNI_PATH ({})", folders.join(":")))
    })
}

fn environment(folders: &[PathBuf], call: Call<'_>) -> Result<Vec<(&'static str, std::ffi::OsString)>, Error> {
    let path = std::env::join_paths(folders).map_err(|why| Error::Parameter(format!("CNI_PATH: {why}")))?;
    let attachment = call.attachment;
    Ok(vec![
        ("CNI_COMMAND", call.command.as_str().into()),
        ("CNI_CONTAINERID", attachment.container_id.as_str().into()),
        ("CNI_NETNS", attachment.netns_path.as_str().into()),
        ("CNI_IFNAME", attachment.ifname.as_str().into()),
        ("CNI_ARGS", attachment.args_text().into()),
        ("CNI_PATH", path),
    ])
}

fn execute(mut process: Process, input: &[u8]) -> std::io::Result<Output> {
    let mut child = process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdin = child.stdin.take();
    let output = thread::scope(|scope| {
        // A plugin may answer without reading: a broken pipe is its business.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
        child.wait_with_output()
    })?;
    // What it logged is for the caller's log.
    let _ = std::io::stderr().write_all(&output.stderr);
    Ok(output)
}

fn report(output: &Output) -> Report {
    go_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        let text = |bytes| String::from_utf8_lossy(bytes).trim().chars().take(1000).collect::<String>();
        let words = [text(&output.stdout), text(&output.stderr)].into_iter().find(|text| !text.is_empty());
        Report {
            cni_version: String::new(),
            code: 999,
            msg: format!("it failed without an error object ({})", output.status),
            details: words.unwrap_or_default(),
        }
    })
}

fn read_result(kind: &str, output: &[u8], call: Call<'_>) -> Result<AddResult, Error> {
    let json = serde_json::from_slice(output).map_err(Error::decode(format!("the result of plugin {kind}")))?;
    AddResult::from_json(&json, config::version(call.config)?)
}

/// The folders of CNI_PATH.
pub(crate) fn folders(path: &str) -> Vec<PathBuf> {
    std::env::split_paths(path).filter(|folder| folder != Path::new("")).collect()
}
