//! What is retried, how often, with which request, and what is counted.

mod common;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use futures::FutureExt;
use hook_monitor::{Gather, HistogramSnapshot, Label, Source};
use hook_retry::{Attempt, NoWait, RetryHandle, RetryLayer, RetryPolicy, Verdict};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_test::mock;

use common::{Calls, MS, failing, plain};

#[tokio::test]
async fn a_failure_then_a_success_are_two_calls_with_the_same_request() {
    let policy = RetryPolicy::new().backoff(NoWait);
    let (mut service, mut backend) = mock::spawn_layer::<&str, &str, _>(RetryLayer::new(policy));
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call("hello"));
    backend.next_request().await.unwrap().1.send_error("again");
    assert_pending!(call.poll());
    let (req, reply) = backend.next_request().await.unwrap();
    assert_eq!(req, "hello");
    reply.send_response("world");
    assert_eq!(assert_ready_ok!(call.poll()), "world");
}

#[tokio::test(start_paused = true)]
async fn waits_double_from_100_ms_and_stop_at_5_s() {
    let calls = Calls::new();
    let answer = RetryLayer::new(plain(9))
        .layer(failing(9, &calls))
        .oneshot("x")
        .await;
    assert_eq!(answer, Ok(10));
    let expected = [0, 100, 300, 700, 1_500, 3_100, 6_300, 11_300, 16_300, 21_300];
    assert_eq!(calls.at(), expected);
}

#[tokio::test(start_paused = true)]
async fn three_retries_by_default_and_then_the_last_error() {
    let calls = Calls::new();
    let layer = RetryLayer::default();
    let answer = layer.clone().layer(failing(9, &calls)).oneshot("x").await;
    assert_eq!(answer, Err("failure 4".to_owned()));
    // 100 + 200 + 400 ms at most, and each rounded up to the timer's tick.
    assert!(calls.start.elapsed() <= 703 * MS);
    let seen = layer.handle().snapshot();
    assert_eq!((seen.exhausted, seen.failed_with_retry, seen.retries), (1, 1, 3));
}

#[tokio::test(start_paused = true)]
async fn twelve_retries_are_thirteen_calls() {
    let calls = Calls::new();
    let _ = RetryLayer::new(plain(12))
        .layer(failing(99, &calls))
        .oneshot("x")
        .await;
    assert_eq!(calls.count(), 13);
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_five_failures_and_a_success_are_six_calls() {
    let calls = Calls::new();
    let answer = RetryLayer::new(plain(u32::MAX))
        .layer(failing(5, &calls))
        .oneshot("x")
        .await;
    assert_eq!((answer, calls.count()), (Ok(6), 6));
}

#[tokio::test]
async fn an_error_that_is_not_worth_it_ends_the_call() {
    let calls = Calls::new();
    let layer = RetryLayer::new(
        plain(5).retry_if(|result: Result<&usize, &String>| result.is_err_and(|err| err != "failure 1")),
    );
    let answer = layer.layer(failing(9, &calls)).oneshot("x").await;
    assert_eq!((answer, calls.count()), (Err("failure 1".to_owned()), 1));
    let seen = layer.handle().snapshot();
    assert_eq!((seen.stopped, seen.failed_without_retry), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_response_can_be_retried_and_the_last_one_is_the_answer() {
    let calls = Calls::new();
    let layer = RetryLayer::new(
        plain(2).classify_with(|result: Result<&usize, &String>, _: &Attempt| match result {
            Ok(_) => Verdict::Retry,
            Err(_) => Verdict::Stop,
        }),
    );
    let answer = layer.layer(failing(0, &calls)).oneshot("x").await;
    assert_eq!(answer, Ok(3));
    let seen = layer.handle().snapshot();
    // The policy was not content with it, so it is no success, `Ok` or not.
    assert_eq!(
        (seen.exhausted, seen.failed_with_retry, seen.successful()),
        (1, 1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn the_classifier_is_told_the_number_of_the_attempt_and_the_time() {
    let calls = Calls::new();
    let seen = RefCell::new(vec![]);
    let policy = plain(2).classify_with(|_: Result<&usize, &String>, attempt: &Attempt| {
        seen.borrow_mut()
            .push((attempt.number, attempt.elapsed.as_millis()));
        Verdict::Retry
    });
    let _ = RetryLayer::new(policy)
        .layer(failing(9, &calls))
        .oneshot("x")
        .await;
    assert_eq!(*seen.borrow(), [(1, 0), (2, 100), (3, 300)]);
}

#[tokio::test(start_paused = true)]
async fn a_classifier_that_panics_ends_the_call_with_that_panic() {
    let calls = Calls::new();
    let policy = plain(3).retry_if(|_: Result<&usize, &String>| panic!("the classifier's own"));
    let call = RetryLayer::new(policy).layer(failing(9, &calls)).oneshot("x");
    let panic = std::panic::AssertUnwindSafe(call)
        .catch_unwind()
        .await
        .unwrap_err();
    assert_eq!(panic.downcast_ref(), Some(&"the classifier's own"));
    assert_eq!(calls.count(), 1);
}

// ===== requests =====

/// Counts its own clones.
#[derive(Debug)]
struct Counted(Rc<Cell<u32>>, u32);

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.0.set(self.0.get() + 1);
        Self(Rc::clone(&self.0), self.1)
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_attempt_does_not_clone_and_without_retries_nothing_does() {
    for (retries, clones) in [(0, 0), (1, 1), (2, 2), (5, 5)] {
        let count = Rc::new(Cell::new(0));
        let service = service_fn(|_: Counted| async { Err::<(), _>(()) });
        let layer = RetryLayer::new(plain(retries));
        let _ = layer.layer(service).oneshot(Counted(Rc::clone(&count), 0)).await;
        assert_eq!(count.get(), clones, "{retries} retries");
    }
}

#[tokio::test]
async fn without_retries_the_service_is_not_cloned() {
    let (service, mut backend) = mock::pair::<(), ()>();
    let mut service = task::spawn(RetryLayer::new(plain(0)).layer(service));
    backend.allow(1);
    let call = service.enter(|cx, mut service| {
        assert_ready_ok!(service.poll_ready(cx));
        service.call(())
    });
    let mut call = task::spawn(call);
    drop(service);
    assert_ready!(backend.poll_request()).unwrap().1.send_error("no");
    // A clone would keep the mock's channel open.
    assert!(assert_ready!(backend.poll_request()).is_none());
    assert_eq!(assert_ready_err!(call.poll()).to_string(), "no");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_cloned_goes_through_once() {
    struct Once(bool);
    let calls = Cell::new(0);
    let layer = RetryLayer::new(plain(3).clone_with(|req: &Once| req.0.then_some(Once(true))));
    let service = layer.layer(service_fn(|_: Once| {
        calls.set(calls.get() + 1);
        async { Err::<(), _>("no") }
    }));
    assert_eq!(service.clone().oneshot(Once(false)).await, Err("no"));
    assert_eq!((calls.get(), layer.handle().snapshot().unrepeatable), (1, 1));
    assert_eq!(service.oneshot(Once(true)).await, Err("no"));
    assert_eq!((calls.get(), layer.handle().snapshot().unrepeatable), (5, 1));
}

#[tokio::test(start_paused = true)]
async fn a_request_may_be_changed_before_each_retry_and_changes_do_not_add_up() {
    let seen = RefCell::new(vec![]);
    let policy = plain(2).before_retry(|req: &mut String, attempt| req.push_str(&format!("#{attempt}")));
    let service = service_fn(|req: String| {
        seen.borrow_mut().push(req);
        async { Err::<(), _>("no") }
    });
    let _ = RetryLayer::new(policy)
        .layer(service)
        .oneshot("req".to_owned())
        .await;
    assert_eq!(*seen.borrow(), ["req", "req#2", "req#3"]);
}

// ===== figures =====

#[derive(Default)]
struct Lines(Vec<String>);

impl Gather for Lines {
    fn counter(&mut self, name: &'static str, labels: &[Label], value: u64) {
        let labels: Vec<_> = labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        self.0.push(format!("{name}{{{}}} {value}", labels.join(",")));
    }

    fn gauge(&mut self, name: &'static str, labels: &[Label], value: f64) {
        assert_eq!(labels, [], "{name}");
        self.0.push(format!("{name}{{}} {value}"));
    }

    fn histogram(&mut self, name: &'static str, _: &[Label], _: &HistogramSnapshot) {
        unreachable!("{name} is no counter")
    }

    fn distribution(&mut self, name: &'static str, _: &[Label], seen: &[(f64, u64)]) {
        self.0.push(format!("{name} {seen:?}"));
    }
}

#[tokio::test(start_paused = true)]
async fn every_figure_is_told_and_all_services_of_a_layer_count_together() {
    let layer = RetryLayer::new(plain(4)).name("inventory");
    let handle: RetryHandle = layer.handle();
    for failures in [0, 0, 1, 4, 9] {
        let _ = layer
            .clone()
            .layer(failing(failures, &Calls::new()))
            .oneshot("x")
            .await;
    }
    let seen = handle.snapshot();
    assert_eq!((seen.calls(), seen.attempts(), seen.backoff), (5, 14, 3_100 * MS));
    let mut lines = Lines::default();
    handle.read(&mut lines);
    assert_eq!((handle.layer(), handle.name()), ("retry", "inventory"));
    assert_eq!(
        lines.0,
        [
            "hook_retry_calls_total{kind=successful_without_retry} 2",
            "hook_retry_calls_total{kind=successful_with_retry} 2",
            "hook_retry_calls_total{kind=failed_without_retry} 0",
            "hook_retry_calls_total{kind=failed_with_retry} 1",
            "hook_retry_attempts [(1.0, 2), (2.0, 1), (3.0, 0), (4.0, 0), (5.0, 2), (6.0, 0), (7.0, 0), (8.0, 0), \
             (9.0, 0)]",
            "hook_retry_attempts_total{} 14",
            "hook_retry_retries_total{} 9",
            "hook_retry_given_up_total{cause=exhausted} 1",
            "hook_retry_given_up_total{cause=stopped} 0",
            "hook_retry_given_up_total{cause=too_late} 0",
            "hook_retry_given_up_total{cause=unrepeatable} 0",
            "hook_retry_given_up_total{cause=unready} 0",
            "hook_retry_given_up_total{cause=over_budget} 0",
            "hook_retry_backoff_seconds_total{} 3",
            "hook_retry_budget_tokens{} 1",
        ]
    );
}
