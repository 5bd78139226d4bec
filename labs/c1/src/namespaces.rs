//! Section 3: what a namespace is, and the number that the kernel gives it.

use course_scene::{WORKERS, look};
use knetsim_sdk::{AnswerKind, Error, Result, Section, Task, Verdict};

pub(crate) fn section() -> Section {
    Section::new("Namespaces", include_str!("../text/3-namespaces.md")).task(inode())
}

fn inode() -> Task {
    let text = "In which network namespace is the container `C0w3.c3`? Give its number.";
    Task::question("inode", "The number of a namespace", text, AnswerKind::Number)
        .hint("A command that runs in the container is in the container's network namespace.")
        .hint("In a shell of `C0w3.c3`: `readlink /proc/self/ns/net`. The number stands in the brackets.")
        .answer(|_| number_of_c3())
        .accept(|_, given| {
            if given == number_of_c3()? {
                return Ok(Verdict::passed());
            }
            for worker in WORKERS {
                let namespaces = look(worker)?.namespaces()?;
                if let Some(other) = namespaces.iter().find(|namespace| namespace.inode.to_string() == given) {
                    return Ok(Verdict::missing(format!("{given} is that of {worker}.{}", other.name)));
                }
            }
            Ok(Verdict::missing(format!(
                "no container is in a network namespace {given}. A shell on C0w3 shows the worker's own; and where \
                 `mnt` or `uts` stands before the bracket, it is another kind of namespace"
            )))
        })
}

fn number_of_c3() -> Result<String> {
    let namespaces = look("C0w3")?.namespaces()?;
    let c3 = namespaces.iter().find(|namespace| namespace.name == "c3");
    let gone = || Error::new("C0w3.c3 is gone: reset the chapter to have it again");
    Ok(c3.ok_or_else(gone)?.inode.to_string())
}
