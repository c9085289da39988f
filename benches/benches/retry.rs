//! Retries: what a first try that is good costs, and how much more a backend gets to do when it fails.

use std::{
    future::{Future, Ready, ready},
    hint::black_box,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use benches::{IsDown, call, calls, claims::Suite};
use criterion::{BenchmarkId, Criterion};
use hook_retry::{Budget, NoWait, RetryLayer, RetryPolicy};
use tokio::runtime::Runtime;
use tower::{
    Layer, Service, ServiceExt,
    retry::budget::{Budget as _, TpsBudget},
    util::BoxCloneService,
};
use tower_resilience::retry::RetryBudgetBuilder;

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

fn line<S>(c: &mut Criterion, id: &str, mut service: S)
where
    S: Service<u64, Response = u64, Error: std::fmt::Debug>,
{
    // As far as the compiler can take it.
    c.benchmark_group("retry/first_try")
        .bench_function(BenchmarkId::from_parameter(id), |b| {
            b.iter(|| call(&mut service, black_box(7)).map_err(|_| ()));
        });
    // In memory, where a future is that has ever been pending.
    c.benchmark_group("retry/first_try_stored")
        .bench_function(BenchmarkId::from_parameter(id), |b| {
            b.iter(|| {
                let mut cx = Context::from_waker(Waker::noop());
                assert!(service.poll_ready(&mut cx).is_ready());
                let mut future = pin!(service.call(black_box(7)));
                loop {
                    if let Poll::Ready(result) = black_box(future.as_mut()).poll(&mut cx) {
                        break result.map_err(|_| ());
                    }
                }
            });
        });
}

fn first_try(c: &mut Criterion) {
    line(c, "bare", Opaque);
    line(c, "hook-retry", ours());
    line(c, "tower 0.5", towers());
    line(c, TR, theirs());
}

fn ours() -> impl Service<u64, Response = u64, Error = IsDown> {
    RetryLayer::new(RetryPolicy::new()).layer(Opaque)
}

fn towers() -> impl Service<u64, Response = u64, Error = IsDown> {
    tower::retry::RetryLayer::new(Tries(3, None)).layer(Opaque)
}

fn theirs() -> impl Service<u64, Response = u64, Error: std::fmt::Debug> {
    let peer = tower_resilience::retry::RetryLayer::<u64, u64, IsDown>::builder()
        .max_attempts(4)
        .exponential_backoff(Duration::from_millis(100))
        .build();
    peer.layer(Opaque)
}

/// What a user of tower's retry writes, with or without tower's budget.
#[derive(Clone)]
struct Tries(u32, Option<Arc<TpsBudget>>);

impl<E> tower::retry::Policy<u64, u64, E> for Tries {
    type Future = Ready<()>;

    fn retry(&mut self, _req: &mut u64, result: &mut Result<u64, E>) -> Option<Ready<()>> {
        if result.is_ok() || self.0 == 0 {
            if let Some(budget) = &self.1 {
                budget.deposit();
            }
            return None;
        }
        self.0 -= 1;
        match &self.1 {
            Some(budget) if !budget.withdraw() => None,
            _ => Some(ready(())),
        }
    }

    fn clone_request(&mut self, req: &u64) -> Option<u64> {
        Some(*req)
    }
}

/// Every second attempt fails. Says how many there were.
#[derive(Clone, Default)]
struct Flaky(Arc<AtomicU64>);

impl Service<u64> for Flaky {
    type Response = u64;
    type Error = IsDown;
    type Future = Ready<Result<u64, IsDown>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), IsDown>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, req: u64) -> Self::Future {
        ready(match self.0.fetch_add(1, Relaxed) % 2 {
            0 => Ok(req),
            _ => Err(IsDown),
        })
    }
}

/// What a backend of which every second attempt fails gets to do for each call, over 2,000 calls in a row.
fn amplification(suite: &mut Suite) {
    const CALLS: u32 = 2_000;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let of = |id: &str, layered: &dyn Fn(Flaky) -> BoxCloneService<u64, u64, IsDown>| {
        let flaky = Flaky::default();
        let mut service = layered(flaky.clone());
        let served: u32 = runtime.block_on(async {
            let mut served = 0;
            for _ in 0..CALLS {
                let ready = service.ready().await.expect("always ready");
                served += u32::from(ready.call(7).await.is_ok());
            }
            served
        });
        let attempts = flaky.0.load(Relaxed) as f64 / f64::from(CALLS);
        let served = f64::from(served) / f64::from(CALLS);
        println!(
            "retry/amplification/{id:44} {attempts:.4} attempts a call, {:.1} % served",
            100.0 * served
        );
        attempts
    };
    for ratio in [0.2, 0.6] {
        let ours = of(&format!("hook-retry, ratio {ratio}"), &|flaky| {
            let policy = RetryPolicy::new()
                .backoff(NoWait)
                .budget(Budget::new().ratio(ratio));
            BoxCloneService::new(RetryLayer::new(policy).layer(flaky))
        });
        if ratio == 0.2 {
            suite.value("retry.amplification", ours, "2,000 calls in a row");
        }
        of(&format!("tower 0.5, ratio {ratio}"), &|flaky| {
            let budget = TpsBudget::new(Duration::from_secs(10), 0, ratio as f32);
            let layer = tower::retry::RetryLayer::new(Tries(3, Some(Arc::new(budget))));
            BoxCloneService::new(layer.layer(flaky))
        });
    }
    of(&format!("{TR}, token bucket of 10 a second"), &|flaky| {
        let budget = RetryBudgetBuilder::new()
            .token_bucket()
            .build()
            .expect("its defaults");
        let peer = tower_resilience::retry::RetryLayer::<u64, u64, IsDown>::builder()
            .max_attempts(4)
            .fixed_backoff(Duration::from_millis(1))
            .budget(budget)
            .build();
        BoxCloneService::new(peer.layer(flaky))
    });
}

fn main() {
    let runtime = Runtime::new().expect("a runtime");
    let mut suite = Suite::named("retry");
    amplification(&mut suite);
    let _inside = runtime.enter();
    let mut criterion = suite.mode().criterion();
    first_try(&mut criterion);
    criterion.final_summary();
    suite.ratio("retry.first_try.tower", calls(ours()), calls(towers()));
    suite.ratio("retry.first_try", calls(ours()), calls(theirs()));
    suite.finish();
}
