//! What may cross threads, and what may be moved.
#![cfg(not(loom))]

use std::{convert::Infallible, future::Ready, rc::Rc, task::Poll};

use hook_cache::{
    Cache, CacheHandle, CacheLayer, CacheStats, ErrorsReleased, ErrorsShared, Restart, ResultCache,
    ResultCacheBuilder, Resume, StoreAll,
    future::{GetOrLoad, ResponseFuture, Sweeper},
};
use tower::{Layer, Service};

type Key = fn(&Request) -> Option<u32>;
/// Can be sent but not shared, like a request with a body.
type Request = std::cell::Cell<u32>;

#[derive(Clone)]
struct Inner;

impl Service<Request> for Inner {
    type Response = String;
    type Error = Infallible;
    type Future = Ready<Result<String, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut std::task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: Request) -> Self::Future {
        std::future::ready(Ok(req.get().to_string()))
    }
}

fn all<T: Send + Sync + Unpin + 'static>() {}
fn sent<T: Send>() {}
fn moved<T: Unpin>() {}
fn shown<T: std::fmt::Debug>() {}

#[test]
fn everything_crosses_threads_that_should() {
    all::<CacheLayer<u32, String, Key>>();
    all::<Cache<Inner, u32, String, Key, StoreAll>>();
    all::<CacheHandle<u32, String>>();
    all::<ResultCache<u32, String>>();
    all::<ResultCacheBuilder<u32, String>>();
    all::<CacheStats>();
    all::<StoreAll>();
    sent::<ResponseFuture<Inner, Request, u32, String, Key, StoreAll, ErrorsReleased, Restart>>();
    sent::<ResponseFuture<Inner, Request, u32, String, Key, StoreAll, ErrorsShared, Resume>>();
    sent::<Sweeper<u32, String>>();
    type Load = fn() -> Ready<Result<String, Infallible>>;
    type Loaded = Ready<Result<String, Infallible>>;
    sent::<GetOrLoad<u32, String, Infallible, Load, Loaded, ErrorsReleased, Restart>>();
    sent::<GetOrLoad<u32, String, Infallible, Load, Loaded, ErrorsShared, Resume>>();

    moved::<ResponseFuture<Inner, Request, u32, String, Key, StoreAll, ErrorsReleased, Restart>>();
    moved::<ResponseFuture<Inner, Request, u32, String, Key, StoreAll, ErrorsShared, Resume>>();

    shown::<CacheLayer<u32, Rc<()>, Key>>();
    shown::<Cache<(), u32, Rc<()>, Key, StoreAll>>();
    shown::<CacheHandle<u32, Rc<()>>>();
    shown::<ResultCache<u32, Rc<()>>>();
    shown::<ResponseFuture<Inner, Request, u32, String, Key, StoreAll, ErrorsReleased, Restart>>();
}

#[test]
fn nothing_asks_for_send_where_nothing_is_sent() {
    let layer = CacheLayer::keyed_by(|req: &Rc<u32>| Some(req.clone()));
    let inner = tower::service_fn(|req: Rc<u32>| async move { Ok::<_, Infallible>(req) });
    let mut svc = layer.layer(inner);
    let call = svc.call(Rc::new(7));
    assert_eq!(futures::executor::block_on(call), Ok(Rc::new(7)));
}
