use std::time::Duration;

/// Parts of a window that go out of it one at a time.
const SLOTS: u64 = 10;

/// How many retries so many calls allow, in whole numbers: a ratio is not a sum of its roundings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    millionths: u64,
    floor: u64,
}

const MILLION: u64 = 1_000_000;

impl Allowance {
    pub(super) fn new(ratio: f64, floor: u32) -> Self {
        Self {
            millionths: (ratio * MILLION as f64).round() as u64,
            floor: u64::from(floor),
        }
    }

    pub(super) fn with_ratio(self, ratio: f64) -> Self {
        Self {
            floor: self.floor,
            ..Self::new(ratio, 0)
        }
    }

    pub(super) fn with_floor(self, floor: u32) -> Self {
        Self {
            floor: u64::from(floor),
            ..self
        }
    }

    pub(super) fn ratio(self) -> f64 {
        self.millionths as f64 / MILLION as f64
    }

    pub(super) fn floor(self) -> u64 {
        self.floor
    }

    fn of(self, calls: u64) -> u64 {
        let earned = u128::from(calls) * u128::from(self.millionths) / u128::from(MILLION);
        u64::try_from(earned).unwrap_or(u64::MAX).max(self.floor)
    }
}

/// The calls and retries of the last while. Pure: the time, and how many calls there have been, are passed in.
#[derive(Debug)]
pub(super) struct Window {
    /// Nanoseconds of a slot.
    width: u64,
    /// A ring: slot `n` since the beginning is at `n % SLOTS`.
    slots: [Slot; SLOTS as usize],
    /// The slot in which was looked last.
    current: u64,
    /// When that was, in nanoseconds since the beginning.
    looked: u64,
    /// How many calls there had been by then.
    seen: u64,
    /// All the slots together.
    sum: Slot,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    calls: u64,
    retries: u64,
}

impl Window {
    pub(super) fn new(span: Duration) -> Self {
        Self {
            width: (nanos(span) / SLOTS).max(1),
            slots: [Slot::default(); SLOTS as usize],
            current: 0,
            looked: 0,
            seen: 0,
            sum: Slot::default(),
        }
    }

    /// It is `now`, and there have been `total` calls since the beginning.
    pub(super) fn look(&mut self, now: Duration, total: u64) {
        // Neither goes backwards, whatever other threads have seen already.
        let now = nanos(now).max(self.looked);
        let mut fresh = total.saturating_sub(self.seen);
        self.seen += fresh;
        if now - self.looked > self.width.saturating_mul(SLOTS) {
            // Nobody looked for longer than a window, so they may all have come before it. In doubt they earn nothing.
            fresh = 0;
        }

        let slot = now / self.width;
        let oldest = slot.saturating_sub(SLOTS - 1);
        // At most all of them, however long nobody looked.
        for gone in (self.current + 1).max(oldest)..=slot {
            let gone = std::mem::take(self.at(gone));
            self.sum.calls -= gone.calls;
            self.sum.retries -= gone.retries;
        }
        // When they came is not known; evenly spread is the best guess, and none where it was within a slot.
        let spread = now - self.looked;
        let came_by = |time: u64| match spread {
            0 => fresh,
            // Below `fresh`, for the time is within the spread.
            _ => (u128::from(fresh) * u128::from(time - self.looked) / u128::from(spread)) as u64,
        };
        let first = self.current.max(oldest);
        let mut before = if first == self.current {
            0
        } else {
            came_by(first * self.width)
        };
        for slot_of_calls in first..=slot {
            let end = (slot_of_calls + 1).saturating_mul(self.width);
            let by_end = if slot_of_calls == slot {
                fresh
            } else {
                came_by(end)
            };
            let calls = by_end - before;
            before = by_end;
            self.slots[(slot_of_calls % SLOTS) as usize].calls += calls;
            self.sum.calls += calls;
        }
        self.current = slot;
        self.looked = now;
    }

    /// Takes a retry, if one is left, and says where it was taken from.
    pub(super) fn withdraw(&mut self, allowance: Allowance) -> Option<u64> {
        if self.left(allowance) == 0 {
            return None;
        }
        let slot = self.current;
        self.at(slot).retries += 1;
        self.sum.retries += 1;
        Some(slot)
    }

    /// A retry that was taken from `slot` is not made.
    pub(super) fn put_back(&mut self, slot: u64) {
        // What has left the window has been given back with its slot.
        if slot + SLOTS > self.current {
            self.at(slot).retries -= 1;
            self.sum.retries -= 1;
        }
    }

    pub(super) fn left(&self, allowance: Allowance) -> u64 {
        allowance.of(self.sum.calls).saturating_sub(self.sum.retries)
    }

    /// Calls and retries as summed up along the way, and as they are in the slots.
    #[cfg(test)]
    pub(super) fn totals(&self) -> ((u64, u64), (u64, u64)) {
        let add = |(calls, retries), slot: &Slot| (calls + slot.calls, retries + slot.retries);
        (
            (self.sum.calls, self.sum.retries),
            self.slots.iter().fold((0, 0), add),
        )
    }

    fn at(&mut self, slot: u64) -> &mut Slot {
        &mut self.slots[(slot % SLOTS) as usize]
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
