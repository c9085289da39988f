use std::{sync::Arc, time::Instant};

use crate::{Clock, Keep, Tenant, tally::Tally};

/// Tallies are never freed, but used again, so that a call holds on to one without counting references.
static TALLIES: Keep<Tally> = Keep::new();

/// What the layers, services and handles of one monitor share. A clone counts in the same place.
#[derive(Clone, Debug)]
pub(crate) struct Core {
    shared: Arc<Shared>,
    pub(crate) clock: Clock,
}

#[derive(Debug)]
struct Shared {
    name: Arc<str>,
    made: Instant,
    tally: Tenant<Tally>,
}

impl Core {
    pub(crate) fn new(name: Arc<str>) -> Self {
        let clock = Clock::default();
        Self {
            shared: Arc::new(Shared {
                name,
                made: clock.now(),
                tally: TALLIES.take(Tally::default, Tally::clear),
            }),
            clock,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.shared.name
    }

    /// When it was made, by tokio's clock.
    pub(crate) fn made(&self) -> Instant {
        self.shared.made
    }

    /// Only while there is this core, or a visit to the tally.
    #[inline]
    pub(crate) fn tally(&self) -> &'static Tally {
        self.shared.tally.room()
    }
}
