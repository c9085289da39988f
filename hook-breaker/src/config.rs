use std::{fmt, time::Duration};

use crate::{open_for::OpenFor, policy::TripPolicy};

/// What the circuit is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "snake_case")
)]
#[non_exhaustive]
pub enum State {
    /// Calls go through and are judged.
    Closed,
    /// Calls are refused until the break is over.
    Open,
    /// A bounded number of calls goes through to probe; the rest is refused.
    HalfOpen,
    /// Opened by hand: calls are refused until somebody says otherwise.
    ForcedOpen,
    /// Switched off by hand: calls go through and nothing is counted.
    Disabled,
    /// By hand: calls go through and are judged, and the circuit only says when it would have opened.
    MetricsOnly,
}

impl State {
    /// Every state, in the order of the table on the [crate page](crate).
    pub const ALL: [Self; 6] = [
        Self::Closed,
        Self::Open,
        Self::HalfOpen,
        Self::ForcedOpen,
        Self::Disabled,
        Self::MetricsOnly,
    ];

    /// The state in lower case, as it stands in metric labels: `closed`, `open`, `half_open`, `forced_open`,
    /// `disabled`, `metrics_only`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::ForcedOpen => "forced_open",
            Self::Disabled => "disabled",
            Self::MetricsOnly => "metrics_only",
        }
    }

    /// `Disabled` as it stands in a word.
    pub(crate) const DISABLED: u64 = 2;

    /// Whether every call that asks is let in.
    #[inline]
    pub const fn lets_in(self) -> bool {
        matches!(self, Self::Closed | Self::Disabled | Self::MetricsOnly)
    }

    /// Whether results of ordinary calls, which are no probes, are judged.
    #[inline]
    pub(crate) const fn judges(self) -> bool {
        matches!(self, Self::Closed | Self::MetricsOnly)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a call counts as when it is dropped before it has a result.
///
/// A timeout that stands *outside* the breaker ends a call by dropping its future; so does a caller
/// who has lost interest. The breaker cannot see which it was, only how long the call had been
/// waiting.
///
/// # Age
///
/// The age of a call runs from the moment its future first returns `Pending`, whether or not the
/// classifier looks at the time; a future that was never polled, or is dropped before it ever had to
/// wait, has no age and is never old. For a [`Permit`](crate::Permit) taken by hand the age runs from
/// `try_acquire`.
///
/// # Default
///
/// [`FailureIfOlderThan`](DroppedCall::FailureIfOlderThan) the time after which the breaker's policy calls a call
/// slow, or 100 ms if it has no such time. Whoever changes his mind does so at once, the loser of a race say;
/// whoever gives up waiting has waited. A tenth of a second is below nearly every timeout between machines, so
/// these trip the circuit; and a wrong guess is cheap, because one success starts the count again.
///
/// # Around a client, around a route
///
/// Around a client, the one who drops is mostly a timeout, and the default is made for that. Around a
/// server's route it is whoever sent the request, when he hangs up: his impatience says nothing about
/// the route, and with the default three of him would close it to everybody. Say
/// [`Neutral`](DroppedCall::Neutral) there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DroppedCall {
    /// It says nothing. A probe gives its slot back.
    Neutral,
    /// It failed.
    Failure,
    /// It failed if it was at least this old, and says nothing otherwise.
    FailureIfOlderThan(Duration),
}

/// What follows when a half-open circuit has come to no verdict in the time it was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AfterWait {
    /// It opens again, as after a failed probe.
    #[default]
    Open,
    /// It closes, as if the probes had succeeded.
    Close,
}

/// The figures a circuit is run by.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) trip: TripPolicy,
    pub(crate) open_for: OpenFor,
    /// Never zero, and at most [`Settings::MOST_PROBES`].
    pub(crate) probes: u32,
    /// Never zero.
    pub(crate) probe_lease: Duration,
    pub(crate) half_open_wait: Option<Duration>,
    pub(crate) after_wait: AfterWait,
    /// `None`: by the policy's slow calls, see [`DroppedCall`].
    pub(crate) dropped_call: Option<DroppedCall>,
}

impl Settings {
    /// The probes under way are gone through one by one, under the lock.
    pub(crate) const MOST_PROBES: u32 = 1_024;

    /// What can be added to any `Instant`.
    pub(crate) const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

    const IMPATIENCE: Duration = Duration::from_millis(100);

    pub(crate) fn dropped_call(&self) -> DroppedCall {
        let limit = self.trip.slow_after().unwrap_or(Self::IMPATIENCE);
        self.dropped_call
            .unwrap_or(DroppedCall::FailureIfOlderThan(limit))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            trip: TripPolicy::default(),
            open_for: OpenFor::default(),
            probes: 5,
            // Not tied to `open_for`: a short break says nothing about how long a sound call takes.
            probe_lease: Duration::from_secs(30),
            half_open_wait: None,
            after_wait: AfterWait::default(),
            dropped_call: None,
        }
    }
}
