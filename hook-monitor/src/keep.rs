use std::{
    fmt,
    ops::Deref,
    sync::{
        Mutex, PoisonError,
        atomic::{
            Ordering::{Acquire, Release},
            fence,
        },
    },
};

use crate::Counters;

/// Keeps what calls share, so that a call can hold on to it for next to nothing.
///
/// A call has to own what it needs until its end, for its future may outlive the service and the layer. An `Arc`
/// does that for two atomic read-modify-writes a call (about four nanoseconds, and far more where threads share
/// the count). A keep never frees what it made: it lends each `T` to one [`Tenant`] at a time and, when that is
/// gone *and* no [`Visit`] is under way any more, to the next. So a visit is a `&'static T`, and costs two counts
/// of [`Counters`], a load and a store each.
///
/// Memory is bounded by the largest number of tenants there ever was at the same time. A visit that is leaked
/// (`mem::forget`) keeps its `T` from being lent again.
///
/// `T` is what is the same for every kind of layer (words, counters, locks), never a user's value: it is not
/// dropped with its tenant.
///
/// ```
/// use hook_monitor::{Counters, Keep};
///
/// static CALLS: Keep<Counters<1>> = Keep::new();
///
/// // `take` says how what an earlier tenant left is made new; counters are compared, not reset.
/// let tenant = CALLS.take(Counters::new, |_| ());
/// let visit = tenant.visit();
/// let before = visit.get(0);
/// drop(tenant);
/// // The visit holds what is behind it, here for as long as it likes.
/// visit.add(0, 1);
/// assert_eq!(visit.get(0), before + 1);
/// ```
pub struct Keep<T: 'static> {
    vacant: Mutex<Vec<&'static Room<T>>>,
}

/// How many vacant rooms [`Keep::take`] looks at before it builds another.
const LOOK_AT: usize = 8;

struct Room<T> {
    value: T,
    visits: Counters<2>,
}

const BEGUN: usize = 0;
const ENDED: usize = 1;

/// The one owner of something in a [`Keep`].
pub struct Tenant<T: 'static> {
    keep: &'static Keep<T>,
    room: &'static Room<T>,
}

/// Holds on to something in a [`Keep`] for the time of a call.
pub struct Visit<T: 'static> {
    room: &'static Room<T>,
}

impl<T> Keep<T> {
    /// A keep with nothing in it, to be put into a `static`.
    pub const fn new() -> Self {
        Self {
            vacant: Mutex::new(Vec::new()),
        }
    }

    /// A `T` for a new tenant: one that is not in use any more, which `renew` makes new, or else what `make` gives.
    pub fn take(&'static self, make: impl FnOnce() -> T, renew: impl FnOnce(&T)) -> Tenant<T> {
        if let Some(room) = self.quiet() {
            renew(&room.value);
            return Tenant { keep: self, room };
        }
        let room = Box::leak(Box::new(Room {
            value: make(),
            visits: Counters::new(),
        }));
        Tenant { keep: self, room }
    }

    fn quiet(&self) -> Option<&'static Room<T>> {
        let mut vacant = self.lock();
        for place in 0..vacant.len().min(LOOK_AT) {
            if vacant[place].is_quiet() {
                return Some(vacant.swap_remove(place));
            }
        }
        // Rooms that stay unquiet shall not stand in the way of others for ever.
        let seen = vacant.len().min(LOOK_AT);
        vacant.rotate_left(seen);
        None
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<&'static Room<T>>> {
        self.vacant.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Room<T> {
    /// Whether every visit that was begun has ended. Asked of a room without a tenant, where none begins.
    ///
    /// Whoever dropped the tenant knew of every beginning, through the lock so do we. A visit has ended for us
    /// only if all that it did here has too.
    fn is_quiet(&self) -> bool {
        let ended = self.visits.get(ENDED);
        fence(Acquire);
        ended == self.visits.get(BEGUN)
    }
}

impl<T> Tenant<T> {
    /// Begins a visit, which the tenant may leave behind.
    #[inline]
    pub fn visit(&self) -> Visit<T> {
        self.room.visits.add(BEGUN, 1);
        Visit { room: self.room }
    }

    /// How many visits are under way; while some begin or end, about how many.
    pub fn visits(&self) -> u64 {
        let ended = self.room.visits.get(ENDED);
        fence(Acquire);
        self.room.visits.get(BEGUN).wrapping_sub(ended)
    }
}

impl<T> Deref for Tenant<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.room.value
    }
}

impl<T> Drop for Tenant<T> {
    fn drop(&mut self) {
        self.keep.lock().push(self.room);
    }
}

impl<T> Deref for Visit<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.room.value
    }
}

impl<T> Drop for Visit<T> {
    #[inline]
    fn drop(&mut self) {
        // Publishes what the visit did with its end. Free on x86.
        fence(Release);
        self.room.visits.add(ENDED, 1);
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
        f.debug_tuple("Tenant").field(&self.room.value).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for Visit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Visit").field(&self.room.value).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        ptr,
        sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        thread,
    };

    use super::*;

    #[test]
    fn a_room_is_let_again_once_its_tenant_and_every_visitor_are_gone() {
        static KEEP: Keep<AtomicU64> = Keep::new();
        let take = || KEEP.take(AtomicU64::default, |count| count.store(0, Relaxed));

        let first = take();
        let room: *const AtomicU64 = &*first;
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
        static KEEP: Keep<AtomicBool> = Keep::new();
        let take = || KEEP.take(AtomicBool::default, |_| ());
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
        static KEEP: Keep<AtomicU64> = Keep::new();
        // Each tenant writes its number on the wall; its visitors must read that number until they leave.
        thread::scope(|scope| {
            for number in 1..=4 {
                scope.spawn(move || {
                    let mut elsewhere = Vec::new();
                    for round in 0..1_000 {
                        let mark = number * 10_000 + round;
                        let tenant = KEEP.take(AtomicU64::default, |_| ());
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
