use std::time::Duration;

use crate::config::Settings;

/// The calls a rate is taken over: the last so many, or those of the last while.
///
/// It slides: with every call, or with every tenth of its length (see [`buckets`](Window::buckets)). It costs the same
/// for each call however many it holds, and its size in memory does not depend on the traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a window does nothing until a policy is given it"]
pub struct Window {
    span: Span,
    min_calls: Option<u32>,
    slow_after: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    /// So many calls. Never zero.
    Calls(u32),
    /// So long, in so many parts. Neither is zero.
    Time(Duration, u32),
}

impl Window {
    /// A window holds at most this many calls: a quarter of a megabyte.
    pub const MOST_CALLS: u32 = 1 << 20;
    /// A window has at most this many parts.
    pub const MOST_BUCKETS: u32 = 1_024;

    /// What is expected where nothing is said: the request volume threshold of Hystrix.
    const MIN_CALLS: u32 = 20;

    /// The last `calls` calls that succeeded or failed.
    ///
    /// # Panics
    ///
    /// If `calls` is zero or more than [`MOST_CALLS`](Self::MOST_CALLS).
    #[track_caller]
    pub fn calls(calls: u32) -> Self {
        assert!(
            (1..=Self::MOST_CALLS).contains(&calls),
            "A window holds 1 to 1,048,576 calls, but `calls` was {calls}."
        );
        Self::of(Span::Calls(calls))
    }

    /// The calls that succeeded or failed in the last `length` of time, at most a century. Its oldest tenth leaves
    /// as a whole: a call counts for at least nine tenths of `length`, and never for longer than `length`.
    ///
    /// Each call costs a look at the clock; `coarse_clock()` makes that cheap.
    ///
    /// # Panics
    ///
    /// If `length` is zero.
    #[track_caller]
    pub fn time(length: Duration) -> Self {
        assert!(!length.is_zero(), "A window lasts some time, but `length` was 0.");
        Self::of(Span::Time(length.min(Settings::CENTURY), 10))
    }

    /// A rate is no rate before there are so many calls in the window. Default: 20, or the size of a window of
    /// fewer calls.
    ///
    /// # Panics
    ///
    /// If `min_calls` is zero, or more than a window of calls can hold.
    #[track_caller]
    pub fn min_calls(mut self, min_calls: u32) -> Self {
        assert!(
            min_calls > 0,
            "There is no rate of no calls at all, but `min_calls` was 0."
        );
        if let Span::Calls(calls) = self.span {
            assert!(
                min_calls <= calls,
                "A window of {calls} calls never holds more, but `min_calls` was {min_calls}."
            );
        }
        self.min_calls = Some(min_calls);
        self
    }

    /// In how many parts a window of time slides. Default: 10. Makes no difference to a window of calls.
    ///
    /// # Panics
    ///
    /// If `buckets` is zero or more than [`MOST_BUCKETS`](Self::MOST_BUCKETS).
    #[track_caller]
    pub fn buckets(mut self, buckets: u32) -> Self {
        assert!(
            (1..=Self::MOST_BUCKETS).contains(&buckets),
            "A window slides in 1 to 1,024 parts, but `buckets` was {buckets}."
        );
        if let Span::Time(length, _) = self.span {
            self.span = Span::Time(length, buckets);
        }
        self
    }

    /// Calls that took this long or longer are slow, for [`TripPolicy::custom`](crate::TripPolicy::custom).
    ///
    /// # Panics
    ///
    /// If `slow` is zero.
    #[track_caller]
    pub fn slow_after(mut self, slow: Duration) -> Self {
        assert!(!slow.is_zero(), "Every call takes some time, but `slow` was 0.");
        self.slow_after = Some(slow);
        self
    }

    fn of(span: Span) -> Self {
        Self {
            span,
            min_calls: None,
            slow_after: None,
        }
    }

    pub(crate) fn span(&self) -> Span {
        self.span
    }

    pub(crate) fn slow(&self) -> Option<Duration> {
        self.slow_after
    }

    /// As many calls as it takes for a rate.
    pub(crate) fn enough(&self) -> u64 {
        u64::from(match (self.min_calls, self.span) {
            (Some(min_calls), _) => min_calls,
            (None, Span::Calls(calls)) => Self::MIN_CALLS.min(calls),
            (None, Span::Time(..)) => Self::MIN_CALLS,
        })
    }
}
