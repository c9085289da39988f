//! How many retries there may be in all, whatever each call would like.

use std::{
    fmt, ptr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use hook_monitor::{Clock, Counters};

use self::window::{Allowance, Window};
use crate::shared::{Cell, Hold};

mod window;

/// A limit on the retries of many calls together: so many for each hundred calls, and a few in any case.
///
/// When a backend is down, every call fails and every call is worth a retry; three retries each are four times
/// the load on what is down. A budget looks at the calls of the last ten seconds, and lets no more than a share
/// of them be retried: with the default of a fifth, a backend never sees more than 1.2 times its load. A call
/// that the budget refuses a retry ends at once with the result it has.
///
/// Every policy has a budget of its own unless told otherwise, and all clones of the policy, and the services of
/// its layers, share it. Give a clone to other policies to share it with those:
///
/// ```
/// use hook_retry::{Budget, RetryPolicy};
///
/// // Reads and writes go to the same database, which does not care which of them is retried.
/// let budget = Budget::new().ratio(0.1);
/// let reads = RetryPolicy::new().retries(3).budget(budget.clone());
/// let writes = RetryPolicy::new().retries(1).budget(budget);
/// ```
///
/// What was refused without asking the backend (an open circuit, a full pool; see [`Verdict::Refused`]) is
/// retried for free.
///
/// # Exactness
///
/// Within a window, retries are at most `ratio` times the calls, rounded down, or `floor` if that is more: not
/// one above it, whichever threads ask. The window moves in tenths. A call is counted when it begins, for about
/// half a nanosecond and without a look at the clock; so calls that came between two failures count as evenly
/// spread over the time between these, and for nothing where that is longer than the window: then the floor is what
/// there is, until the calls that follow have earned more.
///
/// [`Verdict::Refused`]: crate::Verdict::Refused
#[derive(Clone)]
#[must_use]
pub struct Budget {
    inner: Arc<Inner>,
}

struct Inner {
    allowance: Allowance,
    span: Duration,
    /// Calls that no layer counts.
    calls: Counters<1>,
    /// Where the window counts time from.
    origin: Instant,
    state: Mutex<State>,
}

struct State {
    window: Window,
    /// Layers count the calls they hold. They are not counted again here, but looked up when there is need.
    layers: Vec<Source>,
    /// The calls of layers that are gone.
    gone: u64,
}

/// A layer, and how many calls there had been where it counts before it came.
struct Source {
    hold: Hold,
    before: u64,
}

impl Budget {
    const FLOOR: u32 = 10;
    const RATIO: f64 = 0.2;
    const SPAN: Duration = Duration::from_secs(10);

    /// A retry for each five calls of the last 10 s, and at least 10 in 10 s.
    pub fn new() -> Self {
        Self::of(Allowance::new(Self::RATIO, Self::FLOOR), Self::SPAN)
    }

    fn of(allowance: Allowance, span: Duration) -> Self {
        Self {
            inner: Arc::new(Inner {
                allowance,
                span,
                calls: Counters::new(),
                origin: Clock::tokio().now(),
                state: Mutex::new(State {
                    window: Window::new(span),
                    layers: Vec::new(),
                    gone: 0,
                }),
            }),
        }
    }

    /// Retries for each call: 0.2 is one for five. Kept to a millionth. Default: 0.2.
    ///
    /// Begins anew: use it before the budget is shared.
    ///
    /// # Panics
    ///
    /// If `ratio` is negative, above 1,000 or not a number.
    #[track_caller]
    pub fn ratio(self, ratio: f64) -> Self {
        assert!(
            (0.0..=1_000.0).contains(&ratio),
            "The ratio of a retry budget must be from 0 to 1000 retries for each call, but it was {ratio}."
        );
        Self::of(self.inner.allowance.with_ratio(ratio), self.inner.span)
    }

    /// Retries in a window that are allowed however few calls there are. Default: 10.
    ///
    /// Without it, who calls once a minute could never retry. It is no addition to the ratio: the larger of the
    /// two counts. Begins anew: use it before the budget is shared.
    pub fn floor(self, floor: u32) -> Self {
        Self::of(self.inner.allowance.with_floor(floor), self.inner.span)
    }

    /// How long a call counts. Default: 10 s.
    ///
    /// What was not spent in that time is lost, so a day without a failure is no credit for the day after.
    /// Begins anew: use it before the budget is shared.
    ///
    /// # Panics
    ///
    /// If `span` is below a millisecond.
    #[track_caller]
    pub fn window(self, span: Duration) -> Self {
        assert!(
            span >= Duration::from_millis(1),
            "The window of a retry budget must be a millisecond or more, but it was {span:?}."
        );
        Self::of(self.inner.allowance, span)
    }

    /// Counts a call that may be retried. Layers, and [`RetryPolicy::run`](crate::RetryPolicy::run), do this
    /// themselves; it is for retries of your own that share a budget with them.
    #[inline]
    pub fn deposit(&self) {
        self.inner.calls.add(0, 1);
    }

    /// Takes a retry out of the budget, if there is one left: for retries of your own.
    ///
    /// ```
    /// use hook_retry::Budget;
    ///
    /// let budget = Budget::new().ratio(0.5).floor(0);
    /// budget.deposit();
    /// assert!(budget.withdraw().is_none());
    /// budget.deposit();
    /// let retry = budget.withdraw().expect("two calls are worth one retry");
    /// drop(retry); // changed our mind: it goes back
    /// budget.withdraw().expect("it is there again").spend();
    /// assert!(budget.withdraw().is_none());
    /// ```
    pub fn withdraw(&self) -> Option<Withdrawal> {
        self.withdraw_at(Clock::tokio().now())
    }

    pub(crate) fn withdraw_at(&self, now: Instant) -> Option<Withdrawal> {
        let slot = self.looked_at(now).window.withdraw(self.inner.allowance)?;
        Some(Withdrawal {
            budget: Some((self.clone(), slot)),
        })
    }

    /// How many retries could be made now.
    pub fn left(&self) -> u64 {
        let state = self.looked_at(Clock::tokio().now());
        state.window.left(self.inner.allowance)
    }

    /// The calls that begin at `hold` count from now on.
    pub(crate) fn attach(&self, hold: Hold) {
        let before = hold.stats.begun();
        self.inner.lock().layers.push(Source { hold, before });
    }

    /// None begins there any more.
    pub(crate) fn detach(&self, cell: &Cell) {
        let mut state = self.inner.lock();
        let place = state.layers.iter().position(|layer| ptr::eq(&*layer.hold, cell));
        if let Some(layer) = place.map(|place| state.layers.swap_remove(place)) {
            state.gone += layer.calls();
        }
    }

    /// The window as of `now`.
    fn looked_at(&self, now: Instant) -> MutexGuard<'_, State> {
        let since = now.saturating_duration_since(self.inner.origin);
        let mut state = self.inner.lock();
        let held: u64 = state.layers.iter().map(Source::calls).sum();
        let total = self.inner.calls.get(0) + state.gone + held;
        state.window.look(since, total);
        state
    }
}

impl Source {
    fn calls(&self) -> u64 {
        self.hold.stats.begun().wrapping_sub(self.before)
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("ratio", &self.inner.allowance.ratio())
            .field("floor", &self.inner.allowance.floor())
            .field("window", &self.inner.span)
            .field("left", &self.left())
            .finish()
    }
}

/// A retry taken out of a [`Budget`]. It goes back when this is dropped, unless it was [spent](Self::spend).
///
/// So a call that is dropped in its wait costs nothing.
#[derive(Debug)]
#[must_use = "it goes back to the budget when dropped"]
pub struct Withdrawal {
    budget: Option<(Budget, u64)>,
}

impl Withdrawal {
    /// The retry was made.
    pub fn spend(mut self) {
        self.budget = None;
    }
}

impl Drop for Withdrawal {
    #[inline(never)]
    fn drop(&mut self) {
        if let Some((budget, slot)) = self.budget.take() {
            budget.inner.lock().window.put_back(slot);
        }
    }
}

#[cfg(test)]
mod tests;
