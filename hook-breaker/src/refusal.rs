use std::time::Duration;

use hook_monitor::{Reason, Rejected};

/// What a circuit says to a call that it does not let in. A [`Rejected`] is made of it where a caller gets to see one:
/// that is four times as large, and has to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The circuit is open, for so long.
    Open(Duration),
    /// Half-open, with every probe under way.
    ProbesTaken,
    /// Opened by hand.
    Isolated,
}

impl From<Refusal> for Rejected {
    #[inline]
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Open(wait) => Self::new(Reason::CircuitOpen).after(wait),
            Refusal::ProbesTaken => Self::new(Reason::ProbesTaken),
            Refusal::Isolated => Self::new(Reason::CircuitIsolated),
        }
    }
}
