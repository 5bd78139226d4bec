//! `knetsim lab new|build|inspect|test`.

use std::fmt::Write;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;
use knetsim_lab::Manifest;
use knetsim_lab::package::{self, Inspection, Template};
use knetsim_model::{Failure, untrusted};
use serde_json::json;

use crate::trial::{self, Trial};
use crate::{chapters, lab_file, output, terminal};

const EXAMPLES: &str = "\
Examples:
  knetsim lab new my-lab
  knetsim lab new --chapter my-chapter
  knetsim lab build my-lab                   prints the path of my-lab.wasm
  knetsim lab inspect my-lab.wasm
  knetsim lab test c1                        whether a chapter's checks tell done from not done
  knetsim lab test my-chapter                builds it before
  knetsim lab test --jobs 1 my-chapter       one task after the other
  knetsim run \"$(knetsim lab build my-lab)\"";

/// Make, build, look at and test labs
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make a folder with a lab's crate in it, ready to be built
    New {
        /// The folder to make; its last part is the lab's name
        folder: PathBuf,
        /// A chapter, which teaches, instead of a script, which only does
        #[arg(long)]
        chapter: bool,
        /// The folder of a crate knetsim-sdk to use; left out, the lab gets a copy of its own
        #[arg(long, value_name = "FOLDER")]
        sdk: Option<PathBuf>,
    },
    /// Compile a lab's crate into one file, its manifest included, and print the file's path
    Build {
        /// The crate's folder
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// Where to write it; left out, in the crate's target folder
        #[arg(short = 'f', long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Say what a lab asks for, imports and exports, without running it
    Inspect {
        /// The lab
        file: PathBuf,
        /// How to print it
        #[arg(short, long, value_enum, default_value = "table")]
        output: Format,
    },
    /// Prove that a chapter's checks tell what is done from what isn't
    ///
    /// Each task is tried in fresh sandboxes, with those solved that it comes after: the check fails before, stays so
    /// after a near miss (tasks/TASK/near-miss.sh), and passes after the solution; after a reset it fails again, and
    /// passes after a second solution made of plain commands (tasks/TASK/second.sh). Questions refuse wrong answers
    /// (tasks/TASK/wrong.txt, one a line, and made-up ones) and take the right one. The commands of the text end as it
    /// says. All that the chapter asks for is granted. Exit status: 0 where all held, 1 where something didn't.
    ///
    /// Several tasks are tried at once, each in sandboxes of its own.
    Test {
        /// A chapter that comes with knetsim, a chapter's file, or the folder of its crate
        chapter: String,
        /// Only this task; can be given several times
        #[arg(long = "task", value_name = "TASK")]
        tasks: Vec<String>,
        /// How to print it
        #[arg(short, long, value_enum, default_value = "table")]
        output: Format,
        /// Also write a file as JUnit does
        #[arg(long, value_name = "FILE")]
        junit: Option<PathBuf>,
        /// How many tasks to try at once; left out, two for each processor
        #[arg(short, long, value_name = "COUNT")]
        jobs: Option<NonZero<usize>>,
    },
    /// What `lab test` runs for each of its jobs
    #[command(hide = true)]
    Try,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a person
    Table,
    /// One value
    Json,
}

pub(crate) fn run(args: Args) -> anyhow::Result<u8> {
    match args.what {
        What::New { folder, chapter, sdk } => create(&folder, chapter, sdk)?,
        What::Build { folder, file } => {
            let built = package::build(&folder, file.as_deref()).map_err(Failure::from)?;
            let Manifest { name, version, .. } = &built.manifest;
            output::say(format_args!("{name} {version}, {} KiB", built.size.div_ceil(1024)));
            output::print(&built.path.display().to_string())?;
        }
        What::Inspect { file, output } => {
            let found = package::inspect(&lab_file::read(&file)?).map_err(Failure::from)?;
            match output {
                Format::Table => output::print(&table(&found))?,
                Format::Json => output::print_json(&json(&found))?,
            }
        }
        What::Test { chapter, tasks, output, junit, jobs } => {
            // Tasks wait for networks more than they compute.
            let usual = || 2 * std::thread::available_parallelism().map_or(1, NonZero::get);
            return test(&chapter, &tasks, jobs.map_or_else(usual, NonZero::get), output, junit.as_deref());
        }
        What::Try => trial::work()?,
    }
    Ok(0)
}

fn test(chapter: &str, tasks: &[String], jobs: usize, format: Format, junit: Option<&Path>) -> anyhow::Result<u8> {
    let folder = Path::new(chapter);
    let bytes = if folder.join("lab.toml").is_file() {
        lab_file::read(&package::build(folder, None).map_err(Failure::from)?.path)?
    } else {
        chapters::find(chapter)?.bytes
    };
    let mut printed = Ok(());
    let report = Trial::new(bytes)?.run(tasks, jobs, |tried| {
        if format == Format::Table && printed.is_ok() {
            printed = output::print_styled(&trial::task_lines(tried));
        }
    })?;
    printed?;
    match format {
        Format::Table => output::print(&trial::table(&report))?,
        Format::Json => output::print_json(&report)?,
    }
    if let Some(path) = junit {
        std::fs::write(path, trial::junit(&report)?).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(u8::from(!report.held()))
}

fn create(folder: &Path, chapter: bool, sdk: Option<PathBuf>) -> anyhow::Result<()> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let template = if chapter { Template::Chapter } else { Template::Script };
    package::create(folder, &name, sdk.as_deref(), template).map_err(Failure::from)?;
    let folder = folder.display();
    match template {
        Template::Script => {
            output::say(format_args!("{folder} is made; next: `knetsim run \"$(knetsim lab build {folder})\"`"))
        }
        Template::Chapter => output::say(format_args!("{folder} is made; next: `knetsim lab test {folder}`")),
    }
    Ok(())
}

fn table(found: &Inspection) -> String {
    let mut text = String::new();
    match &found.manifest {
        Some(manifest) => text += &lab_file::describe(manifest, usize::from(terminal::size().1)),
        None => text += "no manifest: it asks for nothing\n",
    }
    let _ = writeln!(text, "{}, {} bytes, sha256 {}", found.kind.as_str(), found.size, found.sha256);
    for (title, names) in [("imports", &found.imports), ("exports", &found.exports)] {
        let _ = writeln!(text, "{title}:{}", if names.is_empty() { " nothing" } else { "" });
        names.iter().for_each(|name| text += &format!("  {}\n", untrusted::escaped(name)));
    }
    text
}

fn json(found: &Inspection) -> serde_json::Value {
    let manifest = found.manifest.as_ref().map(|manifest| {
        let grants: serde_json::Map<_, _> =
            manifest.grants.iter().map(|(grant, why)| (grant.to_string(), json!(why))).collect();
        let limits: serde_json::Map<_, _> =
            manifest.limits.iter().map(|(limit, value)| (limit.to_string(), json!(value))).collect();
        json!({ "name": manifest.name, "version": manifest.version, "grants": grants, "limits": limits })
    });
    json!({
        "kind": found.kind.as_str(), "size": found.size, "sha256": found.sha256,
        "manifest": manifest, "imports": found.imports, "exports": found.exports,
    })
}
