//! What is stored, judged by the request, a note of it, or the key.
#![cfg(not(loom))]

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use futures::FutureExt;
use hook_cache::CacheLayer;
use tokio::sync::Semaphore;
use tower::{Layer, Service, service_fn};

/// Says how often it was cloned.
#[derive(Debug)]
struct Ask {
    key: u32,
    keep: bool,
    clones: Arc<AtomicUsize>,
}

impl Clone for Ask {
    fn clone(&self) -> Self {
        self.clones.fetch_add(1, SeqCst);
        Self {
            key: self.key,
            keep: self.keep,
            clones: self.clones.clone(),
        }
    }
}

fn ask(key: u32, keep: bool) -> Ask {
    Ask {
        key,
        keep,
        clones: Arc::default(),
    }
}

#[tokio::test]
async fn a_response_is_judged_with_its_request_and_a_hit_clones_none() {
    let layer = CacheLayer::keyed_by(|req: &Ask| Some(req.key)).store_if(|req, res| req.keep && *res < 10);
    let mut svc = layer.layer(service_fn(|req: Ask| async move { Ok::<_, Infallible>(req.key) }));
    for (key, keep, stored) in [(1, true, true), (2, false, false), (10, true, false)] {
        let (first, second) = (ask(key, keep), ask(key, keep));
        let clones = [first.clones.clone(), second.clones.clone()];
        svc.call(first).await.unwrap();
        svc.call(second).await.unwrap();
        let clones = clones.map(|clones| clones.load(SeqCst));
        assert_eq!(clones, if stored { [1, 0] } else { [1, 1] }, "{key} {keep}");
    }
    let stats = layer.handle().stats();
    assert_eq!((stats.hits, stats.refused.declined), (1, 4));
}

/// A request that cannot be cloned.
struct Plain(u32, bool);

#[tokio::test]
async fn a_note_of_the_request_will_do() {
    let layer =
        CacheLayer::keyed_by(|req: &Plain| Some(req.0)).store_if_noted(|req| req.1, |keep, _res| *keep);
    let mut svc = layer.layer(service_fn(|req: Plain| async move { Ok::<_, Infallible>(req.0) }));
    for keep in [false, true, false] {
        svc.call(Plain(1, keep)).await.unwrap();
    }
    assert_eq!(
        (layer.handle().stats().misses, layer.handle().stats().hits),
        (2, 1)
    );
}

#[tokio::test]
async fn the_key_will_do() {
    let layer = CacheLayer::keyed_by(|req: &Plain| Some(req.0)).store_if_key(|key, res| key == res);
    let mut svc = layer.layer(service_fn(
        |req: Plain| async move { Ok::<_, Infallible>(req.0 % 2) },
    ));
    for key in [1, 1, 2, 2] {
        svc.call(Plain(key, true)).await.unwrap();
    }
    assert_eq!(layer.handle().stats().hits, 1);
}

/// The one that takes over goes on with the call of another request: by that one it is judged.
#[tokio::test]
async fn a_call_that_is_resumed_is_judged_by_the_request_it_was_made_for() {
    for keep in [true, false] {
        let gate = Arc::new(Semaphore::new(0));
        let waits = gate.clone();
        let layer = CacheLayer::keyed_by(|req: &Ask| Some(req.key))
            .store_if(|req, _res| req.keep)
            .resume();
        let mut svc = layer.layer(service_fn(move |req: Ask| {
            let gate = waits.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                Ok::<_, Infallible>(req.key)
            }
        }));
        let mut leader = Box::pin(svc.call(ask(1, keep)));
        let mut follower = Box::pin(svc.call(ask(1, !keep)));
        assert!(leader.as_mut().now_or_never().is_none());
        assert!(follower.as_mut().now_or_never().is_none());
        drop(leader);
        assert!(follower.as_mut().now_or_never().is_none());
        gate.add_permits(1);
        follower.await.unwrap();
        assert_eq!(layer.handle().stats().entries, usize::from(keep));
    }
}

/// A panic while a note is taken is the caller's, and nothing is left behind.
#[tokio::test]
async fn a_note_that_cannot_be_taken_leaves_nothing_behind() {
    let layer = CacheLayer::keyed_by(|req: &Plain| Some(req.0))
        .store_if_noted(|req| assert!(req.1, "no note"), |(), _res| true);
    let mut svc = layer.layer(service_fn(|req: Plain| async move { Ok::<_, Infallible>(req.0) }));
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(svc.call(Plain(1, false)))));
    assert!(caught.is_err());
    assert_eq!(svc.call(Plain(1, true)).await, Ok(1));
    assert_eq!(layer.handle().stats().entries, 1);
}
