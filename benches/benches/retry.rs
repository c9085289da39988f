//! Retries: what a first try that is good costs, and how much more a backend gets to do when it fails.

use std::{
    future::{Future, Ready, ready},
    hint::black_box,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use benches::{IsDown, call};
use criterion::{BenchmarkId, Criterion};
use hook_retry::{RetryLayer, RetryPolicy};
use tokio::runtime::Runtime;
use tower::{Layer, Service};

const TR: &str = "tower-resilience 0.13";

/// Ready at once, by way of a future that no compiler sees through.
#[derive(Clone, Copy, Debug)]
struct Opaque;

struct Answer(u64);

impl Future for Answer {
    type Output = Result<u64, IsDown>;

    #[inline]
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(black_box(self.0)))
    }
}

impl Service<u64> for Opaque {
    type Response = u64;
    type Error = IsDown;
    type Future = Answer;

    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), IsDown>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, req: u64) -> Answer {
        Answer(black_box(req))
    }
}

fn drive<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    let mut cx = Context::from_waker(std::task::Waker::noop());
    loop {
        let future = black_box(future.as_mut());
        if let Poll::Ready(output) = future.poll(&mut cx) {
            return output;
        }
    }
}

fn line<S>(c: &mut Criterion, id: &str, mut service: S)
where
    S: Service<u64, Response = u64, Error: std::fmt::Debug>,
{
    c.benchmark_group("retry/stored")
        .bench_function(BenchmarkId::from_parameter(id), |b| {
            b.iter(|| {
                let mut cx = Context::from_waker(std::task::Waker::noop());
                assert!(service.poll_ready(&mut cx).is_ready());
                drive(service.call(black_box(7))).map_err(|_| ())
            });
        });
    c.benchmark_group("retry/first_try")
        .bench_function(BenchmarkId::from_parameter(id), |b| {
            b.iter(|| call(&mut service, black_box(7)).map_err(|_| ()));
        });
}

fn first_try(c: &mut Criterion) {
    line(c, "bare", Opaque);
    line(c, "hook-retry", RetryLayer::new(RetryPolicy::new()).layer(Opaque));
    line(c, "tower 0.5", tower::retry::RetryLayer::new(Tries(3)).layer(Opaque));
    let peer = tower_resilience::retry::RetryLayer::<u64, u64, IsDown>::builder()
        .max_attempts(4)
        .exponential_backoff(Duration::from_millis(100))
        .build();
    line(c, TR, peer.layer(Opaque));
}

/// What a user of tower's retry writes.
#[derive(Clone)]
struct Tries(u32);

impl<E> tower::retry::Policy<u64, u64, E> for Tries {
    type Future = Ready<()>;

    fn retry(&mut self, _req: &mut u64, result: &mut Result<u64, E>) -> Option<Ready<()>> {
        if result.is_ok() || self.0 == 0 {
            return None;
        }
        self.0 -= 1;
        Some(ready(()))
    }

    fn clone_request(&mut self, req: &u64) -> Option<u64> {
        Some(*req)
    }
}

fn main() {
    let runtime = Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    first_try(&mut criterion);
    criterion.final_summary();
}
