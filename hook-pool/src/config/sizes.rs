//! How many there may be: of connections, connects, callers and keys.

macro_rules! sizes {
    ($conn:ty) => {
        /// Names this pool in metrics. The default is `pool`.
        ///
        /// Shared by all clones; a handle keeps the name it was made with.
        #[must_use]
        pub fn name(self, name: impl Into<std::sync::Arc<str>>) -> Self {
            let name = name.into();
            // What it was called before is dropped here, after the lock.
            let _before = self
                .core
                .shared()
                .with(|shelves, _| std::mem::replace(&mut shelves.name, name));
            self
        }

        /// How many connections there may be over all keys: idle, in use and being opened. The default is
        /// as many as there may be per key.
        ///
        /// Where a key needs one more than that, the connection that has been idle for longest under any
        /// other key is closed for it. If there is none, its callers wait, and what comes back goes to
        /// the next in line for its own key, so that it is used again and not replaced; but a key that has no connection
        /// at all gets one as soon as another key's comes back, if it has waited longer, and is never starved by a key
        /// that is always busy. A key that has some waits for those, however busy another is. While an idle
        /// connection is being closed for another it does not count any more, so for as long as dropping it takes
        /// there may be one more. Shared by all clones.
        ///
        /// # Panics
        ///
        /// If `max` is zero.
        #[must_use]
        #[track_caller]
        pub fn max_total(self, max: usize) -> Self {
            assert!(
                max > 0,
                "a pool of no connections serves nobody: max_total must be 1 or more, not 0"
            );
            self.limit(|limits| limits.max_total = max)
        }

        /// How many connects may be under way at the same time, per key. The default is 3.
        ///
        /// A burst does not become a storm of connects: those in line are also served by what comes back,
        /// and a connect that nobody is left waiting for is never begun. After a failed connect there is
        /// one at a time, and one more after each that succeeds, up to this. Shared by all clones.
        ///
        /// # Panics
        ///
        /// If `max` is zero.
        #[must_use]
        #[track_caller]
        pub fn max_connecting(self, max: usize) -> Self {
            assert!(
                max > 0,
                "without connects there are no connections: max_connecting must be 1 or more, not 0"
            );
            self.limit(|limits| limits.max_connecting = max)
        }

        /// How many callers may wait for a connection without a connect under way for them, per key. The
        /// default is 1,024.
        ///
        /// Whoever comes when so many are waiting is refused at once with
        /// [`Reason::PoolQueueFull`](hook_monitor::Reason::PoolQueueFull). With 0 nobody waits but for a
        /// connect. Shared by all clones.
        #[must_use]
        pub fn max_waiting(self, max: usize) -> Self {
            self.limit(|limits| limits.max_waiting = max)
        }

        /// How many keys may have connections at a time. The default is 1,024.
        ///
        /// For a key above that, the key whose connections have all been idle for longest gives way: they
        /// are closed. Where each key has a connection in use, one being opened or somebody waiting, the
        /// new key is refused at once with [`Reason::TooManyKeys`](hook_monitor::Reason::TooManyKeys). Shared
        /// by all clones.
        ///
        /// # Panics
        ///
        /// If `max` is zero.
        #[must_use]
        #[track_caller]
        pub fn max_keys(self, max: usize) -> Self {
            assert!(
                max > 0,
                "a pool without keys has no connections: max_keys must be 1 or more, not 0"
            );
            self.limit(|limits| limits.max_keys = max)
        }

        /// How many connections are kept idle for each key that was asked for, within `max_per_key`. The
        /// default is 0.
        ///
        /// They are opened in the background, after the first connect for a key; to have them beforehand, see
        /// [`ConnectionPool::warm_up`](crate::ConnectionPool::warm_up). The idle timeout does not go below it; a
        /// key that gives way to another does. Shared by all clones.
        #[must_use]
        pub fn min_idle(self, min: usize) -> Self {
            self.limit(|limits| limits.min_idle = min)
        }

        fn limit(self, change: impl FnOnce(&mut crate::config::Limits)) -> Self {
            self.core
                .shared()
                .change(|shelves| change(&mut shelves.limits));
            self
        }
    };
}

pub(crate) use sizes;
