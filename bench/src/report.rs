//! The table of what was measured, and the same as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::figures::{median, minimum};
use crate::rows::{Goal, ROWS, Row, Source};
use crate::runner::Samples;

/// A row with what was measured for it.
struct Outcome {
    row: &'static Row,
    /// Median and minimum, or why there are none.
    measured: Result<(f64, f64), String>,
    /// The median of the rounds' ratios, where the goal is one.
    ratio: Option<f64>,
}

/// One figure, round by round.
fn values(samples: &Samples, source: Source) -> Result<Vec<f64>, String> {
    let taken = samples.get(source.0).ok_or("not chosen")?.as_ref().map_err(String::clone)?;
    taken.iter().map(|figures| figures.get(source.1).copied().ok_or(format!("no figure {}", source.1))).collect()
}

fn outcome(samples: &Samples, row: &'static Row) -> Outcome {
    let ratio = match row.goal {
        Goal::TimesAtMost(base, _) | Goal::TimesAtLeast(base, _) => ratio(samples, row.source, base),
        _ => None,
    };
    let measured = values(samples, row.source).map(|values| (median(&values), minimum(&values)));
    Outcome { row, measured, ratio }
}

fn ratio(samples: &Samples, source: Source, base: Source) -> Option<f64> {
    let (ours, theirs) = (values(samples, source).ok()?, values(samples, base).ok()?);
    let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs).collect();
    (!ratios.is_empty()).then(|| median(&ratios))
}

impl Outcome {
    /// Whether the goal was reached; none where there is no goal.
    fn met(&self, samples: &Samples) -> Option<bool> {
        if let Goal::TimesAtMost(base, _) | Goal::TimesAtLeast(base, _) = self.row.goal {
            samples.get(base.0)?; // not chosen: nothing to compare with
        }
        let measured = self.measured.as_ref().ok();
        match self.row.goal {
            Goal::None => None,
            Goal::AtMost(most) => Some(measured.is_some_and(|(median, _)| *median <= most)),
            Goal::TimesAtMost(_, most) => Some(self.ratio.is_some_and(|ratio| ratio <= most)),
            Goal::TimesAtLeast(_, least) => Some(self.ratio.is_some_and(|ratio| ratio >= least)),
        }
    }

    fn goal(&self) -> String {
        match self.row.goal {
            Goal::None => String::new(),
            Goal::AtMost(most) => format!("<= {most} {}", self.row.unit),
            Goal::TimesAtMost(base, most) => format!("<= {most} x {}", base.0),
            Goal::TimesAtLeast(base, least) => format!(">= {least} x {}", base.0),
        }
    }
}

fn outcomes(samples: &Samples) -> impl Iterator<Item = Outcome> {
    ROWS.iter().filter(|row| samples.contains_key(row.source.0)).map(|row| outcome(samples, row))
}

/// The table.
pub(crate) fn table(samples: &Samples, rounds: usize) -> String {
    let mut text =
        format!("{:<46}{:>18}{:>11}{:>9}  {:<30}\n", format!("{rounds} rounds"), "median", "minimum", "ratio", "goal");
    for outcome in outcomes(samples) {
        let ratio = outcome.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        let goal = outcome.goal();
        let verdict = match outcome.met(samples) {
            None => "",
            Some(true) => "met",
            Some(false) => "missed",
        };
        let line = match &outcome.measured {
            Ok((median, minimum)) => {
                let median = format!("{median:.2} {:<4}", outcome.row.unit);
                format!("{:<46}{median:>18}{minimum:>11.2}{ratio:>9}  {goal:<30} {verdict}", outcome.row.what)
            }
            Err(why) => {
                let why = why.lines().next().unwrap_or_default();
                format!("{:<46}not measured: {why}  {goal} {verdict}", outcome.row.what)
            }
        };
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// The same for programs: an object a row.
pub(crate) fn json(samples: &Samples, rounds: usize) -> Value {
    let rows = outcomes(samples).map(|outcome| {
        let (median, minimum, error) = match &outcome.measured {
            Ok((median, minimum)) => (Some(*median), Some(*minimum), None),
            Err(why) => (None, None, Some(why)),
        };
        json!({
            "what": outcome.row.what, "unit": outcome.row.unit, "median": median, "minimum": minimum,
            "ratio": outcome.ratio, "goal": outcome.goal(), "met": outcome.met(samples), "error": error,
        })
    });
    json!({ "rounds": rounds, "rows": rows.collect::<Vec<_>>() })
}
