//! How long callers and connects may take.

macro_rules! times {
    ($conn:ty) => {
        /// How long a caller may wait for a connection, whether one comes back, is opened or is checked. The default
        /// is 30 seconds.
        ///
        /// It counts from the first poll of the future, also where the place in line was taken before, by
        /// `Service::call`. After that it is refused with [`Reason::PoolTimeout`](hook_monitor::Reason::PoolTimeout). A
        /// connect that was begun for it goes on, for whoever comes next. With
        /// [`Duration::ZERO`](std::time::Duration::ZERO) a caller is refused where it would have to wait, but for a check;
        /// [`Duration::MAX`](std::time::Duration::MAX) stands for no limit. Each clone may have its own.
        #[must_use]
        pub fn wait_timeout(mut self, timeout: std::time::Duration) -> Self {
            self.core.config.wait_timeout = timeout;
            self
        }

        /// How long opening a connection may take, from asking the connector whether it is ready until
        /// the connection is there. The default is 10 seconds.
        ///
        /// After that the attempt is dropped and counts as failed; callers that nothing else can serve are
        /// refused with [`Reason::ConnectTimeout`](hook_monitor::Reason::ConnectTimeout).
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
                "no connection opens in no time: connect_timeout must be above zero, not 0s"
            );
            self.core.config.connect_timeout = timeout;
            self
        }

        /// How long nothing is tried after a connect has failed: `first`, and twice as long after each
        /// further failure, up to `max`. The default is 50 milliseconds up to 5 seconds.
        ///
        /// Chance takes up to half off. Until then one task waits to try again if callers are in line who may yet
        /// be served by what is in use; callers nothing can serve get the last error at once. Shared by all
        /// clones.
        ///
        /// # Panics
        ///
        /// If `first` is zero or more than `max`.
        #[must_use]
        #[track_caller]
        pub fn connect_backoff(self, first: std::time::Duration, max: std::time::Duration) -> Self {
            assert!(
                !first.is_zero() && first <= max,
                "a back-off begins above zero and ends no lower: connect_backoff takes 0 < first <= max, not {first:?} and {max:?}"
            );
            self.limit(|limits| limits.backoff = (first, max))
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

pub(crate) use times;
