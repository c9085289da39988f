//! Protection against hooks that never stop: how often each may run, and how much text a session may be told.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
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
    /// By the hook's number.
    runs: Vec<u32>,
    context: u64,
}

/// One hook's limits.
#[derive(Debug)]
pub(crate) struct Gauge {
    all: Arc<Runaway>,
    number: usize,
    per_minute: u32,
    per_session: u32,
    minute: Mutex<Minute>,
}

/// Two minutes side by side: of the last one counts what has not slid out yet.
#[derive(Debug, Default)]
struct Minute {
    began: Option<Instant>,
    last: u32,
    this: u32,
}

impl Runaway {
    pub(crate) fn new(max_context: u64) -> Arc<Self> {
        Arc::new(Self {
            max_context,
            sessions: Mutex::default(),
        })
    }

    /// Books text for the session's context; `false` if it would be too much.
    pub(crate) fn book_context(&self, req: &HookRequest, bytes: usize) -> bool {
        let Some(name) = session(req) else { return true };
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let session = sessions.of(name);
        let sum = session.context.saturating_add(bytes as u64);
        let fits = sum <= self.max_context;
        if fits {
            session.context = sum;
        }
        fits
    }

    pub(crate) fn max_context(&self) -> u64 {
        self.max_context
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
            minute: Mutex::default(),
        }
    }

    /// Counts one run, unless it would be one too many.
    pub(crate) fn admit(&self, req: &HookRequest) -> Result<(), HookError> {
        let runs = self.minute(|minute| minute.admit(Instant::now(), self.per_minute));
        if let Err(runs) = runs {
            let why = format!(
                "{runs} runs in the last minute; expected at most {} (max_runs_per_minute)",
                self.per_minute
            );
            return Err(HookError::Runaway(why.into()));
        }
        let Some(name) = session(req) else { return Ok(()) };
        let mut sessions = self.all.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let runs = &mut sessions.of(name).runs;
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

    fn minute<T>(&self, change: impl FnOnce(&mut Minute) -> T) -> T {
        change(&mut self.minute.lock().unwrap_or_else(PoisonError::into_inner))
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
        let gauge = Gauge::new(&Runaway::new(1), 0, 10, u32::MAX);
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
        let all = Runaway::new(100);
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
        let all = Runaway::new(100);
        let fits = |bytes| all.book_context(&of_session("a"), bytes);
        assert_eq!(
            (fits(60), fits(60), fits(40), fits(1)),
            (true, false, true, false)
        );
        assert!(all.book_context(&of_session("b"), 100));
    }
}
