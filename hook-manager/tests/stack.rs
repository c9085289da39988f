//! The five layers together, in the recommended order, without the manager.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use hook_breaker::{CallError, CircuitBreaker, CircuitBreakerLayer, State};
use hook_cache::CacheLayer;
use hook_manager::Stack;
use hook_monitor::{BoxError, MonitorLayer, Reason, Rejected};
use hook_pool::{Connector, PoolLayer};
use hook_retry::{Attempt, Fixed, RetryLayer, RetryPolicy, Verdict};
use tower::{Layer, Service, ServiceExt, service_fn};

/// A backend over pooled connections that can be taken down.
#[derive(Clone, Default)]
struct Backend {
    is_down: Arc<AtomicBool>,
    dialled: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
}

impl Backend {
    /// Connects, and gives a connection that is itself a service.
    fn connector(
        &self,
    ) -> impl Connector<(), Response = impl Service<u32, Response = u32, Error = io::Error>, Error = io::Error>
    {
        let backend = self.clone();
        service_fn(move |(): ()| {
            backend.dialled.fetch_add(1, SeqCst);
            let backend = backend.clone();
            std::future::ready(Ok(service_fn(move |req: u32| {
                backend.asked.fetch_add(1, SeqCst);
                let is_down = backend.is_down.load(SeqCst);
                async move {
                    if is_down {
                        Err(io::Error::other("down"))
                    } else {
                        Ok(req * 2)
                    }
                }
            })))
        })
    }

    fn figures(&self) -> (usize, usize) {
        (self.dialled.load(SeqCst), self.asked.load(SeqCst))
    }
}

#[tokio::test(start_paused = true)]
async fn all_five_work_together_in_the_recommended_order() {
    let backend = Backend::default();
    let monitor =
        MonitorLayer::new("all").classify_with(|result: Result<&u32, &BoxError>, _: Duration| match result {
            Ok(_) => hook_monitor::Outcome::Success,
            Err(_) => hook_monitor::Outcome::Failure,
        });
    let retry = RetryLayer::new(RetryPolicy::new().retries(2).backoff(Fixed::from_millis(10)));
    let breaker = CircuitBreakerLayer::new().consecutive_failures(3);
    let (calls, retries, circuit) = (monitor.handle(), retry.handle(), breaker.handle());
    // In whatever order they are given.
    let mut service = Stack::new()
        .pool(PoolLayer::new(2))
        .retry(retry)
        .timeout(Duration::from_secs(1))
        .cache(CacheLayer::keyed_by(|req: &u32| Some(*req)))
        .monitor(monitor)
        .breaker(breaker)
        .layer(backend.connector());

    // A first call dials; the second is answered from memory; the third finds an idle connection.
    for (req, figures) in [(1, (1, 1)), (1, (1, 1)), (2, (1, 2))] {
        assert_eq!(service.ready().await.unwrap().call(req).await.unwrap(), req * 2);
        assert_eq!(backend.figures(), figures);
    }

    // Every attempt passes the breaker: three attempts of one call are three failures.
    backend.is_down.store(true, SeqCst);
    let err = service.ready().await.unwrap().call(3).await.unwrap_err();
    assert_eq!(err.to_string(), "down");
    assert_eq!((circuit.state(), backend.asked.load(SeqCst)), (State::Open, 5));

    // Now the backend is left alone, and nobody dials or sleeps until the refusal's time has come.
    let before = (backend.figures(), tokio::time::Instant::now());
    let err = service.ready().await.unwrap().call(4).await.unwrap_err();
    assert_eq!(
        Rejected::find(&*err).map(Rejected::reason),
        Some(Reason::CircuitOpen)
    );
    assert_eq!((backend.figures(), tokio::time::Instant::now()), before);

    // What is known is still answered, open circuit or not.
    assert_eq!(service.ready().await.unwrap().call(1).await.unwrap(), 2);

    // The backend recovers, and the probes find out.
    backend.is_down.store(false, SeqCst);
    tokio::time::advance(Duration::from_secs(60)).await;
    for req in 10..15 {
        assert_eq!(service.ready().await.unwrap().call(req).await.unwrap(), req * 2);
    }
    assert_eq!(circuit.state(), State::Closed);

    let seen = calls.snapshot();
    assert_eq!(
        (
            seen.started,
            seen.successes,
            seen.failures,
            seen.rejected,
            seen.in_flight
        ),
        (11, 9, 1, 1, 0)
    );
    assert_eq!(retries.snapshot().retries, 2);
}

/// Without tower, the breaker's own error is judged by asking what is in it.
#[tokio::test(start_paused = true)]
async fn a_plain_retry_around_a_plain_breaker_leaves_an_open_circuit_alone() {
    let breaker = CircuitBreaker::builder().consecutive_failures(1).build();
    let policy =
        RetryPolicy::new().classify_with(|result: Result<&(), &CallError<io::Error>>, _: &Attempt| {
            match result {
                Err(err) => Verdict::of(err),
                Ok(()) => Verdict::Stop,
            }
        });
    let down = || breaker.call(async { Err::<(), _>(io::Error::other("down")) });
    down().await.unwrap_err();

    let err = policy.run(|_| down()).await.unwrap_err();
    assert!(matches!(err, CallError::Rejected(_)), "{err:?}");
    assert_eq!(
        breaker.snapshot().not_permitted,
        1,
        "asked once, and told to come back in a minute"
    );
}

/// The stack over a service without a pool, which waits for a connection and so may allocate.
#[test]
fn a_call_through_monitor_cache_retry_and_breaker_allocates_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut service = Stack::new()
            .monitor(MonitorLayer::new("all"))
            .cache(CacheLayer::keyed_by(|req: &u32| (*req != 0).then_some(*req)))
            .retry(RetryLayer::new(RetryPolicy::new()))
            .breaker(CircuitBreakerLayer::new())
            .layer(service_fn(|req: u32| std::future::ready(Ok::<_, BoxError>(req))));
        // 0 passes the cache by, 1 is a hit from the second time on.
        for warm in [0, 1, 0, 1] {
            assert_eq!(service.ready().await.unwrap().call(warm).await.unwrap(), warm);
        }
        for req in [0, 1] {
            let ready = service.ready().await.unwrap();
            let call = std::pin::pin!(async { ready.call(req).await });
            let mut call = Some(call);
            let mut answer = None;
            let info = allocation_counter::measure(|| {
                let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
                answer = Some(std::future::Future::poll(call.take().unwrap(), &mut cx));
            });
            assert!(matches!(answer, Some(std::task::Poll::Ready(Ok(seen))) if seen == req));
            assert_eq!(info.count_total, 0, "request {req}");
        }
    });
}

#[tokio::test(start_paused = true)]
async fn every_slot_may_stay_empty() {
    let bare = || service_fn(|req: u32| std::future::ready(Ok::<_, BoxError>(req)));
    assert_eq!(Stack::new().layer(bare()).oneshot(1).await.unwrap(), 1);
    let late = service_fn(|_: u32| std::future::pending::<Result<u32, BoxError>>());
    let err = Stack::new()
        .timeout(Duration::from_secs(1))
        .layer(late)
        .oneshot(1)
        .await
        .unwrap_err();
    assert!(err.is::<tower::timeout::error::Elapsed>());
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_inside_the_breaker_which_counts_it_and_ends_the_retries() {
    let breaker = CircuitBreakerLayer::new().consecutive_failures(2);
    let circuit = breaker.handle();
    let service = Stack::new()
        .timeout(Duration::from_secs(1))
        .breaker(breaker)
        .retry(RetryLayer::new(
            RetryPolicy::new().retries(9).backoff(Fixed::from_millis(10)),
        ))
        .layer(service_fn(|_: u32| {
            std::future::pending::<Result<u32, BoxError>>()
        }));
    let began = tokio::time::Instant::now();
    service.oneshot(1).await.unwrap_err();
    assert_eq!(circuit.state(), State::Open);
    assert!(
        began.elapsed() < Duration::from_millis(2_100),
        "two attempts of a second"
    );
}
