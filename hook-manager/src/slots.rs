//! How many hooks run at once: a lane for each event, and in it places that only guards may take, so that
//! neither another event's hooks nor slow observers can hold up a guard.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{
        AcquireError, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, OwnedSemaphorePermit, RwLock, Semaphore,
    },
    time::{Instant, timeout},
};

use crate::{error::HookError, event::HookEvent, hook::HookSpec, request::HookRequest, runaway::Gauge};

/// A place to run in, and how long it may be used.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Held until what runs is really gone, not just until its result is known.
    pub(crate) permit: Permit,
    pub(crate) timeout: Duration,
    /// Whether that timeout is what the event has left, rather than the hook's own.
    pub(crate) by_deadline: bool,
    /// How long this call, with all its attempts, has stood in the queue.
    pub(crate) waited: Duration,
}

/// A hook's place among those that run.
#[derive(Debug)]
pub(crate) struct Permit {
    _own: Option<OwnedSemaphorePermit>,
    _observer: Option<OwnedSemaphorePermit>,
    _lane: OwnedSemaphorePermit,
    _locks: Vec<Locked>,
}

/// What nobody else may use in a way that does not go together.
#[derive(Debug)]
enum Locked {
    Shared { _guard: OwnedRwLockReadGuard<()> },
    Alone { _guard: OwnedRwLockWriteGuard<()> },
}

/// One hook's way to a place: the queues it stands in, one after the other, and what it may run at all.
#[derive(Clone)]
pub(crate) struct Slots {
    /// What it reads, and (`true`) what it writes, in the order of names, which is everybody's order.
    locks: Arc<[(Arc<RwLock<()>>, bool)]>,
    /// The hook's own limit, if it has one.
    own: Option<Arc<Semaphore>>,
    /// The places that are not kept for guards; `None` for a guard, and where there are no guards.
    observers: Option<Arc<Semaphore>>,
    lane: Arc<Semaphore>,
    gauge: Arc<Gauge>,
}

/// The lanes of all events.
#[derive(Debug)]
pub(crate) struct Lanes {
    limit: usize,
    lanes: HashMap<HookEvent, Lane>,
    /// By name: what hooks say they read and write, and events with a hook that runs alone.
    locks: HashMap<String, Arc<RwLock<()>>>,
    all: Mutex<Vec<Arc<Semaphore>>>,
}

#[derive(Debug)]
struct Lane {
    all: Arc<Semaphore>,
    observers: Option<Arc<Semaphore>>,
}

impl Lanes {
    pub(crate) fn new<'a>(limit: usize, hooks: impl Iterator<Item = &'a HookSpec>) -> Self {
        let mut lanes: HashMap<HookEvent, Lane> = HashMap::new();
        let mut locks = HashMap::new();
        for spec in hooks {
            let lane = lanes.entry(spec.event.clone()).or_insert_with(|| Lane {
                all: Arc::new(Semaphore::new(limit)),
                observers: None,
            });
            // With one place only there is none to keep: guards come first in the queue all the same.
            if spec.is_guard() && limit > 1 && lane.observers.is_none() {
                lane.observers = Some(Arc::new(Semaphore::new(limit - 1)));
            }
            let schedule = &spec.schedule;
            let names = schedule
                .reads
                .iter()
                .chain(&schedule.writes)
                .map(|name| resource(name));
            let alone = schedule.exclusive.then(|| alone(&spec.event));
            locks.extend(names.chain(alone).map(|name| (name, Arc::default())));
        }
        let all = lanes
            .values()
            .flat_map(|lane| std::iter::once(&lane.all).chain(&lane.observers))
            .cloned()
            .collect();
        Self {
            limit,
            lanes,
            locks,
            all: Mutex::new(all),
        }
    }

    /// A hook's way through the lane of its event.
    pub(crate) fn slots(&self, spec: &HookSpec, gauge: Gauge) -> Slots {
        let (lane, observers) = match self.lanes.get(&spec.event) {
            Some(lane) => (Arc::clone(&lane.all), lane.observers.clone()),
            None => (Arc::new(Semaphore::new(self.limit)), None),
        };
        let own = spec
            .schedule
            .max_concurrent
            .filter(|own| *own < self.limit)
            .map(|own| Arc::new(Semaphore::new(own)));
        self.all
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(own.clone());
        Slots {
            locks: self.locks_of(spec),
            own,
            observers: observers.filter(|_| !spec.is_guard()),
            lane,
            gauge: Arc::new(gauge),
        }
    }

    fn locks_of(&self, spec: &HookSpec) -> Arc<[(Arc<RwLock<()>>, bool)]> {
        let schedule = &spec.schedule;
        let reads = schedule.reads.iter().map(|name| (resource(name), false));
        let writes = schedule.writes.iter().map(|name| (resource(name), true));
        // Where one runs alone, each of the others has a share.
        let alone = std::iter::once((alone(&spec.event), schedule.exclusive));
        // Sorted, so that no two can wait for each other; of what it both reads and writes, the latter counts.
        let names: BTreeMap<String, bool> = reads.chain(alone).chain(writes).collect();
        let locks = names
            .into_iter()
            .filter_map(|(name, alone)| Some((Arc::clone(self.locks.get(&name)?), alone)));
        locks.collect()
    }

    /// Nobody gets a place any more, and those who wait are told so.
    pub(crate) fn close(&self) {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().for_each(|semaphore| semaphore.close());
    }
}

impl Slots {
    /// Waits in each queue in turn, the narrowest first, so that nobody holds a place in the lane while it
    /// waits for one of its own.
    async fn acquire(&self) -> Result<Permit, AcquireError> {
        async fn one(
            semaphore: Option<&Arc<Semaphore>>,
        ) -> Result<Option<OwnedSemaphorePermit>, AcquireError> {
            match semaphore {
                Some(semaphore) => Arc::clone(semaphore).acquire_owned().await.map(Some),
                None => Ok(None),
            }
        }
        // Nobody who has a place waits for one of these.
        let mut locks = Vec::with_capacity(self.locks.len());
        for (lock, alone) in &*self.locks {
            let lock = Arc::clone(lock);
            locks.push(match alone {
                true => Locked::Alone {
                    _guard: lock.write_owned().await,
                },
                false => Locked::Shared {
                    _guard: lock.read_owned().await,
                },
            });
        }
        let own = one(self.own.as_ref()).await?;
        let observer = one(self.observers.as_ref()).await?;
        let lane = Arc::clone(&self.lane).acquire_owned().await?;
        Ok(Permit {
            _own: own,
            _observer: observer,
            _lane: lane,
            _locks: locks,
        })
    }
}

/// What hooks name never meets what we name.
fn resource(name: &str) -> String {
    format!("resource {name}")
}

fn alone(event: &HookEvent) -> String {
    format!("event {event}")
}

// By hand: what the queues hold is nobody's concern.
impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots")
            .field("lane", &self.lane)
            .finish_non_exhaustive()
    }
}

/// Waits for a turn, until the request's deadline at most, and counts the attempt that begins.
pub(crate) async fn turn(slots: &Slots, req: &HookRequest, own_timeout: Duration) -> Result<Turn, HookError> {
    slots.gauge.admit(req)?;
    let arrived = Instant::now();
    let left = |now: Instant| req.remaining(now.into_std()).unwrap_or(own_timeout);
    let acquired = timeout(left(arrived), slots.acquire()).await;
    let now = Instant::now();
    let waited = now - arrived;
    let left = left(now);
    match acquired {
        Ok(Ok(permit)) if !left.is_zero() => {
            req.trace().attempt(waited, now.into_std());
            Ok(Turn {
                permit,
                timeout: own_timeout.min(left),
                by_deadline: left < own_timeout,
                waited: req.trace().time_queued(),
            })
        }
        // The queues are closed when the manager shuts down.
        Ok(Err(_)) => Err(HookError::Cancelled),
        _ => {
            req.trace().queued(waited);
            Err(HookError::OutOfBudget { waited })
        }
    }
}
