use std::fmt;

/// Why a circuit went from one state to another.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Cause {
    /// So many calls in a row failed.
    ConsecutiveFailures {
        /// How many.
        failures: u32,
    },
    /// Too large a part of the calls failed.
    FailureRate {
        /// Failures by calls, from 0 to 1.
        rate: f64,
    },
    /// Too large a part of the calls, or of the probes, was slow.
    SlowCallRate {
        /// Slow calls by calls, from 0 to 1.
        rate: f64,
    },
    /// A [custom](crate::TripPolicy::custom) rule said so.
    Custom,
    /// The break is over, and a call has asked to come in.
    BreakOver,
    /// As many probes succeeded as it takes.
    ProbesSucceeded,
    /// Probes failed.
    ProbesFailed {
        /// How many of this half-open circuit's.
        failed: u32,
    },
    /// A probe took longer than its lease.
    ProbeOverdue,
    /// There was no verdict in the time a circuit may be half-open.
    HalfOpenTooLong,
    /// Somebody did it through the handle.
    ByHand,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConsecutiveFailures { failures } => write!(f, "{failures} failures in a row"),
            Self::FailureRate { rate } => write!(f, "{:.1} % failed", rate * 100.0),
            Self::SlowCallRate { rate } => write!(f, "{:.1} % slow", rate * 100.0),
            Self::Custom => f.write_str("a custom rule"),
            Self::BreakOver => f.write_str("the break is over"),
            Self::ProbesSucceeded => f.write_str("the probes succeeded"),
            Self::ProbesFailed { failed: 1 } => f.write_str("a probe failed"),
            Self::ProbesFailed { failed } => write!(f, "{failed} probes failed"),
            Self::ProbeOverdue => f.write_str("a probe is overdue"),
            Self::HalfOpenTooLong => f.write_str("half-open for too long"),
            Self::ByHand => f.write_str("by hand"),
        }
    }
}
