//! What is out of the ordinary: late polls, loads that overtake each other, and panics of foreign code.
#![cfg(not(loom))]

use std::{
    future::{Future, pending},
    hash::{Hash, Hasher},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::SeqCst},
        mpsc,
    },
    task::{Context, Wake, Waker},
    time::Duration,
};

use hook_cache::ResultCache;
use tokio::sync::oneshot;
use tokio_test::{assert_pending, assert_ready, task};

type Answer<V> = oneshot::Receiver<Result<V, ()>>;

async fn answer<V>(answer: Answer<V>) -> Result<V, ()> {
    answer.await.map_err(|_| ())?
}

/// A caller that loads alone, as the leader it waited for has failed; `$send` is its answer.
macro_rules! alone {
    ($cache:ident, $key:expr, $alone:ident, $send:ident) => {
        let (fail, failed) = oneshot::channel();
        let mut leader = task::spawn($cache.get_or_load($key, || answer(failed)));
        assert_pending!(leader.poll());
        let ($send, receive) = oneshot::channel();
        let mut $alone = task::spawn($cache.get_or_load($key, || answer(receive)));
        assert_pending!($alone.poll());
        fail.send(Err(())).unwrap();
        assert_eq!(assert_ready!(leader.poll()).err(), Some(()));
        assert_pending!($alone.poll());
    };
}

/// Not a sleep: the limit for a deadlock.
fn must_not_hang(run: impl FnOnce() + Send + 'static) {
    let (done, finished) = mpsc::channel();
    std::thread::spawn(move || {
        run();
        done.send(()).unwrap();
    });
    let limit = Duration::from_secs(5);
    assert_eq!(finished.recv_timeout(limit), Ok(()), "dropped under a lock");
}

/// Comes back to the cache when it is dropped, once there is one in the slot.
#[derive(Clone, Debug, Default)]
struct Curious(Arc<Mutex<Option<ResultCache<u32, Curious>>>>);

impl Drop for Curious {
    fn drop(&mut self) {
        let cache = self.0.lock().unwrap().clone();
        if let Some(cache) = cache {
            cache.invalidate(&1_000_000);
        }
    }
}

#[test]
fn what_a_cache_without_capacity_refuses_to_put_is_dropped_without_a_lock() {
    must_not_hang(|| {
        let cache = ResultCache::new(0);
        let value = Curious::default();
        *value.0.lock().unwrap() = Some(cache.clone());
        cache.insert(1, value);
        assert!(cache.is_empty());
    });
}

#[test]
fn what_a_cache_without_capacity_loads_is_dropped_without_a_lock() {
    must_not_hang(|| {
        let cache = ResultCache::new(0);
        let value = Curious::default();
        *value.0.lock().unwrap() = Some(cache.clone());
        let mut load = task::spawn(cache.get_or_load(1, || async { Ok::<_, ()>(value) }));
        assert!(assert_ready!(load.poll()).is_ok());
    });
}

#[test]
fn what_was_loaded_alone_and_is_not_stored_is_dropped_without_a_lock() {
    must_not_hang(|| {
        let cache: ResultCache<u32, Curious> = ResultCache::new(10);
        alone!(cache, 1, alone, send);
        cache.invalidate(&1);
        let value = Curious::default();
        *value.0.lock().unwrap() = Some(cache.clone());
        assert!(send.send(Ok(value)).is_ok());
        assert!(assert_ready!(alone.poll()).is_ok());
        assert!(cache.is_empty());
    });
}

#[test]
fn get_or_load_does_not_serve_what_was_invalidated_before_it_was_polled() {
    let cache = ResultCache::new(10);
    cache.insert(1, "old");
    let mut late = task::spawn(cache.get_or_load(1, || async { Ok::<_, ()>("new") }));
    assert!(cache.invalidate(&1));
    assert_eq!(assert_ready!(late.poll()), Ok("new"));
}

#[tokio::test(start_paused = true)]
async fn get_or_load_does_not_serve_what_expired_before_it_was_polled() {
    let cache = ResultCache::builder().ttl(Duration::from_secs(1)).build();
    cache.insert(1, "old");
    let mut late = task::spawn(cache.get_or_load(1, || async { Ok::<_, ()>("new") }));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(assert_ready!(late.poll()), Ok("new"));
}

#[test]
fn a_load_alone_does_not_replace_what_a_later_load_stored() {
    let cache = ResultCache::new(10);
    alone!(cache, 1, alone, send);
    let mut later = task::spawn(cache.get_or_load(1, || async { Ok::<_, ()>("later") }));
    assert_eq!(assert_ready!(later.poll()), Ok("later"));
    send.send(Ok("earlier")).unwrap();
    assert_eq!(assert_ready!(alone.poll()), Ok("earlier"));
    assert_eq!(cache.get(&1), Some("later"));
}

#[test]
fn of_two_that_load_alone_the_one_that_began_later_stays() {
    for earlier_first in [true, false] {
        let cache = ResultCache::new(10);
        alone!(cache, 1, one, send_one);
        alone!(cache, 1, two, send_two);
        send_one.send(Ok("one")).unwrap();
        send_two.send(Ok("two")).unwrap();
        if earlier_first {
            assert_eq!(assert_ready!(one.poll()), Ok("one"));
            assert_eq!(cache.get(&1), Some("one"));
        }
        assert_eq!(assert_ready!(two.poll()), Ok("two"));
        if !earlier_first {
            assert_eq!(assert_ready!(one.poll()), Ok("one"));
        }
        assert_eq!(cache.get(&1), Some("two"));
    }
}

#[test]
fn a_leader_does_not_replace_what_a_load_alone_that_began_later_stored() {
    let cache = ResultCache::new(10);
    let (fail, failed) = oneshot::channel();
    let mut failing = task::spawn(cache.get_or_load(1, || answer(failed)));
    assert_pending!(failing.poll());
    let mut alone = task::spawn(cache.get_or_load(1, || async { Ok::<_, ()>("later") }));
    assert_pending!(alone.poll());
    fail.send(Err(())).unwrap();
    assert_eq!(assert_ready!(failing.poll()), Err(()));
    let (send, receive) = oneshot::channel();
    let mut leader = task::spawn(cache.get_or_load(1, || answer(receive)));
    assert_pending!(leader.poll());
    assert_eq!(assert_ready!(alone.poll()), Ok("later"));
    send.send(Ok("earlier")).unwrap();
    assert_eq!(assert_ready!(leader.poll()), Ok("earlier"));
    assert_eq!(cache.get(&1), Some("later"));
}

#[test]
fn a_leader_replaces_what_a_load_alone_that_began_earlier_stored() {
    let cache = ResultCache::new(10);
    alone!(cache, 1, alone, send_alone);
    let (send, receive) = oneshot::channel();
    let mut leader = task::spawn(cache.get_or_load(1, || answer(receive)));
    assert_pending!(leader.poll());
    send_alone.send(Ok("earlier")).unwrap();
    assert_eq!(assert_ready!(alone.poll()), Ok("earlier"));
    assert_eq!(cache.get(&1), Some("earlier"));
    send.send(Ok("later")).unwrap();
    assert_eq!(assert_ready!(leader.poll()), Ok("later"));
    assert_eq!(cache.get(&1), Some("later"));
}

#[test]
fn another_key_does_not_disturb_a_load_alone() {
    let cache = ResultCache::new(10);
    alone!(cache, 1, alone, send);
    cache.insert(7, "seven");
    cache.invalidate(&8);
    send.send(Ok("one")).unwrap();
    assert_eq!(assert_ready!(alone.poll()), Ok("one"));
    assert_eq!(cache.get(&1), Some("one"));
}

#[test]
fn a_load_alone_is_not_stored_over_a_put_or_over_any_invalidation() {
    type Change = fn(&ResultCache<u32, &'static str>);
    let changes: [(Change, _); 4] = [
        (|cache| cache.insert(1, "put"), Some("put")),
        (|cache| assert!(!cache.invalidate(&1)), None),
        (ResultCache::invalidate_all, None),
        (|cache| assert_eq!(cache.invalidate_if(|_, _| false), 0), None),
    ];
    for (change, left) in changes {
        let cache = ResultCache::new(10);
        alone!(cache, 1, alone, send);
        change(&cache);
        send.send(Ok("loaded")).unwrap();
        assert_eq!(assert_ready!(alone.poll()), Ok("loaded"));
        assert_eq!(cache.get(&1), left);
    }
}

/// A key that panics when it is compared and the fuse has burned down; zero is no fuse.
#[derive(Clone)]
struct Fused(Arc<AtomicU32>);

impl Hash for Fused {
    fn hash<H: Hasher>(&self, state: &mut H) {
        1.hash(state);
    }
}

impl PartialEq for Fused {
    fn eq(&self, _: &Self) -> bool {
        if self.0.load(SeqCst) > 0 {
            assert_ne!(self.0.fetch_sub(1, SeqCst), 1, "the comparison panics");
        }
        true
    }
}

impl Eq for Fused {}

/// Lights a fuse of each length, lets `with` go wrong, and says how often it did.
fn burn(with: impl Fn(&ResultCache<Fused, u32>, &Fused, u32) -> bool) -> usize {
    let burn = |length: &u32| {
        let (cache, key) = (ResultCache::new(10), Fused(Arc::default()));
        let panicked = with(&cache, &key, *length);
        key.0.store(0, SeqCst);
        let mut next = task::spawn(cache.get_or_load(key, || async { Ok::<_, ()>(2) }));
        assert!(
            assert_ready!(next.poll()).is_ok(),
            "wedged by comparison {length}"
        );
        panicked
    };
    (1..=6).filter(burn).count()
}

#[test]
fn a_comparison_that_panics_while_a_load_lands_does_not_wedge_its_key() {
    let panics = burn(|cache, key, length| {
        let (send, receive) = oneshot::channel();
        let mut leader = task::spawn(cache.get_or_load(key.clone(), || answer(receive)));
        assert_pending!(leader.poll());
        let mut waiter = task::spawn(cache.get_or_load(key.clone(), || async { Ok::<_, ()>(3) }));
        assert_pending!(waiter.poll());
        send.send(Ok(1)).unwrap();
        key.0.store(length, SeqCst);
        let panicked = catch_unwind(AssertUnwindSafe(|| leader.poll())).is_err();
        key.0.store(0, SeqCst);
        assert!(waiter.is_woken());
        assert!(assert_ready!(waiter.poll()).is_ok());
        panicked
    });
    assert_eq!(panics, 2);
}

#[test]
fn a_comparison_that_panics_while_a_leader_goes_away_does_not_wedge_its_key() {
    let panics = burn(|cache, key, length| {
        let mut leader = task::spawn(cache.get_or_load(key.clone(), pending::<Result<u32, ()>>));
        assert_pending!(leader.poll());
        key.0.store(length, SeqCst);
        catch_unwind(AssertUnwindSafe(|| drop(leader))).is_err()
    });
    assert_eq!(panics, 2);
}

struct Panicking;

impl Wake for Panicking {
    fn wake(self: Arc<Self>) {
        panic!("the waker panics");
    }
}

#[test]
fn a_waker_that_panics_does_not_keep_the_others_from_being_woken() {
    let cache = ResultCache::new(10);
    let (send, receive) = oneshot::channel();
    let mut leader = task::spawn(cache.get_or_load(1, || answer(receive)));
    assert_pending!(leader.poll());
    let panicking = Waker::from(Arc::new(Panicking));
    let mut first = pin!(cache.get_or_load(1, || async { Ok::<_, ()>(2) }));
    assert!(
        first
            .as_mut()
            .poll(&mut Context::from_waker(&panicking))
            .is_pending()
    );
    let mut second = task::spawn(cache.get_or_load(1, || async { Ok::<_, ()>(3) }));
    assert_pending!(second.poll());
    send.send(Ok(1)).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| leader.poll())).is_err());
    assert!(second.is_woken());
    assert_eq!(assert_ready!(second.poll()), Ok(1));
}
