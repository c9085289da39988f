//! The setters that a layer and a builder have in common. Both bring a `change(self, |config| ..) -> Self`.

macro_rules! knobs {
    () => {
        /// How long a value lives, from when it came. The default is 300 seconds.
        ///
        /// At the deadline itself it is not served any more. With a `ttl` of zero it is dead at once, and concurrent
        /// loads still become one; one too long for the clock never ends.
        pub fn ttl(self, ttl: Duration) -> Self {
            self.change(|config| config.expiry.ttl = ttl)
        }

        /// How long each value lives, found from its key and itself when it is stored. By default all live for
        /// the same [`ttl`](Self::ttl).
        pub fn ttl_by(self, ttl_by: impl Fn(&K, &V) -> Duration + Send + Sync + 'static) -> Self {
            self.change(|config| config.ttl_by = Some(Arc::new(ttl_by)))
        }

        /// A value that nobody asks for during `idle` is gone, also within its time to live. At the mark itself it
        /// is not served any more. By default none is.
        ///
        /// A hit then writes the time into the entry, which costs threads that ask for the same one a contended
        /// write each time that their clocks differ.
        pub fn time_to_idle(self, idle: Duration) -> Self {
            self.change(|config| config.expiry.idle = Some(idle))
        }

        /// Cuts up to the `share` of its time to live off each value, 0 to 1, so that what was stored together does
        /// not all have to be loaded at the same time again. The default is 0. Nothing ever lives longer for it.
        ///
        /// # Panics
        ///
        /// If `share` is not from 0 to 1.
        #[track_caller]
        pub fn jitter(self, share: f64) -> Self {
            assert!(
                (0.0..=1.0).contains(&share),
                "the jitter is a share of the time to live, from 0 to 1, and not {share}"
            );
            self.change(|config| config.expiry.jitter = share)
        }

        /// How many values there may be, as explained at [`ResultCache::new`](crate::ResultCache::new). The default
        /// is 1,000.
        ///
        /// With 0 nothing is stored, and concurrent loads still become one.
        pub fn capacity(self, entries: usize) -> Self {
            self.change(|config| {
                config.limits = Limits::entries(entries);
                config.weigh = None;
            })
        }

        /// How many bytes the values may weigh together, with their keys and what the cache itself takes for each.
        ///
        /// `heap` says how many bytes a key and its value point to; their own size and the
        /// [overhead](crate::ResultCache::overhead) are added to it. It is asked once, when a value is stored. A
        /// value that weighs more than a sixteenth of the whole is refused, and counted in
        /// [`Refused::too_heavy`](crate::Refused::too_heavy); [`largest`](Self::largest) sets another limit. Nothing
        /// below the limit ever is refused for its weight.
        pub fn capacity_bytes(
            self,
            bytes: u64,
            heap: impl Fn(&K, &V) -> usize + Send + Sync + 'static,
        ) -> Self {
            self.change(|config| {
                config.limits = Limits::weight(bytes, bytes / 16);
                config.weigh = Some(Arc::new(move |key: &K, value: &V| heap(key, value) as u64));
            })
        }

        /// How many bytes a value may weigh, with all that [`capacity_bytes`](Self::capacity_bytes) counts, which is
        /// to be set before. Up to the whole capacity.
        ///
        /// The cache is divided into parts that each have room for one such value. The larger it may be, the fewer
        /// those are, and the more often threads that store meet. Where entries count and not bytes, this does nothing.
        pub fn largest(self, bytes: u64) -> Self {
            self.change(|config| {
                if config.limits.weighed {
                    config.limits = Limits::weight(config.limits.total, bytes);
                }
            })
        }

        /// For how long after its time to live a value stands in for an error of the load that was to replace it. The
        /// default is zero: errors are told.
        ///
        /// After such an error what there was is served, without another load, until the
        /// [back-off](Self::backoff) has passed.
        pub fn stale_if_error(self, window: Duration) -> Self {
            self.change(|config| config.expiry.if_error = window)
        }

        /// How long a value that could not be loaded anew is left in peace before the next try, while it may be served
        /// stale. The default is one second.
        pub fn backoff(self, backoff: Duration) -> Self {
            self.change(|config| config.expiry.backoff = backoff)
        }

        /// Finds the tags of a value from its key and itself when it is stored; see
        /// [`invalidate_tag`](crate::ResultCache::invalidate_tag). By default there are none.
        pub fn tags_by<I>(self, tags_by: impl Fn(&K, &V) -> I + Send + Sync + 'static) -> Self
        where
            I: IntoIterator<Item: Into<Box<str>>>,
        {
            self.change(|config| {
                config.tags_by = Some(Arc::new(move |key: &K, value: &V| {
                    tags_by(key, value).into_iter().map(Into::into).collect()
                }));
            })
        }

        /// How many callers may wait for one load; those above load for themselves. The default is 65,536.
        pub fn max_waiters(self, callers: usize) -> Self {
            self.change(|config| config.flight.waiters = callers)
        }

        /// How long a caller waits for another's load before it loads for itself. By default it waits until that ends.
        ///
        /// Waiting callers then each have a timer of tokio's.
        pub fn patience(self, limit: Duration) -> Self {
            self.change(|config| config.flight.patience = Some(limit))
        }

        /// Reads time from a clock that costs less and ticks every 1 to 10 ms: a value may live a tick longer. It does
        /// not obey tokio's paused time.
        #[cfg(feature = "coarse-clock")]
        pub fn coarse_clock(self) -> Self {
            self.change(|config| config.clock = hook_monitor::Clock::coarse())
        }
    };
}

pub(crate) use knobs;
