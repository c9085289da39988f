//! How long a connection is fit for use, and who looks.

macro_rules! age {
    ($conn:ty) => {
        /// How long a connection may be idle. The default is 90 seconds.
        ///
        /// One that has been idle for `timeout` or longer is never handed out, and is closed in the
        /// background, unless no more than [`min_idle`](Self::min_idle) are left. How long it has been idle is
        /// known to within an eighth of `timeout`, and never taken for less than it was. Shared by all clones.
        ///
        /// # Panics
        ///
        /// If `timeout` is zero.
        #[must_use]
        #[track_caller]
        pub fn idle_timeout(self, timeout: std::time::Duration) -> Self {
            assert!(
                !timeout.is_zero(),
                "nothing would be used twice: idle_timeout must be above zero, not 0s"
            );
            self.limit(|limits| limits.idle_timeout = Some(timeout))
        }

        /// Keeps connections however long they have been idle. Shared by all clones.
        #[must_use]
        pub fn no_idle_timeout(self) -> Self {
            self.limit(|limits| limits.idle_timeout = None)
        }

        /// How old a connection may become. The default is no limit.
        ///
        /// Chance takes up to a tenth off, for each connection its own (see
        /// [`lifetime_jitter`](Self::lifetime_jitter)): what was opened together does not retire together. An
        /// idle one has its replacement opened before it is closed, where the limits leave room for that; one in use
        /// is closed when it comes back. With a lifetime the clock is read on each return too. Shared by
        /// all clones.
        ///
        /// # Panics
        ///
        /// If `lifetime` is zero.
        #[must_use]
        #[track_caller]
        pub fn max_lifetime(self, lifetime: std::time::Duration) -> Self {
            assert!(
                !lifetime.is_zero(),
                "nothing would be used: max_lifetime must be above zero, not 0s"
            );
            self.limit(|limits| limits.max_lifetime = Some(lifetime))
        }

        /// The share of [`max_lifetime`](Self::max_lifetime) that chance may take off, for each connection its
        /// own. The default is 0.1. Shared by all clones.
        ///
        /// # Panics
        ///
        /// If `share` is not within 0 and 1.
        #[must_use]
        #[track_caller]
        pub fn lifetime_jitter(self, share: f64) -> Self {
            assert!(
                (0.0..=1.0).contains(&share),
                "a share is neither below none nor above all: lifetime_jitter must be within 0 and 1, not {share}"
            );
            self.limit(|limits| limits.lifetime_jitter = share)
        }

        /// How often a connection may be handed out. The default is no limit. Shared by all clones.
        ///
        /// # Panics
        ///
        /// If `max` is zero.
        #[must_use]
        #[track_caller]
        pub fn max_uses(self, max: u64) -> Self {
            assert!(
                max > 0,
                "a connection nobody may use is none: max_uses must be 1 or more, not 0"
            );
            self.limit(|limits| limits.max_uses = max)
        }

        /// Checks a connection before it is handed out, if it has been idle for
        /// [`check_after`](Self::check_after) or longer. By default nothing is checked.
        ///
        /// The check runs in the caller's future, and has [`check_timeout`](Self::check_timeout). A connection that
        /// fails it, takes too long or panics over it is closed, and the caller gets the next one, with its turn
        /// kept; so is one whose check was dropped half-way. Shared by all clones.
        ///
        /// ```
        /// use hook_pool::ConnectionPool;
        /// # struct Conn;
        /// # impl Conn { async fn ping(&mut self) -> Result<(), std::io::Error> { Ok(()) } }
        /// # let connector = tower::service_fn(|_: &'static str| async { Ok::<_, std::io::Error>(Conn) });
        ///
        /// let pool = ConnectionPool::new(connector, 10)
        ///     .check_with(|conn: &mut Conn| Box::pin(async move { conn.ping().await.is_ok() }));
        /// ```
        #[must_use]
        pub fn check_with<Ping>(self, check: Ping) -> Self
        where
            Ping: for<'c> Fn(
                    &'c mut $conn,
                ) -> std::pin::Pin<Box<dyn std::future::Future<Output = bool> + Send + 'c>>
                + Send
                + Sync
                + 'static,
        {
            let check: crate::config::Check<$conn> = std::sync::Arc::new(check);
            let _before = self
                .core
                .shared()
                .change(|shelves| shelves.hooks.check.replace(check));
            self
        }

        /// How long a connection has to have been idle to be checked before it is handed out. The default
        /// is 1 second; with [`Duration::ZERO`](std::time::Duration::ZERO) each is that was idle at all; one that goes
        /// from hand to hand, from whoever returns it to the next in line, was not. Shared by all clones.
        #[must_use]
        pub fn check_after(self, idle: std::time::Duration) -> Self {
            self.limit(|limits| limits.check_after = idle)
        }

        /// How long a check may take. The default is 1 second. Shared by all clones.
        ///
        /// # Panics
        ///
        /// If `timeout` is zero.
        #[must_use]
        #[track_caller]
        pub fn check_timeout(self, timeout: std::time::Duration) -> Self {
            assert!(
                !timeout.is_zero(),
                "nothing passes a check in no time: check_timeout must be above zero, not 0s"
            );
            self.limit(|limits| limits.check_timeout = timeout)
        }

        /// Checks connections in the background whenever they were neither used nor checked for `interval`, so
        /// that nothing on the way forgets them: half of those that are idle under a key at a time, the rest an eighth of
        /// the interval later, and so on, so that something is left for who asks. By default nothing is. Needs [`check_with`](Self::check_with). It
        /// does not make a connection any younger for the idle timeout. Shared by all clones.
        ///
        /// # Panics
        ///
        /// If `interval` is zero.
        #[must_use]
        #[track_caller]
        pub fn keep_alive(self, interval: std::time::Duration) -> Self {
            assert!(
                !interval.is_zero(),
                "nothing would ever be idle: keep_alive must be above zero, not 0s"
            );
            self.limit(|limits| limits.keep_alive = Some(interval))
        }

        /// Tells `warn` of each connection that is held for `after` or longer, once, with the place where it was
        /// checked out. By default nobody watches.
        ///
        /// To be told, each checkout is entered in a list; so this is for finding a leak, and not for good. Shared
        /// by all clones.
        ///
        /// # Panics
        ///
        /// If `after` is zero.
        #[must_use]
        #[track_caller]
        pub fn leak_warning<Warn>(self, after: std::time::Duration, warn: Warn) -> Self
        where
            Warn: Fn(&crate::Leak) + Send + Sync + 'static,
        {
            assert!(
                !after.is_zero(),
                "every checkout would be a leak: leak_warning must be above zero, not 0s"
            );
            let warn: crate::config::OnLeak = std::sync::Arc::new(warn);
            let _before = self.core.shared().change(|shelves| {
                shelves.limits.leak_after = Some(after);
                shelves.hooks.on_leak.replace(warn)
            });
            self
        }
    };
}

pub(crate) use age;
