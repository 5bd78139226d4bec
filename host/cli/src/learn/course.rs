//! What the course's chapters show, as it is shown: their texts and solutions are read where they are written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use knetsim_lab::{Host, package};
use unicode_width::UnicodeWidthStr;

use super::layout::Layout;
use super::progress::{Outcome, Progress};
use super::session::Session;
use super::shell::tests::parsed;
use super::shell::wrapped;
use super::text::parse;
use super::theme::{Theme, columns};
use super::{document, sample};

/// The folders of the course's chapters.
fn chapters() -> impl Iterator<Item = PathBuf> {
    let labs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../labs");
    (1..=5).map(move |chapter| labs.join(format!("c{chapter}")))
}

/// The files in a folder of the course's chapters, each by its path.
fn files(folder: &str) -> Vec<PathBuf> {
    let folders = chapters().map(|chapter| chapter.join(folder));
    let entries = |path: PathBuf| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let found: Vec<_> = folders.flat_map(entries).collect();
    assert!(found.len() > 20, "{found:?}");
    found
}

/// What is shown of a solution that a learner has asked for.
fn shown(files: BTreeMap<String, String>, width: usize) -> Vec<String> {
    let mut outline = sample::outline();
    outline.sections.truncate(1);
    outline.sections[0].tasks.truncate(1);
    let name = outline.sections[0].tasks[0].name.clone();
    let mut session = Session::new("sample", outline, Progress::default()).with_ways(&[(name.clone(), files)].into());
    session.reveal(&name, None);
    let lines = document::section(&session, Theme { color: true, ascii: false }, width).lines;
    let lines = lines.iter().map(|line| line.iter().map(|span| span.text.as_str()).collect::<String>());
    let after = lines.skip_while(|line| !line.contains("It was done for you")).skip_while(|line| !line.is_empty());
    let mut lines: Vec<String> = after.skip(1).collect();
    lines.truncate(lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1));
    lines
}

#[test]
fn what_is_shown_of_each_solution_of_the_course_is_what_is_tested() {
    for task in files("tasks") {
        let read = |name: &str| fs::read_to_string(task.join(name));
        let Ok(script) = read("solution.sh").or_else(|_| read("second.sh")) else { continue };
        let files: BTreeMap<_, _> = [("second.sh".to_owned(), read("second.sh").unwrap_or_default())]
            .into_iter()
            .chain(read("solution.sh").ok().map(|script| ("solution.sh".to_owned(), script)))
            .collect();
        let lines = shown(files.clone(), 80);
        assert_eq!(lines, script.trim_end().lines().collect::<Vec<_>>(), "{}", task.display());
        for width in [60, 40] {
            let set = shown(files.clone(), width);
            let wide = |line: &&String| line.width() > width;
            assert_eq!(set.iter().find(wide), None, "{}", task.display());
            // One word alone may be too long for the line.
            if wrapped(&script, width).iter().all(|line| line.width() <= width) {
                assert_eq!(parsed(&set.join("\n")), parsed(&script), "{} at {width}", task.display());
            } else {
                assert_eq!(width, 40, "{}", task.display());
            }
        }
    }
}

/// The sections of the course as a learner sees them once all hints are shown, each task open, and then solved.
#[tokio::test]
async fn all_that_the_course_shows_fits_on_80_columns() {
    let host = Host::new().unwrap();
    let mut bodies = BTreeSet::new();
    for folder in chapters() {
        let bytes = fs::read(package::build(&folder, None).unwrap().path).unwrap();
        let outline = host.compile(&bytes).unwrap().outline().await.unwrap();
        let tasks: Vec<_> = outline.tasks().map(|task| task.name.clone()).collect();
        assert!(!tasks.is_empty(), "{}", folder.display());
        let hints = tasks.iter().map(|task| (task.clone(), usize::MAX)).collect();
        let open = Progress { hints, ..Progress::default() };
        let solved = tasks.into_iter().map(|task| (task, Outcome::Solved)).collect();
        let solved = Progress { tasks: solved, ..open.clone() };
        for progress in [open, solved] {
            let mut session = Session::new("course", outline.clone(), progress);
            for section in 0..outline.sections.len() {
                session.go(section);
                for ascii in [false, true] {
                    let lines = document::section(&session, Theme { color: false, ascii }, 80).lines;
                    let wide = lines.iter().find(|line| columns(line) > 80);
                    assert_eq!(wide, None, "{}, section {}", folder.display(), section + 1);
                }
            }
        }
        bodies.extend(outline.sections.into_iter().map(|section| section.body));
    }
    for path in files("text") {
        let text = fs::read_to_string(&path).unwrap();
        assert!(bodies.contains(&text), "{} is in no section", path.display());
    }
}

#[test]
fn commands_of_the_text_stay_themselves() {
    for path in files("text") {
        let text = fs::read_to_string(&path).unwrap();
        let mut layout = Layout::new(Theme { color: true, ascii: false }, 80);
        layout.blocks(&parse(&text), 0);
        for line in layout.commands.iter().flat_map(|(_, commands)| &commands.lines) {
            for width in [76, 56] {
                assert_eq!(parsed(&wrapped(line, width).join("\n")), parsed(line), "{}", path.display());
            }
        }
    }
}

#[test]
fn a_script_is_shown_as_it_is_written() {
    let script =
        "# on: box\nsed \"s|^ *location / *{|  *x*\\n&|\" a_b_c\n\n  echo '\\(.*\\)' `date` <<'END'\n   # _a_ *b*\nEND";
    let files = BTreeMap::from([("solution.sh".to_owned(), format!("{script}\n"))]);
    assert_eq!(shown(files, 80).join("\n"), script);
}
