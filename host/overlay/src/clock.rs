//! The time by which leases are renewed. Tests set it forward; etcd's own time does not follow.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The time, and how far it was set forward.
#[derive(Clone, Debug, Default)]
pub struct Clock(Option<watch::Receiver<Duration>>);

impl Clock {
    /// A clock that goes with the machine's until it is set forward by what is sent.
    pub fn adjustable() -> (watch::Sender<Duration>, Self) {
        let (hand, ahead) = watch::channel(Duration::ZERO);
        (hand, Clock(Some(ahead)))
    }

    /// The moment that is so far away from now.
    pub(crate) fn after(&self, time: Duration) -> Instant {
        Instant::now() + self.0.as_ref().map_or(Duration::ZERO, |ahead| *ahead.borrow()) + time
    }

    /// Waits for a moment. Cancel safe.
    pub(crate) async fn until(&self, moment: Instant) {
        let Some(mut ahead) = self.0.clone() else { return sleep_until(moment).await };
        loop {
            let set_by = *ahead.borrow_and_update();
            let moment = moment.checked_sub(set_by).unwrap_or_else(Instant::now);
            tokio::select! {
                () = sleep_until(moment) => return,
                set = ahead.changed() => if set.is_err() { return sleep_until(moment).await },
            }
        }
    }
}
