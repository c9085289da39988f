//! Retries over something that refuses: a breaker, a pool.

use std::{
    cell::Cell,
    future::{Ready, ready},
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::Either;
use hook_retry::{BoxError, Reason, Rejected, RetryLayer, RetryPolicy};
use tokio::time::Instant;
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_test::mock;

/// Calls something that refuses with `rejected`, and says how often and for how long.
async fn refused_by(rejected: Rejected, layer: RetryLayer) -> (u32, Duration) {
    let (start, calls) = (Instant::now(), Cell::new(0));
    let service = service_fn(|()| {
        calls.set(calls.get() + 1);
        let err: BoxError = rejected.clone().into();
        async { Err::<(), _>(err) }
    });
    let answer = layer.layer(service).oneshot(()).await;
    assert_eq!(
        answer.err().and_then(|err| Rejected::find(&*err).cloned()),
        Some(rejected.clone())
    );
    (calls.get(), start.elapsed())
}

const OPEN: Rejected = Rejected::new(Reason::CircuitOpen);

#[tokio::test(start_paused = true)]
async fn an_open_circuit_is_not_retried_before_its_retry_after() {
    let policy = RetryPolicy::new().retries(1);
    let open = OPEN.after(Duration::from_secs(2));
    let (calls, took) = refused_by(open, RetryLayer::new(policy)).await;
    assert_eq!((calls, took), (2, Duration::from_secs(2)));
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_that_stays_open_too_long_is_the_answer_at_once() {
    let layer = RetryLayer::default();
    let minute = OPEN.after(Duration::from_secs(60));
    assert_eq!(refused_by(minute, layer.clone()).await, (1, Duration::ZERO));

    let policy = RetryPolicy::new().max_elapsed(Duration::from_secs(2));
    let in_two = OPEN.after(Duration::from_secs(2));
    assert_eq!(
        refused_by(in_two.clone(), RetryLayer::new(policy)).await,
        (1, Duration::ZERO)
    );

    let patient = RetryPolicy::new()
        .retries(1)
        .max_retry_after(Duration::from_secs(60));
    let (calls, took) = refused_by(OPEN.after(Duration::from_secs(60)), RetryLayer::new(patient)).await;
    assert_eq!((calls, took), (2, Duration::from_secs(60)));
    assert_eq!(layer.handle().snapshot().too_late, 1);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_come_back_is_not_asked_again() {
    let layer = RetryLayer::default();
    for rejected in [OPEN, Rejected::new(Reason::PoolClosed)] {
        assert_eq!(refused_by(rejected, layer.clone()).await, (1, Duration::ZERO));
    }
    assert_eq!(layer.handle().snapshot().stopped, 2);
}

#[tokio::test(start_paused = true)]
async fn a_full_pool_is_asked_again_after_the_backoff() {
    let full = Rejected::new(Reason::PoolQueueFull { waiting: 9 });
    let (calls, took) = refused_by(full, RetryLayer::default()).await;
    assert_eq!(calls, 4);
    assert!(
        took > Duration::ZERO && took <= Duration::from_millis(703),
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_break_that_ends_in_time_is_waited_for_and_the_call_succeeds() {
    let start = Instant::now();
    let breaker = service_fn(|()| async move {
        let rest = Duration::from_millis(800).saturating_sub(start.elapsed());
        if rest.is_zero() {
            return Ok("well again");
        }
        Err::<_, BoxError>(OPEN.after(rest).into())
    });
    let layer = RetryLayer::default();
    assert_eq!(layer.layer(breaker).oneshot(()).await.ok(), Some("well again"));
    assert_eq!(start.elapsed(), Duration::from_millis(800));
    let seen = layer.handle().snapshot();
    assert_eq!((seen.retries, seen.backoff), (1, Duration::from_millis(800)));
}

/// Refuses while it is shut, as a breaker does: ready then, whatever the inner service is, and without a call
/// of that. What it has reserved or queued for in the inner service before, it keeps.
#[derive(Clone)]
struct Gate<S> {
    inner: S,
    shut: Rc<Cell<bool>>,
}

impl<S: Service<bool, Error = BoxError>> Service<bool> for Gate<S> {
    type Response = S::Response;
    type Error = BoxError;
    type Future = Either<Ready<Result<S::Response, BoxError>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self.shut.get() {
            true => Poll::Ready(Ok(())),
            false => self.inner.poll_ready(cx),
        }
    }

    fn call(&mut self, hangs: bool) -> Self::Future {
        match self.shut.get() {
            true => Either::Left(ready(Err(OPEN.after(Duration::from_secs(4)).into()))),
            false => Either::Right(self.inner.call(hangs)),
        }
    }
}

/// Retries over a gate over a single permit. A call that is told so hangs.
fn gated(
    shut: &Rc<Cell<bool>>,
) -> impl Service<bool, Response = &'static str, Error = BoxError> + Clone + use<> {
    let hanging = service_fn(|hangs: bool| async move {
        if hangs {
            std::future::pending::<()>().await;
        }
        Ok::<_, BoxError>("answered")
    });
    RetryLayer::default().layer(Gate {
        inner: ConcurrencyLimit::new(hanging, 1),
        shut: Rc::clone(shut),
    })
}

#[tokio::test(start_paused = true)]
async fn a_backoff_holds_no_permit_of_the_inner_service() {
    let shut = Rc::default();
    let service = gated(&shut);
    let mut permitted = mock::Spawn::new(service.clone());
    assert_ready_ok!(permitted.poll_ready::<bool>());
    shut.set(true);
    let mut waiting = task::spawn(permitted.call(false));
    assert_pending!(waiting.poll());

    shut.set(false);
    let mut other = mock::Spawn::new(service);
    assert_ready_ok!(other.poll_ready::<bool>(), "a call that waits has the permit");
    drop(other);
    // The wait over, the call is readied anew.
    tokio::time::advance(Duration::from_millis(4_001)).await;
    assert_eq!(assert_ready_ok!(waiting.poll()), "answered");
}

#[tokio::test(start_paused = true)]
async fn a_backoff_holds_no_place_in_the_queue_of_the_inner_service() {
    let shut = Rc::default();
    let service = gated(&shut);
    let mut first = mock::Spawn::new(service.clone());
    assert_ready_ok!(first.poll_ready::<bool>());
    let hung = first.call(true);
    let mut queued = mock::Spawn::new(service.clone());
    assert_pending!(queued.poll_ready::<bool>());
    shut.set(true);
    assert_ready_ok!(queued.poll_ready::<bool>());
    let mut waiting = task::spawn(queued.call(false));
    assert_pending!(waiting.poll());

    shut.set(false);
    drop(hung);
    let mut other = mock::Spawn::new(service);
    assert_ready_ok!(other.poll_ready::<bool>(), "the permit went to a call that waits");
    drop(other);
    tokio::time::advance(Duration::from_millis(4_001)).await;
    assert_eq!(assert_ready_ok!(waiting.poll()), "answered");
}
