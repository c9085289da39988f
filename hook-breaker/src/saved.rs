use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::{breaker::CircuitBreaker, config::State};

/// What a circuit knows, to be kept over the end of the process: [`CircuitBreaker::save`] and
/// [`CircuitBreaker::restore`]. For hosts whose process lives for one call, as a command's does: without it every call
/// would be a new circuit's first.
///
/// Whoever saves last wins: two processes that end together keep the results of one.
///
/// ```
/// use hook_breaker::{CircuitBreaker, SavedCircuit, State};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let breaker = CircuitBreaker::builder().consecutive_failures(2).build();
/// breaker.try_acquire()?.failure();
/// let file = serde_json::to_string(&breaker.save())?;
///
/// // Another process, another day.
/// let breaker = CircuitBreaker::builder().consecutive_failures(2).build();
/// breaker.restore(&serde_json::from_str::<SavedCircuit>(&file)?);
/// breaker.try_acquire()?.failure();
/// assert_eq!(breaker.state(), State::Open);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedCircuit {
    /// In milliseconds after 1970.
    saved_at: u64,
    pub(crate) state: State,
    /// The rest of the break, in milliseconds.
    pub(crate) rest: u64,
    pub(crate) breaks: u32,
    pub(crate) row: u32,
    /// Of a half-open circuit: whether each probe that has ended failed, and the milliseconds it took.
    pub(crate) probes: Vec<(bool, u64)>,
    pub(crate) windows: Vec<SavedWindow>,
}

/// What one rule remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SavedWindow {
    /// Nothing but the failures in a row.
    None,
    /// A letter for each call, the oldest first: `.` for a success, `s` for a slow one, `F` for a failure, `X` for a
    /// slow one.
    Calls(String),
    /// How many milliseconds ago each bucket began, and its calls, failures and slow calls.
    Time(Vec<(u64, u32, u32, u32)>),
}

impl SavedCircuit {
    pub(crate) fn new(at: SystemTime, state: State) -> Self {
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            saved_at: millis(since),
            state,
            rest: 0,
            breaks: 0,
            row: 0,
            probes: Vec::new(),
            windows: Vec::new(),
        }
    }

    /// How old it is; none at all where the clock was set back meanwhile.
    fn age(&self, at: SystemTime) -> Duration {
        let saved_at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(self.saved_at));
        saved_at
            .and_then(|saved_at| at.duration_since(saved_at).ok())
            .unwrap_or_default()
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Keeping a circuit over the end of the process.
impl CircuitBreaker {
    /// What the circuit knows, for [`restore`](Self::restore). Calls under way are not in it, nor are the totals.
    pub fn save(&self) -> SavedCircuit {
        self.save_at(SystemTime::now())
    }

    /// Like [`save`](Self::save), where the wall clock is not the system's.
    pub fn save_at(&self, at: SystemTime) -> SavedCircuit {
        self.gate()
            .look(|circuit, _, word, now| circuit.save(word, at, now))
    }

    /// Takes up where `saved` left off: the state, the rest of the break less the time that has gone by, and what is in
    /// the windows of rules that are at the same place in the policy and of the same kind; others begin empty. Probes
    /// that were under way give their slots back.
    ///
    /// It begins a new generation, and is neither a transition nor an event; unless what was saved of probes is a verdict
    /// by the policy of now, which then is pronounced.
    pub fn restore(&self, saved: &SavedCircuit) {
        self.restore_at(saved, SystemTime::now());
    }

    /// Like [`restore`](Self::restore), where the wall clock is not the system's.
    pub fn restore_at(&self, saved: &SavedCircuit, at: SystemTime) {
        let age = saved.age(at);
        self.gate()
            .change(|circuit, word, now| circuit.restore(word, saved, age, now));
    }
}
