//! The caches under test, each holding the same keys.

use std::{hash::Hash, sync::Arc, time::Duration};

use hook_cache::{CacheLayer, KeyInRequest, ResultCache};
use tower::{Layer, Service};

pub(crate) const TR: &str = "tower-resilience 0.13";
pub(crate) const RAW: &str = "quick_cache 0.6 get: no TTL, no statistics";
pub(crate) const MOKA: &str = "moka 0.12 get: TTL";

/// For how long the peers keep entries, where they can be told.
pub(crate) const TTL: Duration = Duration::from_secs(300);

pub(crate) trait Key: Hash + Eq + Clone + Send + Sync + std::fmt::Debug + 'static {
    fn nth(n: u64) -> Self;
}

impl Key for u64 {
    fn nth(n: u64) -> Self {
        n
    }
}

impl Key for Arc<str> {
    /// Twenty-two bytes, as a path or an identifier has.
    fn nth(n: u64) -> Self {
        format!("/users/{n:0>15}").into()
    }
}

/// The service behind the caches: its answer is there at once, and is of the key's size whatever the key is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answer;

impl<K> Service<K> for Answer {
    type Response = u64;
    type Error = std::convert::Infallible;
    type Future = std::future::Ready<Result<u64, std::convert::Infallible>>;

    #[inline]
    fn poll_ready(&mut self, _cx: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, _key: K) -> Self::Future {
        std::future::ready(Ok(7))
    }
}

type Found<K> = fn(&K) -> Option<K>;

pub(crate) fn ours<K: Key>(capacity: usize) -> CacheLayer<K, u64, Found<K>> {
    CacheLayer::keyed_by((|key: &K| Some(key.clone())) as Found<K>).capacity(capacity)
}

type InRequest = KeyInRequest<fn(&Arc<str>) -> Option<&str>, str>;

/// Keys that are `String`s, found by what is in the request.
pub(crate) fn ours_by_ref(capacity: usize) -> CacheLayer<String, u64, InRequest> {
    let key: fn(&Arc<str>) -> Option<&str> = |req| Some(req);
    CacheLayer::keyed_by_ref(key).capacity(capacity)
}

pub(crate) fn theirs<K: Key>(
    capacity: usize,
) -> impl Layer<Answer, Service = impl Service<K, Response = u64, Error: std::fmt::Debug> + Clone + Send + 'static>
{
    tower_resilience::cache::CacheLayer::builder()
        .max_size(capacity)
        .ttl(TTL)
        .key_extractor(|key: &K| key.clone())
        .build()
        .expect("sensible figures")
}

pub(crate) fn plain<K: Key>(capacity: usize, keys: &[K]) -> ResultCache<K, u64> {
    let cache = ResultCache::builder().capacity(capacity).coarse_clock().build();
    keys.iter().for_each(|key| cache.insert(key.clone(), 7));
    cache
}

pub(crate) fn raw<K: Key>(capacity: usize, keys: &[K]) -> quick_cache::sync::Cache<K, u64> {
    let cache = quick_cache::sync::Cache::new(capacity);
    keys.iter().for_each(|key| cache.insert(key.clone(), 7));
    cache
}

pub(crate) fn moka<K: Key>(capacity: usize, keys: &[K]) -> moka::sync::Cache<K, u64> {
    let cache = moka::sync::Cache::builder()
        .max_capacity(capacity as u64)
        .time_to_live(TTL)
        .build();
    keys.iter().for_each(|key| cache.insert(key.clone(), 7));
    cache.run_pending_tasks();
    cache
}

/// Calls a service once for each key, so that it has them all.
pub(crate) fn warmed<K, S>(mut service: S, keys: &[K]) -> S
where
    K: Key,
    S: Service<K>,
    S::Error: std::fmt::Debug,
{
    for key in keys {
        let _ = benches::call(&mut service, key.clone());
    }
    service
}
