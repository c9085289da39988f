use std::sync::Arc;

use hook_monitor::{Clock, Keep, Room, Tenant};

use crate::{config::Settings, feed::Feed, gate::Gate};

/// Gates are never freed, but used again, so that a call holds on to one without counting references.
static GATES: Keep<Gate> = Keep::new();

/// One circuit with all that belongs to it; what every handle and service shares.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) feed: Arc<Feed>,
    gate: Tenant<Gate>,
}

impl Core {
    pub(crate) fn new(name: String, settings: Settings, clock: Clock) -> Self {
        let feed = Arc::new(Feed::new(name));
        let gate = GATES.take(Gate::new, |_| ());
        gate.renew(&settings, clock, Arc::clone(&feed));
        Self {
            settings,
            clock,
            feed,
            gate,
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.feed.name()
    }

    /// Only while there is this core, or a visit to the gate.
    #[inline]
    pub(crate) fn gate(&self) -> &'static Gate {
        self.gate.room()
    }

    /// How many calls are under way.
    pub(crate) fn in_flight(&self) -> u64 {
        self.gate.visits()
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // A user's rule, and who listens, do not outlive the circuit.
        self.gate.vacate();
        self.feed.end();
    }
}
