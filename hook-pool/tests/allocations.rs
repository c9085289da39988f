//! Allocations are counted: none where nobody has to wait.

mod support;

use std::{
    convert::Infallible,
    future::{Future, Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
};

use hook_pool::{ConnectionPool, PoolLayer};
use support::Dialler;
use tower::{Layer, Service};

/// The future's result, which has to be there at once.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("somebody waits"),
    }
}

#[derive(Clone)]
struct Echo;

impl Service<u64> for Echo {
    type Response = u64;
    type Error = Infallible;
    type Future = Ready<Result<u64, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: u64) -> Self::Future {
        ready(Ok(req))
    }
}

#[test]
fn checking_an_idle_connection_out_and_back_in_allocates_nothing() {
    let pool = Dialler::default().pool(2);
    drop((now(pool.get(&())).unwrap(), now(pool.get(&())).unwrap()));
    let seen = allocation_counter::measure(|| {
        for _ in 0..1_000 {
            drop((now(pool.get(&())).unwrap(), now(pool.get(&())).unwrap()));
        }
    });
    assert_eq!(seen.count_total, 0);
}

#[test]
fn neither_does_it_for_a_key_on_the_heap() {
    let pool = ConnectionPool::<_, String>::new(Dialler::default(), 2);
    let key = "host.example:443".to_owned();
    drop(now(pool.get(&key)).unwrap());
    let seen = allocation_counter::measure(|| {
        for _ in 0..1_000 {
            drop(now(pool.get(&key)).unwrap());
        }
    });
    assert_eq!(seen.count_total, 0);
}

#[test]
fn neither_does_a_request_over_the_layer_even_if_the_connector_is_a_box() {
    let connector =
        tower::util::BoxCloneService::new(tower::service_fn(|()| async { Ok::<_, Infallible>(Echo) }));
    let mut client = PoolLayer::new(2)
        .keep_if(|result: Result<&u64, &Infallible>| result.is_ok())
        .layer(connector);
    assert_eq!(now(client.call(1)).unwrap(), 1);
    let seen = allocation_counter::measure(|| {
        for req in 0..1_000 {
            assert_eq!(now(client.call(req)).unwrap(), req);
        }
    });
    assert_eq!(seen.count_total, 0);
}

#[tokio::test(start_paused = true)]
async fn waiting_costs_one_box_once_the_line_has_been_that_long() {
    let pool = ConnectionPool::new(tower::service_fn(|()| ready(Ok::<_, Infallible>(Echo))), 1);
    let mut lease = Some(pool.get(&()).await.unwrap());
    let mut wait_a_turn = || {
        let mut cx = Context::from_waker(Waker::noop());
        let mut waiter = pin!(pool.get(&()));
        assert!(waiter.as_mut().poll(&mut cx).is_pending());
        lease = None;
        match waiter.poll(&mut cx) {
            Poll::Ready(got) => lease = got.ok(),
            Poll::Pending => panic!("it was this one's turn"),
        }
    };
    wait_a_turn();
    let seen = allocation_counter::measure(|| (0..1_000).for_each(|_| wait_a_turn()));
    assert_eq!((seen.count_total, seen.count_current), (1_000, 0));
}
