use std::{fmt, ops::Deref, sync::Arc};

use crate::slot;

/// Threads rarely share a lane up to this many.
const LANES: usize = 8;

/// Ways for calls to hold on to something shared, so many that threads rarely share one.
///
/// A call has to own what it needs until its end, for its future may outlive the service. An `Arc` does
/// that, but all calls count their references in the same line of memory, and two threads that count
/// there on every call take turns. So a call takes a reference to the lane of its thread, and each lane
/// holds the shared things (an `Arc` or two) for itself. Lanes are made once, by a layer: neither a call
/// nor a clone of its service allocates.
///
/// ```
/// use hook_monitor::Lanes;
/// use std::sync::Arc;
///
/// let lanes = Lanes::new(&Arc::new("shared"));
/// let lane = lanes.mine(); // what a call keeps
/// assert_eq!(**lane, Arc::new("shared"));
/// ```
pub struct Lanes<T>(Arc<[Arc<Lane<T>>; LANES]>);

/// What one thread's calls hold on to, from [`Lanes::mine`]. The alignment keeps its reference count off
/// the cache line of every other lane's.
#[derive(Debug)]
#[repr(align(128))]
pub struct Lane<T>(T);

impl<T: Clone> Lanes<T> {
    /// Lanes that each hold a clone of `shared`.
    pub fn new(shared: &T) -> Self {
        Self(Arc::new(std::array::from_fn(|_| Arc::new(Lane(shared.clone())))))
    }
}

impl<T> Lanes<T> {
    /// The lane of this thread.
    #[inline]
    pub fn mine(&self) -> Arc<Lane<T>> {
        Arc::clone(&self.0[slot::mine().index % LANES])
    }

    /// What is shared, to look at.
    #[inline]
    pub fn any(&self) -> &T {
        &self.0[0]
    }
}

impl<T> Deref for Lane<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

// By hand: the lanes are shared, so what they hold need not be `Clone`.
impl<T> Clone for Lanes<T> {
    #[inline]
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: fmt::Debug> fmt::Debug for Lanes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lanes").field(self.any()).finish()
    }
}
