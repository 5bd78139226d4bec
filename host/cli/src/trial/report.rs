//! What was found out about a chapter, for a person and for programs that read JUnit's files.

use std::fmt::Write;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::{Outcome, Report, Tried};
use crate::output;

const GREEN: Style = AnsiColor::Green.on_default();
const RED: Style = AnsiColor::Red.on_default().bold();
const YELLOW: Style = AnsiColor::Yellow.on_default();

/// A task: a line where all held, and one more for each thing that didn't or that was left out.
pub(crate) fn task_lines(tried: &Tried) -> String {
    let held = tried.steps.iter().filter(|step| matches!(step.outcome, Outcome::Held)).count();
    let (style, mark) = if tried.held() { (GREEN, '✓') } else { (RED, '✗') };
    let Tried { name, title, steps, seconds } = tried;
    let (name, title) = (output::plain(name), output::plain(title));
    let mut text =
        format!("{style}{mark}{style:#} {name:<16} {title}: {held} of {} held, {seconds:.1} s\n", steps.len());
    for step in steps {
        let what = output::plain(&step.what);
        let _ = match &step.outcome {
            Outcome::Held => Ok(()),
            Outcome::Failed(why) => {
                writeln!(text, "    {RED}✗{RED:#} {what}: {}", output::plain(why).replace('\n', "\n      "))
            }
            Outcome::LeftOut(why) => writeln!(text, "    {YELLOW}–{YELLOW:#} {what}: left out: {}", output::plain(why)),
        };
    }
    text
}

/// The last line.
pub(crate) fn table(report: &Report) -> String {
    let held = report.tasks.iter().filter(|tried| tried.held()).count();
    let steps = report.tasks.iter().map(|tried| tried.steps.len()).sum::<usize>();
    let whole = if report.held() { "all held" } else { "not all held" };
    format!("{} {}: {held} of {} good, {steps} steps: {whole}", report.chapter, report.version, report.tasks.len())
}

/// A file as JUnit writes it: a suite for each task, a case for each thing that should hold.
pub(crate) fn junit(report: &Report) -> anyhow::Result<String> {
    let mut file = quick_junit::Report::new(report.chapter.clone());
    for tried in &report.tasks {
        let mut suite = TestSuite::new(format!("{}.{}", report.chapter, tried.name));
        suite.set_time(Duration::from_secs_f64(tried.seconds));
        for step in &tried.steps {
            let status = match &step.outcome {
                Outcome::Held => TestCaseStatus::success(),
                Outcome::Failed(why) => {
                    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                    status.set_message(why.clone());
                    status
                }
                Outcome::LeftOut(why) => {
                    let mut status = TestCaseStatus::skipped();
                    status.set_message(why.clone());
                    status
                }
            };
            suite.add_test_case(TestCase::new(step.what.clone(), status));
        }
        file.add_test_suite(suite);
    }
    Ok(file.to_string()?)
}
