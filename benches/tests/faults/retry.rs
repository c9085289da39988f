//! tower's retry and that of tower-resilience.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::poll;
use hook_retry::{Attempt, Budget, Exponential, Fixed, NoWait, RetryLayer, RetryPolicy, Verdict};
use tokio::time::{Instant, advance};
use tower::{
    Layer, Service, ServiceExt,
    retry::{
        Policy,
        backoff::{Backoff, ExponentialBackoffMaker, MakeBackoff},
        budget::{Budget as _, TpsBudget},
    },
    util::rng::HasherRng,
};
use tower_resilience::retry::RetryLayer as PeerLayer;

use crate::backend::{Ask, Backend, Bench, Failed};

/// How long one call waits for its second attempt, if the backend only ever fails once a call.
async fn wait<S: Service<Ask>>(service: S) -> Duration {
    let mut service = service;
    let began = Instant::now();
    let Ok(ready) = service.ready().await else {
        panic!("always ready");
    };
    let _ = ready.call(Ask::Bad).await;
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn each_call_has_a_jitter_of_its_own() {
    let backoff = Exponential::from_millis(100);
    let layer = RetryLayer::new(RetryPolicy::new().retries(1).backoff(backoff));
    let mut ours = Vec::new();
    for _ in 0..10 {
        ours.push(wait(layer.layer(Backend::default())).await);
    }
    ours.sort();
    ours.dedup();
    assert!(ours.len() > 1, "{ours:?}");

    let (least, most) = (Duration::from_millis(100), Duration::from_secs(10));
    let mut maker =
        ExponentialBackoffMaker::new(least, most, 0.99, HasherRng::default()).expect("sensible figures");
    // What tower's documents say to do in `Policy::clone`, for each request.
    let mut towers: Vec<_> = (0..10)
        .map(|_| maker.make_backoff().next_backoff().deadline())
        .collect();
    towers.dedup();
    assert_eq!(towers.len(), 1, "tower gives each request the same");
}

/// Three retries out of a budget of 0.6 a call.
#[derive(Clone)]
struct Towers(u32, Arc<TpsBudget>);

impl Policy<Ask, (), Failed> for Towers {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Ask, result: &mut Result<(), Failed>) -> Option<Ready<()>> {
        if result.is_ok() || self.0 == 0 {
            self.1.deposit();
            return None;
        }
        self.0 -= 1;
        self.1.withdraw().then(|| ready(()))
    }

    fn clone_request(&mut self, ask: &Ask) -> Option<Ask> {
        Some(*ask)
    }
}

/// Ten calls that succeed, and then ten that fail once each: six of them may be tried again.
#[tokio::test(start_paused = true)]
async fn a_budget_of_six_tenths_lets_six_of_ten_retry() {
    async fn retries<S: Service<Ask>>(mut bench: Bench<S>) -> usize {
        assert_eq!(bench.admitted(Ask::Good, 10).await, 10);
        let before = bench.backend.calls();
        assert_eq!(bench.admitted(Ask::Bad, 10).await, 10);
        bench.backend.calls() - before - 10
    }
    let budget = Budget::new().ratio(0.6).floor(0);
    let policy = RetryPolicy::new().retries(1).backoff(NoWait).budget(budget);
    let ours = Bench::new(|backend| RetryLayer::new(policy).layer(backend));
    assert!(retries(ours).await <= 12, "0.6 of the twenty calls there were");

    let budget = Arc::new(TpsBudget::new(Duration::from_secs(10), 0, 0.6));
    let towers = tower::retry::RetryLayer::new(Towers(1, budget));
    let towers = retries(Bench::new(|backend| towers.layer(backend))).await;
    assert_eq!(towers, 10, "tower tries each of them again");
}

#[tokio::test(start_paused = true)]
async fn a_failed_response_is_gone_before_the_wait() {
    type Response = Arc<AtomicUsize>;

    /// How many of a response there are while the retry waits: the backend has one.
    async fn held<S>(layer: impl FnOnce(Answers) -> S) -> usize
    where
        S: Service<(), Response = Response>,
    {
        let response = Response::default();
        let mut service = layer(Answers(response.clone()));
        let Ok(ready) = service.ready().await else {
            panic!("always ready");
        };
        let mut call = Box::pin(ready.call(()));
        assert!(poll!(&mut call).is_pending(), "it waits");
        assert_eq!(response.load(SeqCst), 1);
        let held = Arc::strong_count(&response);
        advance(Duration::from_secs(1)).await;
        assert!(poll!(&mut call).is_ready());
        held
    }
    let policy = RetryPolicy::new()
        .retries(1)
        .backoff(Fixed::new(Duration::from_secs(1)))
        .classify_with(|_: Result<&Response, &Infallible>, _: &Attempt| Verdict::Retry);
    let ours = held(|answers| RetryLayer::new(policy).layer(answers)).await;

    let peer = PeerLayer::<(), Response, Infallible>::builder()
        .max_attempts(2)
        .fixed_backoff(Duration::from_secs(1))
        .retry_on_response(|_| true)
        .build();
    let peers = held(|answers| peer.layer(answers)).await;
    assert_eq!(peers, ours + 1, "tower-resilience waits with it in hand");
}

/// Answers with what it has, and counts there.
#[derive(Clone)]
struct Answers(Arc<AtomicUsize>);

impl Service<()> for Answers {
    type Response = Arc<AtomicUsize>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        self.0.fetch_add(1, SeqCst);
        ready(Ok(self.0.clone()))
    }
}
