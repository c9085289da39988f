//! Protection against hooks that never stop: how often each may run, and how much text a session may be told.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{error::HookError, request::HookRequest};

/// The sessions that are remembered; of more, the one that was quiet the longest is forgotten.
const SESSIONS: usize = 1_024;
/// A session's name as long as this is not a session's name.
const NAME: usize = 256;
const MINUTE: Duration = Duration::from_secs(60);

/// What all hooks of a manager share.
#[derive(Debug)]
pub(crate) struct Runaway {
    max_context: u64,
    /// By the hook's number.
    minutes: Vec<Mutex<Minute>>,
    sessions: Mutex<Sessions>,
}

#[derive(Debug, Default)]
struct Sessions {
    by_name: HashMap<Box<str>, Session>,
    /// Grows with each use.
    clock: u64,
}

#[derive(Debug, Default)]
struct Session {
    last_used: u64,
    counts: Counts,
    /// What of it the saved state knows.
    saved: Counts,
}

/// What happened in one session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// By the hook's number.
    pub(crate) runs: Vec<u32>,
    /// Bytes.
    pub(crate) context: u64,
}

/// One hook's limits.
#[derive(Debug)]
pub(crate) struct Gauge {
    all: Arc<Runaway>,
    number: usize,
    per_minute: u32,
    per_session: u32,
}

/// Two minutes side by side: of the last one counts what has not slid out yet.
#[derive(Debug, Default)]
struct Minute {
    began: Option<Instant>,
    last: u32,
    this: u32,
    /// Runs that the saved state does not know.
    fresh: u32,
}

impl Runaway {
    pub(crate) fn new(max_context: u64, hooks: usize) -> Arc<Self> {
        Arc::new(Self {
            max_context,
            minutes: (0..hooks).map(|_| Mutex::default()).collect(),
            sessions: Mutex::default(),
        })
    }

    /// Books text for the session's context; `false` if it would be too much.
    pub(crate) fn book_context(&self, req: &HookRequest, bytes: usize) -> bool {
        let Some(name) = session(req) else { return true };
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = &mut sessions.of(name).counts;
        let sum = counts.context.saturating_add(bytes as u64);
        let fits = sum <= self.max_context;
        if fits {
            counts.context = sum;
        }
        fits
    }

    /// A hook's runs that are not [saved](Self::saved) yet.
    pub(crate) fn fresh_runs(&self, number: usize) -> u32 {
        self.minute(number).fresh
    }

    /// Goes on in the middle of a minute: so long after it began, with so many runs in the one before and in this.
    pub(crate) fn restore_minute(&self, number: usize, gone: Duration, last: u32, this: u32) {
        *self.minute(number) = Minute {
            began: Instant::now().checked_sub(gone),
            last,
            this,
            fresh: 0,
        };
    }

    /// What happened in each session and is not [saved](Self::saved) yet.
    pub(crate) fn fresh_sessions(&self) -> Vec<(String, Counts)> {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = sessions
            .by_name
            .iter()
            .filter(|(_, session)| session.counts != session.saved);
        changed
            .map(|(name, session)| (name.to_string(), session.counts.since(&session.saved)))
            .collect()
    }

    /// What was fresh is in the state now.
    pub(crate) fn saved(&self, runs: &[(usize, u32)], fresh: Vec<(String, Counts)>) {
        for (number, runs) in runs {
            let mut minute = self.minute(*number);
            minute.fresh = minute.fresh.saturating_sub(*runs);
        }
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, fresh) in fresh {
            if let Some(session) = sessions.by_name.get_mut(&*name) {
                session.saved.add(&fresh);
            }
        }
    }

    /// Goes on with a session.
    pub(crate) fn restore_session(&self, name: &str, counts: Counts) {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let session = sessions.of(name);
        session.saved = counts.clone();
        session.counts = counts;
    }

    fn minute(&self, number: usize) -> MutexGuard<'_, Minute> {
        self.minutes[number]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn max_context(&self) -> u64 {
        self.max_context
    }
}

impl Counts {
    /// What came on top of `before`.
    fn since(&self, before: &Self) -> Self {
        let before_runs = before.runs.iter().copied().chain(std::iter::repeat(0));
        let runs = self.runs.iter().zip(before_runs);
        Self {
            runs: runs.map(|(now, before)| now.saturating_sub(before)).collect(),
            context: self.context.saturating_sub(before.context),
        }
    }

    fn add(&mut self, more: &Self) {
        if self.runs.len() < more.runs.len() {
            self.runs.resize(more.runs.len(), 0);
        }
        for (runs, more) in self.runs.iter_mut().zip(&more.runs) {
            *runs = runs.saturating_add(*more);
        }
        self.context = self.context.saturating_add(more.context);
    }
}

impl Sessions {
    fn of(&mut self, name: &str) -> &mut Session {
        self.clock += 1;
        if !self.by_name.contains_key(name) {
            if self.by_name.len() >= SESSIONS {
                let quiet = self.by_name.iter().min_by_key(|(_, session)| session.last_used);
                if let Some(quiet) = quiet.map(|(name, _)| name.clone()) {
                    self.by_name.remove(&quiet);
                }
            }
            self.by_name.insert(name.into(), Session::default());
        }
        let clock = self.clock;
        let session = self.by_name.entry(name.into()).or_default();
        session.last_used = clock;
        session
    }
}

fn session(req: &HookRequest) -> Option<&str> {
    req.field("/session_id")
        .filter(|name| !name.is_empty() && name.len() <= NAME)
}

impl Gauge {
    pub(crate) fn new(all: &Arc<Runaway>, number: usize, per_minute: u32, per_session: u32) -> Self {
        Self {
            all: Arc::clone(all),
            number,
            per_minute,
            per_session,
        }
    }

    /// Counts one run, unless it would be one too many.
    pub(crate) fn admit(&self, req: &HookRequest) -> Result<(), HookError> {
        let runs = self
            .all
            .minute(self.number)
            .admit(Instant::now(), self.per_minute);
        if let Err(runs) = runs {
            let why = format!(
                "{runs} runs in the last minute; expected at most {} (max_runs_per_minute)",
                self.per_minute
            );
            return Err(HookError::Runaway(why.into()));
        }
        let Some(name) = session(req) else { return Ok(()) };
        let mut sessions = self.all.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let runs = &mut sessions.of(name).counts.runs;
        if runs.len() <= self.number {
            runs.resize(self.number + 1, 0);
        }
        if runs[self.number] >= self.per_session {
            let why = format!(
                "{} runs in this session, the most it may (max_runs_per_session)",
                self.per_session
            );
            return Err(HookError::Runaway(why.into()));
        }
        runs[self.number] += 1;
        Ok(())
    }
}

impl Minute {
    /// Or says how many runs there were.
    fn admit(&mut self, now: Instant, most: u32) -> Result<(), u32> {
        let began = *self.began.get_or_insert(now);
        let gone = now.saturating_duration_since(began);
        if gone >= MINUTE {
            self.last = if gone >= 2 * MINUTE { 0 } else { self.this };
            self.this = 0;
            self.began = Some(now - Duration::from_nanos((gone.as_nanos() % MINUTE.as_nanos()) as u64));
        }
        let began = self.began.unwrap_or(now);
        let still = 1.0 - (now - began).as_secs_f64() / MINUTE.as_secs_f64();
        let runs = f64::from(self.last) * still + f64::from(self.this);
        if runs >= f64::from(most) {
            return Err(runs as u32);
        }
        self.this += 1;
        self.fresh += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::HookEvent;

    fn of_session(name: &str) -> HookRequest {
        HookRequest::new(HookEvent::Stop, json!({ "session_id": name })).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_minute_slides() {
        let gauge = Gauge::new(&Runaway::new(1, 1), 0, 10, u32::MAX);
        let req = of_session("a");
        let admitted = |gauge: &Gauge| (0..20).filter(|_| gauge.admit(&req).is_ok()).count();
        assert_eq!(admitted(&gauge), 10);
        tokio::time::advance(Duration::from_secs(90)).await;
        assert_eq!(admitted(&gauge), 5, "half of them are less than a minute ago");
        tokio::time::advance(Duration::from_secs(300)).await;
        assert_eq!(admitted(&gauge), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_has_its_own_count_and_a_million_sessions_take_no_memory() {
        let all = Runaway::new(100, 4);
        let gauge = Gauge::new(&all, 3, u32::MAX, 2);
        let admitted = |name: &str| (0..5).filter(|_| gauge.admit(&of_session(name)).is_ok()).count();
        assert_eq!((admitted("a"), admitted("b"), admitted("a")), (2, 2, 0));
        for n in 0..(2 * SESSIONS) {
            gauge.admit(&of_session(&n.to_string())).unwrap();
        }
        assert_eq!(all.sessions.lock().unwrap().by_name.len(), SESSIONS);
    }

    #[tokio::test(start_paused = true)]
    async fn context_is_booked_until_the_session_has_had_enough() {
        let all = Runaway::new(100, 4);
        let fits = |bytes| all.book_context(&of_session("a"), bytes);
        assert_eq!(
            (fits(60), fits(60), fits(40), fits(1)),
            (true, false, true, false)
        );
        assert!(all.book_context(&of_session("b"), 100));
    }
}
