use std::time::Duration;

use criterion::Criterion;

/// How thoroughly is measured: `HOOK_BENCH=quick` (everything in three minutes once it is built, on two cores), in full, or, after
/// `-- --test`, not at all: everything runs once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything runs once and nothing is measured.
    Smoke,
    /// Short batches, few rounds.
    Quick,
    /// What figures to publish are made with.
    Full,
}

impl Mode {
    /// As this process was asked.
    ///
    /// # Panics
    ///
    /// If `HOOK_BENCH` is set to anything but `quick` or `full`.
    pub fn asked() -> Self {
        if std::env::args().any(|arg| arg == "--test") {
            return Self::Smoke;
        }
        match std::env::var("HOOK_BENCH").as_deref() {
            Ok("quick") => Self::Quick,
            Ok("full") | Err(std::env::VarError::NotPresent) => Self::Full,
            other => panic!("HOOK_BENCH is `quick` or `full` (the default), not {other:?}"),
        }
    }

    /// Criterion, with this mode's times and the command line's filter.
    pub fn criterion(self) -> Criterion {
        let criterion = match self {
            Self::Full => timed(1_000, 2_000).sample_size(50),
            // Its analysis and its plots would take longer than what they are about.
            Self::Quick | Self::Smoke => timed(50, 150).sample_size(10).nresamples(2_000).without_plots(),
        };
        criterion.configure_from_args()
    }

    /// Rounds of a pair, and how long one side's batch of a round takes.
    pub(crate) fn rounds(self) -> (usize, Duration) {
        match self {
            Self::Full => (61, Duration::from_millis(8)),
            Self::Quick => (31, Duration::from_millis(2)),
            Self::Smoke => (1, Duration::ZERO),
        }
    }

    /// `full`, or else `quick`.
    pub fn pick<T>(self, quick: T, full: T) -> T {
        match self {
            Self::Full => full,
            Self::Quick | Self::Smoke => quick,
        }
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Quick => "quick",
            Self::Full => "full",
        }
    }
}

fn timed(warm_up: u64, measure: u64) -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(warm_up))
        .measurement_time(Duration::from_millis(measure))
}
