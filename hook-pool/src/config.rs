use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use hook_monitor::Clock;

use crate::handle::Leak;

/// A health check: whether this connection is still good.
pub(crate) type Check<C> =
    Arc<dyn Fn(&mut C) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> + Send + Sync>;

/// What is told about a connection that was held for too long.
pub(crate) type OnLeak = Arc<dyn Fn(&Leak) + Send + Sync>;

/// What belongs to the pool as a whole, whoever asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Connections per key, idle, used and being opened.
    pub(crate) max: usize,
    /// The same over all keys.
    pub(crate) max_total: usize,
    /// Connects under way, per key.
    pub(crate) max_connecting: usize,
    /// Callers in line for whom no connect is under way, per key.
    pub(crate) max_waiting: usize,
    pub(crate) max_keys: usize,
    pub(crate) min_idle: usize,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) max_lifetime: Option<Duration>,
    /// The share of the lifetime that chance may take off.
    pub(crate) lifetime_jitter: f64,
    pub(crate) max_uses: u64,
    pub(crate) check_after: Duration,
    pub(crate) check_timeout: Duration,
    pub(crate) keep_alive: Option<Duration>,
    pub(crate) backoff: (Duration, Duration),
    pub(crate) leak_after: Option<Duration>,
}

impl Limits {
    pub(crate) const fn new(max: usize) -> Self {
        Self {
            max,
            max_total: usize::MAX,
            // HikariCP has one thread that opens connections, and it is enough: in the 150 ms a connect takes,
            // one connection serves dozens of short calls. Three fill a pool of ten in four rounds.
            max_connecting: 3,
            // A caller in line costs its task and about 60 bytes here. More of them than this wait for
            // connections that cannot come soon: 10 connections and calls of 10 ms clear 1,024 in a second.
            max_waiting: 1_024,
            max_keys: 1_024,
            min_idle: 0,
            // Under the 100 s and more after which load balancers and servers commonly hang up.
            idle_timeout: Some(Duration::from_secs(90)),
            max_lifetime: None,
            lifetime_jitter: 0.1,
            max_uses: u64::MAX,
            check_after: Duration::from_secs(1),
            check_timeout: Duration::from_secs(1),
            keep_alive: None,
            backoff: (Duration::from_millis(50), Duration::from_secs(5)),
            leak_after: None,
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

/// What is done by whom, where it is given: none of it prints.
pub(crate) struct Hooks<C> {
    pub(crate) check: Option<Check<C>>,
    pub(crate) on_leak: Option<OnLeak>,
}

impl<C> fmt::Debug for Hooks<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("check", &self.check.is_some())
            .field("on_leak", &self.on_leak.is_some())
            .finish()
    }
}

/// The setters that the pool and its layer have in common; both keep a `Core` in `self.core`, over connections
/// of the type given here.
macro_rules! knobs {
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
        /// other key is closed for it. If there is none, its callers wait, and whatever comes free anywhere goes
        /// to whoever has waited longest; a key that has no connection at all gets one as soon as another
        /// key's comes back, and is never starved by a key that is always busy. Shared by all clones.
        ///
        /// # Panics
        ///
        /// If `max` is zero.
        #[must_use]
        #[track_caller]
        pub fn max_total(self, max: usize) -> Self {
            assert!(
                max > 0,
                "a pool of no connections serves nobody: max_total must be 1 or more"
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
                "without connects there are no connections: max_connecting must be 1 or more"
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
                "a pool without keys has no connections: max_keys must be 1 or more"
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

        /// How long a caller may wait for a connection, whether one comes back or is opened. The default is 30
        /// seconds.
        ///
        /// It counts from the first poll of the future, also where the place in line was taken before, by
        /// `Service::call`. After that it is refused with [`Reason::PoolTimeout`](hook_monitor::Reason::PoolTimeout). A
        /// connect that was begun for it goes on, for whoever comes next. With
        /// [`Duration::ZERO`](std::time::Duration::ZERO) a caller is refused where it would have to wait;
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
                "no connection opens in no time: connect_timeout must be above zero"
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
                "a back-off begins above zero and ends no lower: connect_backoff takes 0 < first <= max"
            );
            self.limit(|limits| limits.backoff = (first, max))
        }

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
                "nothing would be used twice: idle_timeout must be above zero"
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
                "nothing would be used: max_lifetime must be above zero"
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
                "a share is neither below none nor above all: lifetime_jitter must be within 0 and 1"
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
                "a connection nobody may use is none: max_uses must be 1 or more"
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
            let _before = self.core.shared().with(|shelves, _| {
                let before = shelves.hooks.check.replace(check);
                shelves.settle();
                before
            });
            self
        }

        /// How long a connection has to have been idle to be checked before it is handed out. The default
        /// is 1 second; with [`Duration::ZERO`](std::time::Duration::ZERO) each is. Shared by all clones.
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
                "nothing passes a check in no time: check_timeout must be above zero"
            );
            self.limit(|limits| limits.check_timeout = timeout)
        }

        /// Checks connections in the background whenever they were neither used nor checked for `interval`, so
        /// that nothing on the way forgets them. By default nothing is. Needs [`check_with`](Self::check_with). It
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
                "nothing would ever be idle: keep_alive must be above zero"
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
                "every checkout would be a leak: leak_warning must be above zero"
            );
            let warn: crate::config::OnLeak = std::sync::Arc::new(warn);
            let _before = self.core.shared().with(|shelves, _| {
                shelves.limits.leak_after = Some(after);
                let before = shelves.hooks.on_leak.replace(warn);
                shelves.settle();
                before
            });
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

        fn limit(self, change: impl FnOnce(&mut crate::config::Limits)) -> Self {
            self.core.shared().with(|shelves, _| {
                change(&mut shelves.limits);
                shelves.settle();
            });
            self
        }
    };
}
pub(crate) use knobs;
