use crate::Status;

/// Turns single results into a status that does not flap. Pure: no clock, no lock.
///
/// Two failures in a row make it unhealthy, one pass after that degraded, two passes healthy. The
/// first result of all is believed: a check that passes at once is healthy at once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Judge {
    status: Option<Status>,
    failures: u32,
    passes: u32,
}

const FAILURES: u32 = 2;
const PASSES: u32 = 2;

impl Judge {
    pub(super) fn on_result(&mut self, result: Status) -> Status {
        let first = self.status.is_none();
        let status = match result {
            Status::Healthy => {
                self.failures = 0;
                self.passes = self.passes.saturating_add(1);
                let settled = first || self.status == Some(Status::Healthy);
                if settled || self.passes >= PASSES {
                    Status::Healthy
                } else {
                    Status::Degraded
                }
            }
            Status::Degraded => {
                (self.failures, self.passes) = (0, 0);
                Status::Degraded
            }
            Status::Unhealthy => {
                self.passes = 0;
                self.failures = self.failures.saturating_add(1);
                let down = self.status == Some(Status::Unhealthy) || self.failures >= FAILURES;
                if down { Status::Unhealthy } else { Status::Degraded }
            }
        };
        self.status = Some(status);
        status
    }

    /// `None` until there is a first result.
    pub(super) fn status(&self) -> Option<Status> {
        self.status
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Status::{Degraded as D, Healthy as H, Unhealthy as U};

    #[test]
    fn two_failures_are_unhealthy_one_pass_degraded_two_passes_healthy() {
        for (results, statuses) in [
            (&[H][..], &[H][..]),
            (&[U, U, U], &[D, U, U]),
            (&[H, U, H, H, U, U], &[H, D, D, H, D, U]),
            (&[U, U, H, H, H], &[D, U, D, H, H]),
            (&[U, U, H, U, U], &[D, U, D, D, U]),
            (&[U, U, D, H, H], &[D, U, D, D, H]),
            (&[D, H, H], &[D, D, H]),
            (&[U, D, U, U], &[D, D, D, U]),
            (&[H, U, H, U, H, U], &[H, D, D, D, D, D]),
        ] {
            let mut judge = Judge::default();
            assert_eq!(judge.status(), None);
            let seen: Vec<_> = results.iter().map(|&result| judge.on_result(result)).collect();
            assert_eq!(seen, statuses, "{results:?}");
        }
    }
}
