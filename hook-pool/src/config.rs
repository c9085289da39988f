use std::time::Duration;

use hook_monitor::Clock;

/// What belongs to the pool as a whole, whoever asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections per key, idle, used and being opened.
    pub(crate) max: usize,
    /// Callers in line, per key.
    pub(crate) max_waiting: usize,
    pub(crate) max_keys: usize,
    pub(crate) idle_timeout: Option<Duration>,
}

impl Limits {
    pub(crate) const fn new(max: usize) -> Self {
        Self {
            max,
            // A caller in line costs its task and about 60 bytes here. More of them than this wait for
            // connections that cannot come soon: 10 connections and calls of 10 ms clear 1,024 in a second.
            max_waiting: 1_024,
            max_keys: 1_024,
            // Under the 100 s and more after which load balancers and servers commonly hang up.
            idle_timeout: Some(Duration::from_secs(90)),
        }
    }
}

/// What belongs to whoever asks: each clone may have its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    pub(crate) wait_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) clock: Clock,
}

impl Config {
    pub(crate) const fn new() -> Self {
        Self {
            wait_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            clock: Clock::tokio(),
        }
    }
}

/// The setters that the pool and its layer have in common; both keep a `Core` in `self.core`.
macro_rules! knobs {
    () => {
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

        /// How many callers may wait for a connection, per key. The default is 1,024.
        ///
        /// Whoever comes when so many are waiting is refused at once with
        /// [`Reason::PoolQueueFull`](hook_monitor::Reason::PoolQueueFull). With 0 nobody waits. Shared by
        /// all clones.
        #[must_use]
        pub fn max_waiting(self, max: usize) -> Self {
            self.core
                .shared()
                .with(|shelves, _| shelves.limits.max_waiting = max);
            self
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
                "a pool without keys has no connections: max_keys must be 1 or more"
            );
            self.core
                .shared()
                .with(|shelves, _| shelves.limits.max_keys = max);
            self
        }

        /// How long a caller may wait in line. The default is 30 seconds.
        ///
        /// It counts from the first poll of the future, also where the place in line was taken before, by
        /// `Service::call`. After that it is refused with [`Reason::PoolTimeout`](hook_monitor::Reason::PoolTimeout). The
        /// time for opening a connection is not part of it. With [`Duration::ZERO`](std::time::Duration::ZERO)
        /// a caller is refused where it would have to wait; [`Duration::MAX`](std::time::Duration::MAX)
        /// stands for no limit. Each clone may have its own.
        #[must_use]
        pub fn wait_timeout(mut self, timeout: std::time::Duration) -> Self {
            self.core.config.wait_timeout = timeout;
            self
        }

        /// How long opening a connection may take, from asking the connector whether it is ready until
        /// the connection is there. The default is 10 seconds.
        ///
        /// After that the attempt is dropped, its slot goes to the next in line, and the caller is refused
        /// with [`Reason::ConnectTimeout`](hook_monitor::Reason::ConnectTimeout).
        /// [`Duration::MAX`](std::time::Duration::MAX) stands for no limit. Each clone may have its own.
        ///
        /// # Panics
        ///
        /// If `timeout` is zero.
        #[must_use]
        #[track_caller]
        pub fn connect_timeout(mut self, timeout: std::time::Duration) -> Self {
            assert!(
                !timeout.is_zero(),
                "no connection opens in no time: connect_timeout must be above zero"
            );
            self.core.config.connect_timeout = timeout;
            self
        }

        /// How long a connection may be idle and still be handed out. The default is 90 seconds.
        ///
        /// One that has been idle for `timeout` or longer is closed when next somebody asks for a connection
        /// for its key, or for any key once all connections of its own are idle and have been for that
        /// long. The rest, such as one that is idle beside others of its key that are in use, is looked
        /// through once per `timeout`: it is closed when anybody asks after twice that time, if not before.
        ///
        /// Nothing runs in the background: in a pool that nobody asks, idle connections stay open. Shared
        /// by all clones.
        ///
        /// # Panics
        ///
        /// If `timeout` is zero.
        #[must_use]
        #[track_caller]
        pub fn idle_timeout(self, timeout: std::time::Duration) -> Self {
            assert!(
                !timeout.is_zero(),
                "nothing would be used twice: idle_timeout must be above zero"
            );
            self.core
                .shared()
                .with(|shelves, _| shelves.limits.idle_timeout = Some(timeout));
            self
        }

        /// Hands out connections however long they have been idle. Shared by all clones.
        #[must_use]
        pub fn no_idle_timeout(self) -> Self {
            self.core
                .shared()
                .with(|shelves, _| shelves.limits.idle_timeout = None);
            self
        }

        /// Reads the time at the resolution of the kernel's tick (1 to 10 ms), for a fraction of the cost.
        ///
        /// It is for the age of connections and for histograms; the timeouts keep tokio's timer. Does not
        /// obey tokio's paused time. Each clone may have its own.
        #[cfg(feature = "coarse-clock")]
        #[must_use]
        pub fn coarse_clock(mut self) -> Self {
            self.core.config.clock = hook_monitor::Clock::coarse();
            self
        }
    };
}
pub(crate) use knobs;
