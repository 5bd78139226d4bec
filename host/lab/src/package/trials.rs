//! What `knetsim lab test` tries a chapter's tasks with: files of its author's, one folder for each task beside
//! lab.toml, carried by the chapter in the custom section `knetsim:tasks`, as JSON.
//!
//! | file of `tasks/TASK/` | what it is |
//! |---|---|
//! | `near-miss*.sh` | does nearly what the task asks for: the check must not pass |
//! | `solution.sh` | the way that the text teaches, shown to a learner who asks for it: the check must pass |
//! | `second*.sh` | another solution, of plain commands: the check must pass; shown where there is no `solution.sh` |
//! | `wrong.txt` | wrong answers to a question, one a line, besides those that are made up |
//!
//! A script is run by `bash` as a learner's shell is, on the node side, or where its line `# on: TARGET` says.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use knetsim_model::untrusted;

use super::{append, binary, section};
use crate::error::{LabError, Result};

/// The custom section that holds them.
const SECTION: &str = "knetsim:tasks";
/// The folder beside lab.toml.
const FOLDER: &str = "tasks";
/// The longest section, in bytes.
const MOST: usize = 1 << 20;

/// Files by task and name.
pub type Trials = BTreeMap<String, BTreeMap<String, String>>;

/// What a chapter carries; nothing where it carries none.
///
/// # Errors
/// The bytes are no WebAssembly, or the section is not as `knetsim lab build` makes it.
pub fn trials(lab: &[u8]) -> Result<Trials> {
    match section(&binary(lab)?, SECTION, MOST)? {
        Some(text) => serde_json::from_str(&text).map_err(|error| LabError::Manifest(format!("{SECTION}: {error}"))),
        None => Ok(Trials::new()),
    }
}

/// The script that is shown to a learner who asks how a task is solved.
pub fn shown(files: &BTreeMap<String, String>) -> Option<&str> {
    let second = || files.iter().find(|(name, _)| name.starts_with("second")).map(|(_, script)| script);
    files.get("solution.sh").or_else(second).map(String::as_str)
}

/// Puts those of a crate into its lab.
pub(super) fn embed(lab: &mut Vec<u8>, dir: &Path) -> Result<()> {
    let folder = dir.join(FOLDER);
    let trials = match read(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read.map_err(|source| LabError::File { doing: "read", path: folder.clone(), source })?,
    };
    for (task, files) in &trials {
        for (name, text) in files {
            if let Some(flaw) = untrusted::flaw(text) {
                return Err(LabError::Build(format!("{}: {flaw}", folder.join(task).join(name).display())));
            }
        }
    }
    let text = serde_json::to_string(&trials).map_err(|error| LabError::Build(error.to_string()))?;
    if text.len() > MOST {
        return Err(LabError::Build(format!("the files in {} are longer than {MOST} bytes", folder.display())));
    }
    append(lab, SECTION, &text);
    Ok(())
}

fn read(folder: &Path) -> io::Result<Trials> {
    let mut trials = Trials::new();
    for task in fs::read_dir(folder)? {
        let task = task?;
        let mut files = BTreeMap::new();
        for file in fs::read_dir(task.path())? {
            let file = file?;
            let name = file.file_name().to_string_lossy().into_owned();
            let kinds = ["near-miss", "second", "solution"];
            let script = kinds.iter().any(|kind| name.starts_with(kind)) && name.ends_with(".sh");
            if script || name == "wrong.txt" {
                files.insert(name, fs::read_to_string(file.path())?);
            }
        }
        trials.insert(task.file_name().to_string_lossy().into_owned(), files);
    }
    Ok(trials)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_travel_with_the_chapter() {
        let dir = tempfile::tempdir().unwrap();
        let mut lab = wasm_encoder::Component::new().finish();
        embed(&mut lab, dir.path()).unwrap();
        assert!(trials(&lab).unwrap().is_empty());
        let task = dir.path().join("tasks/make");
        fs::create_dir_all(&task).unwrap();
        for (name, text) in [("near-miss.sh", "true\n"), ("second-2.sh", "false"), ("wrong.txt", "1\n2"), (".swp", "")]
        {
            fs::write(task.join(name), text).unwrap();
        }
        embed(&mut lab, dir.path()).unwrap();
        let trials = trials(&lab).unwrap();
        let names: Vec<_> = trials["make"].keys().map(String::as_str).collect();
        assert_eq!(names, ["near-miss.sh", "second-2.sh", "wrong.txt"]);
        assert_eq!(trials["make"]["near-miss.sh"], "true\n");
        fs::write(task.join("second-2.sh"), "true\n: \u{200b}").unwrap();
        let refused = embed(&mut lab, dir.path()).unwrap_err().to_string();
        assert!(
            refused.ends_with("tasks/make/second-2.sh: line 2, letter 3: U+200B is not shown as it is"),
            "{refused}"
        );
    }
}
