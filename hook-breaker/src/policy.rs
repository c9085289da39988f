//! When a circuit opens.

use std::{
    fmt,
    panic::{RefUnwindSafe, UnwindSafe},
    sync::Arc,
    time::Duration,
};

mod window;

pub(crate) use window::Span;
pub use window::Window;

/// When a closed circuit opens: one rule, or several of which the first that applies does it.
///
/// | policy | opens | for |
/// |---|---|---|
/// | [`consecutive_failures`](Self::consecutive_failures) | after so many failures in a row | backends that are up or down; few calls; the fastest to notice |
/// | [`failure_rate`](Self::failure_rate) over [`Window::calls`] | when so large a part of the last calls failed | busy backends that always fail a little |
/// | [`failure_rate`](Self::failure_rate) over [`Window::time`] | when so large a part of the calls of the last while failed | traffic that comes and goes: old failures are forgotten |
/// | [`slow_call_rate`](Self::slow_call_rate) | when so large a part was slow | backends that hang before they fail |
/// | [`custom`](Self::custom) | when you say so | the rest |
///
/// Rules are asked after every result that could change the answer, successes included.
///
/// ```
/// use hook_breaker::{CircuitBreakerLayer, TripPolicy, Window};
/// use std::time::Duration;
///
/// let policy = TripPolicy::failure_rate(0.5, Window::calls(100).min_calls(20))
///     .or(TripPolicy::slow_call_rate(0.8, Duration::from_secs(2), Window::time(Duration::from_secs(30))))
///     .or(TripPolicy::consecutive_failures(10));
/// let layer = CircuitBreakerLayer::new().trip_when(policy);
/// ```
#[derive(Clone, Debug)]
#[must_use = "a policy does nothing until a breaker is given it"]
pub struct TripPolicy {
    /// Never empty.
    rules: Vec<Rule>,
}

/// One rule of a policy, with what it has to remember.
#[derive(Clone, Debug)]
pub(crate) enum Rule {
    /// Never zero.
    Consecutive(u32),
    Failures(f64, Window),
    SlowCalls(f64, Window),
    Custom(Judge, Window),
}

/// A user's own rule.
#[derive(Clone)]
pub(crate) struct Judge(Arc<dyn Fn(&Tally) -> bool + Send + Sync>);

/// What a window holds: the calls of it that succeeded or failed, without those ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Calls in the window.
    pub calls: u64,
    /// Those that failed.
    pub failures: u64,
    /// Those that were slow, failed or not.
    pub slow_calls: u64,
    /// Failures since the last success, in the window or before it.
    pub consecutive_failures: u32,
}

impl TripPolicy {
    /// Opens after `failures` in a row, with no success in between.
    ///
    /// # Panics
    ///
    /// If `failures` is zero.
    #[track_caller]
    pub fn consecutive_failures(failures: u32) -> Self {
        assert!(
            failures > 0,
            "A circuit needs at least one failure to open, but `consecutive_failures` was 0."
        );
        Self::of(Rule::Consecutive(failures))
    }

    /// Opens when at least this part of the calls in `window` failed, from above 0 to 1, and there are as many of
    /// them as the window [asks for](Window::min_calls).
    ///
    /// # Panics
    ///
    /// If `rate` is not a number above 0 and up to 1.
    #[track_caller]
    pub fn failure_rate(rate: f64, window: Window) -> Self {
        Self::of(Rule::Failures(sane(rate), window))
    }

    /// Opens when at least this part of the calls in `window` took `slow` or longer, failed or not. Makes the
    /// breaker read the clock at the beginning and the end of each call.
    ///
    /// # Panics
    ///
    /// If `rate` is not a number above 0 and up to 1, or `slow` is zero.
    #[track_caller]
    pub fn slow_call_rate(rate: f64, slow: Duration, window: Window) -> Self {
        Self::of(Rule::SlowCalls(sane(rate), window.slow_after(slow)))
    }

    /// Opens when `judge` says so of what is in `window`. It is asked after every call that succeeded or failed,
    /// once there are as many as the window asks for, and after the last probe of a half-open circuit, where it
    /// is told of the probes alone.
    ///
    /// No lock is held meanwhile, so it may use a handle. It is asked by one thread at a time: what comes meanwhile, from
    /// other threads or from itself, is judged with the next call. What it says of a circuit that has changed in the
    /// meantime is not heard. Should it panic, the panic goes on to whoever made the call, and
    /// a half-open circuit opens.
    pub fn custom(window: Window, judge: impl Fn(&Tally) -> bool + Send + Sync + 'static) -> Self {
        Self::of(Rule::Custom(Judge(Arc::new(judge)), window))
    }

    /// Opens when either applies.
    pub fn or(mut self, other: Self) -> Self {
        self.rules.extend(other.rules);
        self
    }

    fn of(rule: Rule) -> Self {
        Self { rules: vec![rule] }
    }

    pub(crate) fn has_custom(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule, Rule::Custom(..)))
    }

    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// From when on a call is slow to any rule, if it ever is.
    pub(crate) fn slow_after(&self) -> Option<Duration> {
        self.rules.iter().filter_map(|rule| rule.window()?.slow()).min()
    }
}

impl Default for TripPolicy {
    /// After three failures in a row.
    fn default() -> Self {
        Self::of(Rule::Consecutive(3))
    }
}

#[track_caller]
fn sane(rate: f64) -> f64 {
    assert!(
        rate > 0.0 && rate <= 1.0,
        "A rate is a part of the calls, above 0 and up to 1, but `rate` was {rate}."
    );
    rate
}

impl Rule {
    pub(crate) fn window(&self) -> Option<&Window> {
        match self {
            Self::Consecutive(_) => None,
            Self::Failures(_, window) | Self::SlowCalls(_, window) | Self::Custom(_, window) => Some(window),
        }
    }
}

impl Tally {
    /// Failures by calls, from 0 to 1; `None` where there are no calls.
    pub fn failure_rate(&self) -> Option<f64> {
        self.part(self.failures)
    }

    /// Slow calls by calls, from 0 to 1; `None` where there are no calls.
    pub fn slow_call_rate(&self) -> Option<f64> {
        self.part(self.slow_calls)
    }

    fn part(&self, part: u64) -> Option<f64> {
        // One division of whole numbers: 7 of 100 is exactly what is written 0.07.
        (self.calls > 0).then(|| part as f64 / self.calls as f64)
    }
}

// It is called through a shared reference, and its captures are its own affair.
impl UnwindSafe for Judge {}
impl RefUnwindSafe for Judge {}

impl Judge {
    pub(crate) fn ask(&self, tally: &Tally) -> bool {
        (self.0)(tally)
    }
}

// By hand: a closure is not `Debug`.
impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Judge")
    }
}
