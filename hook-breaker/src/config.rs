use std::{fmt, time::Duration};

/// What the circuit is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Calls go through; failures in a row are counted.
    Closed,
    /// Calls are refused until the break is over.
    Open,
    /// A bounded number of calls goes through to probe; the rest is refused.
    HalfOpen,
}

impl State {
    /// The state in lower case, as it stands in metric labels: `closed`, `open`, `half_open`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
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

impl Default for DroppedCall {
    /// [`FailureIfOlderThan`](DroppedCall::FailureIfOlderThan) 100 ms.
    ///
    /// Whoever changes his mind does so at once, the loser of a race say; whoever gives up waiting
    /// has waited. A tenth of a second is below nearly every timeout between machines, so these trip
    /// the circuit; and a wrong guess is cheap, because one success starts the count again.
    fn default() -> Self {
        Self::FailureIfOlderThan(Duration::from_millis(100))
    }
}

/// The figures a circuit is run by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Never zero.
    pub(crate) consecutive_failures: u32,
    /// At most [`Settings::CENTURY`], so that it can be added to any `Instant`.
    pub(crate) open_for: Duration,
    /// Never zero, and at most [`Settings::MOST_PROBES`].
    pub(crate) probes: u32,
    /// Never zero.
    pub(crate) probe_lease: Duration,
    pub(crate) dropped_call: DroppedCall,
}

impl Settings {
    /// The probes under way are gone through one by one, under the lock.
    pub(crate) const MOST_PROBES: u32 = 1_024;

    pub(crate) const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            consecutive_failures: 3,
            open_for: Duration::from_secs(60),
            probes: 5,
            // Not tied to `open_for`: a short break says nothing about how long a sound call takes.
            probe_lease: Duration::from_secs(30),
            dropped_call: DroppedCall::default(),
        }
    }
}
