use std::{panic::Location, sync::Arc, time::Instant};

use hook_monitor::Clock;

use crate::shared::Home;

/// An open connection, and what is known about it. In a box of its own from birth on, so that handing it
/// about moves a pointer, however large a connection is.
#[derive(Debug)]
pub(crate) struct Entry<C> {
    pub(crate) inner: C,
    /// Where it goes back to: there while it is lent. In here, so that what is lent is one pointer.
    pub(crate) home: Option<Arc<dyn Home<C>>>,
    /// The number of the shelf it belongs on.
    pub(crate) shelf: usize,
    pub(crate) generation: u64,
    /// Not to be lent again.
    pub(crate) broken: bool,
    /// Nobody was waiting for it when it was opened.
    pub(crate) rested: bool,
    pub(crate) born: Instant,
    /// Its own share of the jitter is in here already.
    pub(crate) retire_at: Option<Instant>,
    /// How often it was handed out.
    pub(crate) uses: u64,
    /// When it was last given back.
    pub(crate) idle_since: Instant,
    /// When it was last known to be good: given back, or checked.
    pub(crate) good_at: Instant,
    /// When it was last handed out.
    pub(crate) taken_at: Instant,
    /// Until when it may be handed out again without a second look, once it is idle; for ever if there is none.
    pub(crate) fresh_until: Option<Instant>,
    /// How many checkouts this one's time stands for; 0 if it is not timed.
    pub(crate) weight: u32,
    /// Its entry among those that are watched for being held too long.
    pub(crate) watched: Option<usize>,
    pub(crate) place: Option<&'static Location<'static>>,
    pub(crate) clock: Clock,
}

impl<C> Entry<C> {
    /// Whether it may be handed out without a second look.
    #[inline]
    pub(crate) fn is_fresh(&self, now: Instant) -> bool {
        self.fresh_until.is_none_or(|until| now < until)
    }

    #[inline]
    pub(crate) fn is_retired(&self, now: Instant) -> bool {
        self.retire_at.is_some_and(|at| at <= now)
    }
}

/// Why a connection was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closing {
    /// Marked as broken, or thrown away after a call.
    Broken,
    /// Failed its check, or was dropped in the middle of it.
    Unfit,
    Idle,
    Lifetime,
    Uses,
    /// Gave way to another key.
    Evicted,
    /// One more than there may be since the limit was lowered.
    Surplus,
    Reset,
    Shutdown,
}

impl Closing {
    pub(crate) const KINDS: usize = Self::Shutdown as usize + 1;
}
