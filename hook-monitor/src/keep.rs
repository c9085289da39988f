use std::{
    fmt,
    mem::ManuallyDrop,
    ops::Deref,
    sync::{
        PoisonError,
        atomic::Ordering::{Acquire, Release},
    },
};

use crate::{
    Counters,
    sync::{Mutex, MutexGuard, fence},
};

/// Keeps what calls share, so that a call can hold on to it for next to nothing.
///
/// A call has to own what it needs until its end, for its future may outlive the service and the layer. An `Arc`
/// does that for two atomic read-modify-writes a call (about four nanoseconds, and far more where threads share
/// the count). A keep never frees what it made: it lends each [`Room`] to one [`Tenant`] at a time and, when that is
/// gone *and* no [`Visit`] is under way any more, to the next. So a visit is a `&'static T`, and costs two counts, a
/// load and a store each.
///
/// Memory is bounded by the largest number of tenants there ever was at the same time. A visit that is leaked
/// (`mem::forget`) keeps its room from being let again.
///
/// A room is what is the same for every kind of layer (words, counters, locks), never a user's value: it is not
/// dropped with its tenant. [`Counted`] makes a room of anything.
///
/// ```
/// use hook_monitor::{Counted, Counters, Keep};
///
/// static CALLS: Keep<Counted<Counters<1>>> = Keep::new();
///
/// // `take` says how what an earlier tenant left is made new.
/// let tenant = CALLS.take(Default::default, |calls| calls.clear());
/// let visit = tenant.visit();
/// drop(tenant);
/// // The visit holds what is behind it, here for as long as it likes.
/// visit.add(0, 1);
/// assert_eq!(visit.get(0), 1);
/// ```
pub struct Keep<T: 'static> {
    vacant: Mutex<Vec<&'static T>>,
}

/// How many vacant rooms [`Keep::take`] looks at before it builds another.
const LOOK_AT: usize = 8;

/// What a [`Keep`] keeps: it counts its visits.
pub trait Room {
    /// A visit begins. Relaxed.
    fn begin(&self);

    /// A visit ends. What it did here must be known to whoever knows of its end: this counts after a
    /// `fence(Release)`.
    fn end(&self);

    /// How many visits are under way; while some begin or end, about how many. It reads the ends first, then does
    /// `fence(Acquire)`, and reads the beginnings.
    fn visits(&self) -> u64;
}

/// The one owner of a room in a [`Keep`].
pub struct Tenant<T: 'static> {
    keep: &'static Keep<T>,
    room: &'static T,
}

/// Holds on to a room in a [`Keep`] for the time of a call.
pub struct Visit<T: Room + 'static> {
    room: &'static T,
}

impl<T> Keep<T> {
    /// A keep with nothing in it, to be put into a `static`.
    #[cfg(not(all(test, loom)))]
    pub const fn new() -> Self {
        Self {
            vacant: Mutex::new(Vec::new()),
        }
    }

    #[cfg(all(test, loom))]
    pub(crate) fn new() -> Self {
        Self {
            vacant: Mutex::new(Vec::new()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<&'static T>> {
        self.vacant.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Room> Keep<T> {
    /// A room for a new tenant: one that is not in use any more, which `renew` makes new, or else what `make` gives.
    pub fn take(&'static self, make: impl FnOnce() -> T, renew: impl FnOnce(&T)) -> Tenant<T> {
        let room = match self.quiet() {
            Some(room) => {
                renew(room);
                room
            }
            None => Box::leak(Box::new(make())),
        };
        Tenant { keep: self, room }
    }

    /// A room without a tenant in which every visit has ended: as there is no tenant, none begins. Whoever dropped the
    /// tenant knew of every beginning, and through the lock so do we.
    fn quiet(&self) -> Option<&'static T> {
        let mut vacant = self.lock();
        let seen = vacant.len().min(LOOK_AT);
        match vacant[..seen].iter().position(|room| room.visits() == 0) {
            Some(place) => Some(vacant.swap_remove(place)),
            None => {
                // Rooms that stay unquiet shall not stand in the way of others for ever.
                vacant.rotate_left(seen);
                None
            }
        }
    }
}

impl<T: Room> Tenant<T> {
    /// Begins a visit, which the tenant may leave behind.
    #[inline]
    pub fn visit(&self) -> Visit<T> {
        self.room.begin();
        Visit { room: self.room }
    }
}

impl<T> Tenant<T> {
    /// The room itself, to [visit](Visit::to) with fewer steps. Only while there is this tenant.
    #[inline]
    pub fn room(&self) -> &'static T {
        self.room
    }
}

impl<T> Deref for Tenant<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.room
    }
}

impl<T> Drop for Tenant<T> {
    fn drop(&mut self) {
        self.keep.lock().push(self.room);
    }
}

impl<T: Room> Visit<T> {
    /// Begins a visit to the [room](Tenant::room) of a tenant that is still there.
    #[inline]
    pub fn to(room: &'static T) -> Self {
        room.begin();
        Self { room }
    }

    /// Ends the visit by `end` instead of by [`Room::end`], whose part it takes: for a room that counts more than
    /// that. Should `end` panic, the visit never ends, and its room is not let again.
    #[inline]
    pub fn end_with<R>(self, end: impl FnOnce(&T) -> R) -> R {
        end(ManuallyDrop::new(self).room)
    }
}

impl<T: Room> Deref for Visit<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        self.room
    }
}

impl<T: Room> Drop for Visit<T> {
    #[inline]
    fn drop(&mut self) {
        self.room.end();
    }
}

impl<T> Default for Keep<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Keep<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keep")
            .field("vacant", &self.lock().len())
            .finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for Tenant<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tenant").field(self.room).finish()
    }
}

impl<T: Room + fmt::Debug> fmt::Debug for Visit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Visit").field(self.room).finish()
    }
}

// ===== impl Counted =====

/// Anything, with visits counted beside it in [`Counters`].
#[derive(Debug, Default)]
pub struct Counted<T> {
    value: T,
    visits: Counters<2>,
}

const BEGUN: usize = 0;
const ENDED: usize = 1;

impl<T> Counted<T> {
    /// Makes a room of `value`.
    pub fn new(value: T) -> Self {
        Self {
            value,
            visits: Counters::new(),
        }
    }
}

impl<T> Room for Counted<T> {
    #[inline]
    fn begin(&self) {
        self.visits.add(BEGUN, 1);
    }

    #[inline]
    fn end(&self) {
        // Free on x86.
        fence(Release);
        self.visits.add(ENDED, 1);
    }

    fn visits(&self) -> u64 {
        let ended = self.visits.get(ENDED);
        fence(Acquire);
        self.visits.get(BEGUN).wrapping_sub(ended)
    }
}

impl<T> Deref for Counted<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::{
        ptr,
        sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        thread,
    };

    use super::*;

    #[test]
    fn a_room_is_let_again_once_its_tenant_and_every_visitor_are_gone() {
        static KEEP: Keep<Counted<AtomicU64>> = Keep::new();
        let take = || KEEP.take(Counted::default, |count| count.store(0, Relaxed));

        let first = take();
        let room: *const Counted<AtomicU64> = &*first;
        let visit = first.visit();
        assert_eq!(first.visits(), 1);
        drop(first);
        visit.store(7, Relaxed);

        let second = take();
        assert!(!ptr::eq(room, &*second), "let while a visitor was in it");
        drop(visit);
        let third = take();
        assert!(ptr::eq(room, &*third), "not let again");
        assert_eq!(third.load(Relaxed), 0, "not made new");
    }

    #[test]
    fn visits_that_never_end_do_not_hide_the_rooms_behind_them() {
        static KEEP: Keep<Counted<AtomicBool>> = Keep::new();
        let take = || KEEP.take(Counted::default, |_| ());
        let tenants: Vec<_> = (0..LOOK_AT + 1).map(|_| take()).collect();
        let visits: Vec<_> = tenants.iter().take(LOOK_AT).map(Tenant::visit).collect();
        drop(tenants);
        drop(take());
        let before = KEEP.lock().len();
        drop(take());
        assert_eq!(KEEP.lock().len(), before, "a room that was free was not found");
        drop(visits);
    }

    #[test]
    fn no_visitor_is_ever_in_a_room_that_was_let_again() {
        static KEEP: Keep<Counted<AtomicU64>> = Keep::new();
        // Each tenant writes its number on the wall; its visitors must read that number until they leave.
        thread::scope(|scope| {
            for number in 1..=4 {
                scope.spawn(move || {
                    let mut elsewhere = Vec::new();
                    for round in 0..1_000 {
                        let mark = number * 10_000 + round;
                        let tenant = KEEP.take(Counted::default, |_| ());
                        tenant.store(mark, Relaxed);
                        let visit = tenant.visit();
                        elsewhere.push(thread::spawn(move || assert_eq!(visit.load(Relaxed), mark)));
                        drop(tenant);
                        if elsewhere.len() == 16 {
                            for visitor in elsewhere.drain(..) {
                                visitor.join().expect("the visitor saw its own tenant's mark");
                            }
                        }
                    }
                });
            }
        });
    }
}
