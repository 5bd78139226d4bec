//! `knetsim lab new|build|inspect`.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use knetsim_lab::Manifest;
use knetsim_lab::package::{self, Inspection};
use knetsim_model::Failure;
use serde_json::json;

use crate::lab_file;
use crate::output;

const EXAMPLES: &str = "\
Examples:
  knetsim lab new my-lab
  knetsim lab build my-lab                   prints the path of my-lab.wasm
  knetsim lab inspect my-lab.wasm
  knetsim run \"$(knetsim lab build my-lab)\"";

/// Make, build and look at labs
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
        /// The folder of the crate knetsim-sdk; left out, the one that this program was built beside
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
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For a person
    Table,
    /// One value
    Json,
}

pub(crate) fn run(args: Args) -> anyhow::Result<u8> {
    match args.what {
        What::New { folder, sdk } => create(&folder, sdk)?,
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
    }
    Ok(0)
}

fn create(folder: &Path, sdk: Option<PathBuf>) -> anyhow::Result<()> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guest-sdk");
    package::create(folder, &name, &sdk.unwrap_or_else(beside)).map_err(Failure::from)?;
    let folder = folder.display();
    output::say(format_args!("{folder} is made; next: `knetsim run \"$(knetsim lab build {folder})\"`"));
    Ok(())
}

fn table(found: &Inspection) -> String {
    let mut text = String::new();
    match &found.manifest {
        Some(manifest) => text += &lab_file::describe(manifest),
        None => text += "no manifest: it asks for nothing\n",
    }
    let _ = writeln!(text, "{}, {} bytes, sha256 {}", found.kind.as_str(), found.size, found.sha256);
    for (title, names) in [("imports", &found.imports), ("exports", &found.exports)] {
        let _ = writeln!(text, "{title}:{}", if names.is_empty() { " nothing" } else { "" });
        names.iter().for_each(|name| text += &format!("  {name}\n"));
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
