//! tower-resilience's cache, and the guards of quick_cache and moka.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures::{FutureExt, future::join_all};
use hook_cache::CacheLayer;
use tokio::time::{Instant, sleep};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_resilience::cache::CacheLayer as PeerLayer;

use crate::backend::{Ask, Backend, Failed};

/// A backend of one place, and the answer to one request in the cache; then the place is taken.
#[tokio::test]
async fn a_hit_needs_nothing_of_the_backend() {
    async fn is_hit_when_busy<S: Service<u64>>(layer: impl FnOnce(ConcurrencyLimit<Numbers>) -> S) -> bool {
        let limited = ServiceBuilder::new().concurrency_limit(1).service(Numbers);
        let mut elsewhere = limited.clone();
        let mut service = layer(limited);
        let Ok(ready) = service.ready().await else {
            panic!("the place is free");
        };
        assert!(ready.call(7).await.is_ok());
        let _place = elsewhere.ready().await.expect("the place is free");
        let mut cx = Context::from_waker(Waker::noop());
        match service.poll_ready(&mut cx) {
            Poll::Ready(_) => matches!(service.call(7).now_or_never(), Some(Ok(_))),
            Poll::Pending => false,
        }
    }
    let ours = CacheLayer::keyed_by(|key: &u64| Some(*key));
    assert!(is_hit_when_busy(|limited| ours.layer(limited)).await);
    let peer = PeerLayer::builder()
        .max_size(10)
        .key_extractor(|key: &u64| *key)
        .build()
        .expect("sensible figures");
    assert!(!is_hit_when_busy(|limited| peer.layer(limited)).await);
}

#[derive(Clone, Copy)]
struct Numbers;

impl Service<u64> for Numbers {
    type Response = u64;
    type Error = Failed;
    type Future = std::future::Ready<Result<u64, Failed>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, key: u64) -> Self::Future {
        std::future::ready(Ok(key))
    }
}

/// A load that takes 20 ms and fails, and how often it has been begun.
#[derive(Clone, Default)]
struct Failing(Arc<AtomicUsize>);

impl Failing {
    async fn load(self) -> Result<u64, Failed> {
        self.0.fetch_add(1, SeqCst);
        sleep(Duration::from_millis(20)).await;
        Err(Failed)
    }
}

#[tokio::test(start_paused = true)]
async fn ten_callers_of_a_load_that_fails_wait_for_one_load() {
    let failing = Failing::default();
    let service = CacheLayer::keyed_by(|key: &u64| Some(*key))
        .share_errors()
        .layer(service_fn({
            let failing = failing.clone();
            move |_: u64| failing.clone().load()
        }));
    let began = Instant::now();
    join_all((0..10).map(|_| service.clone().oneshot(7))).await;
    assert_eq!(failing.0.load(SeqCst), 1);
    assert!(began.elapsed() < Duration::from_millis(40));

    let failing = Failing::default();
    let cache = quick_cache::sync::Cache::new(10);
    let began = Instant::now();
    join_all((0..10).map(|_| cache.get_or_insert_async(&7, failing.clone().load()))).await;
    assert_eq!(failing.0.load(SeqCst), 10);
    assert!(
        began.elapsed() >= Duration::from_millis(200),
        "quick_cache: one after the other"
    );
}

/// Three hundred callers load, one after the other, and each goes away before it is done. One has been waiting all along.
#[test]
fn the_patient_are_served_however_many_give_up() {
    fn is_served<F: Future>(call: impl Fn(Ask) -> F) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let mut leader = Box::pin(call(Ask::Hang));
        assert!(leader.as_mut().poll(&mut cx).is_pending());
        let mut patient = Box::pin(call(Ask::Good));
        assert!(patient.as_mut().poll(&mut cx).is_pending());
        let polled = |patient: &mut Pin<Box<F>>| {
            let mut cx = Context::from_waker(Waker::noop());
            catch_unwind(AssertUnwindSafe(|| patient.as_mut().poll(&mut cx)))
        };
        for _ in 0..300 {
            // Whoever has just come takes over.
            let mut next = Box::pin(call(Ask::Hang));
            drop(leader);
            assert!(next.as_mut().poll(&mut cx).is_pending());
            leader = next;
            match polled(&mut patient) {
                Ok(Poll::Pending) => {}
                Ok(Poll::Ready(_)) => panic!("there is nothing to be served with"),
                Err(_) => return false,
            }
        }
        drop(leader);
        matches!(polled(&mut patient), Ok(Poll::Ready(_)))
    }
    let service = CacheLayer::keyed_by(|_: &Ask| Some(7)).layer(Backend::default());
    assert!(is_served(|ask| service.clone().oneshot(ask)));

    let cache = moka::future::Cache::new(10);
    let peers = is_served(|ask| {
        let (cache, backend) = (cache.clone(), Backend::default());
        async move { cache.try_get_with(7, backend.oneshot(ask)).await }
    });
    assert!(!peers, "moka panics after 200");
}
