//! What a person sees while the emulator works: a bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use knetsim_model::{Event, untrusted};

use crate::output;

/// Says on standard error what happened; steps of a longer operation are left out.
pub(crate) fn report(event: &Event) {
    match event {
        Event::Progress { what, done, total } => tracing::info!("{what} ({done}/{total})"),
        Event::DaemonEnded { node, daemon, how } => output::warning(&format!("{node}: {daemon}: {how}")),
        Event::Warning { message } => output::warning(message),
        Event::Created { .. } | Event::Changed { .. } | Event::Deleted { .. } => {
            outcome(event).iter().for_each(|outcome| output::say(format_args!("{outcome}")));
        }
    }
}

/// What became of an object, where the event says that.
pub(crate) fn outcome(event: &Event) -> Option<String> {
    match event {
        Event::Created { kind, name } => Some(format!("{kind} {name} created")),
        Event::Changed { kind, name } => Some(format!("{kind} {name} changed")),
        Event::Deleted { kind, name } => Some(format!("{kind} {name} deleted")),
        _ => None,
    }
}

/// The steps of one long operation.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    /// Whether each object is named, too.
    objects: bool,
}

impl Progress {
    /// Begins to show them; with `objects`, what was created and deleted stays to be read.
    pub(crate) fn begin(what: &str, objects: bool) -> Progress {
        let bar = std::io::stderr().is_terminal().then(ProgressBar::new_spinner);
        if let Some(bar) = &bar {
            if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {pos}/{len}") {
                bar.set_style(style);
            }
            bar.set_message(untrusted::words(what));
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        Progress { bar, objects }
    }

    /// Shows an event: steps move the bar, warnings stay above it.
    pub(crate) fn show(&self, event: &Event) {
        match (event, &self.bar) {
            (Event::Progress { what, done, total }, Some(bar)) => {
                bar.set_length(u64::from(*total));
                bar.set_position(u64::from(*done));
                bar.set_message(untrusted::words(what));
            }
            (Event::Progress { what, done, total }, None) => output::say(format_args!("[{done}/{total}] {what}")),
            (Event::Created { .. } | Event::Changed { .. } | Event::Deleted { .. }, _) if !self.objects => {}
            (other, Some(bar)) => bar.suspend(|| report(other)),
            (other, None) => report(other),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
